# SPDX-License-Identifier: Apache-2.0
"""One table on its way from a database into Parquet: fetched here, decoded and written in a thread beside.

Fetching holds Python's lock, decoding and writing mostly do not, so the two overlap. The queue between them is short:
memory is a few batches, whatever the size of the table.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute, parquet

from stackmend.drivers.decode import Unpackable, packed, plain
from stackmend.drivers.dialects.base import Reader
from stackmend.drivers.network_info import Exploder
from stackmend.drivers.selects import Select
from stackmend.drivers.shape import schema
from stackmend.model.ports import Progress
from stackmend.model.snapshot import CELL, UNREADABLE
from stackmend.tables.nova import VIFS

_BATCH = 5_000
_QUEUED = 3
_ROW_GROUP = 60_000

#: column that names the main object of a row -> its type, the first that a table has
_OWNERS = (
    ("instance_uuid", "server"),
    ("device_id", "server"),
    ("volume_id", "volume"),
    ("port_id", "port"),
    ("consumer_id", "consumer"),
)
_OWN = {
    "instances": ("uuid", "server"),
    "ports": ("id", "port"),
    "volumes": ("id", "volume"),
    "images": ("id", "image"),
}


class Complaints:
    """What could not be decoded, from all threads; becomes the table ``unreadable_rows``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rows: list[dict[str, str]] = []
        self.failure: BaseException | None = None

    def add(
        self, database: str, table: str, key: Sequence[str], row: dict[str, Any], column: str, problem: str
    ) -> None:
        """Note one value; ``row`` holds the other columns of its row."""
        names = [k for k in key if k in row] or [k for k, v in row.items() if v is not None][:3]
        row_key = json.dumps({k: row[k] if isinstance(row[k], int | str | None) else str(row[k]) for k in names})
        own = [_OWN[table]] if table in _OWN else []
        kind, resource = next(
            ((kind, str(row[c])) for c, kind in (*own, *((c, k) for c, k in _OWNERS)) if row.get(c)), (table, row_key)
        )
        with self._lock:
            self.rows.append(
                {
                    "database": database,
                    "table_name": table,
                    "row_key": row_key,
                    "column_name": column,
                    "problem": problem,
                    "resource_type": kind,
                    "resource_id": resource,
                }
            )

    def table(self) -> pa.Table:
        """The complaints as the table ``unreadable_rows``."""
        return pa.Table.from_pylist(self.rows, schema(UNREADABLE))

    def write(self, folder: Path) -> None:
        """Write them as Parquet."""
        parquet.write_table(self.table(), folder / "rows.parquet")

    def raise_failure(self) -> None:
        """Raise in the waiting thread what ended a reading one."""
        if self.failure is not None:
            raise self.failure


class Decoder:
    """Turns batches of one SELECT into the tables of a snapshot."""

    def __init__(self, query: Select, database: str, key: Sequence[str], complaints: Complaints) -> None:
        self._query, self._database, self._key, self._complaints = query, database, key, complaints
        self._schema, self._vif_schema = schema(query.table.label), schema(VIFS.label)
        self._exploder = Exploder() if query.document else None

    def close(self) -> None:
        """Free what decoding documents needed."""
        if self._exploder:
            self._exploder.close()

    def decode(self, rows: Sequence[Sequence[Any]], *, is_packed: bool) -> tuple[pa.Table, pa.Table | None]:
        """(the table, its VIFs or None) of one batch."""
        notes: list[tuple[int, str, str]] = []
        columns = self._query.columns
        width = 1 if is_packed else len(columns)
        arrays = (
            packed([row[0] for row in rows], columns, lambda *n: notes.append(n))
            if is_packed
            else plain(rows, columns, lambda *n: notes.append(n))
        )
        fields = dict(zip([c.name for c in columns], arrays, strict=True))
        vifs = None
        if self._exploder:
            documents = [_bytes(row[width]) for row in rows]
            whole, vifs = self._exploder.explode(documents, lambda n, why: notes.append((n, "network_info", why)))
            fields.update(zip(whole.column_names, [c.combine_chunks() for c in whole.columns], strict=True))
            vifs = self._vifs(vifs, fields)
        for n, column, problem in notes:
            row = {name: array[n].as_py() for name, array in fields.items()}
            self._complaints.add(self._database, self._query.table.name, self._key, row, column, problem)
        return self._complete(self._schema, fields, len(rows)), vifs

    def _vifs(self, vifs: pa.Table, fields: dict[str, pa.Array]) -> pa.Table:
        owners = vifs.column("n").combine_chunks()
        columns = {name: vifs.column(name) for name in vifs.column_names if name != "n"}
        columns["instance_uuid"] = fields["instance_uuid"].take(owners)
        columns["cache_id"] = fields["id"].take(owners)
        return self._complete(self._vif_schema, columns, vifs.num_rows)

    def _complete(self, wanted: pa.Schema, fields: dict[str, Any], rows: int) -> pa.Table:
        """Add what is the same in every row: the cell and the constant; NULL for what the release lacks."""
        same: dict[str, str] = {}
        if self._query.table.service == "nova":
            same["cell"] = self._database.removeprefix(CELL)
        if self._query.table.constant:
            name, value = self._query.table.constant
            same[name] = value
        arrays = []
        for field in wanted:
            if field.name in same:
                arrays.append(pa.repeat(pa.scalar(same[field.name], pa.string()), rows))
            elif field.name in fields:
                arrays.append(fields[field.name])
            else:
                arrays.append(pa.nulls(rows, field.type))
        return pa.table(arrays, schema=wanted)


