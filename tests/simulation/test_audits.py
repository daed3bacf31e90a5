# SPDX-License-Identifier: Apache-2.0
"""After drains, evacuations and crashes of simulated clouds an audit finds the guests that were left, and no others.

A seed that fails is in the message of the test: ``story(seed)`` tells it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from stackmend.app import audits
from stackmend.model.api import Request
from stackmend.model.errors import LostError, SourceError, UnsentError
from stackmend.model.finding import Finding, State
from stackmend.model.plan import Limits
from stackmend_lab.simulated import Cloud, Faults
from stackmend_lab.simulated.leftovers import Why
from stackmend_lab.simulated.things import PAUSED, RUNNING, SHUTDOWN, Host
from stackmend_lab.simulated.world import World

from ..support.simulated_runs import Drill
from .knowing import Known, known, only_copies, unnoted
from .looking import CHECKS, Look, look, standing

STATES = {"active": 6, "stopped": 2, "paused": 1, "suspended": 0.5, "locked": 1, "error": 0.3, "resized": 0.5}
#: seconds after which Nova takes a host for dead
SILENT = 70.0
#: codes of domain-undead whose advice ends in the destruction of that guest
_DESTROYED = frozenset({"deleted", "unknown", "foreign", "evacuated", "offloaded"})


@dataclass(frozen=True, slots=True)
class Told:
    """How a cloud ended."""

    world: World
    away: frozenset[str]  #: hosts that cannot be read


@dataclass(frozen=True, slots=True)
class Some:
    """The ends of some stories, and what was found there."""

    told: dict[int, Told]
    report: Look
    wrong: dict[int, list[str]]
    counts: Counter[str]


def story(seed: int) -> Told:
    """A drain, an evacuation, or moves whose nova-compute ends; then users, somebody with virsh, and some time."""
    random = Random(seed)
    kind = random.choice(("drain", "drain", "evacuation", "evacuation", "moves"))
    names = [f"s{seed}-{number}" for number in range(random.randint(3, 5))]
    cloud = Cloud(
        seed, len(names), random.randint(2, 5), faults=_faults(kind, names[0], random), latency=0.05, states=STATES,
        names=names,
    )  # fmt: skip
    drill = Drill(cloud, limits=Limits(parallel=random.choice((1, 3, 8)), max_failures=1000))
    first = cloud.world.hosts[names[0]]
    if kind == "drain":
        _carried_out(drill, "drain-host", {"host": first.name, "cold": True, "wake": random.random() < 0.5}, random)
    elif kind == "evacuation":
        _evacuated(drill, first, random)
    else:
        _interrupted(drill, first, random)
    _touched(cloud, random)
    # some ends are in the middle of something
    cloud.clock.sleep(random.choice((0.0, 3.0, 1000.0, 4000.0, 4000.0, 8000.0)))
    dead = {host.name for host in cloud.world.hosts.values() if not host.alive}
    hangs = {name for name in names if random.random() < 0.06}
    return Told(cloud.world, frozenset(dead | hangs))


def _faults(kind: str, first: str, random: Random) -> Faults:
    drains = kind == "drain"
    return Faults(
        every=random.choice((0, 0, 7, 30)), no_valid_host=random.choice((0, 0, 0.2)), slow=random.choice((0, 0.5)),
        rolled_back=random.choice((0, 0.2)), broken=random.choice((0, 0, 0.1)), stranded=random.choice((0, 0.2)),
        unfinished=random.choice((0, 0.6)), restarts=random.choice((0, 1, 2)), span=random.choice((10.0, 120.0)),
        deaths=random.choice((0, 1)) if drains else 0, spared=() if drains else (first,),
    )  # fmt: skip


def _carried_out(drill: Drill, workflow: str, wishes: dict[str, object], random: Random) -> None:
    """As an operator does, whose own process may be killed."""
    for _ in range(5):
        try:
            plan = drill.plan(workflow, wishes)
        except SourceError:
            continue
        if plan.runnable:
            drill.through(plan, random, random.choice((0, 1, 2)))
        return


def _evacuated(drill: Drill, first: Host, random: Random) -> None:
    """A host dies, or only its nova-compute does and somebody swears that the machine is off; later it is back."""
    world, clock = drill.cloud.world, drill.cloud.clock
    world.stop(first, machine=random.random() < 0.6)
    clock.sleep(SILENT)
    deleted = [one.id for one in first.servers.values() if random.random() < 0.2]
    _carried_out(drill, "evacuate-host", {"host": first.name, "fenced": True, "shared": True}, random)
    for name in deleted:
        if name in world.servers and world.servers[name].task_state is None:
            _asked(drill.cloud, "DELETE", f"/servers/{name}")
    clock.sleep(random.choice((10.0, 1500.0)))
    back = random.choice(("no", "machine", "machine", "guests", "whole"))
    if back in ("machine", "guests"):
        world.wake(first, resume=back == "guests")
    elif back == "whole":
        world.start(first)


def _interrupted(drill: Drill, first: Host, random: Random) -> None:
    """Everything on a host is moved at once; mostly its nova-compute, or the machine, stops in between."""
    world, clock = drill.cloud.world, drill.cloud.clock
    for server in list(first.servers.values()):
        live = server.vm_state in ("active", "paused")
        body = {"os-migrateLive": {"host": None, "block_migration": "auto"}} if live else {"migrate": None}
        _asked(drill.cloud, "POST", f"/servers/{server.id}/action", body)
    clock.sleep(random.uniform(0.5, 9.0))
    if random.random() < 0.3:
        return
    world.stop(first, machine=random.random() < 0.2)
    clock.sleep(random.choice((1.0, 30.0, 200.0)))
    if random.random() < 0.8:
        world.start(first)


def _touched(cloud: Cloud, random: Random) -> None:
    """Users reboot what looks broken, and somebody uses virsh."""
    world = cloud.world
    cloud.clock.sleep(random.choice((0.0, 100.0)))
    for server in list(world.servers.values()):
        host = world.hosts.get(server.host or "")
        if server.vm_state in ("error", "active") and server.id in world.harmed and random.random() < 0.5:
            _asked(cloud, "POST", f"/servers/{server.id}/action", {"reboot": {"type": "HARD"}})
        elif host is not None and host.alive and server.id in host.guests and random.random() < 0.03:
            # nova-compute lets a guest be that is paused or resumed; it would stop one that was started
            state = host.guests[server.id]
            if state != SHUTDOWN or not host.running:
                host.guests[server.id] = {RUNNING: PAUSED, PAUSED: RUNNING, SHUTDOWN: RUNNING}[state]


def _asked(cloud: Cloud, method: str, path: str, body: object = None) -> None:
    with suppress(UnsentError, LostError):
        cloud.send(Request(service="compute", method=method, path=path, body=body, microversion="2.34"))


def keys(findings: Iterable[Finding]) -> set[Known]:
    """As the simulation names them."""
    return {
        (one.check, str(one.key["server"]), str(one.key.get("host", "")), str(one.evidence.get("code") or ""))
        for one in findings
    }


def judged(seeds: Iterable[int], folder: Path) -> Some:
    """One look at the ends of these stories, compared with what each of the clouds knows."""
    told = {seed: story(seed) for seed in seeds}
    report = look([one.world for one in told.values()], folder, [name for one in told.values() for name in one.away])
    found = keys(report.findings)
    wrong = {seed: _wrong(one, found, report) for seed, one in told.items()}
    servers = {name for one in told.values() for name in (*one.world.servers, *one.world.buried)}
    wrong[-1] = [f"of no cloud: {key}" for key in found if key[1] not in servers]
    counts = Counter(f"{check} {code}".strip() for check, _, _, code in found)
    return Some(told, report, {seed: lines for seed, lines in wrong.items() if lines}, counts)


def _wrong(one: Told, found: set[Known], report: Look) -> list[str]:
    world = one.world
    mine = {key for key in found if key[1] in world.servers or key[1] in world.buried}
    # an action may grow old between the two looks
    owed, fair = (known(world, one.away, report.late, again) for again in (report.late, report.again))
    lost = only_copies(world)
    return [
        *unnoted(world),
        *(f"not found: {key}" for key in sorted(owed - mine)),
        *(f"found: {key}" for key in sorted(mine - fair)),
        *(f"to be destroyed: {k}" for k in sorted(mine) if k[3] in _DESTROYED and (k[1], k[2]) in lost),
    ]


def alikes(world: World) -> Counter[str]:
    """Guests beside those of their servers that are no leftover."""
    found = Counter[str]()
    for host in world.hosts.values():
        found["arriving"] += len(host.arriving)
        found["resized"] += sum(
            why is Why.RESIZED and name in world.servers and world.servers[name].vm_state == "resized"
            for where, name, why in world.left
            if where == host.name
        )
    found["moving"] += sum(server.task_state is not None for server in world.servers.values())
    return found


def complaints(some: Some) -> list[str]:
    """What does not match; hosts that cannot be read must be named, and nothing else may be unsure."""
    report = some.report
    return [
        *(f"seed {seed}: {line}" for seed, lines in some.wrong.items() for line in lines),
        *(f"not confirmed: {check}, {why}" for check, why in report.unconfirmed.items()),
        *(f"not called incomplete: {check}" for check in CHECKS if check not in report.silent),
        *(f"read or not: {host}" for host in sorted(report.unread ^ report.away)),
    ]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Some:
    """Some seeds, looked at once."""
    return judged(range(80), tmp_path_factory.mktemp("audits"))


def test_the_audit_finds_what_the_simulation_knows(some: Some) -> None:
    """Exactly the guests that were left behind, by what they are; none is given up that is its server's only one."""
    assert complaints(some) == []


