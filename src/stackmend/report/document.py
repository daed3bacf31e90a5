# SPDX-License-Identifier: Apache-2.0
"""A document for stdout: JSON values for machines, records for tables, and how they are written in each format."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from stackmend.model.errors import UsageError
from stackmend.report.clean import printable

Record = Mapping[str, Any]

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one command prints.

    ``data`` is the whole document: a list of objects or one object. ``columns`` are those of the table, as
    (heading, path) where a path such as ``resource.id`` goes into nested objects. ``text`` is for people, where prose
    serves them better than a table; ``tabular`` says that there is a table besides, for scripts.
    """

    data: Any
    columns: tuple[tuple[str, str], ...] = ()
    text: str = ""
    tabular: bool = False

    @property
    def records(self) -> list[Record]:
        """The objects of the document."""
        return list(self.data) if isinstance(self.data, list) else [self.data]


def write(document: Document, stream: TextIO, form: str, only: Sequence[str] = (), *, color: bool = True) -> None:
    """Write ``document`` to ``stream`` as text, table, json, yaml, csv or value; ``only`` selects columns.

    A column is the heading or the path of a column; UsageError when no record has it.
    """
    columns = _select(document, only) if only else document.columns
    if form in ("json", "yaml"):
        data = _narrowed(document, columns) if only else document.data
        stream.write(_json(data) if form == "json" else _yaml(data))
    elif document.text and not only and (form == "text" or (form == "table" and not document.tabular)):
        stream.write(printable(document.text, keep="\n").rstrip("\n") + "\n")
    elif form in ("table", "text"):
        from stackmend.report.table import draw

        draw([heading for heading, _ in columns], _cells(document, columns), stream, color=color)
    else:
        rows = _cells(document, columns or _all(document))
        _delimited([path for _, path in columns or _all(document)], rows, stream, form)


def reach(record: Any, path: str) -> Any:
    """The value at ``path`` of nested objects: a key that holds dots itself wins; None where there is nothing."""
    if not isinstance(record, Mapping):
        return None
    if path in record:
        return record[path]
    head, _, rest = path.partition(".")
    return reach(record.get(head), rest) if rest else None


def cell(value: Any) -> str:
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


def _select(document: Document, only: Sequence[str]) -> tuple[tuple[str, str], ...]:
    headings = {_plain(heading): (heading, path) for heading, path in document.columns}
    paths = {path: (heading, path) for heading, path in document.columns}
    found = []
    for name in only:
        column = paths.get(name) or headings.get(_plain(name))
        if column is None and any(_exists(record, name) for record in document.records):
            column = (name, name)
        if column is None and not document.records:
            column = (name, name)
        if column is None:
            known = ", ".join(dict.fromkeys(path for _, path in (*document.columns, *_all(document))))
            raise UsageError(f"there is no column '{name}'", f"Columns are: {known}.")
        found.append(column)
    return tuple(found)


def _exists(record: Any, path: str) -> bool:
    if not isinstance(record, Mapping):
        return False
    if path in record:
        return True
    head, _, rest = path.partition(".")
    return bool(rest) and _exists(record.get(head), rest)


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _all(document: Document) -> tuple[tuple[str, str], ...]:
    names: dict[str, None] = {}
    for record in document.records:
        names.update(dict.fromkeys(record))
    return tuple((name, name) for name in names)


def _narrowed(document: Document, columns: Sequence[tuple[str, str]]) -> Any:
    records = [{path: reach(record, path) for _, path in columns} for record in document.records]
    return records if isinstance(document.data, list) else records[0]


def _cells(document: Document, columns: Sequence[tuple[str, str]]) -> list[list[str]]:
    return [[printable(cell(reach(record, path))) for _, path in columns] for record in document.records]


def _json(data: Any) -> str:
    return json.dumps(data, indent=1) + "\n"


def _yaml(data: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Puts into double quotes what is to be escaped below: there alone YAML knows escapes."""

    def quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style=None if printable(text, "\n") == text else '"'
        )

    Dumper.add_representer(str, quoted)
    text: str = yaml.dump(json.loads(json.dumps(data)), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return printable(text, keep="\n")


def _delimited(paths: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO, form: str) -> None:
    if form == "value":
        for row in rows:
            stream.write(" ".join(row) + "\n")
        return
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(paths)
    writer.writerows([_harmless(text) for text in row] for row in rows)


def _harmless(text: str) -> str:
    """A cell that a spreadsheet shows and does not compute: names in a cloud are chosen by its users."""
    formula = text[:1] in ("=", "+", "-", "@", "\t", "\r") and not _NUMBER.fullmatch(text)
    return f"'{text}" if formula else text
