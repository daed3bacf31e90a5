# SPDX-License-Identifier: Apache-2.0
"""Columns of ids that are written in one way, for which comparing bytes is comparing names (docs/adr/0086).

A Parquet file names them in its metadata: ASCII, in lower case, without a blank, in every row. Only columns of ids
can be among them: checks compare other text with constants, whose case then counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

#: the key in the metadata of a file, and what separates the names in its value
KEY, _COMMA = "stackmend.uniform", ","
_ID = re.compile(r"(.*_)?(uu)?id")


def ids(schema: pa.Schema) -> frozenset[str]:
    """The columns of text that hold ids."""
    return frozenset(field.name for field in schema if pa.types.is_string(field.type) and _ID.fullmatch(field.name))


def uniform(column: pa.ChunkedArray) -> bool:
    """Whether all ids in it are written in one way. An id without a letter leaves that open: false if all are such."""
    # a buffer may have more values than the column, then they count too
    texts = (text.to_pybytes() for chunk in column.chunks if len(chunk) and (text := chunk.buffers()[2]))
    return all(text.islower() and text.isascii() and b" " not in text for text in texts if text)


def note(columns: Iterable[str]) -> dict[str, str]:
    """The metadata for a file in which these are uniform."""
    return {KEY: _COMMA.join(sorted(columns))}


def noted(notes: Iterable[str]) -> frozenset[str]:
    """The columns that are uniform in all files of a table, by their notes."""
    return frozenset.intersection(*(frozenset(text.split(_COMMA)) for text in notes))
