# SPDX-License-Identifier: Apache-2.0
"""Every protocol of the hexagon: what engine, repairs and workflows need of the world; drivers implement it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stackmend.model.api import Account, Answer, Request, Versions
from stackmend.model.journal import Entry, FindingHistory, Remark, RunRecord, RunState, Waiver
from stackmend.model.operations import Operation, Seen
from stackmend.model.plan import Action
from stackmend.model.snapshot import Manifest
from stackmend.model.step import CallStep, StepState, Value, Values
from stackmend.model.writer import Group, GroupResult, Intent, Pending, StepResult

#: column -> its value, or one of several
Where = Mapping[str, Value | Sequence[Value]]

#: (what is being read, rows so far, rows expected or None)
Progress = Callable[[str, int, int | None], None]


class Api(Protocol):
    """The services' APIs, as a repair may look at them while it is planned: nothing is changed through it."""

    @property
    def insisted(self) -> bool:
        """True where the operator asked for the API alone (``--via api``), though it may disturb a guest."""
        ...

    def lacks(self, operation: type[Operation[Seen]]) -> str:
        """Why the operation cannot be had from this cloud (its microversion, its extension), or ""."""
        ...

    def look(self, operation: Operation[Seen]) -> Seen:
        """What the operation would find now: the values that ``expect`` of a call is compared with.

        SourceError when a service does not answer, or not with what was asked for.
        """
        ...

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of a resource, None where there is none (404). SourceError for anything else that is no answer."""
        ...

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, object]]:
        """Every member of a collection, page by page; ``key`` is its name in the answer. SourceError as above."""
        ...

    def offers(self, service: str, microversion: str) -> bool:
        """Whether the service has this microversion."""
        ...

    def account(self) -> Account:
        """Whom the services take us for: what is made is its."""
        ...


class Reference(NamedTuple):
    """A foreign key: rows of ``table`` refer by ``columns`` to ``parent_columns`` of the table ``parent``."""

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


class Live(Protocol):
    """The live databases, read-only, row by row: what a repair may look at.

    Rows hold every column of the table as the database has it (R7), in canonical values (see
    :mod:`stackmend.model.step`), except columns that :mod:`stackmend.tables` marks as secret.
    """

    @property
    def api(self) -> Api | None:
        """The services' APIs; None where there is none, or it is not to be used."""
        ...

    def rows(self, database: str, table: str, where: Where) -> list[dict[str, Value]]:
        """Every row that matches all of ``where`` (a list means any of), by primary key; [] if none."""
        ...

    def row(self, database: str, table: str, where: Values) -> dict[str, Value] | None:
        """The one row that matches, or None; several raise SourceError."""
        ...

    def key(self, database: str, table: str) -> tuple[str, ...]:
        """Names of the primary key's columns."""
        ...

    def columns(self, database: str, table: str) -> tuple[str, ...]:
        """Names of the table's columns; () when the release has no such table, SourceError where it may be hidden."""
        ...

    def referring(self, database: str, table: str) -> list[tuple[str, str]]:
        """(table, column) of every foreign key to ``table``; SourceError as of :meth:`references`."""
        ...

    def references(self, database: str, table: str) -> list[Reference]:
        """Every foreign key to ``table``; SourceError where the account may not see all tables that there are."""
        ...

    def cells(self) -> tuple[str, ...]:
        """Names of all cells, cell0 among them; SourceError unless every one can be read (R2)."""
        ...

    def now(self) -> str:
        """UTC now, as the databases print a datetime: ``2026-11-21 03:00:00``."""
        ...

    def setting(self, name: str) -> str | None:
        """A setting of Nova's own files where they could be read, e.g. "neutron.ovs_bridge"."""
        ...


class Query(Protocol):
    """SQL over collected tables."""

    def rows(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, Any]]:
        """Run one statement; QueryTooLarge (a StackmendError) when it exceeds memory and spill."""
        ...

    def close(self) -> None: ...


#: Which rows of a table to read again: column -> values (all columns must match); None reads the whole table.
Narrow = Mapping[str, Sequence[Value]] | None


class Collector(Protocol):
    """Reads the databases into a snapshot, or a few rows of them anew."""

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> Manifest:
        """Read the tables with these labels from every database, as Parquet with a manifest."""
        ...

    def recollect(self, reads: Mapping[str, Mapping[str, str]], findings: Sequence[Mapping[str, object]]) -> Query:
        """Read anew only the rows in the scope of these findings and return them as tables to query.

        Raises SourceError when any of it cannot be read: then nothing is confirmed.
        """
        ...


class Completed(NamedTuple):
    """A command that ended on a host."""

    code: int  #: 128 + n where signal n ended it
    out: bytes
    err: bytes


class Hosts(Protocol):
    """Commands on hosts, by a transport that the operator configured. The host "" is this machine."""

    def run(self, host: str, argv: Sequence[str], *, limit: float = 60.0, stdin: bytes = b"") -> Completed:
        """Run one command to its end, whatever its exit code.

        HostUnreachable: surely nothing was run. HostLost: it may have run, or may still run (the connection broke, or
        ``limit`` seconds were over and it was ended). SourceError: more output than is kept.
        """
        ...


