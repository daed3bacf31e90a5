# SPDX-License-Identifier: Apache-2.0
"""Hundreds of groups share a transaction, and none of them spoils it for the others."""

from __future__ import annotations

from typing import Any

import pytest

from stackmend.model.step import DeleteRow, InsertRow, StepState, UpdateRow

from ...support.written_groups import Desk, described

DONE, STALE, FAILED = StepState.DONE, StepState.STALE, StepState.FAILED
GROUPS = 500


@pytest.fixture
def rows(desk: Desk) -> list[dict[str, Any]]:
    """Five hundred rows of one table."""
    missing = GROUPS - len(desk.attributes(GROUPS))
    for start in range(0, max(0, missing), 100):
        values = ", ".join(["('ports', 'made', 0)"] * min(100, missing - start))
        names = "resource_type, description, revision_number"
        desk.cloud.execute("neutron", f"INSERT INTO standardattributes ({names}) VALUES {values}")
    found = desk.attributes(GROUPS)
    assert len(found) == GROUPS
    return found


def test_one_stale_group_among_five_hundred(desk: Desk, rows: list[dict[str, Any]]) -> None:
    """In the middle one row has moved on: 499 are written in one transaction, that one is not."""
    middle = rows[GROUPS // 2]
    desk.cloud.update("neutron", "standardattributes", {"id": middle["id"]}, description="moved")
    before = desk.descriptions()
    verdicts = desk.write(*([described(row, f"new {row['id'] % 7}")] for row in rows))
    assert len(desk.intents) == 1
    assert len(desk.intents[0]) == GROUPS - 1
    assert [v.state for v in verdicts] == [STALE if row is middle else DONE for row in rows]
    expected = {row["id"]: f"new {row['id'] % 7}" for row in rows} | {middle["id"]: "moved"}
    assert desk.descriptions() == {**before, **expected}


def test_one_refused_group_among_five_hundred(desk: Desk, rows: list[dict[str, Any]]) -> None:
    """The database refuses one row (a tag of nobody, NULL where it may not be): all others are made, whole."""
    steps = [
        InsertRow(
            database="neutron", table="tags", key={"standard_attr_id": row["id"], "tag": "t"},
            values={"standard_attr_id": row["id"], "tag": "t"},
        )
        for row in rows
    ]  # fmt: skip
    groups = [[described(row), step] for row, step in zip(rows, steps, strict=True)]
    bad = rows[123]
    where = {"database": "neutron", "table": "standardattributes", "pk": {"id": bad["id"]}}
    groups[123] = [steps[123], UpdateRow(**where, before={"revision_number": bad["revision_number"]},
                                         after={"revision_number": None})]  # fmt: skip
    verdicts = desk.write(*groups)
    assert [v.state for v in verdicts] == [FAILED if n == 123 else DONE for n in range(GROUPS)]
    tagged = {row["standard_attr_id"] for row in desk.cloud.rows("neutron", "SELECT standard_attr_id FROM tags")}
    assert tagged >= {row["id"] for row in rows} - {bad["id"]}
    assert bad["id"] not in tagged
    assert desk.descriptions()[bad["id"]] == bad["description"]


def test_groups_of_every_kind_in_one_transaction(desk: Desk, rows: list[dict[str, Any]]) -> None:
    """Updates, deletions and insertions of different groups are laid together and still are each group's own."""
    for row in rows[:20]:
        desk.cloud.insert("neutron", "tags", standard_attr_id=row["id"], tag="old")
    groups: list[list[Any]] = []
    for row in rows[:20]:
        pk = {"standard_attr_id": row["id"], "tag": "old"}
        new = {"standard_attr_id": row["id"], "tag": "new"}
        delete = DeleteRow(database="neutron", table="tags", pk=pk, before=pk)
        insert = InsertRow(database="neutron", table="tags", key=new, values=new)
        groups.append([delete, insert, described(row)] if row["id"] % 2 else [described(row), delete, insert])
    desk.cloud.delete("neutron", "tags", {"standard_attr_id": rows[3]["id"], "tag": "old"})
    states = desk.states(*groups)
    assert states == [STALE if n == 3 else DONE for n in range(20)]
    assert len(desk.intents) == 1
    tags = {(r["standard_attr_id"], r["tag"]) for r in desk.cloud.rows("neutron", "SELECT * FROM tags")}
    assert tags >= {(row["id"], "new") for n, row in enumerate(rows[:20]) if n != 3}
    assert not tags & {(row["id"], "old") for row in rows[:20]}
    assert (rows[3]["id"], "new") not in tags


def test_groups_that_touch_the_same_row_go_one_after_another(desk: Desk, rows: list[dict[str, Any]]) -> None:
    """The second sees what the first has left: it is made where it expects just that, else it is stale."""
    row = rows[0]
    second = described({**row, "description": "one"}, "two")
    assert desk.states([described(row, "one")], [second], [described(row, "three")]) == [DONE, DONE, STALE]
    assert len(desk.intents) == 2
    assert desk.descriptions()[row["id"]] == "two"


def test_a_group_that_touches_a_row_twice(desk: Desk, rows: list[dict[str, Any]]) -> None:
    """Within a group a later step sees what an earlier one has left."""
    row = rows[0]
    tag = {"standard_attr_id": row["id"], "tag": "t"}
    insert = InsertRow(database="neutron", table="tags", key=tag, values=tag)
    steps = [described(row, "one"), insert, described({**row, "description": "one"}, "two")]
    assert desk.states(steps) == [DONE]
    assert desk.descriptions()[row["id"]] == "two"
