# SPDX-License-Identifier: Apache-2.0
"""How a move is judged from what Nova shows, at every moment at which somebody may look, a resumed run first of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import pytest

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.operations import implementation_of
from stackmend.model.api import Request, Response
from stackmend.model.operations import Operation, operation_of
from stackmend.model.step import StepState
from stackmend.model.writer import StepResult
from stackmend_lab.simulated import Cloud, Faults

from ...support.carried_out import carried_out

PLANNED, INTENT, DONE, FAILED = StepState.PLANNED, StepState.INTENT, StepState.DONE, StepState.FAILED
SERVER = {"server": "s1"}
ABOUT = {**SERVER, "from": "c01", "to": None, "elsewhere": [None]}
#: what operations need besides a server
NEEDED: dict[str, Mapping[str, Any]] = {
    "live-migrate": ABOUT,
    "cold-migrate": ABOUT,
    "confirm-resize": {**SERVER, "from": "c01"},
    "revert-resize": {**SERVER, "from": "c01"},
    "service-up": {"service": "u1", "host": "c01"},
    "host-empty": {"host": "c01"},
}


def judged(name: str, picture: Mapping[str, Any], **about: Any) -> StepState:
    """What the operation says to this picture."""
    asked = operation(name, {**NEEDED.get(name, SERVER), **about})
    return implementation_of(asked).judge(picture, asked)


def operation(name: str, arguments: Mapping[str, Any]) -> Operation[Any]:
    """One of Nova with its arguments."""
    found = operation_of("compute", name, arguments)
    assert found.call().fault == ""
    return found


def seen(host: str, state: str = "active", task: str | None = None, record: str | None = None, **more: Any) -> Any:
    """What is seen of a server and of its newest migration."""
    return {
        "server": "present", "server.host": host, "server.vm_state": state, "server.task_state": task,
        "migration.status": record, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (seen("c01"), PLANNED),
        (seen("c01", record="completed"), PLANNED),  # of an earlier move
        (seen("c01", task="migrating", record="accepted"), INTENT),
        (seen("c01", task="migrating", record="running"), INTENT),
        (seen("c01", record="accepted"), INTENT),  # the task is gone, the rollback is not over
        (seen("c01", record="error"), PLANNED),  # no valid host: over in a blink
        (seen("c01", record="cancelled"), PLANNED),
        (seen("c01", record="failed"), PLANNED),
        (seen("c02", task="migrating", record="running"), INTENT),  # there, and not told so
        (seen("c02", record="running"), INTENT),  # there, and the source has not cleaned up
        (seen("c02", record="post-migrating"), INTENT),
        (seen("c02", record="completed"), DONE),
        (seen("c02"), DONE),  # its records are archived
        (seen("c02", "paused", record="completed"), DONE),
        (seen("c02", "error", record="completed"), FAILED),
        (seen("c01", "error", record="error"), FAILED),
        (seen("c01", "error", task="migrating", record="error"), FAILED),  # conductor broke down over it
        ({"server": "absent"}, FAILED),
    ],
)
def test_a_live_migration(picture: Mapping[str, Any], expected: StepState) -> None:
    """It is done only when the server is away, without a task, and its record is over."""
    assert judged("live-migrate", picture) is expected


def test_a_move_from_anywhere_is_done_where_it_was_to_go() -> None:
    """Without a host to leave, the destination tells."""
    assert judged("live-migrate", seen("c02"), **{"from": None}, to="c02") is DONE
    assert judged("live-migrate", seen("c03"), **{"from": None}, to="c02") is PLANNED


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (seen("c01", "stopped"), PLANNED),
        (seen("c01", "stopped", task="resize_prep", record="accepted"), INTENT),
        (seen("c02", "stopped", task="resize_finish", record="post-migrating"), INTENT),
        (seen("c02", "resized", record="finished"), DONE),
        (seen("c01", "resized", record="finished"), PLANNED),  # an earlier one, to this host
        (seen("c02", "stopped", record="confirmed"), DONE),
        (seen("c02", "stopped", record="confirming"), INTENT),
        (seen("c01", "stopped", record="error"), PLANNED),
        (seen("c01", "error", record="error"), FAILED),
        ({"server": "absent"}, FAILED),
    ],
)
def test_a_cold_migration(picture: Mapping[str, Any], expected: StepState) -> None:
    """It is done when it waits to be confirmed elsewhere, or has been."""
    assert judged("cold-migrate", picture) is expected


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (seen("c02", "resized", record="finished", held=1), PLANNED),
        (seen("c02", "resized", record="confirming", held=1), INTENT),
        (seen("c02", "resized", record="confirmed", held=1), INTENT),  # the record comes first
        (seen("c02", "stopped", record="confirmed", held=1), INTENT),
        (seen("c02", "stopped", record="confirmed", held=0), DONE),
        (seen("c02", "error", record="confirmed", held=0), FAILED),
        (seen("c01", "stopped", record="reverted", held=0), FAILED),
        ({"server": "absent"}, FAILED),
    ],
)
def test_a_confirmation(picture: Mapping[str, Any], expected: StepState) -> None:
    """It is done when the migration holds no allocation any more."""
    assert judged("confirm-resize", picture) is expected


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (seen("c02", "resized", record="finished"), PLANNED),
        (seen("c02", "resized", task="resize_reverting", record="reverting"), INTENT),
        (seen("c01", "stopped", record="reverted"), DONE),
        (seen("c02", "stopped", record="confirmed"), FAILED),
    ],
)
def test_a_move_taken_back(picture: Mapping[str, Any], expected: StepState) -> None:
    """After it was confirmed there is no way back."""
    assert judged("revert-resize", picture) is expected


@pytest.mark.parametrize(
    ("on_stall", "status", "method"),
    [
        ("abort", "running", "DELETE"),
        ("force-complete", "running", "POST"),
        ("wait", "running", None),
        ("abort", "running (post-copy)", None),
        ("abort", "queued", None),
    ],
)
def test_only_a_migration_that_runs_is_helped(on_stall: str, status: str, method: str | None) -> None:
    """Nova refuses everything else, and post-copy can only go on."""
    asked = operation("live-migrate", {**ABOUT, "on_stall": on_stall})
    how = implementation_of(asked)
    picture = seen("c01", task="migrating", record=status, migration=7, memory_remaining=3, disk_remaining=4)
    request = how.relief(asked, picture)
    assert (request.method if request else None) == method
    assert how.marker is not None
    assert how.marker(picture) == (7 if status == "running" else None)


def test_destinations_are_tried_in_their_order() -> None:
    """The named one, then those elsewhere; None leaves it to the scheduler."""
    live = operation("live-migrate", {**ABOUT, "to": "c02", "elsewhere": ["c03", None]})
    requests = implementation_of(live).requests(live)
    assert [one.body["os-migrateLive"]["host"] for one in requests] == ["c02", "c03", None]
    cold = operation("cold-migrate", ABOUT)
    assert [one.body for one in implementation_of(cold).requests(cold)] == [{"migrate": None}, {"migrate": None}]


def _power(state: str, task: str | None = None) -> dict[str, Any]:
    return {"server": "present", "server.host": "c01", "server.vm_state": state, "server.task_state": task}


@pytest.mark.parametrize(
    ("name", "before", "task", "after"),
    [
        ("start", "stopped", "powering-on", "active"),
        ("stop", "active", "powering-off", "stopped"),
        ("suspend", "active", "suspending", "suspended"),
        ("resume", "suspended", "resuming", "active"),
        ("unrescue", "rescued", "unrescuing", "active"),
        ("shelve-offload", "shelved", "shelving_offloading", "shelved_offloaded"),
    ],
)
def test_what_a_server_does(name: str, before: str, task: str, after: str) -> None:
    """To do, under way, done; error is a failure; another task is waited for."""
    assert judged(name, _power(before)) is PLANNED
    assert judged(name, _power(before, task)) is INTENT
    assert judged(name, _power(after)) is DONE
    assert judged(name, _power(after, "rebooting")) is INTENT
    assert judged(name, _power("error")) is FAILED
    assert judged(name, {"server": "absent"}) is FAILED


@pytest.mark.parametrize("name", ["rescue", "rescue-volume"])
def test_a_rescue_boots_the_image_that_is_named(name: str) -> None:
    """The password that Nova answers with is asked for by nobody; one that boots from a volume takes 2.87."""
    asked = operation(name, {"server": "s", "image": "i"})
    (request,) = implementation_of(asked).requests(asked)
    assert request.body == {"rescue": {"rescue_image_ref": "i"}}
    assert request.microversion == {"rescue": "2.1", "rescue-volume": "2.87"}[name]
    assert judged(name, _power("active"), image="i") is PLANNED
    assert judged(name, _power("active", "rescuing"), image="i") is INTENT
    assert judged(name, _power("rescued"), image="i") is DONE


@pytest.mark.parametrize(
    ("rebooted", "task", "state", "expected"),
    [
        ("", None, "active", PLANNED),
        ("begun", "rebooting_hard", "active", INTENT),
        ("begun", None, "error", FAILED),
        ("error", None, "active", FAILED),
        ("done", None, "active", DONE),
    ],
)
def test_a_reboot_is_told_by_the_history(rebooted: str, task: str | None, state: str, expected: StepState) -> None:
    """A server that runs looks the same before and after."""
    assert judged("reboot-hard", {**_power(state, task), "rebooted": rebooted}, after="") is expected


def test_a_service_is_up_when_it_was_heard_of_later() -> None:
    """Nova calls one up for a minute after it has died."""
    up = {"service": "present", "state": "up", "updated_at": "2026-11-21T03:00:10.000000"}
    assert judged("service-up", up, after="2026-11-21T03:00:00.000000") is DONE
    assert judged("service-up", up, after="2026-11-21T03:00:10.000000") is INTENT
    assert judged("service-up", {"service": "absent"}) is FAILED


@pytest.mark.parametrize(("left", "moving", "expected"), [(0, False, DONE), (2, True, INTENT), (2, False, FAILED)])
def test_a_host_that_will_not_become_empty_is_no_longer_waited_for(
    left: int, moving: bool, expected: StepState
) -> None:
    """What is left and idle does not go by itself."""
    assert judged("host-empty", {"left": left, "moving": moving}) is expected


class Scripted(Cloud):
    """A simulated cloud with one server, which breaks down over the first request or shows a guest that is too busy."""

    def __init__(self, *, breaks: int = 0, taken: str = "", left: Sequence[int] = ()) -> None:
        super().__init__(hosts=3, servers_per_host=1)
        self._taken = taken  #: what it says after a request that it has taken
        self.breaks, self._left = breaks, cycle(left) if left else None
        self.server = next(one.id for one in self.world.servers.values() if one.host == "c01")
        self.asked: list[str] = []

    def send(self, request: Request, mark: str = "") -> Response:
        """Answer it, or break down before it is taken."""
        if request.method != "GET":
            self.asked.append(f"{request.method} {request.path.rpartition('/')[2]}")
            if self.breaks:
                self.breaks -= 1
                return Response(500, None, (), None, "Unexpected API Error.")
        answer = super().send(request, mark)
        if self._taken and request.method != "GET":
            return Response(500, None, (), None, self._taken)
        if self._left is not None and request.path.endswith("/migrations") and answer.body["migrations"]:
            answer.body["migrations"][0] |= {"memory_remaining_bytes": next(self._left), "disk_remaining_bytes": 0}
        return answer


def moved(cloud: Scripted, **about: Any) -> StepResult:
    """Ask it to move its server."""
    arguments = {"server": cloud.server, "from": "c01", "to": None, "elsewhere": [], **about}
    executor = ApiExecutor(lambda: cloud, cloud.clock)
    return carried_out(executor, operation("live-migrate", arguments).call(), "req-1")


def test_a_service_that_breaks_down_over_a_move_is_asked_again() -> None:
    """What Nova accepts it shows before it answers: nothing to be seen after its answer is nothing taken."""
    cloud = Scripted(breaks=1)
    outcome = moved(cloud)
    assert (outcome.state, cloud.asked) == (DONE, ["POST action", "POST action"])


def test_whatever_a_service_says_when_it_breaks_down_is_passed_on_as_it_is() -> None:
    """An empty JSON object, or a template: the move that was taken is waited for all the same."""
    cloud = Scripted(taken='{} {limit} {"message": "%s"}')
    outcome = moved(cloud)
    assert (outcome.state, cloud.asked) == (DONE, ["POST action"])


def test_a_guest_that_writes_faster_than_is_copied_stands_still() -> None:
    """What is left rises and falls and is never less than it was: that is no progress."""
    cloud = Scripted(left=(500, 300, 700, 400))
    cloud.world.faults = Faults(stalled=1.0)
    outcome = moved(cloud, stall=60, on_stall="abort", limit=3600)
    assert outcome.state is FAILED
    assert cloud.asked[0] == "POST action"
    assert [one.partition(" ")[0] for one in cloud.asked] == ["POST", "DELETE"]
    assert "stalled" in outcome.note
    assert cloud.clock.seconds < 300


def test_a_guest_that_is_copied_slowly_is_left_alone() -> None:
    """As long as less is left each time."""
    cloud = Scripted(left=range(100_000, 0, -1))
    cloud.world.faults = Faults(stalled=1.0)
    outcome = moved(cloud, stall=60, on_stall="abort", limit=600)
    assert outcome.state is StepState.IN_DOUBT
    assert cloud.asked == ["POST action"]
