# SPDX-License-Identifier: Apache-2.0
"""One reading of where a server is: it is steady, and no plan moves a record away from the truth in silence.

The first half weighs made-up evidence, thousands of times. The second damages the records of a server that really is on
one host, on real schemas, and applies plans in any order with every consent given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stackmend.app import runs
from stackmend.cloud.evidence.whereabouts import Confidence, Evidence, Move, Node, Witness, judge
from stackmend.config.settings import Config, load
from stackmend.model.plan import Action
from stackmend_lab.cloud import Cloud, Server, build
from stackmend_lab.plants._servers import bind, migrated, neighbour, provider, touch

from ..support.planning import plan_for

A, B, C = 1, 2, 3
PLACES = {n: Node(id=n, uuid=f"u{n}", host=f"c{n}", node=f"c{n}") for n in (A, B, C)}
WEIGHTS = {
    "host": 1, "node": 1, "compute_id": 1, "bindings": 2, "allocation": 1, "attachments": 1, "migration": 2,
    "history": 1,
}  # fmt: skip
ROW = ("host", "node", "compute_id")
somewhere = st.sampled_from([A, B, C, None])


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    """Any records of one server, and any newest move."""
    said = {name: draw(somewhere) for name in WEIGHTS}
    move = draw(st.sampled_from([None, (A, B), (B, A), (A, C)]))
    return Evidence(
        server="s",
        host="x",
        node="x",
        witnesses=tuple(witness(name, place, since=draw(st.booleans())) for name, place in said.items()),
        places={n: replace(p, alive=draw(st.booleans())) for n, p in PLACES.items()},
        move=move
        and Move(
            source=frozenset({move[0]}),
            target=frozenset({move[1]}),
            live=draw(st.booleans()),
            ended_well=draw(st.booleans()),
        ),
    )


def witness(name: str, place: int | None, *, since: bool = False) -> Witness:
    """One that says so."""
    fit = frozenset({place}) if place else frozenset()
    return Witness(name=name, says=f"{name} says {place}", places=fit, weight=WEIGHTS[name] if fit else 0, since=since)


def corrected(seen: Evidence, names: set[str], place: int) -> Evidence:
    """As repairs leave it: what they write says the place. Nova's three columns are written together."""
    wanted = names | (set(ROW) if names & set(ROW) else set())
    return replace(
        seen, witnesses=tuple(witness(w.name, place, since=w.since) if w.name in wanted else w for w in seen.witnesses)
    )


@settings(max_examples=3000, deadline=None)
@given(seen=evidence(), names=st.sets(st.sampled_from([*ROW, "bindings", "allocation"])))
def test_a_repair_makes_the_verdict_surer(seen: Evidence, names: set[str]) -> None:
    """Whatever part of it was brought to the verdict's place: the verdict is that place still."""
    verdict = judge(seen)
    if verdict.place is None:
        return
    again = judge(corrected(seen, names, verdict.place.id))
    assert again.place == verdict.place, (verdict.sentences(), again.sentences())


@settings(max_examples=3000, deadline=None)
@given(seen=evidence())
def test_who_is_overruled_is_named(seen: Evidence) -> None:
    """Every witness that says another place is among the sentences, marked; with none of them it is certain."""
    verdict = judge(seen)
    if verdict.place is None:
        assert verdict.confidence is Confidence.TIE
        assert verdict.reason
        return
    against = [w for w in seen.witnesses if w.places and verdict.place.id not in w.places]
    marked = [line for line in verdict.sentences() if "(overruled)" in line or "(explained: " in line]
    assert len(marked) == len(against) == len(verdict.against)
    assert (verdict.confidence is Confidence.CERTAIN) is (not against)


@settings(max_examples=1000, deadline=None)
@given(seen=evidence())
def test_a_dead_host_is_not_left_and_not_returned_to_by_weight(seen: Evidence) -> None:
    """Where the row names a host that lives, no verdict is a host that nobody hears of."""
    verdict = judge(seen)
    row = next(w for w in seen.witnesses if w.name == "host")
    if verdict.place and not verdict.place.alive and verdict.place.id not in row.places:
        assert not any(seen.places[n].alive for n in row.places)


# ---- on real schemas ----

CHECKS = (
    "server-wrong-host", "server-on-nonexistent-host", "allocation-wrong-provider", "port-binding-wrong-host",
    "port-binding-inactive-leftover",
)  # fmt: skip


@dataclass
class Ground:
    """A cloud on which everything is where its records say."""

    cloud: Cloud
    config: Config
    server: Server = field(init=False)
    other: dict[str, Any] = field(init=False)

    def fresh(self) -> None:
        """Healthy again, with one server to damage."""
        self.cloud.reset()
        self.server = self.cloud.pick("active")
        self.other = neighbour(self.cloud, self.server)

    def records(self) -> dict[str, Any]:
        """What each record says: name -> host, or whatever it names."""
        server, rows = self.server, self.cloud.rows
        row = rows(server.database, "SELECT host, node, compute_id FROM instances WHERE uuid = :u", {"u": server.uuid})[
            0
        ]
        found = dict(row)
        sql = "SELECT host FROM ml2_port_bindings WHERE port_id = :p AND status = 'ACTIVE'"
        for port in server.ports:
            found[f"port {port}"] = rows("neutron", sql, {"p": port})[0]["host"]
        sql = "SELECT resource_provider_id AS p FROM allocations WHERE consumer_id = :u"
        found["allocation"] = frozenset(held["p"] for held in rows("placement", sql, {"u": server.uuid}))
        return found


