# SPDX-License-Identifier: Apache-2.0
"""Operations of Nova (nova/api/openstack/compute)."""

from __future__ import annotations

from typing import Any

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState


def _server(reader: Reader, arguments: Arguments) -> Picture:
    return _servers.picture(_servers.read(reader, arguments["server"]))


def _nic(reader: Reader, arguments: Arguments) -> Picture:
    """``listed``: whether the server's network cache has an address of this MAC."""
    found = _servers.read(reader, arguments["server"])
    return {
        **_servers.picture(found),
        **_servers.host(reader, found),
        "listed": str(arguments["mac"]).lower() in _servers.macs(found),
    }


def _nic_gone(picture: Picture, _: Arguments) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    return StepState.PLANNED if picture["listed"] else StepState.DONE


def _event_fault(body: Any) -> str:
    """An event is refused in an answer that says 207: each one has a code of its own."""
    for event in (body or {}).get("events", ()):
        if event.get("code", 200) != 200:
            return f"Nova refused the event ({event.get('code')})"
    return ""


def _vif_deleted(arguments: Arguments) -> list[Request]:
    event = {"name": "network-vif-deleted", "server_uuid": arguments["server"], "tag": arguments["port"]}
    body = {"events": [event]}
    return [Request(service="compute", method="POST", path="/os-server-external-events", body=body, microversion="2.1")]


def _action(arguments: Arguments, body: Any) -> list[Request]:
    path = f"/servers/{segment(arguments['server'])}/action"
    return [Request(service="compute", method="POST", path=path, body=body, microversion="2.1")]


def _reset(picture: Picture, arguments: Arguments) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    right = picture["server.task_state"] is None and picture["server.vm_state"] == arguments["state"]
    return StepState.DONE if right else StepState.PLANNED


def _deleted(picture: Picture, _: Arguments) -> StepState:
    """A server that says "deleted" still has its allocation for a moment, and its row."""
    if picture["server"] == "absent":
        return StepState.DONE
    under_way = picture["server.task_state"] == "deleting" or picture["server.vm_state"] == "deleted"
    return StepState.INTENT if under_way else StepState.PLANNED


def _attached(reader: Reader, arguments: Arguments) -> Picture:
    """``mapping``: Nova's name of the device that the volume is, None where Nova has no mapping of the pair."""
    # what begins first is read first, and the server's task, which begins first and ends last, on both sides
    first = _servers.read(reader, arguments["server"])
    volume = reader.get("block-storage", f"/volumes/{segment(arguments['volume'])}", "3.0")
    path = f"/servers/{segment(arguments['server'])}/os-volume_attachments/{segment(arguments['volume'])}"
    found = reader.get("compute", path, "2.1")
    server = _servers.busier(first, _servers.read(reader, arguments["server"]))
    return {
        **_servers.picture(server),
        **_servers.host(reader, server),
        "mapping": None if found is None else found["volumeAttachment"].get("device") or "unknown",
        "volume.status": None if volume is None else volume["volume"]["status"],
    }


def _let_go(picture: Picture, _: Arguments) -> StepState:
    if picture["volume.status"] == "detaching":
        return StepState.INTENT
    return StepState.DONE if picture["mapping"] is None else StepState.PLANNED


def _rebooted(picture: Picture, _: Arguments) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    if str(picture["server.task_state"]).startswith("reboot"):
        return StepState.INTENT
    return StepState.DONE if picture["mapping"] is None else StepState.PLANNED


def _detach_volume(arguments: Arguments) -> list[Request]:
    path = f"/servers/{segment(arguments['server'])}/os-volume_attachments/{segment(arguments['volume'])}"
    return [Request(service="compute", method="DELETE", path=path, microversion="2.1")]


def _healing(reader: Reader, arguments: Arguments) -> Picture:
    found = _servers.read(reader, arguments["server"])
    missing = sorted(_servers.lower(arguments["macs"]) - _servers.macs(found))
    return {**_servers.picture(found), **_servers.host(reader, found), "missing": missing}


def _healed(picture: Picture, _: Arguments) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    return StepState.PLANNED if picture["missing"] else StepState.DONE


OPERATIONS = (
    Operation(
        service="compute", name="vif-deleted", requests=_vif_deleted, look=_nic, judge=_nic_gone, microversion="2.1",
        again=True, fault=_event_fault,
    ),
    Operation(
        service="compute", name="reset-state", look=_server, judge=_reset, microversion="2.1", again=True,
        requests=lambda arguments: _action(arguments, {"os-resetState": {"state": arguments["state"]}}),
    ),
    Operation(
        service="compute", name="force-delete", look=_server, judge=_deleted, microversion="2.1", again=True,
        requests=lambda arguments: _action(arguments, {"forceDelete": None}),
    ),
    Operation(
        service="compute", name="detach-volume", requests=_detach_volume, look=_attached, judge=_let_go,
        microversion="2.1", again=False,
    ),
    Operation(
        service="compute", name="hard-reboot", look=_attached, judge=_rebooted, microversion="2.1", again=False,
        limit=300, requests=lambda arguments: _action(arguments, {"reboot": {"type": "HARD"}}),
    ),
    Operation(
        service="compute", name="await-heal", requests=lambda _: [], look=_healing, judge=_healed, microversion="2.1",
        again=True, limit=900, waits="wait until Nova itself shows {macs} as addresses of server {server}",
    ),
)  # fmt: skip
