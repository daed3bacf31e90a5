# SPDX-License-Identifier: Apache-2.0
"""Services that write while stackmend works: each with its own connection to some node, and its own record of commits.

Every table is written by one service only, so that its record is in the order of its commits. A transaction also
writes a number of its own into ``soak.marks``: where a connection broke at COMMIT, the cluster says whether it is in.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysql.converters import conversions
from tests.soak.ledger import Change, Image, Keys, Row, Text
from tests.support.galera import Node

#: values as the server prints them
PLAIN = {kind: encode for kind, encode in conversions.items() if not isinstance(kind, int)}
#: refused by the cluster or by another transaction: rolled back
_CONFLICT = 1213
_REFUSED = frozenset({1205, _CONFLICT, 1020})
MARKS = "CREATE DATABASE soak; CREATE TABLE soak.marks (service VARCHAR(40) PRIMARY KEY, number BIGINT NOT NULL)"

#: stackmend's name of a database -> its name on the server
Schemas = Mapping[str, str]


def raw(node: Node) -> pymysql.Connection[Any]:
    """A connection as root that shows values as the server prints them, and nothing older than the cluster has."""
    return pymysql.connect(
        unix_socket=str(node.socket), user="root", charset="utf8mb4", conv=PLAIN, autocommit=False,
        read_timeout=90, init_command="SET SESSION wsrep_sync_wait = 7, innodb_lock_wait_timeout = 5",
    )  # fmt: skip


class Work:
    """One transaction of a service."""

    def __init__(self, cursor: Any, schemas: Schemas, keys: Keys) -> None:
        self._cursor, self._schemas, self._keys = cursor, schemas, keys
        self.changes: list[tuple[Row, Image | None, Image | None]] = []

    def read(self, database: str, table: str, where: Mapping[str, Any]) -> dict[str, Text] | None:
        """A row, locked; None if it is gone."""
        name = f"`{self._schemas[database]}`.`{table}`"
        terms = " AND ".join(f"`{column}` = %s" for column in where)
        self._cursor.execute(f"SELECT * FROM {name} WHERE {terms} FOR UPDATE", tuple(where.values()))
        values = self._cursor.fetchone()
        return dict(zip((column[0] for column in self._cursor.description), values, strict=True)) if values else None

    def some(self, database: str, table: str, condition: str) -> dict[str, Text] | None:
        """A row that fulfils a condition; None if there is none."""
        self._cursor.execute(f"SELECT * FROM `{self._schemas[database]}`.`{table}` WHERE {condition} LIMIT 1")
        values = self._cursor.fetchone()
        return dict(zip((column[0] for column in self._cursor.description), values, strict=True)) if values else None

    def update(self, database: str, table: str, where: Mapping[str, Any], **values: Any) -> None:
        """Change a row, if it is still there."""
        before = self.read(database, table, where)
        if before is None:
            return
        sets = ", ".join(f"`{column}` = %s" for column in values)
        terms = " AND ".join(f"`{column}` = %s" for column in where)
        sql = f"UPDATE `{self._schemas[database]}`.`{table}` SET {sets} WHERE {terms}"
        self._cursor.execute(sql, (*values.values(), *where.values()))
        after = self.read(database, table, where)
        assert after is not None
        row = self._row(database, table, before)
        self.changes.append((row, {c: before[c] for c in values}, {c: after[c] for c in values}))

    def count(self, database: str, table: str, where: Mapping[str, Any], column: str, **values: Any) -> None:
        """Add one to a counter, and change other columns."""
        before = self.read(database, table, where)
        if before is not None:
            self.update(database, table, where, **{column: int(before[column] or 0) + 1}, **values)

    def insert(self, database: str, table: str, **values: Any) -> int:
        """Add a row; returns the id that the database assigned."""
        columns = ", ".join(f"`{column}`" for column in values)
        marks = ", ".join(["%s"] * len(values))
        sql = f"INSERT INTO `{self._schemas[database]}`.`{table}` ({columns}) VALUES ({marks})"
        self._cursor.execute(sql, tuple(values.values()))
        number = int(self._cursor.lastrowid or 0)
        where = {column: values.get(column, number) for column in self._keys[database, table]}
        after = self.read(database, table, where)
        assert after is not None
        self.changes.append((self._row(database, table, after), None, after))
        return number

    def delete(self, database: str, table: str, where: Mapping[str, Any]) -> None:
        """Remove a row, if it is still there."""
        before = self.read(database, table, where)
        if before is None:
            return
        terms = " AND ".join(f"`{column}` = %s" for column in where)
        sql = f"DELETE FROM `{self._schemas[database]}`.`{table}` WHERE {terms}"
        self._cursor.execute(sql, tuple(where.values()))
        self.changes.append((self._row(database, table, before), before, None))

    def mark(self, service: str, number: int) -> None:
        """Say which transaction this is."""
        self._cursor.execute("REPLACE INTO soak.marks VALUES (%s, %s)", (service, number))

    def _row(self, database: str, table: str, image: Image) -> Row:
        return Row(database, table, tuple(image[column] for column in self._keys[database, table]))


#: what a service does once
Task = Callable[[Work, "Choice"], None]


class Choice:
    """Which rows a service takes: now and then those that a plan is about to change."""

    def __init__(self, rows: Mapping[tuple[str, str], Sequence[dict[str, Text]]], seed: str) -> None:
        self.chance = random.Random(seed)
        self.rows = rows
        self.focus: Mapping[tuple[str, str], Sequence[dict[str, Text]]] = {}

    def aim(self, ids: Mapping[tuple[str, str], set[Text]]) -> None:
        """Take rows with these ids more often than others."""
        found = {place: [row for row in rows if row["id"] in ids.get(place, ())] for place, rows in self.rows.items()}
        self.focus = {place: rows for place, rows in found.items() if rows}

    def one(self, database: str, table: str) -> dict[str, Text]:
        """A row as it was when the cycle began: take its keys, not its values."""
        wanted = self.focus.get((database, table))
        if wanted and self.chance.random() < 0.3:
            return self.chance.choice(wanted)
        return self.chance.choice(self.rows[database, table])

    def cell(self, table: str) -> str:
        """A cell with such rows."""
        return self.chance.choice(sorted(database for database, name in self.rows if name == table))


class Service(threading.Thread):
    """One service: does one of its tasks after the other until it is told to stop."""

    def __init__(
        self, name: str, tasks: Sequence[Task], nodes: Sequence[Node], choice: Choice, schemas: Schemas, keys: Keys,
        pause: float,
    ) -> None:  # fmt: skip
        super().__init__(name=name, daemon=True)
        self._tasks, self._nodes, self._schemas, self._keys = tasks, nodes, schemas, keys
        self.choice, self._pause = choice, pause
        self._chance = random.Random(f"{name} {choice.chance.random()}")
        self._at = self._chance.randrange(len(nodes))
        self._connection: pymysql.Connection[Any] | None = None
        self._number, self._over = time.time_ns(), threading.Event()  # greater than any before
        self._may, self._rests = threading.Event(), threading.Event()
        self.commits: list[Change] = []
        self.counts = {"commits": 0, "refused": 0, "unknown": 0}
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Work until told to stop."""
        try:
            while not self._over.is_set():
                if not self._may.is_set():
                    self._rests.set()
                    self._may.wait(0.1)
                    continue
                self._rests.clear()
                self._once(self._chance.choice(self._tasks))
                self._over.wait(self._chance.expovariate(1 / self._pause))
        except BaseException as problem:  # noqa: BLE001 - raised again by whoever waits for it
            self.failure = problem
            self._rests.set()

    def go(self) -> None:
        """Let it work."""
        self._rests.clear()
        self._may.set()

    def rest(self) -> None:
        """Let it finish what it is at; then it writes nothing."""
        self._may.clear()

    def rested(self) -> None:
        """Wait until it writes nothing."""
        assert self._rests.wait(120), f"{self.name} does not come to rest"
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """End it."""
        self._over.set()
        self.join(120)
        self._away()

    def _once(self, task: Task) -> None:
        """One transaction, recorded if it was committed."""
        self._number += 1
        try:
            connection = self._connected()
            begun = time.time()
            with connection.cursor() as cursor:
                work = Work(cursor, self._schemas, self._keys)
                task(work, self.choice)
                work.mark(self.name, self._number)
            is_kept = self._committed(connection)
        except pymysql.MySQLError as problem:
            self._lost(problem)
            return
        if is_kept:
            ended = time.time()
            self.counts["commits"] += 1
            self.commits += [
                Change(who=self.name, row=row, begun=begun, ended=ended, before=before, after=after)
                for row, before, after in work.changes
            ]

    def _committed(self, connection: pymysql.Connection[Any]) -> bool:
        try:
            connection.commit()
        except pymysql.MySQLError as problem:
            if problem.args and problem.args[0] == _CONFLICT:
                raise
            self.counts["unknown"] += 1
            self._away()
            return self._is_in()
        return True

    def _is_in(self) -> bool:
        """Whether the cluster has the last transaction: asked until a node answers."""
        deadline = time.monotonic() + 90
        while True:
            with suppress(pymysql.MySQLError), self._connected().cursor() as cursor:
                cursor.execute("SELECT number FROM soak.marks WHERE service = %s FOR UPDATE", (self.name,))
                found = cursor.fetchone()
                self._connected().rollback()
                return found is not None and int(found[0]) == self._number
            self._away()
            assert time.monotonic() < deadline, f"{self.name} finds no node that answers"
            time.sleep(0.5)

    def _lost(self, problem: pymysql.MySQLError) -> None:
        """A transaction that was not committed."""
        self.counts["refused"] += 1
        if problem.args and problem.args[0] in _REFUSED and self._connection is not None:
            with suppress(pymysql.MySQLError):
                self._connection.rollback()
                return
        self._away()
        time.sleep(0.2)

    def _connected(self) -> pymysql.Connection[Any]:
        if self._connection is None:
            self._at = (self._at + 1) % len(self._nodes)
            self._connection = raw(self._nodes[self._at])
        return self._connection

    def _away(self) -> None:
        if self._connection is not None:
            with suppress(pymysql.MySQLError):
                self._connection.close()
            self._connection = None


