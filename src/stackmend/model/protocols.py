# SPDX-License-Identifier: Apache-2.0
"""Every protocol of the hexagon: what engine, repairs and workflows need from the world; drivers implement them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stackmend.model.api import ApiAccount, Request, Response, Versions
from stackmend.model.journal import FindingHistory, JournalEntry, Remark, RunRecord, RunState, Waiver
from stackmend.model.operations import Operation, Seen
from stackmend.model.plan import Action
from stackmend.model.snapshot import Manifest
from stackmend.model.step import CallStep, StepState, Value, Values
from stackmend.model.writer import Group, GroupResult, Intent, Pending, StepResult

#: column -> its value, or a list of acceptable values
Where = Mapping[str, Value | Sequence[Value]]

#: (server UUID, host) -> state of its domain there, "" for none; SourceError if the host does not answer
Guests = Callable[[str, str], str]

#: (what is being read, rows so far, rows expected or None)
Progress = Callable[[str, int, int | None], None]


class Api(Protocol):
    """The services' APIs as available to a repair while it is planned: read-only."""

    @property
    def insisted(self) -> bool:
        """True if the operator insists on the API (``--via api``), even though it may disturb a guest."""
        ...

    def lacks(self, operation: type[Operation[Seen]]) -> str:
        """Why this cloud does not offer the operation (its microversion, its extension), or ""."""
        ...

    def look(self, operation: Operation[Seen]) -> Seen:
        """The state that the operation would read now: the values that ``expect`` of a call is compared with.

        SourceError if a service does not answer, or answers something else than requested.
        """
        ...

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of a resource, None if it does not exist (404). SourceError for any other failure."""
        ...

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, object]]:
        """Every member of a collection, page by page; ``key`` is its name in the response. SourceError as above."""
        ...

    def offers(self, service: str, microversion: str) -> bool:
        """Whether the service supports this microversion."""
        ...

    def account(self) -> ApiAccount:
        """The account the services know us by, which will own whatever is created."""
        ...


class Reference(NamedTuple):
    """A foreign key: ``columns`` of ``table`` refer to ``parent_columns`` of the table ``parent``."""

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


class Live(Protocol):
    """The live databases, read-only, row by row: what a repair may read.

    Rows hold every column of the table as the database has it (R7), in canonical values (see
    :mod:`stackmend.model.step`), except columns that :mod:`stackmend.tables` marks as secret.
    """

    @property
    def api(self) -> Api | None:
        """The services' APIs; None if there are none, or they must not be used."""
        ...

    @property
    def guests(self) -> Guests | None:
        """Where guests are, according to hypervisors; None if these were not to be read."""
        ...

    def rows(self, database: str, table: str, where: Where) -> list[dict[str, Value]]:
        """Every row that matches all of ``where`` (a list means any of), ordered by primary key; [] if none."""
        ...

    def row(self, database: str, table: str, where: Values) -> dict[str, Value] | None:
        """The one row that matches, or None; SourceError if there are several."""
        ...

    def holding(
        self, database: str, table: str, column: str, texts: Sequence[str], most: int = 1
    ) -> list[tuple[Value, ...]]:
        """Keys of at most ``most`` rows whose column contains all of the texts, which are without wildcards."""
        ...

    def key(self, database: str, table: str) -> tuple[str, ...]:
        """Names of the primary key's columns."""
        ...

    def columns(self, database: str, table: str) -> tuple[str, ...]:
        """Names of the table's columns; () if the release has no such table, SourceError if it may be hidden."""
        ...

    def referring(self, database: str, table: str) -> list[tuple[str, str]]:
        """(table, column) of every foreign key to ``table``; SourceError as for :meth:`references`."""
        ...

    def references(self, database: str, table: str) -> list[Reference]:
        """Every foreign key to ``table``; SourceError if the account may not see all tables."""
        ...

    def cells(self) -> tuple[str, ...]:
        """Names of all cells, including cell0; SourceError unless every one can be read (R2)."""
        ...

    def now(self) -> str:
        """UTC now, as the databases print a datetime: ``2026-11-21 03:00:00``; the same for a whole plan."""
        ...

    def clock(self) -> datetime:
        """UTC of the databases at this moment, without a time zone: what is read can be no younger."""
        ...

    def setting(self, name: str) -> str | None:
        """A setting from Nova's own files if they could be read, e.g. "neutron.ovs_bridge"."""
        ...


class Query(Protocol):
    """SQL over collected tables."""

    def rows(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, Any]]:
        """Run one statement; QueryTooLarge (a StackmendError) when it exceeds memory and spill."""
        ...

    def close(self) -> None: ...


#: Which rows of a table to read again: column -> values (all columns must match); None for the whole table.
Narrow = Mapping[str, Sequence[Value]] | None


class Collector(Protocol):
    """Reads the databases into a snapshot, or reads a few rows again."""

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> Manifest:
        """Read the tables with these labels from every database, as Parquet with a manifest."""
        ...

    def recollect(
        self,
        reads: Mapping[str, Mapping[str, str]],
        findings: Sequence[Mapping[str, object]],
        spares: Collection[str] = (),
    ) -> Query:
        """Read again only the rows in the scope of these findings, and return them as tables to query.

        Raises SourceError if any of them cannot be read: then nothing is confirmed. ``spares``: tables outside the
        databases that are empty instead.
        """
        ...


class Completed(NamedTuple):
    """The result of a command that ended on a host."""

    code: int  #: 128 + n if signal n ended it
    out: bytes
    err: bytes


