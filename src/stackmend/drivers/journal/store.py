# SPDX-License-Identifier: Apache-2.0
"""The journal in a database: SQLite (WAL, synchronous=FULL) by default, any SQLAlchemy URL otherwise.

With a database server, a run started on one controller can be resumed on another (docs/adr/0002).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from stackmend.drivers.database.patience import SILENCE, waiting
from stackmend.drivers.database.urls import parsed
from stackmend.drivers.journal.lease import Leases, stamp
from stackmend.model.errors import JournalError, StackmendError, UsageError
from stackmend.model.journal import FindingHistory, JournalEntry, Remark, RunRecord, RunState, Waiver
from stackmend.model.plan import Action, Limits, action_of, from_json, step_dict, to_json
from stackmend.model.step import StepState

#: version of the tables below; other versions are refused
VERSION = "2"
#: older versions whose tables are all among those below: the missing ones are added
_OLDER = ("1",)
#: seconds to wait for another process that writes to a file
_LOCKED = 30
#: rows per statement, so that packets do not get too large
_CHUNK = 1000

_LONG = sa.Text(2**32 - 1)
_META = sa.MetaData()


def _table(name: str, *columns: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(f"stackmend_{name}", _META, *columns, mysql_engine="InnoDB", mysql_charset="utf8mb4")


def _key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


_ABOUT = _table("meta", _key("name", sa.String(32)), sa.Column("value", sa.String(64)))
_RUNS = _table(
    "runs",
    _key("id", sa.String(40)),
    *(sa.Column(n, sa.String(16)) for n in ("kind", "state")),
    *(sa.Column(n, sa.String(64)) for n in ("plan", "sha256", "cloud", "version", "undoes")),
    *(sa.Column(n, sa.String(255)) for n in ("operator", "host")),
    sa.Column("pid", sa.Integer),
    *(sa.Column(n, sa.String(40)) for n in ("created_at", "ended_at")),
    sa.Column("limits", sa.Text),
)
_ACTIONS = _table("actions", _key("run", sa.String(40)), _key("number", sa.Integer), sa.Column("data", _LONG))
_STEPS = _table(
    "steps",
    _key("run", sa.String(40)),
    _key("number", sa.Integer),
    sa.Column("action", sa.Integer),
    sa.Column("data", _LONG),
)
_ENTRIES = _table(
    "entries",
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("run", sa.String(40), index=True),
    sa.Column("step", sa.Integer),
    sa.Column("state", sa.String(16)),
    sa.Column("image", _LONG),
    sa.Column("note", sa.Text),
    sa.Column("batch", sa.Integer),
    sa.Column("at", sa.String(40)),
)
_REMARKS = _table(
    "remarks",
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("run", sa.String(40), index=True),
    sa.Column("at", sa.String(40)),
    sa.Column("text", sa.Text),
)
_LEASES = _table(
    "leases",
    _key("cloud", sa.String(64)),
    sa.Column("owner", sa.String(32)),
    sa.Column("run", sa.String(40)),
    *(sa.Column(n, sa.String(255)) for n in ("operator", "host")),
    sa.Column("pid", sa.Integer),
    sa.Column("process", sa.String(128)),
    *(sa.Column(n, sa.String(40)) for n in ("began", "beat", "expires")),
)
#: from version 1, still respected
_LOCKS = _table(
    "locks",
    _key("cloud", sa.String(64)),
    sa.Column("run", sa.String(40)),
    *(sa.Column(n, sa.String(255)) for n in ("host", "operator")),
    sa.Column("pid", sa.Integer),
    sa.Column("beat", sa.String(40)),
)
_FINDINGS = _table(
    "findings",
    _key("cloud", sa.String(64)),
    _key("fingerprint", sa.String(16)),
    sa.Column("check", sa.String(64)),
    *(sa.Column(n, sa.String(40)) for n in ("first_seen", "since", "last_seen", "gone")),
)
_WAIVERS = _table(
    "waivers",
    _key("cloud", sa.String(64)),
    _key("id", sa.String(16)),
    *(sa.Column(n, sa.Text) for n in ("reason", "owner")),
    *(sa.Column(n, sa.String(40)) for n in ("created_at", "expires")),
    sa.Column("fingerprint", sa.String(16)),
    sa.Column("check", sa.String(64)),
    sa.Column("resource", sa.String(255)),
)


class DatabaseJournal:
    """A :class:`stackmend.model.protocols.Journal` and ``FindingStore`` in the database with this SQLAlchemy URL.

    ``silence``: seconds after which a MariaDB or MySQL server that does not answer is given up.
    """

    def __init__(self, url: str, silence: float = SILENCE) -> None:
        self._silence = silence
        try:
            self._url = parsed(url)
            self._shown = self._url.render_as_string(hide_password=True)
            self._engine = sa.create_engine(self._url, **self._options())
        except (ValueError, sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as problem:
            raise JournalError(
                f"the journal has no usable URL: {problem}", "Check 'journal' in the TOML file."
            ) from None
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _durable)
        self._leases = Leases(_LEASES, _LOCKS)
        self._held: dict[str, tuple[str, str]] = {}  #: run -> the lease it holds: (cloud, owner)
        self._ready = False

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # -- runs

    def begin(self, run: RunRecord, actions: Sequence[Action]) -> None:
        """Record a run and all its steps as planned, in one transaction."""
        rows = [(number, action) for number, action in enumerate(actions)]
        steps = [(number, step) for number, action in rows for step in action.steps]
        with self._writing() as connection:
            self._renew(connection, run.id)
            values = asdict(run) | {"state": run.state.value, "limits": to_json(asdict(run.limits))}
            connection.execute(sa.insert(_RUNS).values(**values))
            _insert(
                connection,
                _ACTIONS,
                [{"run": run.id, "number": n, "data": to_json(_without_steps(a))} for n, a in rows],
            )
            _insert(
                connection,
                _STEPS,
                [
                    {"run": run.id, "number": n, "action": a, "data": to_json(step_dict(step))}
                    for n, (a, step) in enumerate(steps)
                ],
            )

    def note(self, run: str, entries: Sequence[JournalEntry]) -> None:
        """Append entries in one transaction; they are on disk when this returns.

        LeaseError for intents of a run that has lost its lease: then none of them is written. Outcomes are
        written even then.
        """
        at = stamp()
        rows = [
            {
                "run": run,
                "step": e.step,
                "state": e.state.value,
                "image": None if e.image is None else to_json(e.image),
                "note": e.note,
                "batch": e.batch,
                "at": at,
            }
            for e in entries
        ]
        with self._writing() as connection:
            if any(entry.state is StepState.INTENT for entry in entries):
                self._renew(connection, run)
            _insert(connection, _ENTRIES, rows)

    def remark(self, run: str, text: str) -> None:
        """Add a remark about a run as a whole."""
        with self._writing() as connection:
            connection.execute(sa.insert(_REMARKS).values(run=run, at=stamp(), text=text))

    def remarks(self, run: str) -> list[Remark]:
        """The remarks about a run as a whole, in the order written."""
        with self._reading() as connection:
            asked = sa.select(_REMARKS.c.at, _REMARKS.c.text).where(_REMARKS.c.run == run).order_by(_REMARKS.c.id)
            return [Remark(at, text) for at, text in connection.execute(asked)]

    def end(self, run: str, state: RunState) -> None:
        """Close a run (or reopen it: RUNNING); LeaseError if another process now holds its lease."""
        ended = "" if state is RunState.RUNNING else stamp()
        with self._writing() as connection:
            self._renew(connection, run)
            connection.execute(sa.update(_RUNS).where(_RUNS.c.id == run).values(state=state.value, ended_at=ended))

    def run(self, run: str) -> RunRecord:
        """One run, by its id or a prefix of it; UsageError for none or several."""
        found = [record for record in self.runs() if record.id.startswith(run)] if run else []
        exact = [record for record in found if record.id == run] or found
        if len(exact) != 1:
            what = "no run" if not exact else f"more than one run ({len(exact)})"
            raise UsageError(f"the journal has {what} {run!r}", "See 'stackmend run list'.")
        return exact[0]

    def runs(self) -> list[RunRecord]:
        """All runs, newest first; a run that has not ended and holds no lease is CUT_OFF."""
        with self._reading() as connection:
            living = self._leases.living(connection)
            found = connection.execute(sa.select(_RUNS).order_by(_RUNS.c.created_at.desc())).mappings().all()
        with self._decoding("a run"):
            return [
                RunRecord(**{**row, "state": _state(row, living), "limits": Limits(**from_json(row["limits"]))})
                for row in found
            ]

    def actions(self, run: str) -> list[Action]:
        """The actions of a run, with their steps."""
        with self._reading() as connection:
            heads = connection.execute(
                sa.select(_ACTIONS.c.data).where(_ACTIONS.c.run == run).order_by(_ACTIONS.c.number)
            ).all()
            found = connection.execute(
                sa.select(_STEPS.c.action, _STEPS.c.data).where(_STEPS.c.run == run).order_by(_STEPS.c.number)
            ).all()
        steps: dict[int, list[Any]] = {}
        with self._decoding(f"an action of run {run}"):
            for action, data in found:
                steps.setdefault(action, []).append(from_json(data))
            return [action_of(from_json(data) | {"steps": steps.get(n, [])}) for n, (data,) in enumerate(heads)]

    def entries(self, run: str) -> list[JournalEntry]:
        """Every entry of a run, in the order written."""
        columns = (_ENTRIES.c[name] for name in ("step", "state", "image", "note", "batch", "at"))
        with self._reading() as connection:
            found = connection.execute(sa.select(*columns).where(_ENTRIES.c.run == run).order_by(_ENTRIES.c.id)).all()
        with self._decoding(f"an entry of run {run}"):
            return [
                JournalEntry(step, StepState(state), None if image is None else from_json(image), note, batch, at)
                for step, state, image, note, batch, at in found
            ]

    # -- the lease

    def lock(self, cloud: str, run: RunRecord) -> None:
        """Take the lease on a cloud for this run; LockedError while another run holds it."""
        try:
            with self._writing() as connection:
                owner = self._leases.take(connection, cloud, run)
        except JournalError as problem:
            # two runs started at the same moment: the other one was faster, and the second read identifies it
            if not isinstance(problem.__cause__, sa.exc.IntegrityError):
                raise
            with self._writing() as connection:
                owner = self._leases.take(connection, cloud, run)
        self._held[run.id] = (cloud, owner)
        self._leases.keep(owner)

    def beat(self, run: str) -> None:
        """Renew the lease; LeaseError if another run now holds it."""
        with self._writing() as connection:
            self._renew(connection, run)

    def unlock(self, run: str) -> None:
        """Release the lease."""
        if run in self._held:
            cloud, owner = self._held.pop(run)
            self._leases.leave(owner)
            with self._writing() as connection:
                self._leases.give(connection, cloud, owner)

    def _renew(self, connection: sa.Connection, run: str) -> None:
        if run in self._held:
            self._leases.renew(connection, *self._held[run])

    # -- memory

    def remembered(self, cloud: str) -> dict[str, FindingHistory]:
        """Fingerprint -> its history."""
        with self._reading() as connection:
            found = connection.execute(sa.select(_FINDINGS).where(_FINDINGS.c.cloud == cloud)).mappings().all()
        return {row["fingerprint"]: FindingHistory(**{k: v for k, v in row.items() if k != "cloud"}) for row in found}

    def remember(self, cloud: str, seen: Mapping[str, str], gone: Sequence[str], now: str) -> None:
        """Record findings seen (fingerprint -> check) and fingerprints that a full audit did not find again."""
        known = self.remembered(cloud)
        new = [
            {
                "cloud": cloud,
                "fingerprint": f,
                "check": c,
                "first_seen": now,
                "since": now,
                "last_seen": now,
                "gone": "",
            }
            for f, c in seen.items()
            if f not in known
        ]
        mine = (_FINDINGS.c.cloud == cloud) & (_FINDINGS.c.fingerprint == sa.bindparam("which"))
        back = [{"which": f} for f in seen if f in known and known[f].gone]
        still = [{"which": f} for f in seen if f in known]
        lost = [{"which": f} for f in gone if f in known and not known[f].gone]
        with self._writing() as connection:
            _insert(connection, _FINDINGS, new)
            for rows, values in (
                (still, {"last_seen": now}),
                (back, {"since": now, "gone": ""}),
                (lost, {"gone": now}),
            ):
                if rows:
                    connection.execute(sa.update(_FINDINGS).where(mine).values(**values), rows)

    def waivers(self, cloud: str) -> list[Waiver]:
        """All waivers including expired ones, oldest first."""
        with self._reading() as connection:
            found = connection.execute(
                sa.select(_WAIVERS).where(_WAIVERS.c.cloud == cloud).order_by(_WAIVERS.c.created_at)
            ).mappings()
            return [Waiver(**{k: v for k, v in row.items() if k != "cloud"}) for row in found]

    def waive(self, cloud: str, waiver: Waiver) -> None:
        """Add a waiver."""
        with self._writing() as connection:
            connection.execute(sa.insert(_WAIVERS).values(cloud=cloud, **asdict(waiver)))

    def unwaive(self, cloud: str, waiver: str) -> None:
        """Remove a waiver; UsageError if there is none with that id."""
        with self._writing() as connection:
            done = connection.execute(sa.delete(_WAIVERS).where(_WAIVERS.c.cloud == cloud, _WAIVERS.c.id == waiver))
            if not done.rowcount:
                raise UsageError(f"there is no waiver {waiver!r}", "See 'stackmend finding waivers'.")

    # -- connections

    def _options(self) -> dict[str, Any]:
        if self._url.get_backend_name() == "sqlite":
            return {"connect_args": {"timeout": _LOCKED}}
        options: dict[str, Any] = {"pool_pre_ping": True}
        if self._url.get_backend_name() in ("mysql", "mariadb"):
            seconds = max(1, round(self._silence))
            options["connect_args"] = {"connect_timeout": 10, "read_timeout": seconds, "write_timeout": seconds}
        return options

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._guarded("written"):
            self._prepare()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._guarded("read"):
            self._prepare()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            # the error message may quote a row
            raise JournalError(
                f"the journal {self._shown} contains {what} that this version of stackmend cannot read",
                "It is damaged, or a later version wrote it: use that version, or restore the journal from a backup.",
            ) from problem

    @contextmanager
    def _guarded(self, verb: str) -> Iterator[None]:
        try:
            with waiting("the journal", f"it is to be {verb}", self._silence):
                yield
        except StackmendError:
            raise
        except (sa.exc.SQLAlchemyError, OSError) as problem:
            # SQLAlchemy's own message quotes the values: only the driver's is shown
            text = getattr(problem, "orig", None) or getattr(problem, "strerror", None) or type(problem).__name__
            raise JournalError(
                f"the journal {self._shown} cannot be {verb}: {text}",
                "Nothing is changed without a journal: check space and permissions, or set 'journal' to another URL.",
            ) from problem

    def _prepare(self) -> None:
        if self._ready:
            return
        if self._url.get_backend_name() == "sqlite" and self._url.database not in (None, "", ":memory:"):
            _private(Path(str(self._url.database)))
        self._create()
        with self._engine.begin() as connection:
            found = connection.execute(sa.select(_ABOUT.c.value).where(_ABOUT.c.name == "version")).scalar()
            if found in _OLDER:
                connection.execute(sa.update(_ABOUT).where(_ABOUT.c.name == "version").values(value=VERSION))
            elif found != VERSION:
                raise JournalError(
                    f"the journal {self._shown} has version {found}, this stackmend uses {VERSION}",
                    "Use the version of stackmend that wrote it, or set 'journal' to another URL.",
                )
        self._ready = True

    def _create(self) -> None:
        """Add what is missing; others that do so at the same moment win, and what they have made is kept."""
        for last in (*(False for _ in _META.tables), True):
            try:
                _META.create_all(self._engine)
                with self._engine.begin() as connection:
                    if not connection.execute(sa.select(sa.exists(sa.select(_ABOUT.c.name)))).scalar():
                        connection.execute(sa.insert(_ABOUT).values(name="version", value=VERSION))
                return
            except sa.exc.DBAPIError as problem:
                if last or not _exists_already(problem):
                    raise


def _exists_already(problem: sa.exc.DBAPIError) -> bool:
    """Whether a table, or a row with this key, has been there since it was looked for."""
    return isinstance(problem, sa.exc.IntegrityError) or "already exists" in str(problem.orig)


def _state(row: sa.RowMapping, living: Collection[str]) -> RunState:
    state = RunState(row["state"])
    return RunState.CUT_OFF if state is RunState.RUNNING and row["id"] not in living else state


def _without_steps(action: Action) -> dict[str, object]:
    return replace(action, steps=()).as_dict()


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    for start in range(0, len(rows), _CHUNK):
        connection.execute(sa.insert(table), rows[start : start + _CHUNK])


def _durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    end = time.monotonic() + _LOCKED
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as problem:  # SQLite itself does not wait for this lock
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
