# SPDX-License-Identifier: Apache-2.0
"""Turns database rows into Arrow columns; undecodable values become complaints and never stop the audit.

Two ways lead to the same columns. *Packed* rows, one text each with separators, are parsed by Arrow's CSV reader
without the GIL; they are counted, and an unusual batch is repeated the other way. *Plain* rows are converted value by
value, and only a really broken value becomes NULL, with a complaint.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyarrow import csv

from stackmend.drivers.snapshot.connections import digest
from stackmend.drivers.snapshot.shape import ARROW
from stackmend.tables import Column, ColumnType

SEPARATOR = "\x1f"
NULL = "\x15"

#: (row number in the batch, column, what is wrong)
Complain = Callable[[int, str, str], None]

_TRUE, _FALSE = ("1", "true", "t"), ("0", "false", "f")
_LIMIT = 2**63  # range of an integer column


class Unpackable(Exception):  # noqa: N818 - an answer, not an error
    """A packed row cannot be split into its columns: a value contains the separator."""


def packed(rows: Sequence[bytes], columns: Sequence[Column], complain: Complain) -> list[pa.Array]:
    """Columns of packed rows; Unpackable if one cannot be split."""
    types = {str(n): ARROW[c.kind] for n, c in enumerate(columns)}
    text = b"\n".join([*rows, b""])  # an extra line end, so that a line feed in the last value is detected
    try:
        # a carriage return before the line feed, or a byte order mark at the start, would be dropped
        if b"\r" in text or text.startswith(BOM_UTF8):
            raise pa.ArrowInvalid
        table = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(use_threads=False, column_names=list(types), block_size=1 << 26),
            csv.ParseOptions(delimiter=SEPARATOR, quote_char=False, escape_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types=types,
                null_values=[NULL],
                strings_can_be_null=True,
                true_values=list(_TRUE),
                false_values=list(_FALSE),
            ),
        )
    except pa.ArrowInvalid:
        table = None
    if table is not None and table.num_rows == len(rows):
        return [_kept(table.column(n).combine_chunks(), column) for n, column in enumerate(columns)]
    separator = SEPARATOR.encode()
    split = [row.split(separator) for row in rows]
    if any(len(values) != len(columns) for values in split):
        raise Unpackable
    null = NULL.encode()
    return plain([[None if v == null else v for v in values] for values in split], columns, complain)


def _kept(values: pa.Array, column: Column) -> pa.Array:
    """What is kept of a column: of documents with secrets, their digests."""
    if column.kind is not ColumnType.CONNECTION:
        return values
    return pa.array([None if v is None else digest(v) for v in values.to_pylist()], pa.string())


def plain(rows: Sequence[Sequence[Any]], columns: Sequence[Column], complain: Complain) -> list[pa.Array]:
    """Columns of rows whose values are Python objects or bytes as printed by a server."""
    arrays = []
    for n, column in enumerate(columns):
        values = [row[n] for row in rows]
        convert = _CONVERT[column.kind]
        try:
            converted = [None if v is None else convert(v) for v in values]
        except (ValueError, TypeError, OverflowError):
            converted = [_one(convert, v, row, column.name, complain) for row, v in enumerate(values)]
        arrays.append(pa.array(converted, ARROW[column.kind]))
    return arrays


def _one(convert: Callable[[Any], Any], value: Any, row: int, column: str, complain: Complain) -> Any:
    if value is None:
        return None
    try:
        return convert(value)
    except UnicodeDecodeError:
        complain(row, column, "bad-utf8")
        return bytes(value).decode(errors="replace")
    except (ValueError, TypeError, OverflowError):
        complain(row, column, "impossible-date" if convert is _time else "bad-number")
        return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else str(value)


def _int(value: Any) -> int:
    number = int(value)
    if not -_LIMIT <= number < _LIMIT:
        raise OverflowError
    return number


def _float(value: Any) -> float:
    return float(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bytes | str):
        text = _text(value).lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        return int(text) != 0
    return bool(value)


def _time(value: Any) -> datetime:
    return datetime.fromisoformat(_text(value))


_CONVERT: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.TEXT: _text,
    ColumnType.INT: _int,
    ColumnType.FLOAT: _float,
    ColumnType.BOOL: _bool,
    ColumnType.TIME: _time,
    ColumnType.DELETED: _bool,
    ColumnType.CONNECTION: digest,
}
