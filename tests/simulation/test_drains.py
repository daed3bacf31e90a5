# SPDX-License-Identifier: Apache-2.0
"""Hundreds of drains of simulated clouds, each with its own faults and its own deaths of the process.

A seed that fails is in the message of the test: ``story(seed)`` tells it again, the same to the last request.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import Exit, SourceError
from stackmend.model.journal import RunResult
from stackmend.model.plan import Limits, Plan
from stackmend_lab.simulated import Cloud, Faults, invariants
from stackmend_lab.simulated.things import Group

from ..support.simulated_runs import Drill

DRAINED = "c01"
STATES = {
    "active": 6, "stopped": 2, "paused": 1, "suspended": 1, "locked": 1, "shelved": 0.5, "rescued": 0.3, "error": 0.3,
    "resized": 0.3,
}  # fmt: skip
#: after so many seconds nothing is under way any more in any of these clouds
SETTLED = 4000.0
_GOOD = (Exit.REPAIRED, Exit.CLEAN)


def _faults(random: Random) -> Faults:
    return Faults(
        every=random.choice((0, 0, 3, 7, 10, 30)),
        no_valid_host=random.choice((0, 0, 0.2)),
        slow=random.choice((0, 0.2)),
        stalled=random.choice((0, 0, 0.3)),
        rolled_back=random.choice((0, 0.2)),
        broken=random.choice((0, 0, 0.1)),
        deaths=random.choice((0, 0, 1)),
        restarts=random.choice((0, 0, 1, 2)),
        span=random.choice((30.0, 120.0)),
        spared=(DRAINED,) if random.random() < 0.6 else (),
    )


def _drill(seed: int, random: Random, faults: Faults) -> Drill:
    cloud = Cloud(
        seed, random.randint(3, 6), random.randint(2, 6), faults=faults, latency=random.choice((0.01, 0.2)),
        states=STATES if random.random() < 0.7 else None,
    )  # fmt: skip
    _group(cloud, random)
    limits = Limits(parallel=random.choice((1, 3, 8)), per_slot=random.choice((0, 1, 2)), max_failures=1000)
    return Drill(cloud, limits=limits)


def _group(cloud: Cloud, random: Random) -> None:
    """Some servers are in groups, whose policies hold."""
    world = cloud.world
    for policy in random.choice(((), ("anti-affinity",), ("anti-affinity", "affinity"))):
        taken = {one for group in world.groups.values() for one in group.members}
        by_host = [[one for one in host.servers if one not in taken] for host in world.hosts.values()]
        if policy == "affinity":
            members = random.choice(by_host)[:2]
        else:
            members = [some[0] for some in by_host[: random.randint(2, len(by_host))] if some]
        group = Group(world.uuid(), policy, policy, {}, members)
        world.groups[group.id] = group


def _planned(drill: Drill, random: Random) -> Plan | None:
    """A plan as some operator would ask for it; a cloud that does not answer is asked a few times."""
    wishes = {
        "host": DRAINED, "cold": random.random() < 0.7, "wake": random.random() < 0.5, "timeout": 600,
        "stall": random.choice((20, 900)), "on_stall": random.choice(("abort", "force-complete", "wait")),
    }  # fmt: skip
    for _ in range(5):
        try:
            return drill.plan("drain-host", wishes)
        except SourceError:
            continue
    return None


def story(seed: int, *, faultless: bool = False) -> tuple[Drill, Plan | None, RunResult | None, list[str]]:
    """One drain of one cloud: its plan, its result, and what does not hold afterwards."""
    random = Random(seed)
    faults = Faults() if faultless else _faults(random)
    drill = _drill(seed, random, faults)
    plan = _planned(drill, random)
    if plan is None or not plan.runnable:
        return drill, plan, None, []
    since = len(drill.cloud.world.migrations)
    result = drill.through(plan, random, random.choice((0, 1, 1, 2, 3)))
    whole = result.exit in _GOOD and len(plan.runnable) == len(plan.actions)
    # every service said so, and it is so at that moment
    wrong = invariants(drill.cloud, drained=[DRAINED], empty=[DRAINED], since=since) if whole else []
    drill.cloud.clock.sleep(SETTLED)
    return drill, plan, result, wrong + invariants(drill.cloud, drained=[DRAINED], since=since)


@pytest.mark.parametrize("first", range(0, 500, 25))
def test_whatever_goes_wrong_no_server_is_lost_doubled_or_moved_twice(first: int) -> None:
    """Faults of every kind, and the process killed at random writes of the journal, resumed each time."""
    wrong = {seed: found for seed in range(first, first + 25) if (found := story(seed)[3])}
    assert wrong == {}


@pytest.mark.parametrize("first", range(1000, 1100, 25))
def test_where_nothing_goes_wrong_but_kills_every_lane_is_done(first: int) -> None:
    """The process is killed anywhere, the cloud is well: resumed, everything planned is done, nothing in doubt."""
    unfinished = {}
    for seed in range(first, first + 25):
        _, plan, result, wrong = story(seed, faultless=True)
        assert plan is not None
        assert result is not None
        left = {action.resource_id for action in plan.actions} - {action.resource_id for action in plan.runnable}
        # what stays on purpose keeps the host from being empty: that one lane says so
        if wrong or result.in_doubt or result.failed > bool(left) or result.stale:
            unfinished[seed] = (wrong, result)
    assert unfinished == {}


def test_the_faults_do_happen() -> None:
    """The seeds are worth their time: runs end well, with failures and in doubt, and some servers are left broken."""
    ends, harmed = set(), 0
    for seed in range(120):
        drill, _, result, _ = story(seed)
        ends.add(None if result is None else result.exit)
        harmed += len(drill.cloud.world.harmed)
    assert {Exit.REPAIRED, Exit.STOPPED, Exit.IN_DOUBT} <= ends
    assert harmed > 5


def test_the_same_seed_tells_the_same_story() -> None:
    """What a seed has shown can be looked at again."""
    for seed in (7, 19, 342):
        first, again = story(seed), story(seed)
        assert first[2] == again[2]
        assert first[0].cloud.clock.seconds == again[0].cloud.clock.seconds
        assert [m.status for m in first[0].cloud.world.migrations] == [
            m.status for m in again[0].cloud.world.migrations
        ]


@pytest.mark.parametrize("seed", range(6))
def test_the_journal_makes_no_difference(seed: int, tmp_path: Path) -> None:
    """A journal in a database has the same entries, and a run killed and resumed from it the same end."""
    ends = []
    for journal in (None, DatabaseJournal(f"sqlite:///{tmp_path}/journal.db")):
        random = Random(seed)
        drill = _drill(seed, random, Faults(every=7, rolled_back=0.2))
        if journal is not None:
            drill.journal = journal
        plan = drill.plan("drain-host", {"host": DRAINED, "cold": True})
        result = drill.through(plan, random, 2)
        noted = [(e.step, e.state, e.note) for e in drill.journal.entries("r1")]
        ends.append((result, noted, invariants(drill.cloud)))
        if journal is not None:
            journal.close()
    assert ends[0] == ends[1]
    assert ends[0][1]


def test_hosts_are_drained_one_after_the_other() -> None:
    """Thousands of moves: each host is empty when its run says so, then it takes servers again."""
    cloud = Cloud(5, hosts=60, servers_per_host=40, cells=2)
    drill = Drill(cloud, limits=Limits(parallel=20, max_rows=10**6))
    for name, host in cloud.world.hosts.items():
        since = len(cloud.world.migrations)
        # the APIs do not tell which cell a host is in: Nova moves nothing to another one
        result = drill.apply(drill.plan("drain-host", {"host": name}))
        assert (result.exit, result.failed) == (Exit.REPAIRED, 0), name
        assert not host.servers
        assert not invariants(cloud, drained=[name], empty=[name], since=since)
        host.disabled = False
    assert len(cloud.world.migrations) >= 60 * 30
