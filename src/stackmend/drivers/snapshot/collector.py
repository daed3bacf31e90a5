# SPDX-License-Identifier: Apache-2.0
"""Collects the databases of a cloud into a snapshot, or reads a few of their rows again.

One consistent, read-only view per database server and account, all opened as close together as possible; tables are
streamed in small batches, so that memory does not grow with the cloud. A stream that breaks makes its source failed:
rows of that table are discarded, and nothing is concluded from them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self

from stackmend.drivers.database.dialects import Address, Dialect, TableInfo, dialect_of
from stackmend.drivers.database.dialects.base import TableReader
from stackmend.drivers.database.replicas import Behind, measure, require_current, stranger
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.snapshot.decoder import Complaints
from stackmend.drivers.snapshot.pace import Nice, Pace, rounded
from stackmend.drivers.snapshot.query import DuckQuery
from stackmend.drivers.snapshot.recollect import Recollection, TableSource
from stackmend.drivers.snapshot.selects import foreign, missing, select, unseen
from stackmend.drivers.snapshot.shape import DERIVED
from stackmend.drivers.snapshot.stream import Pipeline, TableStream
from stackmend.model.errors import BusyError, SilentError, SourceError
from stackmend.model.events import Events
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import CELL, UNREADABLE, Manifest, Source
from stackmend.tables import Table, tables
from stackmend.tables.marks import VERSIONS
from stackmend.tables.releases import fitting

_EVENTS = Events(__name__)

_P = ParamSpec("_P")

FORMAT = "stackmend-snapshot/1"
#: seconds in which the reading threads have to end after an interruption
_PATIENCE = 10.0


@dataclass(slots=True)
class _Reading:
    """The state of one database while it is read."""

    database: str
    address: Address
    dialect: Dialect
    known: dict[str, TableInfo] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    error: str = ""
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: dict[str, tuple[str, ...]] = field(default_factory=dict)
    waited: dict[str, float] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    primary: Address | None = None  #: that of which ``address`` is a replica
    behind: Behind | None = None

    def source(self) -> Source:
        return Source(
            database=self.database,
            revision=", ".join(self.versions),
            releases=fitting("nova" if self.database.startswith(CELL) else self.database, self.versions),
            start=self.start,
            end=self.end,
            rows=self.rows,
            error=self.error,
            missing=self.missing,
            unseen=self.unseen,
            waited=rounded(self.waited),
            views=self.views,
            replica=self.address.redacted if self.primary else "",
            lag=round(self.behind.lag, 1) if self.behind else None,
            as_of=self.behind.as_of if self.behind else "",
        )


class DatabaseCollector:
    """A :class:`stackmend.model.protocols.Collector` on databases.

    ``addresses`` and ``errors`` by database name; ``cells_known``: whether every cell is among them.
    ``connections``: used by :meth:`recollect` and left open for repeated use. ``elsewhere``: read instead of missing
    databases. ``nice``: how servers are spared. ``replicas``: read by :meth:`collect` in place of their primaries, if
    not more than ``max_lag`` seconds behind (0: any).
    """

    def __init__(
        self,
        addresses: Mapping[str, Address],
        errors: Mapping[str, str],
        *,
        cells_known: bool,
        connections: Connections | None = None,
        elsewhere: TableSource | None = None,
        nice: Nice | None = None,
        replicas: Mapping[str, Address] | None = None,
        max_lag: float = 0.0,
    ) -> None:
        self._replicas, self._max_lag = replicas or {}, max_lag
        self._addresses, self._errors, self._cells_known = addresses, errors, cells_known
        self._nice = nice or Nice()
        self._paces: dict[tuple[str, ...], Pace] = {}
        self._connections, self._elsewhere = connections, elsewhere

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> Manifest:
        """Read the tables with these labels from every database that has them."""
        into.mkdir(parents=True, exist_ok=True)
        wanted = {DERIVED.get(label, label) for label in labels} - {UNREADABLE}
        for label in {*wanted, *(d for d, base in DERIVED.items() if base in wanted), UNREADABLE}:
            (into / label).mkdir(exist_ok=True)
        complaints = Complaints()
        silent: dict[tuple[str, ...], str] = {}
        try:
            readings = [
                self._introspected(name, wanted, silent) for name in sorted(self._addresses) if _serves(name, wanted)
            ]
            self._measure(readings)
            now = _now(readings)
            skew = self._read(readings, wanted, into, progress, complaints)
        finally:
            for pace in self._paces.values():
                pace.close()
        complaints.write(into / UNREADABLE)
        failed = [
            Source(database=name, error=why)
            for name, why in sorted(self._errors.items())
            if name not in self._addresses and _serves(name, wanted)
        ]
        absent = [
            Source(database=name, error="not configured")
            for name in sorted(_services(wanted) - {"nova"})
            if name not in self._addresses and name not in self._errors
        ]
        begin = datetime.now(UTC)
        shown = self._elsewhere.collect(wanted | DERIVED.keys(), into, progress) if self._elsewhere else []
        if shown:
            skew = max(skew, (datetime.now(UTC) - begin).total_seconds())
            absent = [source for source in absent if source.database not in {s.database for s in shown}]
        manifest = Manifest(
            format=FORMAT,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            now=now,
            skew=skew,
            sources=tuple([r.source() for r in readings] + failed + absent + shown),
            cells_known=self._cells_known or any(s.database == "nova_api" and not s.error for s in shown),
        )
        write_manifest(manifest, into)
        for source in manifest.sources:
            _EVENTS.detail(
                "source collected", source=source.database, rows=sum(source.rows.values()), error=source.error
            )
        _EVENTS.milestone(
            "collected", sources=len(manifest.sources), failed=len(manifest.failed()), skew=round(manifest.skew, 3)
        )
        return manifest

    def recollect(self, reads: Mapping[str, Mapping[str, str]], findings: Sequence[Mapping[str, object]]) -> DuckQuery:
        """Read again what is in the scope of these findings; SourceError when any of it cannot be read."""
        for name, why in self._errors.items():
            if _serves(name, set(reads)):
                raise SourceError(f"{name} cannot be read: {why}", "Findings that need it cannot be confirmed.")
        if self._connections is not None:
            return Recollection(self._addresses, self._connections, self._elsewhere).query(reads, findings)
        with closing(Connections(self._addresses, self._errors)) as own:
            return Recollection(self._addresses, own, self._elsewhere).query(reads, findings)

    def _introspected(self, database: str, wanted: set[str], silent: dict[tuple[str, ...], str]) -> _Reading:
        address = self._replicas.get(database, self._addresses[database])
        reading = _Reading(database, address, dialect_of(address))
        reading.primary = self._addresses[database] if database in self._replicas else None
        if database in self._errors:
            reading.error = self._errors[database]
            return reading
        if address.server in silent:  # tried once, not for each of its databases
            reading.error = f"{address.redacted} cannot be read: {silent[address.server]}"
            return reading
        nice = self._nice
        if reading.primary and nice.lag:  # what is too far behind to be read is judged before
            nice = replace(nice, lag=max(nice.lag, self._max_lag) if self._max_lag else 0.0)
        pace = self._paces.setdefault(address.server, Pace(nice, address))
        try:
            pace.admit(address)
            connection = reading.dialect.connect(address)
            try:
                reading.known = reading.dialect.introspect(connection, address.database)
                sight = reading.dialect.sight(connection, address.database)
                for name, column in VERSIONS:
                    if not reading.versions and (versioned := reading.known.get(name)) and column in versioned.columns:
                        rows = reading.dialect.select(connection, f"SELECT {column} FROM {name}")
                        reading.versions = tuple(sorted(str(row[0]) for row in rows))
                reading.start = reading.dialect.utcnow(connection)
            finally:
                connection.close()
        except SourceError as problem:
            reading.error = problem.message
            if isinstance(problem, SilentError | BusyError):
                silent[address.server] = problem.message.rpartition("cannot be read: ")[2]
            return reading
        reading.error = foreign(database, reading.known) or _strange(reading, silent)
        for table in _tables_of(database, wanted):
            _note(reading.missing, table.label, missing(table, reading.known))
            _note(reading.unseen, table.label, unseen(table, reading.known, sight))
        return reading

    def _measure(self, readings: list[_Reading]) -> None:
        """Say of each database on a replica how old its data are; a replica that is not to be read is an error."""
        groups: dict[tuple[tuple[str, ...], ...], list[_Reading]] = {}
        for reading in readings:
            if not reading.error:
                ends = _place(reading.primary or reading.address), _place(reading.address)
                groups.setdefault(ends, []).append(reading)
        for group in groups.values():
            pairs = {r.database: (r.primary, r.address) for r in group if r.primary}
            try:
                if not pairs:
                    require_current({r.database: r.address for r in group})
                    continue
                behind = measure(pairs, self._max_lag)
            except SourceError as problem:
                _fail(group, problem)
                continue
            for reading in group:
                reading.behind = behind

    def _read(
        self, readings: list[_Reading], wanted: set[str], into: Path, progress: Progress, complaints: Complaints
    ) -> float:
        """Open all views, then stream; returns the seconds between the first view and the last."""
        groups: dict[tuple[str, ...], list[_Reading]] = {}
        for reading in readings:
            if not reading.error:
                groups.setdefault(reading.address.server, []).append(reading)
        opened = [(group, _open(group)) for group in groups.values()]
        times = []
        for group, reader in opened:
            if reader is not None:
                _begin(group, reader)
                times.append(datetime.now(UTC) - _lag(group))
                self._paces[group[0].address.server].viewing()
        over = threading.Event()

        def report_rows(what: str, rows: int, expected: int | None) -> None:
            if over.is_set():
                raise SourceError("the collection was interrupted")
            progress(what, rows, expected)

        with _Threads(over) as threads:
            for group, reader in opened:
                if reader is not None:
                    paced = _Group(group, reader, self._paces[group[0].address.server])
                    threads.start(_stream_all, paced, wanted, into, report_rows, complaints, times)
        complaints.raise_failure()
        return (max(times) - min(times)).total_seconds() if times else 0.0


class _Threads:
    """Threads that have ended when the ``with`` block ends, also where a signal interrupts the waiting.

    ``Thread.join`` cannot be used: interrupted, it takes the thread for ended while it still runs (Python before 3.13,
    gh-90882), and a thread that still writes would re-create the folder that is removed next.
    """

    def __init__(self, over: threading.Event) -> None:
        self._over, self._ended = over, list[threading.Event]()

    def __enter__(self) -> Self:
        return self

    def start(self, work: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Begin ``work`` in a thread of its own."""
        ended = threading.Event()

        def run() -> None:
            try:
                if not self._over.is_set():
                    work(*args, **kwargs)
            finally:
                ended.set()

        self._ended.append(ended)
        threading.Thread(target=run, name=work.__name__).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        is_interrupted = True
        try:
            if error is None:
                self._wait(None)
                is_interrupted = False
        finally:
            if is_interrupted:  # each finishes the batch it is at
                self._over.set()
                self._wait(_PATIENCE)

    def _wait(self, seconds: float | None) -> None:
        for ended in self._ended:
            ended.wait(seconds)


