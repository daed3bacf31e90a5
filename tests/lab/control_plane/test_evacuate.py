# SPDX-License-Identifier: Apache-2.0
"""The loss of a host on real services: its servers run elsewhere, and its return starts no second guest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.app import audits
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.step import StepState
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

from . import sdk_errors
from .lost_hosts import RUNNING, Loss


@pytest.fixture
def loss(plane: Plane, tmp_path: Path) -> Iterator[Loss]:
    """A host that will be lost."""
    made = Loss(plane, tmp_path)
    yield made
    made.close()


def test_a_killed_host_is_evacuated_and_comes_back(loss: Loss) -> None:
    """Volume-backed servers are evacuated whole and run as before; a local disk stays until its loss is accepted.

    When the host comes back, its nova-compute destroys what is left of them before anything else may be done.
    """
    for name in ("db", "web", "off"):
        loss.make(name)
    loss.make("cattle", volume=False)
    loss.make("pet", volume=False)
    loss.ready()
    loss.stop("off")
    assert "is up" in loss.plan("evacuate-host", fenced=True).not_repaired[0].reason
    loss.kill()
    assert "it is not known that" in loss.plan("evacuate-host").not_repaired[0].reason

    mine = [f"{name}-{loss.tag}" for name in ("cattle",)]
    plan = loss.plan("evacuate-host", to=loss.other, fenced=True, consent=mine)
    left = [action.resource_id for action in plan.manual if action.resource_type == "server"]
    assert loss.servers["pet"] in left
    assert not set(left) & {loss.servers[name] for name in ("db", "web", "off", "cattle")}
    result = loss.apply(plan)
    assert (result.exit, result.failed) == (Exit.REPAIRED, 0), result.notes

    assert {name: loss.show(name).status for name in loss.servers} == {
        "db": "ACTIVE", "web": "ACTIVE", "off": "SHUTOFF", "cattle": "ACTIVE", "pet": "ACTIVE",
    }  # fmt: skip
    assert {loss.show(name).compute_host for name in ("db", "web", "off", "cattle")} == {loss.other}
    assert loss.show("pet").compute_host == loss.host
    there = loss.guests(loss.other)
    assert {name for name, state in there.items() if state == RUNNING} == {"db", "web", "cattle"}
    # Nova keeps their allocations on the old host until it is back: that is not a finding
    assert loss.providers("db") == {loss.host, loss.other}
    moved = [loss.servers[name] for name in ("db", "web", "off", "cattle")]
    report = audits.audit(loss.config, about=moved, settle=0)
    assert [(one.check, one.resource_id) for one in report.findings] == []

    # the machine is up again, with guests that nobody fenced: nova-compute destroys them before it does anything else
    assert set(loss.guests(loss.host)) == {"db", "web", "off", "cattle", "pet"}
    with pytest.raises(sdk_errors.BadRequestException, match="evacuation migration records remain"):
        loss.plane.force_down(loss.host, False)
    loss.start()
    outcome = loss.call("evacuations-completed", host=loss.host)
    assert outcome.state is StepState.DONE, outcome.note
    assert set(loss.guests(loss.host)) == {"pet"}
    assert {name for name, state in loss.guests(loss.other).items() if state == RUNNING} == {"db", "web", "cattle"}
    loss.lift()
    wait(lambda: loss.providers("db") == {loss.other}, "the allocation on the old host to be gone", 60)
    assert loss.show("db").status == "ACTIVE"


@pytest.mark.parametrize("purged", [False, True], ids=["left", "purged"])
def test_a_start_that_waits_for_a_dead_host(loss: Loss, tmp_path: Path, purged: bool) -> None:
    """Without the hook, nova-compute takes the start from the queue when it returns, and the guest runs twice."""
    loss.make("web")
    loss.ready()
    loss.stop("web")
    loss.plane.kill(f"nova-compute-{loss.host}")
    # Nova does not yet know that the host is dead
    loss.sdk.compute.start_server(loss.servers["web"])
    loss.unheard()
    if purged:
        loss.hook("purge_queue", tmp_path)
    plan = loss.plan("evacuate-host", to=loss.other, fenced=True)
    assert loss.apply(plan).exit is Exit.REPAIRED
    assert loss.guests(loss.other) == {"web": RUNNING}
    loss.start()
    assert loss.call("evacuations-completed", host=loss.host).state is StepState.DONE
    if not purged:
        wait(lambda: loss.guests(loss.host) == {"web": RUNNING}, "the start to be taken from the queue", 60)
        loss.plane.kill(f"nova-compute-{loss.host}")
        loss.forget("web")
        loss.start()
    else:
        # it answers, so it has taken what was in the queue
        loss.lift()
        assert loss.guests(loss.host) == {}
    assert loss.show("web").compute_host == loss.other


def test_what_fails_stays_and_can_be_tried_again(loss: Loss) -> None:
    """The destination cannot build a server: only its lane fails, with Nova's reason; a new plan evacuates it."""
    loss.make("good")
    loss.ready()
    loss.kill()
    plan = loss.plan("evacuate-host", to=loss.other, fenced=True)
    loss.plane.lever(loss.other, "spawn", "fail")
    result = loss.apply(plan)
    assert result.failed == 1, result.notes
    assert "it was started and failed" in " ".join(result.notes)
    assert loss.show("good").compute_host == loss.host
    loss.plane.release(loss.other, "spawn")

    def found() -> Plan | None:
        # Nova does not show whether a host that is forced down is silent: its last report must be a minute old
        made = loss.plan("evacuate-host", to=loss.other, fenced=True)
        return made if made.runnable else None

    again = loss.apply(wait(found, "the host to be silent for a minute", 90))
    assert again.failed == 0, again.notes
    assert (loss.show("good").compute_host, loss.show("good").status) == (loss.other, "ACTIVE")
