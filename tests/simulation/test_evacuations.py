# SPDX-License-Identifier: Apache-2.0
"""Evacuations of dead hosts of simulated clouds, by seed, and what is left when the host comes back."""

from __future__ import annotations

from random import Random

import pytest

from stackmend.model.errors import Exit, SourceError
from stackmend.model.journal import RunResult
from stackmend.model.plan import Limits
from stackmend_lab.simulated import Cloud, Faults, invariants

from ..support.simulated_runs import Drill

DEAD = "c01"
STATES = {"active": 6, "stopped": 2, "paused": 1, "suspended": 0.5, "locked": 1, "error": 0.3}
#: seconds after which Nova takes a host for dead
SILENT = 70.0


def story(seed: int, *, faultless: bool = False) -> tuple[Drill, RunResult | None, list[str]]:
    """One evacuation: its result, and what does not hold afterwards, before and after the return of the host."""
    random = Random(seed)
    faults = Faults(
        every=random.choice((0, 0, 3, 7, 10, 30)), no_valid_host=random.choice((0, 0, 0.2)),
        broken=random.choice((0, 0, 0.1)), restarts=random.choice((0, 0, 1)), span=120.0, spared=(DEAD,),
    )  # fmt: skip
    cloud = Cloud(
        seed, random.randint(3, 6), random.randint(2, 6), faults=Faults() if faultless else faults, states=STATES,
        latency=random.choice((0.01, 0.2)),
    )  # fmt: skip
    dead = cloud.world.hosts[DEAD]
    cloud.world.stop(dead, machine=True)
    cloud.clock.sleep(SILENT)
    drill = Drill(cloud, limits=Limits(parallel=random.choice((1, 3, 8)), max_failures=1000))
    for _ in range(5):
        try:
            plan = drill.plan("evacuate-host", {"host": DEAD, "fenced": True, "shared": True})
            break
        except SourceError:
            continue
    else:
        return drill, None, []
    result = drill.through(plan, random, random.choice((0, 1, 1, 2, 3)))
    wrong = invariants(cloud, drained=[DEAD])
    cloud.clock.sleep(4000)
    wrong += invariants(cloud, drained=[DEAD])
    cloud.world.start(dead)
    cloud.clock.sleep(100)
    return drill, result, wrong + invariants(cloud, drained=[DEAD])


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_whatever_goes_wrong_no_server_runs_twice(first: int) -> None:
    """Faults and kills: each server is built again once at most, and never beside a guest of its own."""
    wrong = {seed: found for seed in range(first, first + 25) if (found := story(seed)[2])}
    assert wrong == {}


def test_where_nothing_goes_wrong_but_kills_every_server_is_elsewhere() -> None:
    """Resumed after kills anywhere, all is done; the dead host has nothing of it left when it is back."""
    for seed in range(1000, 1050):
        drill, result, wrong = story(seed, faultless=True)
        assert wrong == [], seed
        assert result is not None
        assert (result.exit, result.in_doubt, result.failed) == (Exit.REPAIRED, 0, 0), (seed, result)
        dead = drill.cloud.world.hosts[DEAD]
        assert not dead.servers, seed
        assert not dead.guests, seed
        assert not dead.consumers, seed
