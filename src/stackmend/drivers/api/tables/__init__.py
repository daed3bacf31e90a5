# SPDX-License-Identifier: Apache-2.0
"""What the services' APIs show of the tables that checks read, one module per service, found by walking this package.

A module holds ``SHOWN``. Columns not listed there are *missing* by name, and the checks that need them are incomplete.
Rows have the columns of the table as far as possible; the module documents columns that an API shows in another form.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackmend.drivers.api.reader import ApiTableReader

TableRow = dict[str, Any]
#: column -> the values wanted (all columns must match); None for the whole table
Wanted = Mapping[str, Sequence[Any]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTable:
    """How a table is read from the services."""

    label: str
    columns: tuple[str, ...]  #: columns that are filled
    #: the rows; extra rows are harmless. SourceError if they cannot be read completely
    rows: Callable[[ApiTableReader, Wanted], Iterable[TableRow]]


@cache
def shown() -> Mapping[str, ApiTable]:
    """Label -> how it is read."""
    found: dict[str, ApiTable] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        for one in importlib.import_module(f"{__name__}.{info.name}").SHOWN:
            found[one.label] = one
    return found


def moment(text: str | None) -> datetime | None:
    """A service's time as in tables: UTC, naive."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def number(text: str) -> int:
    """A substitute number for an id that no API shows: the same for the same text, so that tables still join."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