class Hosts(Protocol):
    """Commands on hosts, over a transport configured by the operator. The host "" is this machine."""

    def run(self, host: str, argv: Sequence[str], *, limit: float = 60.0, stdin: bytes = b"") -> Completed:
        """Run one command to its end, whatever its exit code.

        HostUnreachable: certainly nothing was run. HostLost: it may have run or may still be running (the connection
        broke, or ``limit`` seconds passed and it was ended). SourceError: it wrote more output than is kept.
        """
        ...


class Clock(Protocol):
    """Time, as a dependency passed in."""

    def now(self) -> datetime:
        """UTC, aware."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Session(Protocol):
    """Sends requests to the services of one cloud, each exactly once."""

    name: str  #: of the cloud

    def send(self, request: Request, mark: str = "") -> Response:
        """Send it once. UnsentError if it certainly was not received, LostError if that is unknown."""
        ...

    def client(self, service: str) -> tuple[Any, str]:
        """(a client of the service, its endpoint). UnsentError if the cloud has no such service."""
        ...

    def versions(self, service: str) -> Versions | None:
        """(lowest, highest) microversion that the service offers; None if it has none."""
        ...

    def account(self) -> ApiAccount:
        """The account the services know us by. UnsentError if it cannot be determined."""
        ...

    def close(self) -> None: ...


class Writer(Protocol):
    """Executes row steps."""

    def write(self, groups: Sequence[Group], intent: Intent) -> list[GroupResult]:
        """Execute these groups on one database in one transaction, each only if its rows are as it expects.

        Results are in the order of the groups. JournalError from ``intent`` passes through, after a rollback.
        """
        ...

    def probe(self, groups: Sequence[Group], images: Mapping[int, Mapping[str, object]]) -> list[GroupResult]:
        """Determine whether groups on one database, begun in one transaction, are done; nothing is written.

        ``images`` are those of their intents, by step number; {} if they were never begun. States: DONE (with the
        outcomes of the steps), PLANNED (nothing of it is done) or IN_DOUBT. Raises SourceError if unreadable.
        """
        ...

    def second_look(self, groups: Sequence[Group]) -> list[str]:
        """For each committed group on one database, why it must be reverted, or "".

        Its expectations of other databases are read again; if they cannot be read, it must be reverted as well.
        """
        ...

    def differences(self, groups: Sequence[Group]) -> list[str]:
        """A sentence for each row that is not as these groups on one database, all done, left it.

        Guard columns of an update count too; counters do not. Raises SourceError if unreadable.
        """
        ...

    def close(self) -> None: ...


class Executor(Protocol):
    """Executes one kind of step other than row steps: API calls, commands on hosts, gates. It never sleeps for long."""

    def begin(self, step: CallStep, mark: str) -> StepResult | Pending:
        """Begin the step. StackmendError means that it failed.

        ``mark``, which is already in the journal, identifies this step of this run. If the operation is already in
        progress, whoever began it, its end is awaited.
        """
        ...

    def go_on(self, pending: Pending) -> StepResult | Pending:
        """Check on a step that was begun."""
        ...

    def probe(self, step: CallStep) -> StepState:
        """Determine the state from live data: PLANNED (to do), INTENT (in progress), DONE or FAILED; else IN_DOUBT."""
        ...


class Journal(Protocol):
    """Where runs are recorded. Every method raises JournalError if the journal cannot be read or written."""

    def begin(self, run: RunRecord, actions: Sequence[Action]) -> None:
        """Record a run and all its steps as planned."""
        ...

    def note(self, run: str, entries: Sequence[JournalEntry]) -> None:
        """Append entries; they are on disk when this returns. LeaseError for intents of a run that lost its lease."""
        ...

    def remark(self, run: str, text: str) -> None:
        """Record an event of a run as a whole."""
        ...

    def remarks(self, run: str) -> list[Remark]:
        """The events of a run as a whole, in the order written."""
        ...

    def end(self, run: str, state: RunState) -> None:
        """Close a run (or reopen it: RUNNING); LeaseError if another process has taken it over."""
        ...

    def run(self, run: str) -> RunRecord:
        """One run; UsageError if it does not exist."""
        ...

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""
        ...

    def actions(self, run: str) -> list[Action]:
        """The actions of a run, with their steps."""
        ...

    def entries(self, run: str) -> list[JournalEntry]:
        """Every entry of a run, in the order written."""
        ...

    def lock(self, cloud: str, run: RunRecord) -> None:
        """Take the lease on a cloud for this run; LockedError while another run holds it."""
        ...

    def beat(self, run: str) -> None:
        """Renew the lease; LeaseError if another run holds it by now."""
        ...

    def unlock(self, run: str) -> None:
        """Release the lease."""
        ...


class FindingStore(Protocol):
    """The history of findings, and the waivers."""

    def remembered(self, cloud: str) -> dict[str, FindingHistory]:
        """Each fingerprint with its history."""
        ...

    def remember(self, cloud: str, seen: Mapping[str, str], gone: Sequence[str], now: str) -> None:
        """Record the findings seen (fingerprint -> check), and fingerprints that a complete audit did not see."""
        ...

    def waivers(self, cloud: str) -> list[Waiver]:
        """All waivers, including expired ones."""
        ...

    def waive(self, cloud: str, waiver: Waiver) -> None: ...

    def unwaive(self, cloud: str, waiver: str) -> None:
        """Withdraw a waiver; UsageError if there is none of that id."""
        ...
