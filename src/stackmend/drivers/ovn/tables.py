# SPDX-License-Identifier: Apache-2.0
"""The tables of OVN (:mod:`stackmend.tables.outside.ovn`) as a source of snapshots and of narrow reads.

Both databases are read, or none counts: what the one has is judged by the other. Narrow reads read the same, and keep
the rows that are asked for: OVSDB finds a row by its own id alone, and goes through the whole table otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyarrow import dataset, parquet

from stackmend.drivers.ovn.reading import Look, look
from stackmend.drivers.ovn.remote import Endpoint
from stackmend.drivers.ovn.wire import Row
from stackmend.drivers.snapshot.shape import schema
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import Source
from stackmend.tables import ColumnType
from stackmend.tables.outside import outside
from stackmend.tables.outside.ovn import NORTHBOUND, SERVICE, SOUTHBOUND, OvnColumn

#: ports of which so many exist on one side, and less than half of these on the other, are not of the same cloud
_LEAST = 3
_EPOCH = datetime(1970, 1, 1)


class OvnTables:
    """A :class:`stackmend.drivers.snapshot.recollect.TableSource`; ``silence`` as in :mod:`.wire`."""

    def __init__(self, northbound: Endpoint, southbound: Endpoint, silence: float) -> None:
        self._endpoints = {NORTHBOUND: northbound, SOUTHBOUND: southbound}
        self._silence = silence

    def serves(self, label: str) -> bool:
        """Whether this table is one of OVN."""
        table = outside().get(label)
        return table is not None and table.service == SERVICE

    def now(self) -> str:
        """UTC now by this machine's clock."""
        return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")

    def look(self, findings: Sequence[Mapping[str, object]]) -> _Read:
        """A new read of both databases, made when the first table is asked for."""
        del findings
        return _Read(self)

    def collect(self, labels: Iterable[str], into: Path, progress: Progress) -> list[Source]:
        """Read whole tables into a snapshot. A failure, or a doubt, is one of OVN as a whole."""
        wanted = sorted(label for label in labels if self.serves(label))
        if not wanted:
            return []
        start = self.now()
        progress("OVN", 0, len(wanted))
        rows: dict[str, int] = {}
        error = doubt = ""
        missing: dict[str, tuple[str, ...]] = {}
        try:
            looks = self.looks()
            missing = _missing(looks, wanted)
            for label in wanted:
                table = _table(looks, label)
                (into / label).mkdir(exist_ok=True)
                parquet.write_table(table, into / label / f"{SERVICE}-0.parquet", compression="lz4")
                rows[label] = table.num_rows
            doubt = _doubt(looks, into)
        except SourceError as problem:
            error = problem.message
        return [
            Source(
                database=SERVICE, start=start, end=self.now(), rows=rows, error=error, doubt=doubt, missing=missing,
                outside="OVN",
            )
        ]  # fmt: skip

    def looks(self) -> dict[str, Look]:
        """One look at each database, both at once; SourceError if one cannot be read."""
        with ThreadPoolExecutor(len(self._endpoints)) as pool:
            found = {name: pool.submit(self._look, name) for name in self._endpoints}
            return {name: future.result() for name, future in found.items()}

    def _look(self, database: str) -> Look:
        wanted: dict[str, set[str]] = {}
        keys: set[str] = set()
        for label in outside():
            if self.serves(label):
                name, table, columns = _parts(label)
                keys.update(column.key for column in columns)
                if name == database:
                    wanted.setdefault(table, set()).update(column.source for column in columns)
        return look(self._endpoints[database], database, wanted, self._silence, frozenset(keys))


