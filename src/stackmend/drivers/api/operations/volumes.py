# SPDX-License-Identifier: Apache-2.0
"""A volume let go of and taken again, each seen to its end in Nova, in Cinder and in Nova's record of the action."""

from __future__ import annotations

from typing import Any

from stackmend.drivers.api.operations import Implementation, ResourceReader, _servers, consoles, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute import AttachVolume, AwaitLogin, ConsoleSeen, PairSeen, ReleaseVolume
from stackmend.model.step import StepState

#: the first that takes ``delete_on_termination`` with an attachment, and shows it; the tag is older
_KEEPING = "2.79"
#: actions of Nova's that change which volumes a server has
_ACTIONS = ("attach_volume", "detach_volume")


def _pair(reader: ResourceReader, asked: ReleaseVolume | AttachVolume) -> PairSeen:
    """``mapping``: Nova's name of the device, ``attachment``: Cinder's of the pair; None if they have none.

    ``action``: "open" while the last attach or detach of the server goes on, "error", "over", or "" for none.

    The actions are read first and last, the rest between: of a detach that ends meanwhile its mapping would be seen and
    its action be over, as if it had come to nothing. Where the two differ something goes on.
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
    """Id of the last attach or detach of a volume, and what became of it."""
    last = _servers.last_action(reader, server, _ACTIONS)
    # before nova-compute has taken it there is no event yet: then the volume tells
    return last.id, "over" if last.state == "asked" else last.state


def _let_go(picture: PairSeen, _: ReleaseVolume) -> StepState:
    """Gone from Nova and from Cinder, with nobody at it any more.

    What one of them still has and the other has not is under way, not undone: these are several reads of two services.
    """
    if picture["server"] == "absent" or picture["volume.status"] is None:
        return StepState.FAILED
    if picture["volume.status"] == "detaching" or picture["action"] == "open":
        return StepState.INTENT
    both = picture["mapping"] is not None, picture["attachment"] is not None
    return {(False, False): StepState.DONE, (True, True): StepState.PLANNED}.get(both, StepState.INTENT)


def _taken(picture: PairSeen, _: AttachVolume) -> StepState:
    """There in Nova and in Cinder, with nobody at it any more; what only one of them has is under way."""
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
    """A guest at its login prompt has its devices, and answers when one is taken away."""
    if picture["server"] == "absent" or picture["server.vm_state"] != "active":
        return StepState.FAILED
    states = {"login": StepState.DONE, "": StepState.INTENT}
    return states.get(picture["shows"], StepState.FAILED)


OPERATIONS = (
    Implementation(
        of=ReleaseVolume, requests=_release, look=_pair, judge=_let_go, microversion=_KEEPING,
        again=False, limit=900,
        # Cinder says detaching before Nova answers
        at_once=True,
    ),
    Implementation(
        of=AttachVolume, requests=_attach, look=_pair, judge=_taken, microversion=_KEEPING,
        again=False, limit=600,
        lacking="Attach it with its previous options: 'openstack server add volume'.",
        # Nova has its mapping before it answers
        at_once=True,
    ),
    Implementation(
        of=AwaitLogin, requests=nothing, look=consoles.look, judge=_ready, microversion="2.1",
        again=True, limit=600, waits="wait until the console of server {server} shows a login prompt",
    ),
)  # fmt: skip
