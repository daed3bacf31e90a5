# SPDX-License-Identifier: Apache-2.0
"""Tables of services without a configured database, read from their APIs (:mod:`.tables`).

A list that is cut off, is refused, or omits a cell or other projects makes its source failed, like a database
connection that breaks. Deleted rows are not shown, except for servers requested by name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, dataset, parquet

from stackmend.drivers.api.reader import ApiTableReader
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.tables import shown
from stackmend.drivers.api.tables.nova import CELL as API_CELL
from stackmend.drivers.snapshot.shape import DERIVED, schema
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import UNREADABLE, Source, cell_database
from stackmend.tables import Table, tables
from stackmend.tables.nova import VIFS

#: the services that can be read this way
SERVICES = frozenset({"nova", "neutron", "cinder", "placement"})
#: columns of other services that name servers: label -> column
_NAMING = {
    "neutron_ports": "device_id",
    "cinder_volume_attachment": "instance_uuid",
    "placement_allocations": "consumer_id",
}


class ApiTables:
    """The tables of some services, as their APIs show them (:class:`stackmend.drivers.snapshot.recollect.TableSource`).

    ``seconds``: time limit of one narrow read (None: no limit).
    """

    def __init__(self, reading: ApiReading, services: Iterable[str], seconds: float | None = None) -> None:
        self.services = frozenset(services)
        self.reading, self._seconds = reading, seconds
        self._lock = threading.Lock()

    def serves(self, label: str) -> bool:
        """Whether this table is read here."""
        parts = tables().get(DERIVED.get(label, label), ())
        return bool(self.services & {part.service.removesuffix("_api") for part in parts})

    def sources(self, labels: Iterable[str]) -> list[Source]:
        """What these tables lack when read here: sources without rows yet."""
        lacking: dict[str, dict[str, tuple[str, ...]]] = {}
        for label in sorted(label for label in labels if self.serves(label)):
            part = _part(label)
            name = cell_database(API_CELL) if part.service == "nova" else part.service
            missing = lacking.setdefault(name, {})
            if label not in shown():
                missing[label] = ("*",)
            elif columns := set(schema(label).names) - {*shown()[label].columns, "cell"}:
                missing[label] = tuple(sorted(columns))
        return [Source(database=name, missing=missing, api=True) for name, missing in sorted(lacking.items())]

    def look(self, findings: Sequence[Mapping[str, object]]) -> ApiTableReader:
        """A read of the objects of these findings."""
        return ApiTableReader(self.reading, findings, self._seconds)

    def now(self) -> str:
        """UTC now by this machine's clock: services do not report the time."""
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """Read whole tables into a snapshot, in addition to those of databases."""
        wanted = {label for label in labels if label != UNREADABLE}
        found = {source.database: source for source in self.sources(wanted)}
        look = ApiTableReader(self.reading)
        look.progress = lambda what, rows: progress(what, rows, None)
        errors: dict[str, str] = {}
        counts: dict[str, dict[str, int]] = {name: {} for name in found}
        start = self.now()
        for label, name in _order(wanted, found):
            if name in errors or not _part(label).bulk:
                continue
            if name == "placement" and look.alive is None:
                look.alive = _alive(into)
            try:
                counts[name][label] = _write(look.read(label, None), into, label)
            except SourceError as problem:
                errors[name] = problem.message
        cells = cell_database(API_CELL)
        if cells in found and cells not in errors and "nova_instances" in wanted:
            try:
                counts[cells]["nova_instances"] += self._named(look, into, progress)
            except SourceError as problem:
                errors[cells] = problem.message
        return [
            Source(
                database=name, start=start, end=self.now(), rows=counts[name], error=errors.get(name, ""),
                missing=source.missing, api=True,
            )
            for name, source in found.items()
        ]  # fmt: skip

    @staticmethod
    def _named(look: ApiTableReader, into: Path, progress: Progress) -> int:
        """Request by id the servers that other services name and no list contained: deleted or missed ones."""
        known = set(_column(into, "nova_instances", "uuid")) | set(_column(into, "nova_migrations", "uuid"))
        named = {name for label, column in _NAMING.items() for name in _column(into, label, column)}
        lacking = sorted(name for name in named - known if len(name) == 36)
        progress("compute servers by name", 0, len(lacking))
        return _write(look.read("nova_instances", {"uuid": lacking}), into, "nova_instances", "named")


def _order(wanted: set[str], found: Mapping[str, Source]) -> list[tuple[str, str]]:
    """(label, database), ordered so that tables follow those they are derived from."""
    lacking = {label: name for name, source in found.items() for label in source.missing}
    order = []
    for label in (label for label in shown() if label in wanted):
        part = _part(label)
        name = cell_database(API_CELL) if part.service == "nova" else part.service
        if name in found or label in lacking:
            order.append((label, name))
    return order


def _part(label: str) -> Table:
    return VIFS if label == VIFS.label else tables()[label][0]


def _write(table: pa.Table, into: Path, label: str, name: str = "listed") -> int:
    (into / label).mkdir(exist_ok=True)
    parquet.write_table(table, into / label / f"api-{name}.parquet", compression="lz4")
    return int(table.num_rows)


def _column(into: Path, label: str, column: str) -> list[str]:
    """Every collected value of a column, from databases or APIs."""
    files = [str(file) for file in (into / label).glob("*.parquet")]
    if not files:
        return []
    read = dataset.dataset(files, schema(label)).to_table([column]).column(column)
    return [value for value in compute.unique(read).to_pylist() if value]


def _alive(into: Path) -> frozenset[str] | None:
    """Ids of the collected live servers; None if servers were not collected."""
    files = [str(file) for file in (into / "nova_instances").glob("*.parquet")]
    if not files:
        return None
    live = ~dataset.field("deleted")
    read = dataset.dataset(files, schema("nova_instances")).to_table(["uuid"], filter=live).column("uuid")
    return frozenset(read.to_pylist())
