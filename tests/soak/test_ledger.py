# SPDX-License-Identifier: Apache-2.0
"""The soak's judge: what it has to find out, and what it has to take for explained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.soak.ledger import Change, Image, Row, of_run, violations

from stackmend.model.journal import JournalEntry
from stackmend.model.plan import Action
from stackmend.model.repair import Risk
from stackmend.model.step import BumpRow, DeleteRow, ExpectNone, InsertRow, StepState, UpdateRow

PORT = Row("neutron", "ports", ("p1",))
DOWN: Image = {"id": "p1", "status": "DOWN", "name": "a"}
ACTIVE: Image = {**DOWN, "status": "ACTIVE"}
RUN = Change(
    who="run r, step 0",
    row=PORT,
    begun=10,
    ended=12,
    before={"status": "DOWN"},
    after={"status": "ACTIVE"},
    is_run=True,
)
SERVICE = Change(who="neutron", row=PORT, begun=20, ended=21, before={"status": "ACTIVE"}, after={"status": "BUILD"})


def told(start: Image | None, end: Image | None, *changes: Change) -> list[str]:
    """The violations of a cloud with one row."""
    rows = [{PORT: image} if image else {} for image in (start, end)]
    return list(violations(rows[0], rows[1], changes))


def test_a_row_that_nobody_changed_is_as_before() -> None:
    """Any difference is a violation, so is a row that came or went."""
    assert told(DOWN, DOWN) == []
    for start, end in ((DOWN, ACTIVE), (DOWN, None), (None, DOWN)):
        (said,) = told(start, end)
        assert "nobody says they changed it" in said


def test_what_a_run_says_it_changed_is_changed() -> None:
    """The row has the value that the run wrote, and nothing else has changed in it."""
    assert told(DOWN, ACTIVE, RUN) == []
    assert told(DOWN, DOWN, RUN)
    assert told(DOWN, {**ACTIVE, "name": "b"}, RUN)
    assert told(DOWN, None, RUN)


def test_a_service_may_change_it_afterwards() -> None:
    """Then it has the service's value; not if the service had written before the run began."""
    assert told(DOWN, {**DOWN, "status": "BUILD"}, RUN, SERVICE) == []
    assert told(DOWN, ACTIVE, RUN, SERVICE)
    earlier = replace(SERVICE, begun=1, ended=2, before={"status": "DOWN"})
    assert told(DOWN, {**DOWN, "status": "BUILD"}, RUN, earlier)


def test_a_run_that_wrote_over_a_service_is_found_out() -> None:
    """The service's value was there when the run wrote: it cannot have found what it says it found."""
    between = replace(SERVICE, begun=9, ended=9.5, before={"status": "DOWN"})
    assert told(DOWN, ACTIVE, RUN, between)


def test_what_happened_at_the_same_time_may_be_in_either_order() -> None:
    """Both orders are tried, and one of them has to fit."""
    meanwhile = replace(SERVICE, begun=9, ended=13, before={"name": "a"}, after={"name": "b"})
    assert told(DOWN, {**ACTIVE, "name": "b"}, RUN, meanwhile) == []
    assert told(DOWN, ACTIVE, RUN, meanwhile)


@pytest.mark.parametrize("end", [DOWN, ACTIVE])
def test_what_is_in_doubt_may_be_done_or_not(end: Image) -> None:
    """The run says that it does not know; a third value is a violation all the same."""
    doubtful = replace(RUN, doubtful=True, ended=float("inf"))
    assert told(DOWN, end, doubtful) == []
    assert told(DOWN, {**DOWN, "status": "ERROR"}, doubtful)


def test_rows_that_come_and_go() -> None:
    """An inserted row is there, as far as its columns are known, and a deleted one is not."""
    inserted = replace(RUN, before=None, after={"id": "p1", "status": "DOWN"})
    deleted = replace(RUN, begun=13, ended=14, before=dict(DOWN), after=None)
    assert told(None, DOWN, inserted) == []
    assert told(None, None, inserted)
    assert told(DOWN, None, deleted) == []
    assert told(DOWN, DOWN, deleted)
    assert told(None, None, inserted, deleted) == []
    assert told(DOWN, None, replace(deleted, before={"status": "ACTIVE"}))


