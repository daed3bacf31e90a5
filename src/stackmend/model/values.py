# SPDX-License-Identifier: Apache-2.0
"""Conversion of values from rows and JSON documents, whose type only their producer knows.

Each function raises TypeError or ValueError for a value of another kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from stackmend.model.step import Values


def whole(value: object) -> int:
    """An integer."""
    if isinstance(value, int | float | str | bytes):
        return int(value)
    raise TypeError(f"{value!r} is not a number")


def real(value: object) -> float:
    """A floating-point number."""
    if isinstance(value, int | float | str):
        return float(value)
    raise TypeError(f"{value!r} is not a number")


def text(value: object) -> str | None:
    """Text; None for null."""
    return None if value is None else str(value)


def members(value: object) -> Mapping[str, object]:
    """A JSON object; {} for null."""
    if not value:
        return {}
    if isinstance(value, Mapping):
        return value
    raise TypeError(f"{value!r} is not a JSON object")


def every(value: object) -> Sequence[object]:
    """A list; () for null."""
    if not value:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return value
    raise TypeError(f"{value!r} is not a list")


def objects(value: object) -> list[Mapping[str, object]]:
    """A list of JSON objects; [] for null."""
    return [members(one) for one in every(value)]


def texts(value: object) -> tuple[str, ...]:
    """A list of texts; () for null."""
    return tuple(str(one) for one in every(value))


def row(value: object) -> Values:
    """Columns with their values; {} for null."""
    found = members(value)
    if not all(one is None or isinstance(one, int | float | str | bytes) for one in found.values()):
        raise TypeError(f"{found!r} is not a row")
    return cast("Values", found)
