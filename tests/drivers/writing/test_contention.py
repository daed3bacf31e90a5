# SPDX-License-Identifier: Apache-2.0
"""Others write to the same rows at the same moment: the writer waits, tries again, or gives up whole. Never half."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from stackmend.drivers.database.dialects import dialect_of
from stackmend.drivers.database.transactions import Lost, execute
from stackmend.model.step import DeleteRow, ExpectNone, InsertRow, StepState
from stackmend.model.writer import GroupResult

from ...support.other_sessions import code_of, others_of, run
from ...support.written_groups import Desk, described
from .conftest import Place

DONE, STALE, FAILED = StepState.DONE, StepState.STALE, StepState.FAILED


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """A thread for the writer."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def tag_of(row: dict[str, Any]) -> InsertRow:
    """A new row that belongs to this one."""
    tag = {"standard_attr_id": row["id"], "tag": "t"}
    return InsertRow(database="neutron", table="tags", key=tag, values=tag)


def tags(desk: Desk) -> list[dict[str, Any]]:
    """Those rows."""
    return desk.cloud.rows("neutron", "SELECT tag FROM tags WHERE tag = 't'")


@pytest.mark.parametrize("changed", [False, True])
def test_a_locked_row_is_waited_for(on_server: Desk, background: ThreadPoolExecutor, changed: bool) -> None:
    """When the other session is done the row is looked at: as planned it is written, changed it is stale."""
    desk, others = on_server, others_of(on_server.cloud)
    row, free = desk.attributes(2)
    with others.somebody() as other:
        run(other, "SELECT id FROM standardattributes WHERE id = %s FOR UPDATE", row["id"])
        writing: Future[list[GroupResult]] = background.submit(desk.write, [described(row)], [described(free)])
        others.until_waiting()
        if changed:
            run(other, "UPDATE standardattributes SET description = 'theirs' WHERE id = %s", row["id"])
        other.commit()
        states = [verdict.state for verdict in writing.result(60)]
    assert states == [STALE if changed else DONE, DONE]
    assert desk.descriptions()[row["id"]] == ("theirs" if changed else "new")
    assert desk.descriptions()[free["id"]] == "new"


def test_a_row_that_stays_locked_fails_its_group_alone(on_server: Desk) -> None:
    """It is tried a few times with longer and longer pauses; then that group fails whole, and the other is made."""
    desk, others = on_server, others_of(on_server.cloud)
    row, free, second = desk.attributes(3)
    with others.impatient(), others.somebody() as other:
        run(other, "SELECT id FROM standardattributes WHERE id = %s FOR UPDATE", row["id"])
        verdicts = desk.write([described(second), described(row)], [described(free)])
    assert [verdict.state for verdict in verdicts] == [FAILED, DONE]
    assert "gave way to other sessions" in verdicts[0].note
    assert desk.pauses[:5] == sorted(set(desk.pauses))
    after = desk.descriptions()
    assert (after[row["id"]], after[second["id"]]) == (row["description"], second["description"])
    assert after[free["id"]] == "new"


def test_a_deadlock_is_tried_again(on_server: Desk, background: ThreadPoolExecutor) -> None:
    """The database sacrifices our transaction for another one: it is begun anew, on the rows as they are then."""
    desk, others = on_server, others_of(on_server.cloud)
    row = desk.attributes(1)[0]
    (port,) = desk.cloud.rows("neutron", "SELECT id, name FROM ports LIMIT 1")
    step = {"database": "neutron", "table": "ports", "pk": {"id": port["id"]}}
    rename = described(row).__class__(**step, before={"name": port["name"]}, after={"name": "ours"})
    with others.sacrificed(), others.somebody() as other:
        # so much written makes it the dearer one to roll back
        run(other, "UPDATE ports SET name = 'theirs' WHERE id <> %s", port["id"])
        run(other, "SELECT id FROM ports WHERE id = %s FOR UPDATE", port["id"])
        writing: Future[list[GroupResult]] = background.submit(desk.write, [described(row), rename])
        others.until_waiting()
        run(other, "SELECT id FROM standardattributes WHERE id = %s FOR UPDATE", row["id"])
        other.commit()
        (verdict,) = writing.result(60)
    assert verdict.state is DONE
    assert len(desk.pauses) == 1
    assert desk.descriptions()[row["id"]] == "new"
    assert desk.cloud.rows("neutron", "SELECT name FROM ports WHERE id = :p", {"p": port["id"]}) == [{"name": "ours"}]


