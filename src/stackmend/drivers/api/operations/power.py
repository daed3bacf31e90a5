# SPDX-License-Identifier: Apache-2.0
"""Nova's operations on the state of a server: running or not, paused, suspended, rescued, shelved, locked.

Nova sets the task_state before it responds (nova/compute/api.py), so an accepted request without visible effect has
failed: nova-compute gave up and cleared the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, OfServer, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute import (
    Lock,
    LockSeen,
    RebootedSeen,
    RebootHard,
    Rescue,
    RescueVolume,
    Resume,
    ServerOperation,
    ShelveOffload,
    Start,
    Stop,
    Suspend,
    Unlock,
    Unrescue,
)
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.step import StepState

#: the first microversion that shows whether a server is locked, and that stores the reason
_LOCK = "2.73"
#: the first that rescues a server which boots from a volume
_RESCUE_VOLUME = "2.87"

_Changing = TypeVar("_Changing", bound=ServerOperation)


def action(asked: OfServer, body: Mapping[str, object], microversion: str = "2.1") -> list[Request]:
    """One action of a server."""
    path = f"/servers/{segment(asked.server)}/action"
    return [Request(service="compute", method="POST", path=path, body=body, microversion=microversion)]


def _server(reader: ResourceReader, asked: OfServer) -> ServerSeen:
    return _servers.picture(_servers.read(reader, asked.server))


def _change(
    of: type[_Changing],
    verb: str,
    wanted: str,
    task: str,
    limit: float = 300,
    microversion: str = "2.1",
    body: Callable[[_Changing], object] = lambda _asked: None,
) -> Implementation[_Changing, ServerSeen]:
    """An operation after which the server is in state ``wanted``; ``task`` is its task_state meanwhile."""

    def judge(picture: ServerSeen, _: ServerOperation) -> StepState:
        if picture["server"] == "absent":
            return StepState.FAILED
        state, now = picture["server.vm_state"], picture["server.task_state"]
        if state == wanted:
            return StepState.DONE if now is None else StepState.INTENT
        if now == task:
            return StepState.INTENT
        return StepState.FAILED if state == "error" else StepState.PLANNED

    return Implementation(
        of=of, look=_server, judge=judge, microversion=microversion, again=True, at_once=True,
        limit=limit, requests=lambda asked: action(asked, {verb: body(asked)}, microversion),
    )  # fmt: skip


def _image(asked: Rescue) -> dict[str, str]:
    return {"rescue_image_ref": asked.image}


def _history(reader: ResourceReader, asked: RebootHard) -> RebootedSeen:
    """``rebooted``: "", "begun", "error" or "done", of reboots that began after ``after``."""
    path = f"/servers/{segment(asked.server)}/os-instance-actions"
    # the actions are read between two readings of the server: after a single one, a server read while still idle would
    # look rebooted; before a single one, a reboot that has just ended would look as if never requested
    first = _servers.read(reader, asked.server)
    every = (reader.get("compute", path, "2.1") or {}).get("instanceActions", ())
    found = _servers.busier(first, _servers.read(reader, asked.server))
    if found is None:
        return {"server": "absent"}
    after = str(asked.after)
    told = ""
    for one in sorted((a for a in every if a["action"] == "reboot"), key=lambda a: str(a["start_time"])):
        if str(one["start_time"]) > after:
            told = "error" if one.get("message") else "begun"
    if told == "begun" and found.get("OS-EXT-STS:task_state") is None and found.get("OS-EXT-STS:vm_state") == "active":
        told = "done"
    return {**_servers.picture(found), **_servers.host(reader, found), "rebooted": told}


def _rebooted(picture: RebootedSeen, _: RebootHard) -> StepState:
    """Only the action log shows a reboot: a running server looks the same before and after."""
    if picture["server"] == "absent":
        return StepState.FAILED
    if str(picture["server.task_state"]).startswith("reboot"):
        return StepState.INTENT
    return {
        "": StepState.PLANNED,
        "begun": StepState.FAILED if picture["server.vm_state"] == "error" else StepState.INTENT,
        "error": StepState.FAILED,
        "done": StepState.DONE,
    }[picture["rebooted"]]


def _locking(reader: ResourceReader, asked: OfServer) -> LockSeen:
    body = reader.get("compute", f"/servers/{segment(asked.server)}", _LOCK)
    found = None if body is None else body["server"]
    if found is None:
        return {"server": "absent"}
    return {**_servers.picture(found), "locked": found["locked"], "locked_reason": found.get("locked_reason")}


def _locked(picture: LockSeen, wanted: bool) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["locked"] is wanted else StepState.PLANNED


def _locked_so(picture: LockSeen, asked: Lock) -> StepState:
    """A lock with another reason is somebody else's: Nova would replace the reason without a word."""
    state = _locked(picture, True)
    if state is StepState.DONE and asked.reason and picture["locked_reason"] != asked.reason:
        return StepState.PLANNED
    return state


def _lock(asked: Lock) -> list[Request]:
    reason = {"locked_reason": asked.reason} if asked.reason else None
    return action(asked, {"lock": reason}, _LOCK)


OPERATIONS = (
    _change(Start, "os-start", "active", "powering-on"),
    _change(Stop, "os-stop", "stopped", "powering-off", limit=600),
    _change(Suspend, "suspend", "suspended", "suspending", limit=900),
    _change(Resume, "resume", "active", "resuming", limit=900),
    # the answer has a password for the image: it is read by nobody
    _change(Rescue, "rescue", "rescued", "rescuing", limit=900, body=_image),
    _change(
        RescueVolume, "rescue", "rescued", "rescuing", limit=900, microversion=_RESCUE_VOLUME, body=_image,
    ),
    _change(Unrescue, "unrescue", "active", "unrescuing", limit=900),
    _change(ShelveOffload, "shelveOffload", "shelved_offloaded", "shelving_offloading", limit=900),
    Implementation(
        of=RebootHard, look=_history, judge=_rebooted, microversion="2.1", again=False,
        limit=600, requests=lambda asked: action(asked, {"reboot": {"type": "HARD"}}),
    ),
    Implementation(
        of=Lock, look=_locking, microversion=_LOCK, again=True, at_once=True, requests=_lock, judge=_locked_so,
    ),
    Implementation(
        of=Unlock, look=_locking, microversion=_LOCK, again=True, at_once=True,
        requests=lambda asked: action(asked, {"unlock": None}, _LOCK),
        judge=lambda picture, _: _locked(picture, False),
    ),
)  # fmt: skip
