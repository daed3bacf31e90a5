# SPDX-License-Identifier: Apache-2.0
"""The shape of collected tables: names and types of their columns in a snapshot."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from stackmend.model.snapshot import UNREADABLE
from stackmend.tables import ColumnType, tables
from stackmend.tables.nova import VIFS
from stackmend.tables.outside import outside

ARROW = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INT: pa.int64(),
    ColumnType.FLOAT: pa.float64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIME: pa.timestamp("us"),
    ColumnType.DELETED: pa.bool_(),
    ColumnType.CONNECTION: pa.string(),
}

#: the columns that replace ``network_info`` in its table
DOCUMENT = (
    ("document", ColumnType.TEXT),
    ("vifs", ColumnType.INT),
    ("length", ColumnType.INT),
    ("crc32", ColumnType.INT),
)
_UNREADABLE = ("database", "table_name", "row_key", "column_name", "problem", "resource_type", "resource_id")

#: label of a derived table -> label of its source table
DERIVED = {VIFS.label: "nova_instance_info_caches"}


def labels() -> frozenset[str]:
    """Every label a check may read of the databases."""
    return frozenset(tables()) | DERIVED.keys() | {UNREADABLE}


def every_label() -> frozenset[str]:
    """Every label that a snapshot may have."""
    return labels() | outside().keys()


def file_stem(database: str) -> str:
    """Prefix of the file names of a database in a snapshot; a number follows."""
    return database.replace(":", "-")


@cache
def schema(label: str) -> pa.Schema:
    """Columns of a collected table, in order."""
    if label == UNREADABLE:
        return pa.schema([(name, pa.string()) for name in _UNREADABLE])
    table = VIFS if label == VIFS.label else outside().get(label) or tables()[label][0]
    fields: list[tuple[str, pa.DataType]] = []
    if table.service == "nova":
        fields.append(("cell", pa.string()))
    if table.constant:
        fields.append((table.constant[0], pa.string()))
    for column in table.columns:
        if column.kind is ColumnType.NETWORK_INFO:
            fields += [(name, ARROW[kind]) for name, kind in DOCUMENT]
        else:
            fields.append((column.name, ARROW[column.kind]))
    return pa.schema(fields)
