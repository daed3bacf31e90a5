# SPDX-License-Identifier: Apache-2.0
"""Only one run at a time may write to a cloud: the one with the lease in the journal (docs/adr/0019).

A lease is taken, renewed and released by compare-and-swap on its owner, a random token. During a run, a thread renews
it, and every intent renews it in its own transaction: without the lease no intent is written, and so no step starts.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from stackmend.model.errors import JournalError, LeaseError, LockedError
from stackmend.model.journal import RunRecord

#: lifetime of a lease that is not renewed
LEASE = timedelta(seconds=60)
#: seconds between two renewals
BEAT = 10.0
#: lifetime of a stackmend 0.1 lock after its last heartbeat
SILENT = timedelta(minutes=15)

#: queries for the server's time; otherwise (SQLite) the time of this machine is used
_CLOCKS = {"mysql": "SELECT UTC_TIMESTAMP(6)", "mariadb": "SELECT UTC_TIMESTAMP(6)",
           "postgresql": "SELECT timezone('utc', clock_timestamp())"}  # fmt: skip

#: owners of the leases held by runs of this process; a run that could not write the journal leaves its lease behind
_OURS: set[str] = set()


def stamp() -> str:
    """Now, ISO 8601, UTC, with microseconds."""
    return _text(datetime.now(UTC))


def clock(connection: sa.Connection) -> datetime:
    """The current time of the journal's server: hosts that share it need not have synchronised clocks."""
    question = _CLOCKS.get(connection.dialect.name)
    if question is None:
        return datetime.now(UTC)
    found: datetime = connection.execute(sa.text(question)).scalar_one()
    return found.replace(tzinfo=UTC)


class Leases:
    """The leases of a journal. ``old``: the table of stackmend 0.1 locks, which are respected."""

    def __init__(self, table: sa.Table, old: sa.Table) -> None:
        self._table, self._old = table, old

    def take(self, connection: sa.Connection, cloud: str, run: RunRecord) -> str:
        """Take the lease on a cloud; returns its owner's token. LockedError while another run holds it.

        IntegrityError if two runs take a free lease at the same moment and the other one was faster.
        """
        now, table = clock(connection), self._table
        self._respect(connection, run)
        owner = secrets.token_hex(16)
        mine = {
            "owner": owner, "run": run.id, "operator": run.operator, "host": run.host, "pid": run.pid,
            "process": process(run.pid), "began": _text(now), **_renewed(now),
        }  # fmt: skip
        held = connection.execute(sa.select(table).where(table.c.cloud == cloud)).mappings().one_or_none()
        if held is None:
            connection.execute(sa.insert(table).values(cloud=cloud, **mine))
            return owner
        if _holds(held, now):
            raise _refusal(held, now)
        same = (table.c.cloud == cloud) & (table.c.owner == held["owner"]) & (table.c.beat == held["beat"])
        if not connection.execute(sa.update(table).where(same).values(**mine)).rowcount:
            raise LockedError(
                f"run {held['run']} of {held['operator']} on {held['host']} has just renewed its lease",
                "Check 'stackmend run list', then try again.",
            )
        return owner

    def renew(self, connection: sa.Connection, cloud: str, owner: str) -> None:
        """Renew the lease; LeaseError if another run now holds it."""
        table, now = self._table, clock(connection)
        mine = (table.c.cloud == cloud) & (table.c.owner == owner)
        if connection.execute(sa.update(table).where(mine).values(**_renewed(now))).rowcount:
            return
        held = connection.execute(sa.select(table).where(table.c.cloud == cloud)).mappings().one_or_none()
        who = f"run {held['run']} of {held['operator']} on {held['host']} holds it" if held else "it was released"
        raise LeaseError(
            f"the lease on this cloud was lost because this process did not renew it: {who}",
            "No further step was started. 'stackmend run list' shows the state.",
        )

    def give(self, connection: sa.Connection, cloud: str, owner: str) -> None:
        """Release the lease."""
        table = self._table
        connection.execute(sa.delete(table).where(table.c.cloud == cloud, table.c.owner == owner))

    @staticmethod
    def keep(owner: str) -> None:
        """Register that a run of this process holds its lease."""
        _OURS.add(owner)

    @staticmethod
    def leave(owner: str) -> None:
        """Register that no run of this process holds it any more, whether or not the journal was updated."""
        _OURS.discard(owner)

    def living(self, connection: sa.Connection) -> set[str]:
        """Ids of the runs that hold a lease."""
        now = clock(connection)
        held = connection.execute(sa.select(self._table)).mappings().all()
        old = connection.execute(sa.select(self._old.c.run, self._old.c.beat)).all()
        return {row["run"] for row in held if _holds(row, now)} | {run for run, beat in old if _recent(beat, now)}

    def _respect(self, connection: sa.Connection, run: RunRecord) -> None:
        """LockedError while a run of stackmend 0.1 holds its lock; an expired lock is removed."""
        table, now = self._old, clock(connection)
        held = connection.execute(sa.select(table).where(table.c.cloud == run.cloud)).mappings().one_or_none()
        if held is None:
            return
        if _recent(held["beat"], now):
            raise LockedError(
                f"run {held['run']} of {held['operator']} on {held['host']} (process {held['pid']}), started by an"
                " older stackmend, is writing to this cloud",
                f"Wait for it to end. If its process no longer exists, its lock expires {SILENT.seconds // 60} minutes"
                f" after its last heartbeat, {held['beat']}; then run 'stackmend run resume {held['run']}'.",
            )
        same = (table.c.cloud == run.cloud) & (table.c.beat == held["beat"])
        connection.execute(sa.delete(table).where(same))


