# SPDX-License-Identifier: Apache-2.0
"""One run at a time may write to a cloud: a row in the journal says which one."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from stackmend.model.errors import LockedError
from stackmend.model.journal import RunRecord

#: a holder on another host that has not been heard of for so long may be replaced by a resume of its own run
SILENT = timedelta(minutes=15)


def stamp() -> str:
    """Now, ISO 8601, UTC, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Locks:
    """The locks of a journal."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table

    def take(self, connection: sa.Connection, cloud: str, run: RunRecord) -> None:
        """Insert the lock, or take over one whose process is dead; LockedError while it is held."""
        table = self._table
        held = connection.execute(sa.select(table).where(table.c.cloud == cloud)).mappings().one_or_none()
        mine = {"cloud": cloud, "run": run.id, "host": run.host, "pid": run.pid, "operator": run.operator}
        if held is None:
            connection.execute(sa.insert(table).values(**mine, beat=stamp()))
            return
        if not self._free(held, run):
            raise LockedError(
                f"run {held['run']} of {held['operator']} on {held['host']} (process {held['pid']}) is writing to this"
                " cloud",
                f"Wait for it to end. If its process is gone, run 'stackmend run resume {held['run']}'.",
            )
        connection.execute(
            sa.update(table)
            .where(table.c.cloud == cloud, table.c.run == held["run"], table.c.pid == held["pid"])
            .values(**mine, beat=stamp())
        )

    def beat(self, connection: sa.Connection, cloud: str, run: str) -> None:
        """Note that the holder is alive."""
        table = self._table
        connection.execute(sa.update(table).where(table.c.cloud == cloud, table.c.run == run).values(beat=stamp()))

    def give(self, connection: sa.Connection, cloud: str, run: str) -> None:
        """Delete the lock of this run."""
        connection.execute(sa.delete(self._table).where(self._table.c.cloud == cloud, self._table.c.run == run))

    def _free(self, held: sa.RowMapping, run: RunRecord) -> bool:
        if held["host"] == run.host:
            return held["pid"] == run.pid or not alive(held["pid"])
        silent = datetime.now(UTC) - datetime.fromisoformat(held["beat"]) > SILENT
        return bool(held["run"] == run.id and silent)


def alive(pid: int) -> bool:
    """Whether a process of this host exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
