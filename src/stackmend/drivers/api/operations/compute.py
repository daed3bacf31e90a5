# SPDX-License-Identifier: Apache-2.0
"""Nova's operations (nova/api/openstack/compute)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, OfServer, ResourceReader, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute import (
    AwaitHeal,
    DeleteKeyPair,
    DetachVolume,
    ForceDelete,
    HardReboot,
    HealSeen,
    KeyPairSeen,
    MappingSeen,
    NicSeen,
    ResetState,
    VifDeleted,
)
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.step import StepState


def _server(reader: ResourceReader, asked: OfServer) -> ServerSeen:
    return _servers.picture(_servers.read(reader, asked.server))


def _nic(reader: ResourceReader, asked: VifDeleted) -> NicSeen:
    """``listed``: whether the server's network cache lists an address with this MAC."""
    found = _servers.read(reader, asked.server)
    return {
        **_servers.picture(found),
        **_servers.host(reader, found),
        "listed": str(asked.mac).lower() in _servers.macs(found),
    }


def _nic_gone(picture: NicSeen, _: VifDeleted) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    return StepState.PLANNED if picture["listed"] else StepState.DONE


def _event_fault(body: Any) -> str:
    """A refused event is reported in a response with status 207: each event has a code of its own."""
    for event in (body or {}).get("events", ()):
        if event.get("code", 200) != 200:
            return f"Nova refused the event ({event.get('code')})"
    return ""


def _vif_deleted(asked: VifDeleted) -> list[Request]:
    event = {"name": "network-vif-deleted", "server_uuid": asked.server, "tag": asked.port}
    body = {"events": [event]}
    return [Request(service="compute", method="POST", path="/os-server-external-events", body=body, microversion="2.1")]


def _action(asked: OfServer, body: Mapping[str, object]) -> list[Request]:
    path = f"/servers/{segment(asked.server)}/action"
    return [Request(service="compute", method="POST", path=path, body=body, microversion="2.1")]


def _reset(picture: ServerSeen, asked: ResetState) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    right = picture["server.task_state"] is None and picture["server.vm_state"] == asked.state
    return StepState.DONE if right else StepState.PLANNED


def _deleted(picture: ServerSeen, _: ForceDelete) -> StepState:
    """A server with vm_state "deleted" keeps its allocation, and its row, for a moment."""
    if picture["server"] == "absent":
        return StepState.DONE
    under_way = picture["server.task_state"] == "deleting" or picture["server.vm_state"] == "deleted"
    return StepState.INTENT if under_way else StepState.PLANNED


def _attached(reader: ResourceReader, asked: DetachVolume | HardReboot) -> MappingSeen:
    """``mapping``: the device name in Nova's mapping, None if Nova has no mapping of the pair."""
    # read in the order in which things begin, and the server's task, which begins first and ends last, before and after
    first = _servers.read(reader, asked.server)
    volume = reader.get("block-storage", f"/volumes/{segment(asked.volume)}", "3.0")
    path = f"/servers/{segment(asked.server)}/os-volume_attachments/{segment(asked.volume)}"
    found = reader.get("compute", path, "2.1")
    server = _servers.busier(first, _servers.read(reader, asked.server))
    return {
        **_servers.picture(server),
        **_servers.host(reader, server),
        "mapping": None if found is None else found["volumeAttachment"].get("device") or "unknown",
        "volume.status": None if volume is None else volume["volume"]["status"],
    }


def _let_go(picture: MappingSeen, _: DetachVolume) -> StepState:
    if picture["volume.status"] == "detaching":
        return StepState.INTENT
    return StepState.DONE if picture["mapping"] is None else StepState.PLANNED


def _rebooted(picture: MappingSeen, _: HardReboot) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    if str(picture["server.task_state"]).startswith("reboot"):
        return StepState.INTENT
    return StepState.DONE if picture["mapping"] is None else StepState.PLANNED


def _detach_volume(asked: DetachVolume) -> list[Request]:
    path = f"/servers/{segment(asked.server)}/os-volume_attachments/{segment(asked.volume)}"
    return [Request(service="compute", method="DELETE", path=path, microversion="2.1")]


def _healing(reader: ResourceReader, asked: AwaitHeal) -> HealSeen:
    found = _servers.read(reader, asked.server)
    missing = sorted(_servers.lower(asked.macs) - _servers.macs(found))
    return {**_servers.picture(found), **_servers.host(reader, found), "missing": missing}


def _healed(picture: HealSeen, _: AwaitHeal) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    return StepState.PLANNED if picture["missing"] else StepState.DONE


#: from which administrators name the user; before, the key pair would be their own
_OF_A_USER = "2.10"


def _pair_path(asked: DeleteKeyPair) -> str:
    return f"/os-keypairs/{segment(asked.name)}?user_id={segment(asked.user)}"


def _key_pair(reader: ResourceReader, asked: DeleteKeyPair) -> KeyPairSeen:
    body = reader.get("compute", _pair_path(asked), _OF_A_USER)
    if body is None:
        return {"key_pair": "absent"}
    return {"key_pair": "present", "fingerprint": body["keypair"]["fingerprint"]}


def _delete_pair(asked: DeleteKeyPair) -> list[Request]:
    return [Request(service="compute", method="DELETE", path=_pair_path(asked), microversion=_OF_A_USER)]


OPERATIONS = (
    Implementation(
        of=VifDeleted, requests=_vif_deleted, look=_nic, judge=_nic_gone, microversion="2.1",
        again=True, fault=_event_fault,
    ),
    Implementation(
        of=ResetState, look=_server, judge=_reset, microversion="2.1", again=True,
        requests=lambda asked: _action(asked, {"os-resetState": {"state": asked.state}}),
    ),
    Implementation(
        of=ForceDelete, look=_server, judge=_deleted, microversion="2.1", again=True,
        requests=lambda asked: _action(asked, {"forceDelete": None}),
    ),
    Implementation(
        of=DetachVolume, requests=_detach_volume, look=_attached, judge=_let_go,
        microversion="2.1", again=False,
    ),
    Implementation(
        of=HardReboot, look=_attached, judge=_rebooted, microversion="2.1", again=False,
        limit=300, requests=lambda asked: _action(asked, {"reboot": {"type": "HARD"}}),
    ),
    Implementation(
        of=AwaitHeal, requests=nothing, look=_healing, judge=_healed, microversion="2.1",
        again=True, limit=900, waits="wait until Nova shows {macs} as addresses of server {server}",
    ),
    Implementation(
        of=DeleteKeyPair, requests=_delete_pair, look=_key_pair, microversion=_OF_A_USER, release="Mitaka", again=True,
        judge=lambda picture, _: StepState.DONE if picture["key_pair"] == "absent" else StepState.PLANNED,
    ),
)  # fmt: skip