def _note(lacking: dict[str, tuple[str, ...]], label: str, columns: Sequence[str]) -> None:
    if columns:
        lacking[label] = tuple(dict.fromkeys((*lacking.get(label, ()), *columns)))


def _open(group: list[_Reading]) -> TableReader | None:
    try:
        return group[0].dialect.reader(group[0].address)
    except SourceError as problem:
        _fail(group, problem)
        return None


def _begin(group: list[_Reading], reader: TableReader) -> None:
    try:
        reader.begin()
    except SourceError as problem:
        _fail(group, problem)


def _place(address: Address) -> tuple[str, ...]:
    """A server, whatever the account."""
    kind, host, *more = address.server
    return (kind, host, *more[:1], *more[2:])


def _strange(reading: _Reading, silent: dict[tuple[str, ...], str]) -> str:
    """Why a replica is not one of its primary. A server that does not answer joins the ``silent`` ones."""
    primary, there = reading.primary, reading.address
    if primary is None:
        return ""
    unknown = f"the replica {there.redacted} cannot be compared with its primary: "
    if primary.server in silent:
        return f"{unknown}{primary.redacted} cannot be read: {silent[primary.server]}"
    try:
        why = stranger(reading.database, primary, there, reading.versions)
    except SourceError as problem:
        if isinstance(problem, SilentError):
            mute = primary if problem.message.startswith(primary.redacted) else there
            silent[mute.server] = problem.message.rpartition("cannot be read: ")[2]
        return f"{unknown}{problem.message}"
    return f"{there.redacted} is no replica of {primary.redacted}: {why}" if why else ""


