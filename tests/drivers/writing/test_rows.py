# SPDX-License-Identifier: Apache-2.0
"""The writer makes a group whole, if every row is as planned in that very moment, or not at all."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.model.errors import JournalError
from stackmend.model.step import BumpRow, DeleteRow, ExpectNone, ExpectRow, InsertRow, StepState, UpdateRow
from stackmend.model.writer import Group

from ...support.written_groups import Desk, described

DONE, STALE, FAILED = StepState.DONE, StepState.STALE, StepState.FAILED
NOBODY = "00000000-0000-4000-8000-00000000dead"
TAG = {"database": "neutron", "table": "tags"}


def test_a_row_that_has_moved_on_is_left_alone(desk: Desk) -> None:
    """One column of the before image is another by now: nothing of that group is written, the others are."""
    first, second, third = desk.attributes(3)
    desk.cloud.update("neutron", "standardattributes", {"id": second["id"]}, description="by somebody else")
    before = desk.descriptions()
    verdicts = desk.write([described(first)], [described(third), described(second)], [described(third, "other")])
    assert [verdict.state for verdict in verdicts] == [DONE, STALE, DONE]
    assert "standardattributes.description no longer matches the plan" in verdicts[1].note
    assert "somebody else" not in verdicts[1].note
    assert desk.descriptions() == {**before, first["id"]: "new", third["id"]: "other"}


def test_a_row_that_is_gone_is_stale(desk: Desk) -> None:
    """Update, deletion and count of a row that is not there any more."""
    row = {"database": "neutron", "table": "standardattributes", "pk": {"id": 999_999_999}}
    update = UpdateRow(**row, before={"description": ""}, after={"description": "x"})
    delete = DeleteRow(**row, before={"description": ""})
    assert desk.states([update], [delete], [BumpRow(**row, column="revision_number")]) == [STALE] * 3
    assert desk.intents == []


def test_null_is_compared_as_a_value(desk: Desk) -> None:
    """A column that was NULL and is not any more makes the group stale; one that still is does not."""
    (server,) = desk.cloud.rows("cell:cell1", "SELECT id, task_state FROM instances WHERE task_state IS NULL LIMIT 1")
    step = UpdateRow(
        database="cell:cell1", table="instances", pk={"id": server["id"]}, before={"task_state": None},
        after={"task_state": "deleting"},
    )  # fmt: skip
    assert desk.states([step]) == [DONE]
    assert desk.states([step]) == [STALE]


@pytest.mark.parametrize("same", [True, False])
def test_a_guard_on_a_row_decides(desk: Desk, same: bool) -> None:
    """ExpectRow changes nothing, and its group is made only if the row reads so; in another database as well."""
    row = desk.attributes(1)[0]
    host = desk.cloud.rows("cell:cell1", "SELECT id, host FROM services WHERE deleted = 0 LIMIT 1")[0]
    expect = {"host": host["host"] if same else "another"}
    guard = ExpectRow(database="cell:cell1", table="services", pk={"id": host["id"]}, expect=expect)
    own = ExpectRow(**_place(row), expect={"revision_number": row["revision_number"]})
    before = desk.cloud.dump()
    assert desk.states([guard, own, described(row)]) == [DONE if same else STALE]
    assert (desk.descriptions()[row["id"]] == "new") is same
    assert (desk.cloud.dump() == before) is not same


@pytest.mark.parametrize("taken", [True, False])
def test_a_guard_against_a_row_decides(desk: Desk, taken: bool) -> None:
    """ExpectNone: no row may read so, in this database or another one."""
    row = desk.attributes(1)[0]
    (server,) = desk.cloud.rows("cell:cell1", "SELECT uuid FROM instances WHERE deleted = 0 LIMIT 1")
    uuid = server["uuid"] if taken else NOBODY
    guard = ExpectNone(database="cell:cell1", table="instances", where={"uuid": uuid, "deleted": 0})
    own = ExpectNone(**TAG, where={"standard_attr_id": row["id"], "tag": "forbidden"})
    assert desk.states([guard, own, described(row)]) == [STALE if taken else DONE]
    assert (desk.descriptions()[row["id"]] == "new") is not taken


def test_a_guard_in_the_same_database_sees_what_others_do(desk: Desk) -> None:
    """A row that an ExpectNone of the same database forbids is met, whoever has written it."""
    row = desk.attributes(1)[0]
    guard = ExpectNone(**TAG, where={"standard_attr_id": row["id"], "tag": "forbidden"})
    desk.cloud.insert("neutron", "tags", standard_attr_id=row["id"], tag="forbidden")
    assert desk.states([guard, described(row)]) == [STALE]


@pytest.mark.parametrize("names", [("Red", "red"), ("red", "Red")], ids=" ".join)
def test_guards_that_differ_only_in_case_are_told_apart(desk: Desk, names: tuple[str, str]) -> None:
    """Two guards of one transaction: a row decides each that it reads as, by the rules of its database."""
    first, second = desk.attributes(2)
    guards = [ExpectNone(**TAG, where={"standard_attr_id": first["id"], "tag": name}) for name in names]
    desk.cloud.insert("neutron", "tags", standard_attr_id=first["id"], tag="Red")
    both = desk.cloud.databases["neutron"].startswith("mysql")
    wanted = [STALE if both or name == "Red" else DONE for name in names]
    assert desk.states(*([g, described(r)] for g, r in zip(guards, (first, second), strict=True))) == wanted


def test_a_row_that_is_there_is_not_inserted_twice(desk: Desk) -> None:
    """What identifies a new row must be free."""
    row = desk.attributes(1)[0]
    step = InsertRow(**TAG, key={"standard_attr_id": row["id"], "tag": "t"}, values=_tag(row, "t"))
    assert desk.states([step], [step]) == [DONE, STALE]
    assert len(desk.cloud.rows("neutron", "SELECT tag FROM tags WHERE tag = 't'")) == 1


def test_a_row_that_was_given_another_key_is_found(desk: Desk) -> None:
    """A probe looks for it under both keys: it is as planned before the write, and done after it."""
    row = desk.attributes(1)[0]
    pk = {"standard_attr_id": row["id"], "tag": "old"}
    desk.cloud.insert("neutron", "tags", **pk)
    group = Group(0, "neutron", (UpdateRow(**TAG, pk=pk, before={"tag": "old"}, after={"tag": "new"}),), (0,))
    databases = desk.session.databases
    writer = DatabaseWriter(databases.addresses, databases.errors, desk.sealer)
    with closing(writer):
        found = [writer.probe([group], {})[0].state]
        found += [one.state for one in writer.write([group], lambda _entries: None)]
        found += [writer.probe([group], {})[0].state]
    assert found == [StepState.PLANNED, DONE, DONE]


def test_what_the_database_assigns_is_noted(desk: Desk) -> None:
    """The primary keys of new rows are in the outcomes, each with its own step."""
    (node,) = desk.cloud.rows("cell:cell1", "SELECT uuid FROM instances WHERE deleted = 0 LIMIT 1")
    steps = [
        InsertRow(
            database="cell:cell1", table="instance_faults", key={"instance_uuid": node["uuid"], "message": text},
            values={"instance_uuid": node["uuid"], "message": text, "code": 500, "deleted": 0},
        )
        for text in ("one", "two")
    ]  # fmt: skip
    verdicts = desk.write(*([step] for step in steps))
    ids = {r["message"]: r["id"] for r in desk.cloud.rows("cell:cell1", "SELECT id, message FROM instance_faults")}
    noted = [verdict.entries[0].image for verdict in verdicts]
    assert noted == [{"pk": {"id": ids["one"]}}, {"pk": {"id": ids["two"]}}]


def test_counters_are_counted_on_whatever_they_are(desk: Desk) -> None:
    """Two groups count the same counter in one transaction; the values are noted, each its own."""
    row = desk.attributes(1)[0]
    bump = BumpRow(**_place(row), column="revision_number", by=2)
    desk.cloud.update("neutron", "standardattributes", {"id": row["id"]}, revision_number=40)
    verdicts = desk.write([bump], [bump])
    assert [verdict.entries[0].image for verdict in verdicts] == [{"value": 42}, {"value": 44}]
    assert [entry.image for entry in desk.intents[0]] == [{"value": 40}, {"value": 42}]
    assert desk.attributes(1)[0]["revision_number"] == 44


def test_a_counter_does_not_go_below_nothing(desk: Desk) -> None:
    """A quota that others have given back already is not given back a second time."""
    row = desk.attributes(1)[0]
    desk.cloud.update("neutron", "standardattributes", {"id": row["id"]}, revision_number=1)
    assert desk.states([BumpRow(**_place(row), column="revision_number", by=-2)]) == [STALE]
    assert desk.attributes(1)[0]["revision_number"] == 1


def test_nothing_is_written_without_an_intent(desk: Desk) -> None:
    """When the journal does not take the intent the transaction is rolled back, and its error passes through."""
    before = desk.cloud.dump()

    def fails() -> None:
        raise JournalError("no space")

    with pytest.raises(JournalError, match="no space"):
        desk.write([described(desk.attributes(1)[0])], then=fails)
    assert desk.cloud.dump() == before


@pytest.mark.parametrize(
    "step",
    [
        UpdateRow(database="neutron", table="no_such", pk={"id": 1}, before={"a": 1}, after={"a": 2}),
        UpdateRow(database="neutron", table="ports", pk={"id": "x"}, before={"no_such": 1}, after={"no_such": 2}),
        UpdateRow(database="neutron", table="ports", pk={"name": "x"}, before={"name": "x"}, after={"name": "y"}),
        UpdateRow(database="neutron", table="ports", pk={"id": "x"}, before={}, after={"name": "y"}),
    ],
    ids=["table", "column", "key", "before"],
)
def test_a_step_that_does_not_fit_fails_alone(desk: Desk, step: UpdateRow) -> None:
    """A table, column or key that this release has not: that group fails with the reason, the next one is made."""
    row = desk.attributes(1)[0]
    verdicts = desk.write([step], [described(row)])
    assert [verdict.state for verdict in verdicts] == [FAILED, DONE]
    assert verdicts[0].note
    assert desk.descriptions()[row["id"]] == "new"


def test_a_database_that_is_not_there_fails_its_groups(desk: Desk) -> None:
    """No connection, no change, and the reason in the verdict."""
    step = UpdateRow(database="cell:nowhere", table="instances", pk={"id": 1}, before={"a": 1}, after={"a": 2})
    (verdict,) = desk.write([step])
    assert verdict.state is FAILED
    assert "cell:nowhere" in verdict.note


def _place(row: dict[str, Any]) -> dict[str, Any]:
    return {"database": "neutron", "table": "standardattributes", "pk": {"id": row["id"]}}


def _tag(row: dict[str, Any], tag: str) -> dict[str, Any]:
    return {"standard_attr_id": row["id"], "tag": tag}
