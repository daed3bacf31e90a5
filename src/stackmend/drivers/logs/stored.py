# SPDX-License-Identifier: Apache-2.0
"""Messages of logs as Parquet in a snapshot: read once, and searched by any number of diagnoses afterwards.

A message is kept with its time, origin and ids, and its secrets are masked already. What a search finds is what the
same search of the logs would find: the words are compared with all that a line had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, parquet

from stackmend.drivers.logs import reader
from stackmend.drivers.logs.files import Logs
from stackmend.drivers.logs.reader import Window
from stackmend.model.diagnosing.logs import Looked, Record
from stackmend.model.errors import SourceError

#: the folder in a snapshot
FOLDER = "logs"
_FORMAT = "stackmend-logs/1"
_BATCH = 20_000
_TEXTS = ("text", "host", "service", "level", "logger", "process", "request", "global_request", "more", "file")
_SCHEMA = pa.schema(
    [("at", pa.float64()), *((name, pa.string()) for name in _TEXTS), ("ids", pa.list_(pa.string())),
     ("offset", pa.int64())]
)  # fmt: skip
#: what a word may be part of, in the order of a line
_SEARCHED = ("level", "host", "request", "global_request", "logger", "text", "more", "file")


def write(logs: Logs, into: Path, window: Window, progress: Callable[[int], None] = lambda _: None) -> Looked:
    """Write every message of the logs within the window into a new folder; its table of contents comes last."""
    into.mkdir(parents=True)
    looked = Looked()
    with parquet.ParquetWriter(into / "messages.parquet", _SCHEMA, compression="zstd") as out:
        for file in logs.files:
            for batch in _batches(reader.read(file, (b"\n",), window, looked)):
                out.write_table(batch)
                progress(looked.records)
    looked.unread |= logs.unread
    contents = {"format": _FORMAT, "since": window.since, "until": window.until, "looked": asdict(looked)}
    (into / "logs.json").write_text(json.dumps(contents, indent=1) + "\n")
    return looked


def _batches(records: Iterable[Record]) -> Iterator[pa.Table]:
    waiting: list[dict[str, object]] = []
    for record in records:
        row: dict[str, object] = {name: getattr(record, name) for name in _TEXTS}
        waiting.append({**row, "at": record.at, "ids": sorted(record.ids), "offset": record.offset})
        if len(waiting) >= _BATCH:
            yield pa.Table.from_pylist(waiting, _SCHEMA)
            waiting = []
    if waiting:
        yield pa.Table.from_pylist(waiting, _SCHEMA)


class StoredLogs:
    """The messages in a snapshot, as a :class:`stackmend.engine.diagnosing.gather.Source`."""

    def __init__(self, snapshot: Path) -> None:
        self._file = snapshot / FOLDER / "messages.parquet"
        try:
            contents = json.loads((snapshot / FOLDER / "logs.json").read_text())
            if contents["format"] != _FORMAT:
                raise ValueError(contents["format"])
            self.window = Window(contents["since"], contents["until"])
            self.looked = Looked(**contents["looked"])
        except (OSError, ValueError, KeyError, TypeError):
            raise SourceError(
                f"snapshot {snapshot} has no logs",
                "Make one with them: stackmend snapshot create --logs /var/log --since 6h",
            ) from None

    def search(self, words: Sequence[str], since: float | None, until: float | None) -> Iterator[Record]:
        """The messages within the window that contain one of the words."""
        needles = [word.removeprefix("req-") for word in words]
        with parquet.ParquetFile(self._file) as file:
            for batch in file.iter_batches(_BATCH):
                for row in batch.filter(_matching(batch, needles, since, until)).to_pylist():
                    yield Record(**{**row, "ids": frozenset(row["ids"])})


def _matching(batch: pa.RecordBatch, needles: Sequence[str], since: float | None, until: float | None) -> pa.Array:
    """Which rows of a batch contain one of the words; a message without a time is within every window."""
    line = compute.binary_join_element_wise("", *(batch.column(name) for name in _SEARCHED), "", " ")
    found = pa.array([False] * batch.num_rows)
    for needle in needles:
        found = compute.or_(found, compute.match_substring(line, needle))
    at = batch.column("at")
    for limit, within in ((since, compute.greater_equal), (until, compute.less_equal)):
        if limit is not None:
            found = compute.and_(found, compute.fill_null(within(at, limit), True))
    return found