def test_the_leftovers_do_happen(some: Some) -> None:
    """Every kind of them, and what only looks like them."""
    assert {
        "domain-on-two-hosts", "domain-undead alone", "domain-undead deleted", "domain-undead evacuated",
        "domain-undead foreign", "server-active-domain-missing absent", "server-active-domain-missing elsewhere",
        "server-power-state-drift off", "server-power-state-drift paused",
    } <= set(some.counts)  # fmt: skip
    assert set(+sum((alikes(one.world) for one in some.told.values()), Counter[str]())) == {
        "arriving", "resized", "moving"
    }  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 600, 50))
def test_the_same_of_500_more(first: int, tmp_path: Path) -> None:
    """Exactly the guests that were left behind, in many more clouds."""
    assert complaints(judged(range(first, first + 50), tmp_path)) == []


def test_the_command_finds_the_same(some: Some, tmp_path: Path) -> None:
    """``audit --hosts``, with a process for each host: the same findings, incomplete by the names of the same hosts."""
    told = [one for one in some.told.values() if one.away and known(one.world, one.away)][:2]
    away = frozenset(name for one in told for name in one.away)
    with standing([one.world for one in told], tmp_path, away) as (config, _):
        report = audits.audit(config, checks=tuple(CHECKS), settle=0, outside={"host": ("all",)})
    servers = {name for one in told for name in (*one.world.servers, *one.world.buried)}
    assert keys(report.findings) == {key for key in keys(some.report.findings) if key[1] in servers}
    assert all(finding.state is State.CONFIRMED for finding in report.findings)
    for why in report.incomplete.values():
        assert all(f"hypervisor {name} could not be read" in why for name in away)
    assert set(report.incomplete) == set(CHECKS)