def test_a_counter_is_counted_whatever_it_was() -> None:
    """A service may count in between: the run's value and the service's are one after the other."""
    counted = replace(RUN, before=None, after={"status": "7"}, by=1)
    later = replace(SERVICE, before={"status": "7"}, after={"status": "8"})
    assert told({"status": "5"}, {"status": "7"}, counted) == []
    assert told({"status": "5"}, {"status": "8"}, counted, later) == []
    assert told({"status": "5"}, {"status": "7"}, counted, later)


_AT = "2026-11-30T03:00:00.000000+00:00"
KEYS = {("neutron", "ports"): ("id",), ("neutron", "bindings"): ("port", "host")}
STEPS = (
    ExpectNone(database="neutron", table="ports", where={"id": "p9"}),
    UpdateRow(
        database="neutron",
        table="bindings",
        pk={"port": "p1", "host": "c1"},
        before={"host": "c1", "profile": "{}"},
        after={"host": "c2"},
    ),
    InsertRow(database="neutron", table="ports", key={"name": "b"}, values={"name": "b"}),
    BumpRow(database="neutron", table="ports", pk={"id": 3}, column="revision"),
    DeleteRow(database="neutron", table="ports", pk={"id": 4}, before={"id": 4, "name": "c"}),
)


def entries(*states: tuple[int, StepState, dict[str, object] | None]) -> list[JournalEntry]:
    """Intents of all steps, and these outcomes."""
    intents = [JournalEntry(number, StepState.INTENT, at=_AT) for number, _, _ in states]
    return intents + [JournalEntry(number, state, image, at=_AT) for number, state, image in states]


def changes(*states: tuple[int, StepState, dict[str, object] | None]) -> list[Change]:
    """What a run with these steps and outcomes says it changed."""
    action = Action(
        id="a1", check="", key={}, fingerprint="", resource_type="port", resource_id="p1", message="", target={},
        repair="by-hand", strategy="db", risk=Risk.SAFE, stage=0, steps=STEPS,
    )  # fmt: skip
    return of_run("r", [action], entries(*states), KEYS)


def test_what_a_journal_says_was_changed() -> None:
    """A row that moves to another key goes and comes; keys and counters that the database gave are in the journal."""
    done = StepState.DONE
    said = changes((1, done, None), (2, done, {"pk": {"id": 7}}), (3, done, {"value": 12}), (4, done, None))
    assert {(str(one.row), one.before is None, one.after is None) for one in said} == {
        ("neutron.bindings p1, c1", False, True),
        ("neutron.bindings p1, c2", True, False),
        ("neutron.ports 7", True, False),
        ("neutron.ports 3", True, False),
        ("neutron.ports 4", False, True),
    }
    before = {
        Row("neutron", "bindings", ("p1", "c1")): {"port": "p1", "host": "c1", "profile": "{}"},
        Row("neutron", "ports", ("3",)): {"id": "3", "revision": "11"},
        Row("neutron", "ports", ("4",)): {"id": "4", "name": "c"},
    }
    after = {
        Row("neutron", "bindings", ("p1", "c2")): {"port": "p1", "host": "c2", "profile": "{}"},
        Row("neutron", "ports", ("3",)): {"id": "3", "revision": "12"},
        Row("neutron", "ports", ("7",)): {"id": "7", "name": "b", "status": "DOWN"},
    }
    assert list(violations(before, after, said)) == []
    assert len(list(violations(before, before, said))) == 5
    assert len(list(violations(before, after, said[:1]))) > 1


@pytest.mark.parametrize("state", [StepState.STALE, StepState.FAILED])
def test_what_a_run_did_not_do_is_no_change(state: StepState) -> None:
    """Neither what was stale or failed, nor what was found done before; without an outcome it is in doubt."""
    assert changes((1, state, None), (4, StepState.DONE, {"already": True})) == []
    (doubtful,) = changes((4, StepState.IN_DOUBT, None))
    assert doubtful.doubtful
