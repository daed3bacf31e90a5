# SPDX-License-Identifier: Apache-2.0
"""Neutron's operations (neutron/plugins/ml2/plugin.py). Neutron has no microversions; extensions name new features."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from msgspec import UNSET

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.network import (
    BindingOperation,
    BindingSeen,
    CreateBinding,
    DeleteBinding,
    DeletePort,
    DeleteRbacPolicy,
    EntrySeen,
    PortOperation,
    PortSeen,
    TagPort,
    UntagPort,
    UpdatePort,
)
from stackmend.model.step import StepState

_FIELDS = (
    "device_id", "device_owner", "status", "mac_address", "binding:host_id", "binding:vif_type", "binding:vnic_type",
    "binding:profile", "dns_name", "revision_number",
)  # fmt: skip


def _port(reader: ResourceReader, asked: PortOperation) -> PortSeen:
    """The port, and the server it belongs to according to its device_id."""
    body = reader.get("network", f"/ports/{segment(asked.port)}")
    if body is None:
        return {"port": "absent"}
    port = body["port"]
    found = cast("PortSeen", {"port": "present", **{name: port.get(name) for name in _FIELDS}})
    found["tags"] = sorted(port.get("tags") or ())
    if str(port.get("device_owner", "")).startswith("compute:") and port.get("device_id"):
        found = cast("PortSeen", {**found, **_servers.picture(_servers.read(reader, port["device_id"]))})
    return found


def _put(asked: UpdatePort) -> list[Request]:
    body = {"port": dict(asked.values)}
    return [Request(service="network", method="PUT", path=f"/ports/{segment(asked.port)}", body=body)]


def _set(picture: PortSeen, asked: UpdatePort) -> StepState:
    """Neutron responds after the binding, which takes a moment; a later binding may come from an agent."""
    if picture["port"] == "absent":
        return StepState.FAILED
    wanted = asked.values
    if any(picture.get(name) != value for name, value in wanted.items()):
        return StepState.PLANNED
    if wanted.get("binding:host_id"):
        kind = picture["binding:vif_type"]
        if kind == "binding_failed":
            return StepState.FAILED
        if kind == "unbound":
            return StepState.INTENT
    return StepState.DONE


def _delete(asked: DeletePort) -> list[Request]:
    return [Request(service="network", method="DELETE", path=f"/ports/{segment(asked.port)}")]


def _unchanged(request: Request, picture: PortSeen) -> Request:
    """Sent only while the port is unchanged since it was read: nobody has attached it to a server."""
    return replace(request, revision=picture.get("revision_number"))


def _gone(picture: PortSeen, _: DeletePort) -> StepState:
    return StepState.DONE if picture["port"] == "absent" else StepState.PLANNED


def _binding_path(asked: BindingOperation) -> str:
    return f"/ports/{segment(asked.port)}/bindings"


def _binding(reader: ResourceReader, asked: BindingOperation) -> BindingSeen:
    """``binding``: status of the port's binding for the host, None if there is none; and a server, if one is named."""
    body = reader.get("network", _binding_path(asked))
    if body is None:
        return {"port": "absent", "binding": None}
    mine = [b for b in body["bindings"] if b["host"] == asked.host]
    found: BindingSeen = {"port": "present", "binding": mine[0]["status"] if mine else None}
    if asked.server is UNSET:
        return found
    return {**found, **_servers.picture(_servers.read(reader, asked.server))}


def _delete_binding(asked: DeleteBinding) -> list[Request]:
    path = f"{_binding_path(asked)}/{segment(asked.host)}"
    return [Request(service="network", method="DELETE", path=path)]


def _create_binding(asked: CreateBinding) -> list[Request]:
    body = {"binding": {"host": asked.host}}
    return [Request(service="network", method="POST", path=_binding_path(asked), body=body)]


def _tag(asked: TagPort | UntagPort, method: str) -> list[Request]:
    path = f"/ports/{segment(asked.port)}/tags/{segment(asked.tag)}"
    return [Request(service="network", method=method, path=path)]


def _tagged(picture: PortSeen, asked: TagPort | UntagPort) -> bool:
    return asked.tag in picture.get("tags", ())


def _entry(reader: ResourceReader, asked: DeleteRbacPolicy) -> EntrySeen:
    body = reader.get("network", f"/rbac-policies/{segment(asked.entry)}")
    if body is None:
        return {"entry": "absent"}
    names = ("target_project", "object_id", "action")
    entry = body["rbac_policy"]
    # old releases name only the tenant
    entry = {"target_project": entry.get("target_tenant"), **entry}
    return cast("EntrySeen", {"entry": "present", **{name: entry[name] for name in names}})


def _delete_entry(asked: DeleteRbacPolicy) -> list[Request]:
    """409 while the project uses what is shared with it."""
    return [Request(service="network", method="DELETE", path=f"/rbac-policies/{segment(asked.entry)}")]


OPERATIONS = (
    Implementation(of=UpdatePort, requests=_put, look=_port, judge=_set, again=True),
    Implementation(of=DeletePort, requests=_delete, aim=_unchanged, look=_port, judge=_gone, again=True),
    Implementation(
        of=DeleteBinding, requests=_delete_binding, look=_binding, again=True,
        judge=lambda picture, _: StepState.DONE if picture["binding"] is None else StepState.PLANNED,
    ),
    Implementation(
        of=CreateBinding, requests=_create_binding, look=_binding, again=True,
        judge=lambda picture, _: StepState.PLANNED if picture["binding"] is None else StepState.DONE,
    ),
    Implementation(
        of=TagPort, look=_port, again=True,
        requests=lambda asked: _tag(asked, "PUT"),
        judge=lambda picture, asked: StepState.DONE if _tagged(picture, asked) else StepState.PLANNED,
    ),
    Implementation(
        of=UntagPort, look=_port, again=True,
        requests=lambda asked: _tag(asked, "DELETE"),
        judge=lambda picture, asked: StepState.PLANNED if _tagged(picture, asked) else StepState.DONE,
    ),
    Implementation(
        of=DeleteRbacPolicy, requests=_delete_entry, look=_entry, again=True,
        judge=lambda picture, _: StepState.DONE if picture["entry"] == "absent" else StepState.PLANNED,
    ),
)  # fmt: skip
