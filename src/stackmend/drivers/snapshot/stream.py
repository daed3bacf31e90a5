# SPDX-License-Identifier: Apache-2.0
"""Streams tables from a database into Parquet: fetched in one thread, decoded and written in others.

Fetching holds the GIL, decoding and writing mostly do not, so they overlap, also across tables. The queues between
them are short: memory use is a few batches, whatever the size of the tables.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
from pyarrow import compute, parquet

from stackmend.drivers.database.dialects.base import TableReader
from stackmend.drivers.snapshot.decode import Unpackable
from stackmend.drivers.snapshot.decoder import Complaints, Decoder
from stackmend.drivers.snapshot.pace import Pace
from stackmend.drivers.snapshot.selects import Select
from stackmend.drivers.snapshot.shape import file_stem
from stackmend.drivers.snapshot.uniform import ids, note, uniform
from stackmend.model.protocols import Progress
from stackmend.model.step import Value
from stackmend.tables.nova import VIFS

_BATCH = 5_000
_QUEUED = 3
_WORKERS = 2
_ROW_GROUP = 60_000
_SAMPLE = 2_000

_Batch = Sequence[tuple[Value, ...]]
_Line = queue.Queue["tuple[TableStream, _Batch | None] | None"]


class Pipeline:
    """The threads that decode and write what streams fetch; all work is done when the ``with`` block ends.

    A stream stays with one thread, because its rows go into one file. Decoding takes about twice as long as fetching.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = [queue.Queue(_QUEUED) for _ in range(_WORKERS)]
        self._threads = [threading.Thread(target=_work, args=(line,), daemon=True) for line in self._lines]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for line in self._lines:
            line.put(None)
        for thread in self._threads:
            thread.join()

    def line(self) -> _Line:
        """The queue for the batches of the next stream, and None at its end; put blocks while it is full."""
        return min(self._lines, key=lambda line: line.qsize())


def _work(line: _Line) -> None:
    while (item := line.get()) is not None:
        stream, batch = item
        stream.take(batch)


class TableStream:
    """Collects one table of one database into a snapshot.

    :meth:`fetch` runs in the thread that reads, :meth:`take` in that of the pipeline. Once the pipeline is done,
    ``failure`` is the error, if any, and ``rows`` the number of rows.
    """

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
        self.query, self._database, self._key = query, database, key
        name = f"{file_stem(database)}-{number}.parquet"
        self._file = into / query.table.label / name
        self._vif_file = into / VIFS.label / name
        self._progress, self._complaints = progress, complaints
        self._whole = False  #: one value per column, because some text contains the separator
        self._work: tuple[Decoder, bool, _Sink, _Sink | None] | None = None
        self.failure: BaseException | None = None
        self.rows = 0

    def fetch(self, reader: TableReader, pipeline: Pipeline, expected: int | None, pace: Pace) -> None:
        """Read everything at this pace; SourceError, also stored as its failure, when the stream breaks."""
        is_packed = reader.packs and not self._whole
        sql = self.query.packed if is_packed else self.query.plain
        what = f"{self._database}.{self.query.table.name}"
        decoder = Decoder(self.query, self._database, self._key, self._complaints)
        vifs = _Sink(self._vif_file) if self.query.document else None
        self._work = (decoder, is_packed, _Sink(self._file), vifs)
        line = pipeline.line()
        self._progress(what, 0, expected)

        def waiting(why: str) -> None:
            self._progress(f"{what} (waiting: {why})", self.rows, expected)

        try:
            pace.between(waiting)
            for batch in reader.stream(sql, _BATCH, self._database):
                line.put((self, batch))
                self.rows += len(batch)
                self._progress(what, self.rows, expected)
                pace.between(waiting)
        except BaseException as problem:
            self.failure = problem
            raise
        finally:
            line.put((self, None))

    def take(self, batch: _Batch | None) -> None:
        """Decode and write a batch; after a failure the rest is discarded, so that the connection stays usable."""
        if self._work is None:
            return
        decoder, is_packed, sink, vif_sink = self._work
        try:
            if batch is None:
                self._work = None
                decoder.close()
                for each in (sink, vif_sink):
                    if each:
                        each.close()
            elif self.failure is None:
                table, vifs = decoder.decode(batch, is_packed=is_packed)
                sink.write(table)
                if vif_sink and vifs is not None:
                    vif_sink.write(vifs)
        except BaseException as problem:  # noqa: BLE001 - the code that started the pipeline handles it
            self.failure = self.failure or problem

    def again(self) -> bool:
        """Whether it has to be read again with one value per column; prepares for that."""
        if not isinstance(self.failure, Unpackable):
            return False
        self.remove()
        self._whole, self.failure, self.rows = True, None, 0
        return True

    def remove(self) -> None:
        """Remove everything written."""
        for file in (self._file, self._vif_file):
            file.unlink(missing_ok=True)


class _Sink:
    """One Parquet file, in row groups of a size that DuckDB likes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: parquet.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._uniform: frozenset[str] = frozenset()

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
            self._uniform = ids(self._waiting[0].schema)
            self._writer = parquet.ParquetWriter(
                self._file, self._waiting[0].schema, compression="lz4", use_dictionary=_repeating(self._waiting[0])
            )
        rows = pa.concat_tables(self._waiting).combine_chunks()
        self._uniform = frozenset(name for name in self._uniform if uniform(rows.column(name)))
        self._writer.write_table(rows, row_group_size=2 * _ROW_GROUP)
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        self._flush()
        if self._writer:
            self._writer.add_key_value_metadata(note(self._uniform))
            self._writer.close()


def _repeating(sample: pa.Table) -> list[str]:
    """Columns worth a dictionary; for ids, which occur only once, a dictionary would double the cost of writing."""
    sample = sample.slice(0, _SAMPLE)
    return [n for n in sample.column_names if 10 * compute.count_distinct(sample.column(n)).as_py() < sample.num_rows]