class TableStream:
    """Brings one table of one database into a snapshot."""

    def __init__(
        self,
        query: Select,
        database: str,
        key: Sequence[str],
        into: Path,
        number: int,
        progress: Progress,
        complaints: Complaints,
    ) -> None:
        self._query, self._database, self._key = query, database, key
        name = f"{database.replace(':', '-')}-{number}.parquet"
        self._file = into / query.table.label / name
        self._vif_file = into / VIFS.label / name
        self._progress, self._complaints = progress, complaints

    def run(self, reader: Reader, expected: int | None) -> int:
        """Read it all and return the number of rows; SourceError, and no file, when the stream breaks."""
        try:
            return self._attempt(reader, expected, is_packed=reader.packs)
        except Unpackable:
            # some text holds the separator: the table is read again, a value a column
            self._remove()
            return self._attempt(reader, expected, is_packed=False)
        except BaseException:
            self._remove()
            raise

    def _attempt(self, reader: Reader, expected: int | None, *, is_packed: bool) -> int:
        todo: queue.Queue[Sequence[tuple[Any, ...]] | None] = queue.Queue(_QUEUED)
        worker = _Worker(self, todo, is_packed)
        worker.start()
        sql, rows = self._query.packed if is_packed else self._query.plain, 0
        what = f"{self._database}.{self._query.table.name}"
        self._progress(what, 0, expected)
        try:
            for batch in reader.stream(sql, _BATCH):
                if worker.failure is None:
                    todo.put(batch)
                rows += len(batch)
                self._progress(what, rows, expected)
        finally:
            todo.put(None)
            worker.join()
        if worker.failure is not None:
            raise worker.failure
        return rows

    def _remove(self) -> None:
        for file in (self._file, self._vif_file):
            file.unlink(missing_ok=True)

    def decoder(self) -> Decoder:
        """A decoder for this table."""
        return Decoder(self._query, self._database, self._key, self._complaints)

    def sinks(self) -> tuple[_Sink, _Sink | None]:
        """Where the rows and the VIFs go."""
        return _Sink(self._file), _Sink(self._vif_file) if self._query.document else None


class _Worker(threading.Thread):
    """Decodes and writes what the queue brings, until None."""

    def __init__(self, stream: TableStream, todo: queue.Queue[Any], is_packed: bool) -> None:
        super().__init__(daemon=True)
        self._stream, self._todo, self._is_packed = stream, todo, is_packed
        self.failure: BaseException | None = None

    def run(self) -> None:
        decoder = self._stream.decoder()
        sink, vif_sink = self._stream.sinks()
        while (batch := self._todo.get()) is not None:
            if self.failure is not None:
                continue  # the rest of the stream is drained, so that the connection stays usable
            try:
                table, vifs = decoder.decode(batch, is_packed=self._is_packed)
                sink.write(table)
                if vif_sink and vifs is not None:
                    vif_sink.write(vifs)
            except BaseException as problem:  # noqa: BLE001 - raised again in the thread that reads
                self.failure = problem
        decoder.close()
        for each in (sink, vif_sink):
            if each:
                each.close()


class _Sink:
    """One Parquet file, in row groups of a size that DuckDB likes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: parquet.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._file.parent.mkdir(exist_ok=True)
            self._writer = parquet.ParquetWriter(
                self._file, self._waiting[0].schema, compression="lz4", use_dictionary=_repeating(self._waiting[0])
            )
        self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks(), row_group_size=2 * _ROW_GROUP)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        if self._writer:
            self._writer.close()


def _repeating(sample: pa.Table) -> list[str]:
    """Columns worth a dictionary; looking up ids, each of which comes once, would double the cost of writing them."""
    rows = max(1, sample.num_rows)
    return [name for name in sample.column_names if compute.count_distinct(sample.column(name)).as_py() * 10 < rows]


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
