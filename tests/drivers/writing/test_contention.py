# SPDX-License-Identifier: Apache-2.0
"""Others write to the same rows at the same moment: the writer waits, tries again, or gives up whole. Never half."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from stackmend.model.step import InsertRow, StepState
from stackmend.model.writer import GroupResult

from ...support.written_groups import Desk, described

DONE, STALE, FAILED = StepState.DONE, StepState.STALE, StepState.FAILED


@contextmanager
def somebody(desk: Desk) -> Iterator[pymysql.Connection[Any]]:
    """Another session of the database, in a transaction."""
    url = sa.make_url(desk.cloud.databases["neutron"])
    connection = pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=url.database
    )
    connection.begin()
    try:
        yield connection
    finally:
        connection.rollback()
        connection.close()


def run(connection: pymysql.Connection[Any], sql: str, *parameters: Any) -> Any:
    """One statement; its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def until_waiting(desk: Desk) -> None:
    """Return when a transaction of the server waits for a lock."""
    sql = "SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    for _ in range(100):
        # the server shows a picture of 0.1 s ago to those who ask more often than that
        time.sleep(0.15)
        if desk.cloud.rows("keystone", sql)[0]["n"]:
            return
    raise AssertionError("nobody waits for a lock")


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """A thread for the writer."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("changed", [False, True])
def test_a_locked_row_is_waited_for(on_mariadb: Desk, background: ThreadPoolExecutor, changed: bool) -> None:
    """When the other session is done the row is looked at: as planned it is written, changed it is stale."""
    desk = on_mariadb
    row, free = desk.attributes(2)
    with somebody(desk) as other:
        run(other, "SELECT id FROM standardattributes WHERE id = %s FOR UPDATE", row["id"])
        writing: Future[list[GroupResult]] = background.submit(desk.write, [described(row)], [described(free)])
        until_waiting(desk)
        if changed:
            run(other, "UPDATE standardattributes SET description = 'theirs' WHERE id = %s", row["id"])
        other.commit()
        states = [verdict.state for verdict in writing.result(60)]
    assert states == [STALE if changed else DONE, DONE]
    assert desk.descriptions()[row["id"]] == ("theirs" if changed else "new")
    assert desk.descriptions()[free["id"]] == "new"


def test_a_row_that_stays_locked_fails_its_group_alone(on_mariadb: Desk) -> None:
    """It is tried a few times with longer and longer pauses; then that group fails whole, and the other is made."""
    desk = on_mariadb
    row, free, second = desk.attributes(3)
    desk.cloud.execute("keystone", "SET GLOBAL innodb_lock_wait_timeout = 0")
    try:
        with somebody(desk) as other:
            run(other, "SELECT id FROM standardattributes WHERE id = %s FOR UPDATE", row["id"])
            verdicts = desk.write([described(second), described(row)], [described(free)])
    finally:
        desk.cloud.execute("keystone", "SET GLOBAL innodb_lock_wait_timeout = 50")
    assert [verdict.state for verdict in verdicts] == [FAILED, DONE]
    assert "gave way to other sessions" in verdicts[0].note
    assert desk.pauses[:5] == sorted(set(desk.pauses))
    after = desk.descriptions()
    assert (after[row["id"]], after[second["id"]]) == (row["description"], second["description"])
    assert after[free["id"]] == "new"


def test_a_deadlock_is_tried_again(on_mariadb: Desk, background: ThreadPoolExecutor) -> None:
    """The database sacrifices our transaction for another one: it is begun anew, on the rows as they are then."""
    desk = on_mariadb
    row = desk.attributes(1)[0]
    (port,) = desk.cloud.rows("neutron", "SELECT id, name FROM ports LIMIT 1")
    step = {"database": "neutron", "table": "ports", "pk": {"id": port["id"]}}
    rename = described(row).__class__(**step, before={"name": port["name"]}, after={"name": "ours"})
    with somebody(desk) as other:
        # so much written makes it the dearer one to roll back
        run(other, "UPDATE ports SET name = 'theirs' WHERE id <> %s", port["id"])
        run(other, "SELECT id FROM ports WHERE id = %s FOR UPDATE", port["id"])
        writing: Future[list[GroupResult]] = background.submit(desk.write, [described(row), rename])
        until_waiting(desk)
        run(other, "SELECT id FROM standardattributes WHERE id = %s FOR UPDATE", row["id"])
        other.commit()
        (verdict,) = writing.result(60)
    assert verdict.state is DONE
    assert len(desk.pauses) == 1
    assert desk.descriptions()[row["id"]] == "new"
    assert desk.cloud.rows("neutron", "SELECT name FROM ports WHERE id = :p", {"p": port["id"]}) == [{"name": "ours"}]


def _kill_writers(desk: Desk) -> None:
    """Cut every session of the writer's account on that database."""
    url = sa.make_url(desk.cloud.databases["neutron"])
    sql = "SELECT id FROM information_schema.processlist WHERE user = :u AND db = :d"
    for session in desk.cloud.rows("keystone", sql, {"u": url.username, "d": url.database}):
        desk.cloud.execute("keystone", f"KILL CONNECTION {session['id']}")


def _once(desk: Desk, act: Callable[[Desk], None]) -> Callable[[], None]:
    left = [act]
    return lambda: left.pop()(desk) if left else None


def test_a_connection_that_breaks_before_the_commit(on_mariadb: Desk) -> None:
    """The server is restarted in the middle: nothing of it was kept, and it is done again on a new connection."""
    desk = on_mariadb
    rows = desk.attributes(3)
    verdicts = desk.write(*([described(row)] for row in rows), then=_once(desk, _kill_writers))
    assert [verdict.state for verdict in verdicts] == [DONE] * 3
    assert len(desk.intents) == 2
    assert [desk.descriptions()[row["id"]] for row in rows] == ["new"] * 3


def test_nobody_inserts_between_our_look_and_our_row(on_mariadb: Desk) -> None:
    """The place of a new row is locked by looking at it: another session that wants it has to wait."""
    desk = on_mariadb
    row = desk.attributes(1)[0]
    tag = {"standard_attr_id": row["id"], "tag": "t"}
    errors: list[int] = []

    def theirs(place: Desk) -> None:
        with somebody(place) as other:
            run(other, "SET SESSION innodb_lock_wait_timeout = 0")
            try:
                run(other, "INSERT INTO tags (standard_attr_id, tag) VALUES (%s, 't')", row["id"])
            except pymysql.err.OperationalError as problem:
                errors.append(problem.args[0])

    insert = InsertRow(database="neutron", table="tags", key=tag, values=tag)
    (verdict,) = desk.write([insert, described(row)], then=_once(desk, theirs))
    assert errors == [1205]
    assert verdict.state is DONE
    assert len(desk.cloud.rows("neutron", "SELECT tag FROM tags WHERE tag = 't'")) == 1


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
