# SPDX-License-Identifier: Apache-2.0
"""Turns batches of rows into tables of a snapshot; undecodable values are noted with their object."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from stackmend.drivers.snapshot.decode import packed, plain
from stackmend.drivers.snapshot.network_info import Exploder
from stackmend.drivers.snapshot.selects import Select
from stackmend.drivers.snapshot.shape import schema
from stackmend.model.snapshot import CELL, UNREADABLE
from stackmend.tables.nova import VIFS

#: column that names the main object of a row -> its type; the first one in a table counts
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
    """Undecodable values from all threads; becomes the table ``unreadable_rows``."""

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
        """Raise in the waiting thread the exception that ended a reading one."""
        if self.failure is not None:
            raise self.failure


class Decoder:
    """Turns batches of one SELECT into the tables of a snapshot."""

    def __init__(self, query: Select, database: str, key: Sequence[str], complaints: Complaints) -> None:
        self._query, self._database, self._key, self._complaints = query, database, key, complaints
        self._schema, self._vif_schema = schema(query.table.label), schema(VIFS.label)
        self._exploder = Exploder() if query.document else None

    def close(self) -> None:
        """Free the resources for decoding documents."""
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
        """Add the columns that are the same in every row: the cell and the constant; NULL for missing columns."""
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


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
