# SPDX-License-Identifier: Apache-2.0
"""Tables of services that have no database here, read from their APIs: what :mod:`.shown` says.

A list that breaks off, is refused, or leaves out what a cell or another project has, makes its source failed, as a
database does that breaks off. Deleted rows are not shown, but for servers that somebody asks for by name.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, dataset, parquet

from stackmend.drivers.api.reader import Look
from stackmend.drivers.api.reading import ApiReading
from stackmend.drivers.api.tables import shown
from stackmend.drivers.api.tables.nova import CELL as API_CELL
from stackmend.drivers.snapshot.shape import DERIVED, schema
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import UNREADABLE, Source, cell_database
from stackmend.tables import Table, tables
from stackmend.tables.nova import VIFS

#: the services that can be read so
SERVICES = frozenset({"nova", "neutron", "cinder", "placement"})
#: columns that name servers in what other services have: label -> column
_NAMING = {
    "neutron_ports": "device_id",
    "cinder_volume_attachment": "instance_uuid",
    "placement_allocations": "consumer_id",
}


class ApiTables:
    """The tables of some services, as their APIs show them (:class:`stackmend.drivers.snapshot.recollect.Elsewhere`).

    ``seconds``: how long one narrow look may ask (None: as long as it takes).
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
        """What these tables lack when they are read here: sources without any rows yet."""
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

    def look(self, findings: Sequence[Mapping[str, object]]) -> Look:
        """A look at what these findings are about."""
        return Look(self.reading, findings, self._seconds)

    def now(self) -> str:
        """UTC now, as this machine has it: services tell no time."""
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """Read tables whole into a snapshot, beside those of databases that are there already."""
        wanted = {label for label in labels if label != UNREADABLE}
        found = {source.database: source for source in self.sources(wanted)}
        look = Look(self.reading)
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
    def _named(look: Look, into: Path, progress: Progress) -> int:
        """Ask by name for the servers that other services have and no list had: deleted ones, or overlooked ones."""
        known = set(_column(into, "nova_instances", "uuid")) | set(_column(into, "nova_migrations", "uuid"))
        named = {name for label, column in _NAMING.items() for name in _column(into, label, column)}
        lacking = sorted(name for name in named - known if len(name) == 36)
        progress("compute servers by name", 0, len(lacking))
        return _write(look.read("nova_instances", {"uuid": lacking}), into, "nova_instances", "named")


def _order(wanted: set[str], found: Mapping[str, Source]) -> list[tuple[str, str]]:
    """(label, database), in an order in which tables find what they are made of."""
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
    """Every value of a column that was collected, from databases or APIs."""
    files = [str(file) for file in (into / label).glob("*.parquet")]
    if not files:
        return []
    read = dataset.dataset(files, schema(label)).to_table([column]).column(column)
    return [value for value in compute.unique(read).to_pylist() if value]


def _alive(into: Path) -> frozenset[str] | None:
    """Ids of the live servers that were collected; None if none were looked for."""
    files = [str(file) for file in (into / "nova_instances").glob("*.parquet")]
    if not files:
        return None
    live = ~dataset.field("deleted")
    read = dataset.dataset(files, schema("nova_instances")).to_table(["uuid"], filter=live).column("uuid")
    return frozenset(read.to_pylist())
