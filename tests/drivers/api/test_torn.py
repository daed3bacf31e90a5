# SPDX-License-Identifier: Apache-2.0
"""What is judged by several reads is not misjudged when the world moves on between two of them.

A call is told as the states through which its services go, as their source has them. Every look is torn at every place
between any two states: some of its reads are answered before, the others after. What it says then must have been true
of one of the states meanwhile, or be "under way"; and a call that a service has taken never looks undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import pytest

from stackmend.drivers.api.operations import implementation_of
from stackmend.model.api import Request, Response
from stackmend.model.operations import operation_of
from stackmend.model.step import StepState

SERVER, VOLUME, ATTACHMENT = "s1", "v1", "a1"
State = Mapping[str, Any]


@dataclass
class Torn:
    """A reader whose first ``whole`` reads are answered by one state, all others by a later one."""

    before: State
    after: State
    whole: int
    asked: int = 0

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of the resource, as the state has it."""
        state = self.before if self.asked < self.whole else self.after
        self.asked += 1
        return shown(state, path.partition("?")[0])

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Any]:
        """No operation here lists anything."""
        raise AssertionError(path)

    def reply(self, request: Request) -> Response:
        """No operation here posts to read."""
        raise AssertionError(request.path)


def shown(state: State, path: str) -> Any:
    """What Nova and Cinder show of a state: task, vm_state, mapping, attached, volume, action, migration, host."""
    base = f"/servers/{SERVER}"
    if path == base:
        names = {"OS-EXT-STS:task_state": state.get("task"), "OS-EXT-STS:vm_state": state.get("vm", "active")}
        return {"server": {"id": SERVER, "OS-EXT-SRV-ATTR:host": state.get("host", "c1"), **names}}
    if path == "/os-services":
        return {"services": [{"state": "up"}]}
    if path == f"{base}/os-volume_attachments/{VOLUME}":
        return {"volumeAttachment": {"device": "/dev/vdb"}} if state["mapping"] else None
    if path == f"/volumes/{VOLUME}":
        held = [{"server_id": SERVER, "attachment_id": ATTACHMENT}] if state["attached"] else []
        return {"volume": {"status": state["volume"], "attachments": held}}
    if path == f"{base}/os-instance-actions":
        return {"instanceActions": [{**one, "request_id": str(n)} for n, one in enumerate(state.get("actions", ()))]}
    if path.startswith(f"{base}/os-instance-actions/"):
        return {"instanceAction": {"events": state["actions"][int(path.rpartition("/")[2])]["events"]}}
    if path == "/os-migrations":
        return {"migrations": [state["record"]] if state.get("record") else []}
    if path == f"{base}/migrations":
        return {"migrations": [state["record"]] if state.get("task") == "migrating" and state.get("record") else []}
    raise AssertionError(path)


def event(action: str, start: str, result: str | None = None) -> dict[str, Any]:
    """An action of Nova's with one event, which is over where it has a result."""
    over = {"finish_time": "2026-11-28T03:00:09", "result": result} if result else {"finish_time": None}
    return {"action": action, "start_time": start, "events": [over]}


#: the volume was attached long ago
OLD = event("attach_volume", "2026-11-27T03:00:00", "Success")
IN_USE = {"mapping": True, "attached": True, "volume": "in-use", "actions": [OLD]}
FREE = {"mapping": False, "attached": False, "volume": "available", "actions": [OLD]}


def _acting(state: State, action: str, result: str | None = None, **more: Any) -> State:
    return {**state, "actions": [OLD, event(action, "2026-11-28T03:00:01", result)], **more}


def _detach() -> list[State]:
    """begin_detaching before the action, the attachment before the mapping, the event last (compute/manager.py)."""
    begun = {**IN_USE, "volume": "detaching"}
    gone = {"attached": False, "volume": "available"}
    return [
        begun, _acting(begun, "detach_volume"), _acting(begun, "detach_volume", **gone),
        _acting(begun, "detach_volume", **gone, mapping=False),
        _acting(FREE, "detach_volume", "Success"),
    ]  # fmt: skip


def _attach() -> list[State]:
    """The mapping before the volume is reserved, both before the answer; the event last."""
    mapped = {**FREE, "mapping": True, "attached": True, "volume": "reserved"}
    return [
        mapped, _acting(mapped, "attach_volume"), _acting(mapped, "attach_volume", volume="attaching"),
        _acting(mapped, "attach_volume", volume="in-use"), _acting(IN_USE, "attach_volume", "Success"),
    ]  # fmt: skip