def _lag(group: Sequence[_Reading]) -> timedelta:
    """How much older than the view the data of one server are."""
    return timedelta(seconds=max((r.behind.lag for r in group if r.behind), default=0.0))


def _fail(group: list[_Reading], problem: SourceError) -> None:
    for reading in group:
        reading.error = reading.error or problem.message


@dataclass(frozen=True, slots=True)
class _Group:
    """The databases of one server, and how they are read."""

    readings: list[_Reading]
    reader: TableReader
    pace: Pace
    cut: list[str] = field(default_factory=list)  #: when views were opened after the first

    def fetch(self, reading: _Reading, stream: TableStream, pipeline: Pipeline, times: list[datetime]) -> None:
        """Read one table, in a new view if the old one was held for too long."""
        table, first = stream.query.table, self.readings[0].address
        try:
            if self.pace.is_stale():
                self.reader.begin()
                self.pace.viewing()
                opened = datetime.now(UTC)
                times.append(opened - _lag(self.readings))
                self.cut.append(opened.strftime("%Y-%m-%d %H:%M:%S"))
            if self.cut:
                reading.views[table.label] = self.cut[-1]
            stream.fetch(self.reader, pipeline, reading.known[table.name].rows if not table.where else None, self.pace)
        except BusyError as problem:
            # the rest of the answer was not read: the connection is of no use for the other databases
            _fail(self.readings, problem)
        except SourceError as problem:
            # the connection knows only the first database of its server
            reading.error = problem.message.replace(first.redacted, reading.address.redacted)
        reading.end = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _stream_all(
    group: _Group, wanted: set[str], into: Path, progress: Progress, complaints: Complaints, times: list[datetime]
) -> None:
    """Read every table of every database of one server; a failure ends that database, the others are tried."""
    try:
        streams: list[tuple[_Reading, TableStream]] = []
        with Pipeline() as pipeline:
            for reading in group.readings:
                for number, table in enumerate(_tables_of(reading.database, wanted)):
                    query = None if _hopeless(reading, table) else select(
                        reading.dialect, reading.address, table, reading.known
                    )  # fmt: skip
                    if query is not None:
                        key = reading.known[table.name].key
                        stream = TableStream(query, reading.database, key, into, number, progress, complaints)
                        streams.append((reading, stream))
                        group.fetch(reading, stream, pipeline, times)
        with Pipeline() as pipeline:
            for reading, stream in streams:
                if stream.again():
                    group.fetch(reading, stream, pipeline, times)
        for reading, stream in streams:
            _settle(reading, stream)
    except BaseException as problem:  # noqa: BLE001 - raised again in the thread that waits
        complaints.failure = problem
    finally:
        for reading in group.readings:
            reading.waited = group.pace.waited
        group.reader.close()