def _once(act: Callable[[], None]) -> Callable[[], None]:
    left = [act]
    return lambda: left.pop()() if left else None


def test_a_connection_that_breaks_before_the_commit(on_server: Desk) -> None:
    """The server is restarted in the middle: nothing of it was kept, and it is done again on a new connection."""
    desk = on_server
    rows = desk.attributes(3)
    verdicts = desk.write(*([described(row)] for row in rows), then=_once(others_of(desk.cloud).kill))
    assert [verdict.state for verdict in verdicts] == [DONE] * 3
    assert len(desk.intents) == 2
    assert [desk.descriptions()[row["id"]] for row in rows] == ["new"] * 3


@pytest.mark.parametrize("number", [1053, 1927, 3169, 4031])
def test_what_a_server_says_to_those_whom_it_ends(mariadb_place: Place, number: int) -> None:
    """Shut down, killed (MariaDB, MySQL), idle for too long: nothing was refused, and it is tried again."""
    address = mariadb_place[1].databases.addresses["neutron"]
    with closing(dialect_of(address).connect(address, write=True)) as connection, pytest.raises(Lost):
        execute(connection, f"SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = {number}", [], 0, "database neutron")


def test_nobody_inserts_between_our_look_and_our_row(on_server: Desk) -> None:
    """The place of a new row is locked by looking at it: another session that wants it has to wait."""
    desk, others = on_server, others_of(on_server.cloud)
    row = desk.attributes(1)[0]
    codes = waited(desk, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 't')", row["id"])
    (verdict,) = desk.write([tag_of(row), described(row)], then=codes)
    assert codes.found == [*others.not_locked]
    assert verdict.state is DONE
    assert len(tags(desk)) == 1


class waited:  # noqa: N801 - reads as what it finds
    """What another session is told, once, that wants to run a statement now and does not wait."""

    def __init__(self, desk: Desk, sql: str, *parameters: Any) -> None:
        self._others, self._statement, self.found = others_of(desk.cloud), (sql, *parameters), list[object]()

    def __call__(self) -> None:
        if self.found:
            return
        with self._others.somebody() as other:
            self._others.hurry(other)
            try:
                run(other, *self._statement)
            except Exception as problem:  # noqa: BLE001 - each driver has its own
                self.found.append(code_of(problem))
            else:
                other.commit()
                self.found.append("done")


def test_a_guard_against_a_row_keeps_it_out_until_the_commit(on_server: Desk) -> None:
    """What must not be there cannot come between the look and the commit, in this database and in another one."""
    desk, others = on_server, others_of(on_server.cloud)
    row = desk.attributes(1)[0]
    guard = ExpectNone(database="neutron", table="tags", where={"standard_attr_id": row["id"], "tag": "t"})
    codes = waited(desk, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 't')", row["id"])
    assert [verdict.state for verdict in desk.write([guard, described(row)], then=codes)] == [DONE]
    assert codes.found == [*others.not_locked]
    assert tags(desk) == []
    # it was kept out until the commit, and no longer
    late = waited(desk, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 't')", row["id"])
    late()
    assert late.found == ["done"]
    assert [verdict.state for verdict in desk.write([guard, described(row, "newer")])] == [STALE]


