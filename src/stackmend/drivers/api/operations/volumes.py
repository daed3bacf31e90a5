# SPDX-License-Identifier: Apache-2.0
"""Detaching and attaching a volume, followed to the end in Nova, in Cinder and in Nova's record of the action."""

from __future__ import annotations

from typing import Any

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader, consoles, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute import AttachVolume, AwaitLogin, ConsoleSeen, PairSeen, ReleaseVolume
from stackmend.model.step import StepState

#: the first version that accepts and shows ``delete_on_termination`` of an attachment; the tag is older
_KEEPING = "2.79"
#: Nova's actions that change the volumes of a server
_ACTIONS = ("attach_volume", "detach_volume")


def _pair(reader: ResourceReader, asked: ReleaseVolume | AttachVolume) -> PairSeen:
    """``mapping``: the device name in Nova, ``attachment``: Cinder's attachment of the pair; None if there is none.

    ``action``: "open" while the last attach or detach of the server is in progress, "error", "over", or "" for none.

    The actions are read first and last, the rest in between: otherwise a detach that ends in between would show its
    mapping with its action over, as if it had failed. If the two readings differ, an action is in progress.
    """
    base = f"/servers/{segment(asked.server)}"
    before = _action(reader, asked.server)
    server = _servers.read(reader, asked.server)
    if server is None:
        return {"server": "absent", "mapping": None, "attachment": None, "volume.status": None, "action": ""}
    found = reader.get("compute", f"{base}/os-volume_attachments/{segment(asked.volume)}", "2.1")
    body = reader.get("block-storage", f"/volumes/{segment(asked.volume)}", "3.0")
    volume = None if body is None else body["volume"]
    held = [one for one in (volume or {}).get("attachments") or () if one.get("server_id") == asked.server]
    return {
        **_servers.picture(server),
        **_servers.host(reader, server),
        "mapping": None if found is None else found["volumeAttachment"].get("device") or "unknown",
        "volume.status": None if volume is None else volume["status"],
        "attachment": held[0].get("attachment_id") if held else None,
        "attachments": len(held),
        "action": before[1] if before == _action(reader, asked.server) else "open",
    }


def _action(reader: ResourceReader, server: str) -> tuple[str, str]:
    """Id of the last attach or detach of a volume, and its state."""
    last = _servers.last_action(reader, server, _ACTIONS)
    # until nova-compute starts it there is no event: then the volume's status decides
    return last.id, "over" if last.state == "asked" else last.state


def _let_go(picture: PairSeen, _: ReleaseVolume) -> StepState:
    """Gone from Nova and from Cinder, with no operation in progress.

    If only one of them has changed, the operation is in progress, not undone: these are several reads of two services.
    """
    if picture["server"] == "absent" or picture["volume.status"] is None:
        return StepState.FAILED
    if picture["volume.status"] == "detaching" or picture["action"] == "open":
        return StepState.INTENT
    both = picture["mapping"] is not None, picture["attachment"] is not None
    return {(False, False): StepState.DONE, (True, True): StepState.PLANNED}.get(both, StepState.INTENT)


def _taken(picture: PairSeen, _: AttachVolume) -> StepState:
    """Present in Nova and in Cinder, with no operation in progress; if only one of them has it, it is in progress."""
    if picture["server"] == "absent" or picture["volume.status"] is None:
        return StepState.FAILED
    if picture["volume.status"] in ("attaching", "reserved") or picture["action"] == "open":
        return StepState.INTENT
    both = picture["mapping"] is not None, picture["attachment"] is not None
    if both == (False, False):
        return StepState.PLANNED
    return StepState.DONE if both == (True, True) and picture["volume.status"] == "in-use" else StepState.INTENT


def _release(asked: ReleaseVolume) -> list[Request]:
    path = f"/servers/{segment(asked.server)}/os-volume_attachments/{segment(asked.volume)}"
    return [Request(service="compute", method="DELETE", path=path, microversion="2.1")]


def _attach(asked: AttachVolume) -> list[Request]:
    path = f"/servers/{segment(asked.server)}/os-volume_attachments"
    wanted: dict[str, Any] = {
        "volumeId": asked.volume, "delete_on_termination": asked.delete_on_termination,
    }  # fmt: skip
    if asked.tag:
        wanted["tag"] = asked.tag
    body = {"volumeAttachment": wanted}
    return [Request(service="compute", method="POST", path=path, body=body, microversion=_KEEPING)]


def _ready(picture: ConsoleSeen, _: AwaitLogin) -> StepState:
    """A guest at its login prompt has its devices, and reacts when one is removed."""
    if picture["server"] == "absent" or picture["server.vm_state"] != "active":
        return StepState.FAILED
    states = {"login": StepState.DONE, "": StepState.INTENT}
    return states.get(picture["shows"], StepState.FAILED)


OPERATIONS = (
    Implementation(
        of=ReleaseVolume, requests=_release, look=_pair, judge=_let_go, microversion=_KEEPING,
        again=False, limit=900,
        # Cinder sets the status "detaching" before Nova responds
        at_once=True,
    ),
    Implementation(
        of=AttachVolume, requests=_attach, look=_pair, judge=_taken, microversion=_KEEPING,
        again=False, limit=600,
        lacking="Attach it with its previous options: 'openstack server add volume'.",
        # Nova creates its mapping before it responds
        at_once=True,
    ),
    Implementation(
        of=AwaitLogin, requests=nothing, look=consoles.look, judge=_ready, microversion="2.1",
        again=True, limit=600, waits="wait until the console of server {server} shows a login prompt",
    ),
)  # fmt: skip
