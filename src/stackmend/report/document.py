# SPDX-License-Identifier: Apache-2.0
"""A document for stdout: JSON values for machines, records and columns for tables, text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackmend.model.errors import UsageError
from stackmend.model.finding import Row

TableColumn = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The output of one command.

    ``data`` is the whole document: a list of objects or one object. ``columns`` are those of the table, as
    (heading, path) where a path such as ``resource.id`` goes into nested objects. ``text`` is for people, if prose
    is better for them than a table.
    """

    data: Any
    columns: tuple[TableColumn, ...] = ()
    text: str = ""

    @property
    def records(self) -> list[Row]:
        """The objects of the document."""
        return list(self.data) if isinstance(self.data, list) else [self.data]

    def chosen(self, only: Sequence[str], *, whole: bool = False) -> tuple[TableColumn, ...]:
        """The columns that ``only`` names, else those of the table, or of ``whole`` records all there are.

        UsageError for a name that neither a column nor a record has.
        """
        if not only:
            return self.columns if self.columns and not whole else _all(self)
        found = []
        for name in only:
            column = self.column(name)
            if column is None and self.records:
                known = ", ".join(dict.fromkeys(path for _, path in (*self.columns, *_all(self))))
                raise UsageError(f"there is no column '{name}'", f"Columns are: {known}.")
            found.append(column or (name, name))
        return tuple(dict.fromkeys(found))

    def column(self, name: str) -> TableColumn | None:
        """The column of that path or heading; None if no record has it."""
        for heading, path in self.columns:
            if name == path or _plain(name) == _plain(heading):
                return heading, path
        return (name, name) if any(_exists(record, name) for record in self.records) else None


def reach(record: object, path: str) -> object:
    """The value at ``path`` of nested objects, preferably of a key that itself contains dots; None if there is none."""
    if not isinstance(record, Mapping):
        return None
    if path in record:
        return record[path]
    head, _, rest = path.partition(".")
    return reach(record.get(head), rest) if rest else None


def cell(value: object) -> str:
    """A value as text in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if set(value) == {"type", "id"}:
            return f"{value['type']} {value['id']}"
        if set(value) == {"name", "risk"}:
            return f"{value['name']} ({value['risk']})"
        return ", ".join(f"{name}={cell(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(inner) for inner in value)
    return str(value)


def _exists(record: object, path: str) -> bool:
    if not isinstance(record, Mapping):
        return False
    if path in record:
        return True
    head, _, rest = path.partition(".")
    return bool(rest) and _exists(record.get(head), rest)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _all(document: Document) -> tuple[TableColumn, ...]:
    names: dict[str, None] = {}
    for record in document.records:
        names.update(dict.fromkeys(record))
    return tuple((name, name) for name in names)