def _reboot() -> list[State]:
    """The task before the action; a mapping without attachment goes on the way; the task last."""
    stale: State = {"mapping": True, "attached": False, "volume": "available", "actions": []}
    doing = {**stale, "task": "reboot_started_hard"}
    over = [event("reboot", "2026-11-28T03:00:01", "Success")]
    acting = {**doing, "actions": [event("reboot", "2026-11-28T03:00:01")]}
    return [
        {**stale, "task": "rebooting_hard"}, acting, {**acting, "mapping": False},
        {**acting, "mapping": False, "task": None, "actions": over},
    ]  # fmt: skip


def _move(kind: str, task: str, vm: str = "active") -> list[State]:
    """The host changes with the task, the record is over last (_post_live_migration; finish_resize)."""
    record = {"id": 1, "created_at": "2026-11-28T03:00:01", "uuid": "m1", "dest_compute": "c2", "migration_type": kind}
    going = {"task": task, "record": {**record, "status": "running"}}
    end = "completed" if kind == "live-migration" else "finished"
    return [
        {"task": task, "record": None}, {"task": task, "record": {**record, "status": "accepted"}}, going,
        {"host": "c2", "vm": vm, "record": {**record, "status": "running" if kind == "live-migration" else "finished"}},
        {"host": "c2", "vm": vm, "record": {**record, "status": end}},
    ]  # fmt: skip


def _revert() -> list[State]:
    """The record says reverted a moment before the server is back."""
    record = {"id": 1, "created_at": "2026-11-28T03:00:01", "uuid": "m1", "dest_compute": "c2"}
    resized = {"host": "c2", "vm": "resized"}
    return [
        {**resized, "task": "resize_reverting", "record": {**record, "status": "reverting"}},
        {**resized, "task": "resize_reverting", "record": {**record, "status": "reverted"}},
        {"host": "c1", "vm": "active", "record": {**record, "status": "reverted"}},
    ]  # fmt: skip


PAIR = {"server": SERVER, "volume": VOLUME}
MOVE = {"server": SERVER, "from": "c1", "to": None, "elsewhere": []}
#: operation -> its arguments, and the states after a service has taken it
TOLD: dict[str, tuple[Mapping[str, Any], Callable[[], list[State]]]] = {
    "release-volume": (PAIR, _detach),
    "detach-volume": (PAIR, _detach),
    "attach-volume": ({**PAIR, "delete_on_termination": False, "tag": None}, _attach),
    "hard-reboot": (PAIR, _reboot),
    "reboot-hard": ({"server": SERVER, "after": "2026-11-28T03:00:00"}, _reboot),
    "live-migrate": (MOVE, lambda: _move("live-migration", "migrating")),
    "cold-migrate": (MOVE, lambda: _move("migration", "resize_migrating", "resized")),
    "revert-resize": ({"server": SERVER, "from": "c1"}, _revert),
}


@pytest.mark.attack("let the services move on between two reads of one look at a call")
@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_torn_look_says_nothing_that_was_not_true(name: str, record_property: Callable[[str, object], None]) -> None:
    """Torn at any read between any two states: never done before the end, and never undone once it was taken."""
    arguments, tell = TOLD[name]
    asked = operation_of("compute", name, arguments)
    operation = implementation_of(asked)
    states = tell()
    tries = 0
    for first, last in combinations_with_replacement(range(len(states)), 2):
        true = {operation.judge(operation.look(Torn(s, s, 0), asked), asked) for s in states[first : last + 1]}
        for whole in range(12):
            torn = Torn(states[first], states[last], whole)
            said = operation.judge(operation.look(torn, asked), asked)
            tries += 1
            assert said in true | {StepState.INTENT}, (first, last, whole, said)
            if operation.at_once:
                assert said is not StepState.PLANNED, (first, last, whole)
    record_property("tries", tries)
    assert operation.judge(operation.look(Torn(states[-1], states[-1], 0), asked), asked) is StepState.DONE


def test_what_was_refused_or_rolled_back_is_seen() -> None:
    """A guest that kept its disk: in use and mapped, with an action in error, is to do; never "under way" for ever."""
    for name, state in (
        ("release-volume", _acting(IN_USE, "detach_volume", "Error")),
        ("attach-volume", _acting(FREE, "attach_volume", "Error")),
    ):
        asked = operation_of("compute", name, TOLD[name][0])
        operation = implementation_of(asked)
        assert operation.judge(operation.look(Torn(state, state, 0), asked), asked) is StepState.PLANNED