@dataclass(slots=True)
class _Read:
    """One narrow read (:class:`stackmend.drivers.snapshot.recollect.TableRead`)."""

    source: OvnTables
    looks: dict[str, Look] = field(default_factory=dict)

    def read(self, label: str, wanted: Mapping[str, Sequence[object]] | None) -> pa.Table:
        """The rows with these values, compared as the databases compare them: without regard to case."""
        self.looks = self.looks or self.source.looks()
        table = _table(self.looks, label)
        for column, values in (wanted or {}).items():
            some = {_alike(value) for value in values}
            table = table.filter(pa.array([_alike(v) in some for v in table.column(column).to_pylist()], pa.bool_()))
        return table


def _alike(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _parts(label: str) -> tuple[str, str, list[OvnColumn]]:
    """(database, its table, columns) of a label."""
    table = outside()[label]
    database, _, name = table.name.partition(".")
    return database, name, [column for column in table.columns if isinstance(column, OvnColumn)]


def _missing(looks: Mapping[str, Look], labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What this release of OVN lacks; SourceError if that is a table that every supported release has."""
    found: dict[str, tuple[str, ...]] = {}
    for label in labels:
        database, name, columns = _parts(label)
        there = looks[database].columns.get(name)
        if there is None:
            if not outside()[label].optional:
                raise SourceError(f"{database} has no table {name}", "This release of OVN is not supported.")
            found[label] = ("*",)
        elif lacking := tuple(column.name for column in columns if column.source not in there):
            found[label] = lacking
    return found


def _table(looks: Mapping[str, Look], label: str) -> pa.Table:
    """The rows of a table; NULL in columns that this release lacks."""
    database, name, columns = _parts(label)
    rows = looks[database].rows.get(name, ())
    shape = schema(label)
    arrays = [pa.array([_value(row, column) for row in rows], shape.field(column.name).type) for column in columns]
    return pa.Table.from_arrays(arrays, schema=shape)


def _value(row: Row, column: OvnColumn) -> object:
    plain = _plain(row.get(column.source))
    if column.key:
        plain = plain.get(column.key) if isinstance(plain, dict) else None
    if column.present:
        return plain is not None
    if plain is None or isinstance(plain, dict):
        return None
    if column.kind is ColumnType.BOOL:
        return bool(plain)
    if column.kind in (ColumnType.INT, ColumnType.TIME):
        text = str(plain)
        number = int(text) if text.lstrip("-").isdigit() else None
        if column.kind is ColumnType.INT or number is None:
            return number
        return _EPOCH + timedelta(milliseconds=number) if number else None
    text = str(plain)
    return text.removeprefix(column.prefix) if text.startswith(column.prefix) else None


def _plain(value: object) -> object:
    """A value of OVSDB's notation (RFC 7047, 5.1): of a set that is not one value, the first, or NULL."""
    if not isinstance(value, list) or len(value) != 2:
        return value
    kind, content = value
    if kind == "map":
        return {key: _plain(of) for key, of in content}
    if kind == "set":
        return _plain(content[0]) if content else None
    return content  # uuid


def _doubt(looks: Mapping[str, Look], into: Path) -> str:
    """Why it is not the OVN of the Neutron whose ports were collected before; "" if it is, or nobody knows."""
    files = [str(file) for file in (into / "neutron_ports").glob("*.parquet")]
    if not files:
        return ""
    read = dataset.dataset(files, schema("neutron_ports")).to_table(["id", "device_owner"])
    owners = zip(read.column("id").to_pylist(), read.column("device_owner").to_pylist(), strict=True)
    ours = {str(name).lower() for name, owner in owners if owner != "network:floatingip"}
    rows = _table(looks, "ovn_ports").select(["port", "own"]).to_pylist()
    theirs = {str(row["port"]).lower() for row in rows if row["own"]}
    both = len(ours & theirs)
    if len(ours) >= _LEAST and 2 * both < len(ours):
        return (
            f"it has {both} of the {len(ours)} ports of Neutron: the OVN of another cloud, or one that was just made?"
        )
    if len(theirs) >= _LEAST and 2 * both < len(theirs):
        return f"Neutron has {both} of its {len(theirs)} ports: another cloud's, or is Neutron's an old copy?"
    return ""