class Clock(Protocol):
    """Time, passed in."""

    def now(self) -> datetime:
        """UTC, aware."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Session(Protocol):
    """Says requests to the services of one cloud, each one once."""

    name: str  #: of the cloud

    def send(self, request: Request, mark: str = "") -> Answer:
        """Send it once. UnsentError when it surely was not received, LostError when nobody knows."""
        ...

    def client(self, service: str) -> tuple[Any, str]:
        """(a client of the service, its endpoint). UnsentError where the cloud has no such service."""
        ...

    def versions(self, service: str) -> Versions | None:
        """(lowest, highest) microversion that the service offers; None where it has none."""
        ...

    def account(self) -> Account:
        """Whom the services take us for. UnsentError where nobody says."""
        ...

    def close(self) -> None: ...


class Writer(Protocol):
    """Makes row steps."""

    def write(self, groups: Sequence[Group], intent: Intent) -> list[GroupResult]:
        """Make these groups of one database in one transaction, each one only if its rows are as it expects.

        Verdicts are in the order of the groups. JournalError from ``intent`` passes through, after a rollback.
        """
        ...

    def probe(self, groups: Sequence[Group], images: Mapping[int, Mapping[str, object]]) -> list[GroupResult]:
        """Look whether groups of one database, begun in one transaction, are done; nothing is written.

        ``images`` are those of their intents, by step number; {} when they were never begun. States: DONE (with the
        outcomes of the steps), PLANNED (nothing of it is done) or IN_DOUBT. Raises SourceError when unreadable.
        """
        ...

    def second_look(self, groups: Sequence[Group]) -> list[str]:
        """For each group that was committed, of one database, why it has to be taken back, or "".

        What it expects of other databases is looked at once more; where that cannot be read it is taken back, too.
        """
        ...

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """A sentence for each row that does not read as these groups of one database, all done, have left it.

        What an update guards counts, too. Counters do not. Raises SourceError when unreadable.
        """
        ...

    def close(self) -> None: ...


class Executor(Protocol):
    """Does one kind of step that is not about a row: API calls, commands on hosts, gates. It never sleeps for long."""

    def begin(self, step: CallStep, mark: str) -> StepResult | Pending:
        """Begin it. ``mark`` names this step of this run, and is in the journal before. StackmendError is a failure.

        A step that is under way already, begun by whoever it was, is waited for.
        """
        ...

    def go_on(self, pending: Pending) -> StepResult | Pending:
        """Look at a step that was begun."""
        ...

    def probe(self, step: CallStep) -> StepState:
        """From live state: PLANNED (to do), INTENT (under way), DONE or FAILED; IN_DOUBT where it cannot tell."""
        ...


class Journal(Protocol):
    """Where runs are written down. Every method raises JournalError when the journal cannot be read or written."""

    def begin(self, run: RunRecord, actions: Sequence[Action]) -> None:
        """Write down a run and all its steps as planned."""
        ...

    def note(self, run: str, entries: Sequence[Entry]) -> None:
        """Append entries; they are on disk when this returns. LeaseError for intents of a run that lost its lease."""
        ...

    def remark(self, run: str, text: str) -> None:
        """Note what happened to a run as a whole."""
        ...

    def remarks(self, run: str) -> list[Remark]:
        """What was noted of a run as a whole, in the order written."""
        ...

    def end(self, run: str, state: RunState) -> None:
        """Close a run (or reopen it: RUNNING); LeaseError where it is another process's by now."""
        ...

    def run(self, run: str) -> RunRecord:
        """One run; UsageError when there is none."""
        ...

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        ...

    def actions(self, run: str) -> list[Action]:
        """The actions of a run, with their steps."""
        ...

    def entries(self, run: str) -> list[Entry]:
        """Every entry of a run, in the order written."""
        ...

    def lock(self, cloud: str, run: RunRecord) -> None:
        """Take the lease on a cloud for this run; LockedError while another run holds it."""
        ...

    def beat(self, run: str) -> None:
        """Say that the holder of the lease is alive; LeaseError where it is another one's by now."""
        ...

    def unlock(self, run: str) -> None:
        """Give the lease back."""
        ...


class Memory(Protocol):
    """What was found before, and what is accepted."""

    def remembered(self, cloud: str) -> dict[str, FindingHistory]:
        """Fingerprint -> what is known of it."""
        ...

    def remember(self, cloud: str, seen: Mapping[str, str], gone: Sequence[str], now: str) -> None:
        """Note findings seen (fingerprint -> check) and fingerprints that a whole audit did not find again."""
        ...

    def waivers(self, cloud: str) -> list[Waiver]:
        """All waivers, expired ones too."""
        ...

    def waive(self, cloud: str, waiver: Waiver) -> None: ...

    def unwaive(self, cloud: str, waiver: str) -> None:
        """Take a waiver back; UsageError when there is none of that id."""
        ...
