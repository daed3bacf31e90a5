# SPDX-License-Identifier: Apache-2.0
"""Operations of Neutron (neutron/plugins/ml2/plugin.py). They have no microversions; extensions name what is new."""

from __future__ import annotations

from typing import Any

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState

_FIELDS = (
    "device_id", "device_owner", "status", "mac_address", "binding:host_id", "binding:vif_type", "binding:vnic_type",
    "binding:profile",
)  # fmt: skip


def _port(reader: Reader, arguments: Arguments) -> Picture:
    """The port as it is, and the server that it says it is of."""
    body = reader.get("network", f"/ports/{segment(arguments['port'])}")
    if body is None:
        return {"port": "absent"}
    port = body["port"]
    found: dict[str, Any] = {"port": "present", **{name: port.get(name) for name in _FIELDS}}
    found["tags"] = sorted(port.get("tags") or ())
    if str(port.get("device_owner", "")).startswith("compute:") and port.get("device_id"):
        found |= _servers.picture(_servers.read(reader, port["device_id"]))
    return found


def _put(arguments: Arguments) -> list[Request]:
    body = {"port": dict(arguments["values"])}
    return [Request(service="network", method="PUT", path=f"/ports/{segment(arguments['port'])}", body=body)]


def _set(picture: Picture, arguments: Arguments) -> StepState:
    """A binding takes a moment: Neutron answers after it, but a later one may come from an agent."""
    if picture["port"] == "absent":
        return StepState.FAILED
    wanted = arguments["values"]
    if any(picture.get(name) != value for name, value in wanted.items()):
        return StepState.PLANNED
    if wanted.get("binding:host_id"):
        kind = picture["binding:vif_type"]
        if kind == "binding_failed":
            return StepState.FAILED
        if kind == "unbound":
            return StepState.INTENT
    return StepState.DONE


def _delete(arguments: Arguments) -> list[Request]:
    return [Request(service="network", method="DELETE", path=f"/ports/{segment(arguments['port'])}")]


def _gone(picture: Picture, _: Arguments) -> StepState:
    return StepState.DONE if picture["port"] == "absent" else StepState.PLANNED


def _binding_path(arguments: Arguments) -> str:
    return f"/ports/{segment(arguments['port'])}/bindings"


def _binding(reader: Reader, arguments: Arguments) -> Picture:
    """``binding``: status of the port's binding for the host, None where it has none; and a server that is named."""
    body = reader.get("network", _binding_path(arguments))
    if body is None:
        return {"port": "absent", "binding": None}
    mine = [b for b in body["bindings"] if b["host"] == arguments["host"]]
    found: dict[str, Any] = {"port": "present", "binding": mine[0]["status"] if mine else None}
    if "server" in arguments:
        found |= dict(_servers.picture(_servers.read(reader, arguments["server"])))
    return found


def _delete_binding(arguments: Arguments) -> list[Request]:
    path = f"{_binding_path(arguments)}/{segment(arguments['host'])}"
    return [Request(service="network", method="DELETE", path=path)]


def _create_binding(arguments: Arguments) -> list[Request]:
    body = {"binding": {"host": arguments["host"]}}
    return [Request(service="network", method="POST", path=_binding_path(arguments), body=body)]


def _tag(arguments: Arguments, method: str) -> list[Request]:
    path = f"/ports/{segment(arguments['port'])}/tags/{segment(arguments['tag'])}"
    return [Request(service="network", method=method, path=path)]


def _tagged(picture: Picture, arguments: Arguments) -> bool:
    return arguments["tag"] in picture.get("tags", ())


OPERATIONS = (
    Operation(service="network", name="update-port", requests=_put, look=_port, judge=_set, again=True),
    Operation(service="network", name="delete-port", requests=_delete, look=_port, judge=_gone, again=True),
    Operation(
        service="network", name="delete-binding", requests=_delete_binding, look=_binding, again=True,
        judge=lambda picture, _: StepState.DONE if picture["binding"] is None else StepState.PLANNED,
    ),
    Operation(
        service="network", name="create-binding", requests=_create_binding, look=_binding, again=True,
        judge=lambda picture, _: StepState.PLANNED if picture["binding"] is None else StepState.DONE,
    ),
    Operation(
        service="network", name="tag-port", look=_port, again=True,
        requests=lambda arguments: _tag(arguments, "PUT"),
        judge=lambda picture, arguments: StepState.DONE if _tagged(picture, arguments) else StepState.PLANNED,
    ),
    Operation(
        service="network", name="untag-port", look=_port, again=True,
        requests=lambda arguments: _tag(arguments, "DELETE"),
        judge=lambda picture, arguments: StepState.PLANNED if _tagged(picture, arguments) else StepState.DONE,
    ),
)  # fmt: skip
