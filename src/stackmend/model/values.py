# SPDX-License-Identifier: Apache-2.0
"""Values of rows and JSON documents, of which only their maker knows the type: as what they have to be.

Each raises TypeError or ValueError for a value that is something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from stackmend.model.step import Values


def whole(value: object) -> int:
    """A whole number."""
    if isinstance(value, int | float | str | bytes):
        return int(value)
    raise TypeError(f"{value!r} is no number")


def real(value: object) -> float:
    """A number."""
    if isinstance(value, int | float | str):
        return float(value)
    raise TypeError(f"{value!r} is no number")


def text(value: object) -> str | None:
    """A text; None for null."""
    return None if value is None else str(value)


def members(value: object) -> Mapping[str, object]:
    """An object of JSON; {} for none."""
    if not value:
        return {}
    if isinstance(value, Mapping):
        return value
    raise TypeError(f"{value!r} is no object of JSON")


def every(value: object) -> Sequence[object]:
    """A list; () for none."""
    if not value:
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return value
    raise TypeError(f"{value!r} is no list")


def objects(value: object) -> list[Mapping[str, object]]:
    """A list of objects of JSON; [] for none."""
    return [members(one) for one in every(value)]


def texts(value: object) -> tuple[str, ...]:
    """A list of texts; () for none."""
    return tuple(str(one) for one in every(value))


def row(value: object) -> Values:
    """Columns with their values; {} for none."""
    found = members(value)
    if not all(one is None or isinstance(one, int | float | str | bytes) for one in found.values()):
        raise TypeError(f"{found!r} is no row")
    return cast("Values", found)
