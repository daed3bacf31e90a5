# SPDX-License-Identifier: Apache-2.0
"""What is left to do for the return of a host that was evacuated."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.step import Manual

from ..simulation.hosts import fence
from ..support.simulated_runs import Drill
from ..support.simulated_servers import HOST, Told


@pytest.fixture
def cloud() -> Told:
    """Two hosts, without servers."""
    return Told(hosts=2)


@pytest.fixture
def drill(cloud: Told) -> Drill:
    """An operator at it."""
    return Drill(cloud)


def evacuate(drill: Drill) -> Plan:
    """The plan, on the operator's word."""
    return drill.plan("evacuate-host", {"host": HOST, "fenced": True})


def test_the_plan_tells_what_to_do_when_the_host_returns(cloud: Told, drill: Drill) -> None:
    """As its last words, and as a fact."""
    cloud.put(volume=True)
    cloud.die(HOST)
    plan = evacuate(drill)
    last = plan.actions[-1]
    assert not last.runnable
    assert "keep it fenced" in str(plan.facts["when_it_returns"])
    assert "stackmend host return c01" in " ".join(s.text for s in last.steps if isinstance(s, Manual))


def test_the_queue_is_emptied_after_all_have_left(cloud: Told, drill: Drill, tmp_path: Path) -> None:
    """By the hook, where there is one; without servers that leave nothing is done."""
    server = cloud.put(volume=True)
    cloud.die(HOST)
    emptied = fence(drill, tmp_path, 0, "purge_queue")
    assert "rabbitmqctl purge_queue compute.c01" in str(_without(drill, "purge_queue").facts["when_it_returns"])
    plan = evacuate(drill)
    *_, moved, purged, words = plan.actions
    assert (moved.resource_id, purged.resource_type) == (server.id, "host")
    assert moved.stage < purged.stage < words.stage
    assert "after this run" in str(plan.facts["when_it_returns"])
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert set(emptied.read_text().split()) == {HOST}
    emptied.unlink()
    cloud.clock.sleep(120)
    # what is left to do is said again, as long as the host has not come back
    again = evacuate(drill)
    assert (again.runnable, [action.message for action in again.manual]) == ((), ["when it comes back"])
    assert not emptied.exists()


def _without(drill: Drill, hook: str) -> Plan:
    """A plan without that hook."""
    kept = drill.settings.pop(f"hooks.{hook}")
    try:
        return evacuate(drill)
    finally:
        drill.settings[f"hooks.{hook}"] = kept
