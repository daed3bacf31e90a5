# SPDX-License-Identifier: Apache-2.0
"""The services' schemas on PostgreSQL, from the descriptions of what their migrations make on MariaDB.

The services' own models decide the types: a MariaDB ``tinyint(1)`` is a Boolean of theirs, an ``enum`` a type of its
own, and Nova keeps addresses as ``inet`` (nova/db/types.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from stackmend.tables.releases import NEWEST
from stackmend_lab.schemas import load

_TYPES = {
    "tinyint": "boolean",
    "datetime": "timestamp without time zone",
    "timestamp": "timestamp without time zone",
    "text": "text",
    "mediumtext": "text",
    "longtext": "text",
    "float": "double precision",
    "double": "double precision",
    "int": "integer",
    "blob": "bytea",
    "date": "date",
}
#: types of columns of Nova's that hold an address or a network
_ADDRESSES = frozenset({"varchar(39)", "varchar(43)"})


def statements(service: str, release: str) -> Iterator[str]:
    """The statements that create the schema, with foreign keys last."""
    description = load(service, release)
    tables: dict[str, Any] = description["tables"]
    for name, table in tables.items():
        for column, spec in table["columns"].items():
            if spec["type"].startswith("enum"):
                yield f'CREATE TYPE "{_enum(name, column)}" AS ENUM {spec["type"].removeprefix("enum")}'
        lines = [_column(service, name, column, spec) for column, spec in table["columns"].items()]
        if table["primary"]:
            lines.append(f"PRIMARY KEY ({_listed(table['primary'])})")
        lines += [f"UNIQUE ({_listed(columns)})" for columns in table.get("unique", {}).values()]
        yield f'CREATE TABLE "{name}" (\n  ' + ",\n  ".join(lines) + "\n)"
        for columns in table.get("indexes", {}).values():
            yield f'CREATE INDEX ON "{name}" ({_listed(columns)})'
    for name, rows in description["rows"].items():
        names = ", ".join(f'"{c}"' for c in rows[0])
        for row in rows:
            yield f'INSERT INTO "{name}" ({names}) VALUES ({", ".join(map(_literal, row.values()))})'
    for name, table in tables.items():
        for spec in table.get("foreign", {}).values():
            rules = "".join(f" ON {event.upper()} {spec[event]}" for event in ("delete", "update") if event in spec)
            yield (
                f'ALTER TABLE "{name}" ADD FOREIGN KEY ({_listed(spec["columns"])})'
                f' REFERENCES "{spec["table"]}" ({_listed(spec["refers"])}){rules}'
            )


@cache
def booleans(service: str, table: str, release: str = NEWEST) -> frozenset[str]:
    """The columns of a table that are Boolean."""
    found = load(service, release)["tables"].get(table, {}).get("columns", {})
    return frozenset(column for column, spec in found.items() if _is_boolean(spec))


def _is_boolean(spec: dict[str, Any]) -> bool:
    return bool(spec["type"] == "tinyint(1)")


def _column(service: str, table: str, name: str, spec: dict[str, Any]) -> str:
    kind = spec["type"].split("(")[0]
    if spec.get("auto"):
        parts = [f'"{name}"', "bigserial" if kind == "bigint" else "serial"]
    elif service == "nova" and spec["type"] in _ADDRESSES:
        parts = [f'"{name}"', "inet"]
    elif kind == "enum":
        parts = [f'"{name}"', f'"{_enum(table, name)}"']
    else:
        parts = [f'"{name}"', _TYPES.get(kind, "bigint" if kind == "bigint" else spec["type"])]
    parts.append("NOT NULL" if spec.get("null") is False else "NULL")
    if "default" in spec:
        value = spec["default"].replace("current_timestamp()", "CURRENT_TIMESTAMP")
        parts.append(f"DEFAULT {_flag(value) if _is_boolean(spec) else value}")
    return " ".join(parts)


def _flag(value: str) -> str:
    return "TRUE" if value.strip("'") == "1" else "FALSE"


def _enum(table: str, column: str) -> str:
    return f"{table}__{column}"[:63]


def _listed(columns: list[str]) -> str:
    """The columns, without the length of a prefix that MariaDB's indexes have."""
    return ", ".join(f'"{column.split("(")[0]}"' for column in columns)


def _literal(value: Any) -> str:
    """A text of unknown type, which the server takes for whatever the column is."""
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