def test_nothing_comes_to_what_is_deleted(on_server: Desk) -> None:
    """A row that would go with the one that is deleted cannot come between the look and the commit."""
    desk, others = on_server, others_of(on_server.cloud)
    new = {"resource_type": "ports", "description": "nobody's", "revision_number": 0}
    desk.cloud.insert("neutron", "standardattributes", **new)
    (row,) = desk.cloud.rows("neutron", "SELECT * FROM standardattributes WHERE description = 'nobody''s'")
    codes = waited(desk, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 't')", row["id"])
    before = {column: value for column, value in row.items() if column not in ("created_at", "updated_at")}
    delete = DeleteRow(database="neutron", table="standardattributes", pk={"id": row["id"]}, before=before)
    assert [verdict.state for verdict in desk.write([delete], then=codes)] == [DONE]
    assert codes.found == [*others.not_locked]
    assert tags(desk) == []


@pytest.mark.parametrize("committed", [True, False])
def test_a_row_that_is_just_being_inserted_is_waited_for(
    on_server: Desk, background: ThreadPoolExecutor, committed: bool
) -> None:
    """What another session has inserted and not committed counts as soon as it is: nobody looks past it."""
    desk, others = on_server, others_of(on_server.cloud)
    row = desk.attributes(1)[0]
    with others.somebody() as other:
        run(other, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 't')", row["id"])
        writing: Future[list[GroupResult]] = background.submit(desk.write, [tag_of(row), described(row)])
        others.until_waiting()
        if committed:
            other.commit()
        else:
            other.rollback()
        (verdict,) = writing.result(60)
    assert verdict.state is (STALE if committed else DONE)
    assert len(tags(desk)) == 1
    assert desk.descriptions()[row["id"]] == (row["description"] if committed else "new")


def test_a_table_that_others_write_to_all_the_time_fails_its_batch_at_once(on_postgresql: Desk) -> None:
    """Whoever waits for a table lets everybody wait who wants to write there: so it is not tried for each group."""
    desk, others = on_postgresql, others_of(on_postgresql.cloud)
    rows = desk.attributes(20)
    before = desk.descriptions()
    with others.impatient(), others.somebody() as other:
        run(other, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 'x')", rows[0]["id"])
        verdicts = desk.write(*([tag_of(row), described(row)] for row in rows))
    assert [verdict.state for verdict in verdicts] == [FAILED] * 20
    assert 'others write to "tags" all the time' in verdicts[0].note
    assert len(desk.pauses) == 5
    assert desk.descriptions() == before
    assert desk.states([tag_of(rows[0]), described(rows[0])]) == [DONE]


def test_a_guard_in_another_database_locks_its_table(on_postgresql: Desk) -> None:
    """Nobody inserts there while a row is written that rests on it; those who only read are not kept waiting."""
    desk = on_postgresql
    row = desk.attributes(1)[0]
    guard = ExpectNone(database="cell:cell1", table="instances", where={"uuid": "of-nobody", "deleted": 0})
    locks = (
        "SELECT mode FROM pg_locks WHERE relation = 'instances'::regclass AND granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()) AND mode LIKE 'Share%Lock'"
    )
    found: list[dict[str, Any]] = []

    def look() -> None:
        found.extend(desk.cloud.rows("cell:cell1", locks))
        assert desk.cloud.rows("cell:cell1", "SELECT count(*) AS n FROM instances")[0]["n"] > 0

    assert [verdict.state for verdict in desk.write([guard, described(row)], then=look)] == [DONE]
    assert found == [{"mode": "ShareRowExclusiveLock"}]
    assert desk.cloud.rows("cell:cell1", locks) == []


def test_a_locked_file_is_waited_for(on_sqlite: Desk, background: ThreadPoolExecutor) -> None:
    """SQLite has one writer at a time: while another one is at it we wait, and look at the rows after it."""
    desk = on_sqlite
    row = desk.attributes(1)[0]
    began = threading.Event()
    desk.cloud.execute("neutron", "BEGIN IMMEDIATE")
    try:

        def write() -> list[GroupResult]:
            began.set()
            return desk.write([described(row)])

        writing = background.submit(write)
        assert began.wait(10)
        time.sleep(0.2)
        desk.cloud.update("neutron", "standardattributes", {"id": row["id"]}, description="theirs")
    finally:
        desk.cloud.execute("neutron", "COMMIT")
    assert writing.result(60)[0].state is STALE
    assert desk.descriptions()[row["id"]] == "theirs"