def _renewed(now: datetime) -> dict[str, str]:
    return {"beat": _text(now), "expires": _text(now + LEASE)}


def _holds(held: sa.RowMapping, now: datetime) -> bool:
    """Whether the lease is valid. A visible process is stronger evidence than the clock."""
    expired = datetime.fromisoformat(held["expires"]) <= now
    there = lives(held["process"], held["pid"])
    if there and held["pid"] == os.getpid():
        return held["owner"] in _OURS and not expired
    return not expired if there is None else there


def _refusal(held: sa.RowMapping, now: datetime) -> LockedError:
    silent = max(0, round((now - datetime.fromisoformat(held["beat"])).total_seconds()))
    hint = "Wait for it to end, or interrupt it: 'stackmend run resume' continues it later."
    if lives(held["process"], held["pid"]) is None:
        left = max(0, round((datetime.fromisoformat(held["expires"]) - now).total_seconds()))
        hint = (
            f"Wait for it to end. If its process no longer exists, its lease expires in {left} s; then run"
            f" 'stackmend run resume {held['run']}'."
        )
    elif silent > LEASE.total_seconds():
        hint = (
            f"Its process {held['pid']} exists but does not renew its lease: is it suspended? Continue it, or end it."
        )
    return LockedError(
        f"run {held['run']} of {held['operator']} on {held['host']} (process {held['pid']}) is writing to this cloud;"
        f" last heartbeat {silent} s ago",
        hint,
    )


def _recent(beat: str, now: datetime) -> bool:
    return now - datetime.fromisoformat(beat) <= SILENT


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


# -- processes


def process(pid: int) -> str:
    """Identifies a process of this kernel: boot, PID namespace, start time. "" if unknown."""
    found = _stat(pid)
    return f"{_kernel()} {found[1]}" if found and _kernel() else ""


def lives(known: str, pid: int) -> bool | None:
    """Whether the process described by :func:`process` exists; None if it is not visible from here."""
    kernel, _, start = known.rpartition(" ")
    if not kernel or kernel != _kernel():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    except OverflowError:
        return None
    found = _stat(pid)
    if found is None:
        return None
    return found[0] not in "ZX" and found[1] == start


def _kernel() -> str:
    """This boot of this machine and this PID namespace; "" if /proc does not show them."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""  # /proc belongs to another namespace
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"
    except (OSError, ValueError):
        return ""


def _stat(pid: int) -> tuple[str, str] | None:
    """(state, clock ticks from boot to start) of a process; None if it is not visible."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return None


class Heartbeat:
    """Calls ``beat`` periodically from a separate thread, however long a step of the run takes."""

    def __init__(self, beat: Callable[[], Any], every: float = BEAT) -> None:
        self._beat, self._every = beat, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(self._every)  # do not wait for a journal that hangs

    def _go(self) -> None:
        while not self._over.wait(self._every):
            try:
                # a journal that does not answer may recover: until then the lease ages
                with suppress(JournalError):
                    self._beat()
            except LeaseError:
                return  # the run notices the lost lease at its next intent