def set_host(ground: Ground) -> None:
    """SQL on one column."""
    _row(ground, host=ground.other["host"])


def set_node(ground: Ground) -> None:
    """SQL on another."""
    _row(ground, node=ground.other["hypervisor_hostname"])


def set_compute(ground: Ground) -> None:
    """And on the third."""
    _row(ground, compute_id=ground.other["id"])


def mistype_host(ground: Ground) -> None:
    """A host that is none."""
    _row(ground, host="c-typo", node="c-typo")


def move_ports(ground: Ground) -> None:
    """Ports bound elsewhere."""
    for port in ground.server.ports:
        bind(ground.cloud, port, str(ground.other["host"]))


def move_allocation(ground: Ground) -> None:
    """Charged to another host."""
    there = provider(ground.cloud, str(ground.other["uuid"]))
    ground.cloud.update("placement", "allocations", {"consumer_id": ground.server.uuid}, resource_provider_id=there)


def move_attachments(ground: Ground) -> None:
    """Connected elsewhere."""
    where = {"instance_uuid": ground.server.uuid, "deleted": 0}
    ground.cloud.update("cinder", "volume_attachment", where, attached_host=ground.other["host"])


def failed_move(ground: Ground) -> None:
    """A live migration to there came to nothing."""
    migrated(ground.cloud, ground.server, ground.other, "error", str(ground.server.host))


def stuck(ground: Ground) -> None:
    """A task state of hours ago."""
    _row(ground, task_state="migrating")


def _row(ground: Ground, **values: Any) -> None:
    ground.cloud.update(ground.server.database, "instances", {"uuid": ground.server.uuid}, **values)
    touch(ground.cloud, ground.server)


DAMAGE: tuple[Callable[[Ground], None], ...] = (
    set_host, set_node, set_compute, mistype_host, move_ports, move_allocation, move_attachments, failed_move, stuck,
)  # fmt: skip


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One small cloud."""
    folder: Path = tmp_path_factory.mktemp("whereabouts")
    cloud = build(folder / "cloud", servers=60, seed=3)
    cloud.save()
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    yield Ground(cloud, load(str(toml)))
    cloud.close()


def explained(actions: tuple[Action, ...], truth: str) -> bool:
    """Whether one of the actions says that a record of the true host is overruled."""
    lines = [line for action in actions for line in action.evidence]
    return any(truth in line and ("(overruled)" in line or "(explained: " in line) for line in lines)


def assert_story(ground: Ground, damage: list[Callable[[Ground], None]], order: list[str]) -> None:
    """Damage the records, apply plans of single checks in that order and then whole ones, and hold what is promised."""
    ground.fresh()
    truth, healthy = str(ground.server.host), ground.records()
    for hit in damage:
        hit(ground)
    seen = [ground.records()]
    for checks in (*((name,) for name in order), (), ()):
        plan = plan_for(ground.config, checks=checks, about=(ground.server.uuid,), allow_db=True, settle=0)
        for left in plan.not_repaired:
            assert "stackmend server where" in left.reason, left.reason
        if not plan.runnable:
            continue
        runs.apply(ground.config, plan, accept=("all",))
        after = ground.records()
        for name, value in after.items():
            if value != seen[-1][name]:
                assert value not in [before[name] for before in seen], f"{name} is {value} again"
                if seen[-1][name] == healthy[name]:
                    assert explained(plan.runnable, truth), f"{name} left the truth without a word"
        seen.append(after)
    assert ground.records() == seen[-1], "the last plan changed something: plans do not come to an end"


damages = st.lists(st.sampled_from(DAMAGE), min_size=1, max_size=4, unique=True)
orders = st.lists(st.sampled_from(CHECKS), max_size=2, unique=True)
_HOW: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    "phases": (Phase.explicit, Phase.generate),
}


@settings(max_examples=6, derandomize=True, **_HOW)
@given(damage=damages, order=orders)
def test_no_plan_leaves_the_truth_in_silence(
    ground: Ground, damage: list[Callable[[Ground], None]], order: list[str]
) -> None:  # fmt: skip
    """A few of the stories."""
    assert_story(ground, damage, order)


@pytest.mark.long
@pytest.mark.attack("any records of a server are falsified, and plans applied in any order with every consent")
def test_no_plan_leaves_the_truth_in_silence_whatever_is_damaged(
    ground: Ground, record_property: Callable[[str, object], None]
) -> None:  # fmt: skip
    """Many of them."""
    tries = 0

    @settings(max_examples=120, **_HOW)
    @given(damage=damages, order=orders)
    def many(damage: list[Callable[[Ground], None]], order: list[str]) -> None:
        nonlocal tries
        tries += 1
        assert_story(ground, damage, order)

    many()
    record_property("tries", tries)