def now() -> str:
    """As services write it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def heartbeat(work: Work, choice: Choice) -> None:
    """nova-compute and nova-conductor report."""
    cell = choice.cell("services")
    where = {"id": choice.one(cell, "services")["id"]}
    work.count(cell, "services", where, "report_count", last_seen_up=now(), updated_at=now())


def agent(work: Work, choice: Choice) -> None:
    """A Neutron agent reports."""
    work.update("neutron", "agents", {"id": choice.one("neutron", "agents")["id"]}, heartbeat_timestamp=now())


def backend(work: Work, choice: Choice) -> None:
    """cinder-volume reports."""
    where = {"id": choice.one("cinder", "services")["id"]}
    work.count("cinder", "services", where, "report_count", updated_at=now())


def server(work: Work, choice: Choice) -> None:
    """nova-compute begins an operation on a server, or ends its own."""
    cell = choice.cell("instances")
    where = {"id": choice.one(cell, "instances")["id"]}
    found = work.read(cell, "instances", where)
    if found is None or found["deleted"] != "0" or found["task_state"] not in (None, "rebooting"):
        return
    state = "rebooting" if found["task_state"] is None else None
    work.update(cell, "instances", where, task_state=state, updated_at=now())


def healed(work: Work, choice: Choice) -> None:
    """nova-compute has looked at the network of a server."""
    cell = choice.cell("instance_info_caches")
    where = {"id": choice.one(cell, "instance_info_caches")["id"]}
    work.update(cell, "instance_info_caches", where, updated_at=now())


def fault(work: Work, choice: Choice) -> None:
    """An operation failed."""
    cell = choice.cell("instances")
    work.insert(
        cell, "instance_faults", instance_uuid=choice.one(cell, "instances")["uuid"], code=500, message="soaked",
        created_at=now(), deleted=0,
    )  # fmt: skip


def port(work: Work, choice: Choice) -> None:
    """The agent has wired a port, or lost it: every such change counts its revision."""
    found = work.read("neutron", "ports", {"id": choice.one("neutron", "ports")["id"]})
    if found is None or found["status"] not in ("ACTIVE", "DOWN"):
        return
    status = "DOWN" if found["status"] == "ACTIVE" else "ACTIVE"
    work.update("neutron", "ports", {"id": found["id"]}, status=status)
    where = {"id": found["standard_attr_id"]}
    work.count("neutron", "standardattributes", where, "revision_number", updated_at=now())


def made(work: Work, choice: Choice) -> None:
    """Somebody creates a port without a server."""
    like, number = choice.one("neutron", "ports"), f"{choice.chance.getrandbits(40):010x}"
    attribute = work.insert(
        "neutron",
        "standardattributes",
        resource_type="ports",
        revision_number=0,
        created_at=now(),
        updated_at=now(),
        description="soaked",
    )
    work.insert(
        "neutron",
        "ports",
        id=f"50ac0000-0000-4000-8000-00{number}",
        project_id=like["project_id"],
        name="",
        network_id=like["network_id"],
        mac_address=":".join(["fa", *(number[at : at + 2] for at in range(0, 10, 2))]),
        admin_state_up=1,
        status="DOWN",
        device_id="",
        device_owner="",
        standard_attr_id=attribute,
        ip_allocation="none",
    )


def unmade(work: Work, choice: Choice) -> None:
    """Somebody deletes a port again that was created meanwhile."""
    found = work.some("neutron", "ports", "id LIKE '50ac0000%'")
    if found is not None:
        work.delete("neutron", "ports", {"id": found["id"]})
        work.delete("neutron", "standardattributes", {"id": found["standard_attr_id"]})


def provider(work: Work, choice: Choice) -> None:
    """Placement changes something of a resource provider."""
    where = {"id": choice.one("placement", "resource_providers")["id"]}
    work.count("placement", "resource_providers", where, "generation", updated_at=now())


def volume(work: Work, choice: Choice) -> None:
    """cinder-volume writes a volume."""
    work.update("cinder", "volumes", {"id": choice.one("cinder", "volumes")["id"]}, updated_at=now())


#: name of a service -> what it does, and seconds between two of its transactions
SERVICES: Mapping[str, tuple[Sequence[Task], float]] = {
    "nova": ((heartbeat, server, healed, fault), 0.15),
    "neutron": ((agent, port, port, made, unmade), 0.15),
    "cinder": ((backend, volume), 0.3),
    "placement": ((provider,), 0.5),
}
#: tables whose rows are chosen from
TABLES = {
    "nova": ("services", "instances", "instance_info_caches"),
    "neutron": ("agents", "ports"),
    "cinder": ("services", "volumes"),
    "placement": ("resource_providers",),
}
