# SPDX-License-Identifier: Apache-2.0
"""Detaching and attaching a port (nova/api/openstack/compute/attach_interfaces.py)."""

from __future__ import annotations

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.interfaces import AttachInterface, DetachInterface, InterfaceOperation, InterfaceSeen
from stackmend.model.step import StepState

#: the first version that accepts a device tag on attach
_TAGS = "2.49"
_DETACH = "detach_interface"
_ACTIONS = ("attach_interface", _DETACH)


def _look(reader: ResourceReader, asked: InterfaceOperation) -> InterfaceSeen:
    """The actions are read first and last: otherwise a detach that ends in between would seem not to have begun."""
    before = _action(reader, asked.server)
    server = _servers.read(reader, asked.server)
    body = reader.get("network", f"/ports/{segment(asked.port)}")
    port = {} if body is None else body["port"]
    shown = str(port.get("mac_address") or "").lower() in _servers.macs(server)
    return {
        **_servers.picture(server),
        **_servers.host(reader, server),
        "port": "absent" if body is None else "present",
        "port.device_id": port.get("device_id"),
        "listed": shown or not port.get("fixed_ips"),
        "action": before[1] if before == _action(reader, asked.server) else "open",
    }


def _action(reader: ResourceReader, server: str) -> tuple[str, str]:
    """Id of the last attach or detach of a port, and its state.

    A detach is a cast: until nova-compute starts it, it has no events. The response to an attach comes when it has
    ended: one without events was refused.
    """
    last = _servers.last_action(reader, server, _ACTIONS)
    if last.state == "asked":
        return last.id, "open" if last.name == _DETACH else "over"
    return last.id, last.state


def _detached(picture: InterfaceSeen, asked: DetachInterface) -> StepState:
    if picture["action"] == "open":
        return StepState.INTENT
    if picture["port"] == "absent":
        return StepState.FAILED if asked.keeps else StepState.DONE
    if picture["port.device_id"] != asked.server:
        return StepState.DONE
    gone = picture["server"] == "absent" or picture["action"] == "error"
    return StepState.FAILED if gone else StepState.PLANNED


def _attached(picture: InterfaceSeen, asked: AttachInterface) -> StepState:
    if picture["server"] == "absent" or picture["port"] == "absent":
        return StepState.FAILED
    if picture["action"] == "open":
        return StepState.INTENT
    if picture["port.device_id"] == asked.server:
        return StepState.DONE if picture["listed"] else StepState.FAILED
    refused = bool(picture["port.device_id"]) or picture["action"] == "error"
    return StepState.FAILED if refused else StepState.PLANNED


def _path(asked: InterfaceOperation) -> str:
    return f"/servers/{segment(asked.server)}/os-interface"


def _detach(asked: DetachInterface) -> list[Request]:
    path = f"{_path(asked)}/{segment(asked.port)}"
    return [Request(service="compute", method="DELETE", path=path, microversion=_TAGS)]


def _attach(asked: AttachInterface) -> list[Request]:
    wanted = {"port_id": asked.port, **({"tag": asked.tag} if asked.tag else {})}
    body = {"interfaceAttachment": wanted}
    return [Request(service="compute", method="POST", path=_path(asked), body=body, microversion=_TAGS)]


OPERATIONS = (
    # nova-compute retries for minutes if the guest does not release the device
    Implementation(
        of=DetachInterface, requests=_detach, look=_look, judge=_detached, microversion=_TAGS, again=False, limit=600,
    ),
    Implementation(
        of=AttachInterface, requests=_attach, look=_look, judge=_attached, microversion=_TAGS, again=False, limit=300,
    ),
)  # fmt: skip
