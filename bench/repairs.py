# SPDX-License-Identifier: Apache-2.0
"""Repairs: the runner and its journal, against the guarded single statements of a careful script.

Both change ``neutron.ports.status`` of different ports by compare-and-swap. Both record how to undo each change before
they make it (SQLite, WAL, ``synchronous=FULL``), and keep the database durable (``innodb_flush_log_at_trx_commit=1``).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from stackmend.app.apis import SystemClock
from stackmend.app.session import no_progress, utcnow
from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.drivers.writing.seal import Sealer
from stackmend.drivers.writing.writer import DatabaseWriter
from stackmend.engine.auditing.confirm import Confirmed
from stackmend.engine.running.lanes import lanes
from stackmend.engine.running.runner import Runner, Tools
from stackmend.model.journal import RunRecord
from stackmend.model.plan import Action
from stackmend.model.repair import Risk
from stackmend.model.step import UpdateRow
from stackmend_lab.mariadb import MariaDB

_SQL = "UPDATE ports SET status = %s WHERE id = %s AND status = %s"


def ports(server: MariaDB, status: str, number: int) -> list[str]:
    """The ids of ``number`` ports with that status."""
    connection = server.connect("neutron")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM ports WHERE status = %s ORDER BY id LIMIT %s", (status, number))
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


def single(server: MariaDB, folder: Path, ids: list[str], before: str, after: str) -> None:
    """One statement and one journal entry for each port."""
    undo = sqlite3.connect(folder / "undo.sqlite", isolation_level=None)
    undo.execute("PRAGMA journal_mode = WAL")
    undo.execute("PRAGMA synchronous = FULL")
    undo.execute("CREATE TABLE IF NOT EXISTS undo (id TEXT, was TEXT)")
    connection = server.connect("neutron")
    try:
        with connection.cursor() as cursor:
            for port in ids:
                undo.execute("INSERT INTO undo VALUES (?, ?)", (port, before))
                if cursor.execute(_SQL, (after, port, before)) != 1:
                    raise RuntimeError(f"port {port} is not {before}")
    finally:
        connection.close()
        undo.close()


def batched(server: MariaDB, folder: Path, ids: list[str], before: str, after: str, run: str) -> None:
    """The same through stackmend: an action for each port, journalled and compared row by row."""
    address = Address.from_url(server.url("neutron"))
    places = {"neutron": address}
    journal = DatabaseJournal(f"sqlite:///{folder}/journal.sqlite")
    writer = DatabaseWriter(places, {}, Sealer(folder / "journal.key"))
    actions = [_action(number, port, before, after) for number, port in enumerate(ids)]
    record = RunRecord(
        id=run, kind="undo", plan="bench", sha256="", cloud="bench", version="", operator="", host="",
        pid=os.getpid(), created_at=utcnow(),
    )  # fmt: skip
    tools = Tools(
        journal=journal,
        writer=writer,
        ask=lambda _: Confirmed(),
        progress=no_progress,
        executors={},
        clock=SystemClock(),
    )
    try:
        journal.begin(record, actions)
        result = Runner(tools, record, lanes(actions)).run(checked=False)
    finally:
        writer.close()
        journal.close()
    if result.done != len(ids):
        raise RuntimeError(f"{result.done} of {len(ids)} repairs were done: {result.notes[:3]}")


def _action(number: int, port: str, before: str, after: str) -> Action:
    step = UpdateRow(
        database="neutron", table="ports", pk={"id": port}, before={"status": before}, after={"status": after}
    )
    return Action(
        id=f"a{number}", check="", key={"port": port}, fingerprint="", resource_type="port", resource_id=port,
        message="", target={}, repair="bench", strategy="db", risk=Risk.SAFE, stage=0, steps=(step,),
    )  # fmt: skip
