# SPDX-License-Identifier: Apache-2.0
"""What the engine, the checks and the repairs need from the world; drivers implement it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stackmend.model.snapshot import Manifest
from stackmend.model.step import ApiCall, Value, Values

#: (what is being read, rows so far, rows expected or None)
Progress = Callable[[str, int, int | None], None]


class Api(Protocol):
    """The services' APIs, as a repair may look at them while it is planned: nothing is changed through it."""

    @property
    def insisted(self) -> bool:
        """True where the operator asked for the API alone (``--via api``), though it may disturb a guest."""
        ...

    def lacks(self, service: str, operation: str) -> str:
        """Why the operation cannot be had from this cloud (its microversion, its extension), or ""."""
        ...

    def look(self, call: ApiCall) -> Mapping[str, Any]:
        """What the operation would find now: the values that ``expect`` of a call is compared with.

        SourceError when a service does not answer, or not with what was asked for.
        """
        ...

    def get(self, service: str, path: str, microversion: str = "") -> Any:
        """The JSON of a resource, None where there is none (404). SourceError for anything else that is no answer."""
        ...

    def every(self, service: str, path: str, key: str, microversion: str = "") -> Iterator[Mapping[str, Any]]:
        """Every member of a collection, page by page; ``key`` is its name in the answer. SourceError as above."""
        ...

    def offers(self, service: str, microversion: str) -> bool:
        """Whether the service has this microversion."""
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

    def rows(self, database: str, table: str, where: Mapping[str, Value | Sequence[Value]]) -> list[dict[str, Value]]:
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

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
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

    def recollect(self, reads: Mapping[str, Mapping[str, str]], findings: Sequence[Mapping[str, Any]]) -> Query:
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