def _hopeless(reading: _Reading, table: Table) -> bool:
    return bool(reading.error) or "*" in reading.missing.get(table.label, ())


def _settle(reading: _Reading, stream: TableStream) -> None:
    """Count complete files, remove incomplete ones."""
    label = stream.query.table.label
    if stream.failure is None:
        reading.rows[label] = reading.rows.get(label, 0) + stream.rows
        return
    stream.remove()
    if not isinstance(stream.failure, SourceError):
        raise stream.failure


def _now(readings: list[_Reading]) -> str:
    """The clock of the databases: Nova's API database first, because it judges the ages of servers.

    If replicas are read, it is the time until which all of them have everything: what is later there is not known.
    """
    if known := [reading.behind.as_of for reading in readings if reading.behind]:
        return min(known)
    starts = [r.start for r in sorted(readings, key=lambda r: r.database != "nova_api") if r.start]
    return starts[0] if starts else datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _services(wanted: set[str]) -> set[str]:
    return {t.service for label in wanted for t in tables().get(DERIVED.get(label, label), ())}


def _serves(database: str, wanted: set[str]) -> bool:
    return ("nova" if database.startswith(CELL) else database) in _services(wanted)


def _tables_of(database: str, wanted: set[str]) -> list[Table]:
    service = "nova" if database.startswith(CELL) else database
    return [t for label in sorted(wanted) for t in tables().get(label, ()) if t.service == service and t.bulk]


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json``, last and atomically: a folder without it is not a snapshot."""
    partial = folder / "manifest.json.partial"
    partial.write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    partial.rename(folder / "manifest.json")


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``; SourceError if it is missing or has another format."""
    try:
        document = json.loads((folder / "manifest.json").read_text())
        if document["format"] != FORMAT:
            raise SourceError(f"snapshot {folder} has the format {document['format']}", "Create a new snapshot.")
        sources = tuple(_source(s) for s in document["sources"])
        return Manifest(**{**document, "sources": sources})
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SourceError(
            f"{folder} is not a complete snapshot: {type(problem).__name__}",
            "A complete snapshot contains manifest.json; create a new one with 'stackmend snapshot create'.",
        ) from problem


def _source(document: dict[str, Any]) -> Source:
    """Also of a snapshot made before releases were named: it had the revision in their place."""
    lacking = {n: {k: tuple(v) for k, v in document.get(n, {}).items()} for n in ("missing", "unseen")}
    rest = {name: value for name, value in document.items() if name != "release"}
    revision = document.get("revision", document.get("release", ""))
    more = {name: tuple(document.get(name, ())) for name in ("releases", "only")}
    return Source(**{**rest, **lacking, "revision": revision, **more})
