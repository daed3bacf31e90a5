# SPDX-License-Identifier: Apache-2.0
"""Re-creates the services' own schemas quickly on MariaDB or SQLite.

``schema/<service>.json`` describes the result of each service's own migrations (scripts/describe_schemas.py writes the
files, tests/lab/test_schemas.py runs the migrations again and compares). From it the databases are created without the
services: identical on MariaDB, translated on SQLite. Older releases are described by what differs (releases.py).

A description holds ``charset`` if the migrations alter the default of the database (as several do, after their first
table), and by table: ``collation`` (absent: the default of the database), ``columns`` (``type`` as printed by MariaDB,
``null``, ``default``, ``auto``, ``collation``), ``primary``, ``unique``, ``indexes``, ``foreign``, ``checks``, and
under ``rows`` what the migrations insert.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from stackmend.tables.releases import NEWEST
from stackmend_lab.releases import Description, older

SERVICES = ("nova_api", "nova", "neutron", "cinder", "glance", "placement", "keystone")


@cache
def load(service: str, release: str = NEWEST) -> Description:
    """The committed description of a service's schema in a release; "nova" is for every cell."""
    text = resources.files("stackmend_lab").joinpath("schema", f"{service}.json").read_text()
    description: Description = json.loads(text)
    return older(description, service, release)


# ---- reading back from MariaDB ---------------------------------------------------------------------------------------


def describe(cursor: Any, schema: str) -> Description:
    """Read the description of a database from a MariaDB cursor (DBAPI)."""
    default = _one(
        cursor, "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = %s", schema
    )
    tables: dict[str, Any] = {}
    cursor.execute(
        "SELECT table_name, table_collation FROM information_schema.tables"
        " WHERE table_schema = %s AND table_type = 'BASE TABLE' ORDER BY table_name",
        (schema,),
    )
    for name, collation in cursor.fetchall():
        tables[name] = {} if collation == default else {"collation": collation}
        tables[name].update(columns={}, primary=[], unique={}, indexes={}, foreign={}, checks={})
    _columns(cursor, schema, tables, default)
    _keys(cursor, schema, tables)
    _foreign_keys(cursor, schema, tables)
    cursor.execute(
        "SELECT table_name, constraint_name, check_clause FROM information_schema.check_constraints"
        " WHERE constraint_schema = %s ORDER BY 1, 2",
        (schema,),
    )
    for table, name, clause in cursor.fetchall():
        tables[table]["checks"][name] = clause
    cursor.execute("SELECT @@character_set_server")
    altered = {} if default.split("_")[0] == cursor.fetchone()[0] else {"charset": default.split("_")[0]}
    return {**altered, "tables": {name: {k: v for k, v in t.items() if v != {}} for name, t in tables.items()}}


def _columns(cursor: Any, schema: str, tables: dict[str, Any], default: str) -> None:
    cursor.execute(
        "SELECT c.table_name, c.column_name, c.column_type, c.is_nullable, c.column_default, c.extra,"
        " c.collation_name, t.table_collation FROM information_schema.columns c"
        " JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name"
        " WHERE c.table_schema = %s AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position",
        (schema,),
    )
    for table, name, kind, nullable, value, extra, collation, table_collation in cursor.fetchall():
        column: dict[str, Any] = {"type": kind}
        if nullable == "NO":
            column["null"] = False
        if value is not None and value != "NULL":
            column["default"] = value
        if "auto_increment" in extra:
            column["auto"] = True
        if "on update" in extra:
            column["on_update"] = extra
        if collation and collation != table_collation:
            column["collation"] = collation
        tables[table]["columns"][name] = column


def _keys(cursor: Any, schema: str, tables: dict[str, Any]) -> None:
    cursor.execute(
        "SELECT table_name, index_name, non_unique, column_name, sub_part FROM information_schema.statistics"
        " WHERE table_schema = %s ORDER BY table_name, index_name, seq_in_index",
        (schema,),
    )
    for table, name, non_unique, column, part in cursor.fetchall():
        what = column if part is None else f"{column}({part})"
        if name == "PRIMARY":
            tables[table]["primary"].append(what)
        else:
            tables[table]["indexes" if non_unique else "unique"].setdefault(name, []).append(what)


def _foreign_keys(cursor: Any, schema: str, tables: dict[str, Any]) -> None:
    cursor.execute(
        "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, k.referenced_column_name,"
        " r.delete_rule, r.update_rule FROM information_schema.key_column_usage k"
        " JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema"
        " AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name"
        " WHERE k.table_schema = %s AND k.referenced_table_name IS NOT NULL"
        " ORDER BY k.table_name, k.constraint_name, k.ordinal_position",
        (schema,),
    )
    for table, name, column, parent, parent_column, on_delete, on_update in cursor.fetchall():
        key = tables[table]["foreign"].setdefault(name, {"columns": [], "table": parent, "refers": []})
        key["columns"].append(column)
        key["refers"].append(parent_column)
        if on_delete not in ("RESTRICT", "NO ACTION"):
            key["delete"] = on_delete
        if on_update not in ("RESTRICT", "NO ACTION"):
            key["update"] = on_update


def _one(cursor: Any, sql: str, *parameters: str) -> Any:
    cursor.execute(sql, parameters)
    return cursor.fetchone()[0]


# ---- creating --------------------------------------------------------------------------------------------------------


def mariadb_statements(service: str, release: str = NEWEST) -> Iterator[str]:
    """The statements that create the schema on MariaDB, in an order for unchecked foreign keys."""
    description = load(service, release)
    yield "SET foreign_key_checks = 0"
    if "charset" in description:
        yield f"ALTER DATABASE CHARACTER SET {description['charset']}"
    for name, table in description["tables"].items():
        lines = [_mariadb_column(column, spec) for column, spec in table["columns"].items()]
        if table["primary"]:
            lines.append(f"PRIMARY KEY ({_list(table['primary'])})")
        lines += [f"UNIQUE KEY `{key}` ({_list(columns)})" for key, columns in table.get("unique", {}).items()]
        lines += [f"KEY `{key}` ({_list(columns)})" for key, columns in table.get("indexes", {}).items()]
        lines += [f"CONSTRAINT `{key}` {_reference(spec, '`')}" for key, spec in table.get("foreign", {}).items()]
        lines += [f"CONSTRAINT `{key}` CHECK ({clause})" for key, clause in table.get("checks", {}).items()]
        charset = ""
        if "collation" in table:
            charset = f" DEFAULT CHARSET={table['collation'].split('_')[0]} COLLATE={table['collation']}"
        yield f"CREATE TABLE `{name}` (\n  " + ",\n  ".join(lines) + f"\n) ENGINE=InnoDB{charset}"
    for name, rows in description["rows"].items():
        columns = ", ".join(f"`{c}`" for c in rows[0])
        values = ", ".join("(" + ", ".join(_literal(v) for v in row.values()) + ")" for row in rows)
        yield f"INSERT INTO `{name}` ({columns}) VALUES {values}"
    yield "SET foreign_key_checks = 1"


def _mariadb_column(name: str, spec: dict[str, Any]) -> str:
    parts = [f"`{name}`", spec["type"]]
    if "collation" in spec:
        parts.append(f"CHARACTER SET {spec['collation'].split('_')[0]} COLLATE {spec['collation']}")
    parts.append("NOT NULL" if spec.get("null") is False else "NULL")
    if "default" in spec:
        parts.append(f"DEFAULT {spec['default']}")
    if spec.get("auto"):
        parts.append("AUTO_INCREMENT")
    if "on_update" in spec:
        parts.append(spec["on_update"])
    return " ".join(parts)


def create_on_mariadb(cursor: Any, service: str, release: str = NEWEST) -> None:
    """Create the schema in the cursor's database; the connection must allow multiple statements."""
    cursor.execute(";\n".join(mariadb_statements(service, release)))
    while cursor.nextset():
        pass


def service_of(database: str) -> str:
    """The service whose schema a database has, by stackmend's name of it: "nova" for every cell."""
    return "nova" if database.startswith("cell:") else database


@cache
def columns(database: str, table: str, release: str = NEWEST) -> frozenset[str]:
    """The columns of a table in a release, by stackmend's name of its database; none if the release lacks the table."""
    return frozenset(load(service_of(database), release)["tables"].get(table, {}).get("columns", ()))


@cache
def moments(service: str, release: str = NEWEST) -> tuple[tuple[str, str], ...]:
    """(table, column) of every time column in a service's database."""
    return tuple(
        (table, column)
        for table, spec in load(service, release)["tables"].items()
        for column, its in spec["columns"].items()
        if its["type"].split("(")[0] in ("datetime", "timestamp")
    )


def sqlite_statements(service: str, release: str = NEWEST) -> Iterator[str]:
    """The statements that create the schema on SQLite."""
    description = load(service, release)
    for name, table in description["tables"].items():
        primary = [_bare(c) for c in table["primary"]]
        rowid = primary[0] if len(primary) == 1 and table["columns"][primary[0]].get("auto") else None
        lines = [_sqlite_column(column, spec, column == rowid) for column, spec in table["columns"].items()]
        if primary and not rowid:
            lines.append(f"PRIMARY KEY ({_listed(primary)})")
        unique = [[_bare(c) for c in columns] for columns in table.get("unique", {}).values()]
        lines += [f"UNIQUE ({_listed(columns)})" for columns in unique]
        lines += [_reference(spec, '"') for spec in table.get("foreign", {}).values()]
        yield f'CREATE TABLE "{name}" (\n  ' + ",\n  ".join(lines) + "\n)"
        for key, columns in table.get("indexes", {}).items():
            yield f'CREATE INDEX "{name}__{key}" ON "{name}" ({_listed(columns)})'
    for name, rows in description["rows"].items():
        columns = ", ".join(f'"{c}"' for c in rows[0])
        values = ", ".join("(" + ", ".join(_literal(v, "sqlite") for v in row.values()) + ")" for row in rows)
        yield f'INSERT INTO "{name}" ({columns}) VALUES {values}'


#: SQLite's equivalents of MariaDB's types; only the affinity matters
_AFFINITY = (
    ("int", "INTEGER"),
    ("double", "REAL"),
    ("float", "REAL"),
    ("decimal", "NUMERIC"),
    ("blob", "BLOB"),
    ("binary", "BLOB"),
)


def _sqlite_column(name: str, spec: dict[str, Any], rowid: bool) -> str:
    if rowid:
        return f'"{name}" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL'
    kind = next((ours for theirs, ours in _AFFINITY if theirs in spec["type"].split("(")[0]), "TEXT")
    parts = [f'"{name}"', kind]
    if spec.get("null") is False:
        parts.append("NOT NULL")
    if "default" in spec:
        default = spec["default"].replace("current_timestamp()", "CURRENT_TIMESTAMP")
        parts.append(f"DEFAULT {default}")
    return " ".join(parts)


def create_on_sqlite(connection: sqlite3.Connection, service: str, release: str = NEWEST) -> None:
    """Create the schema in an empty SQLite database, in one transaction."""
    connection.executescript("BEGIN;\n" + ";\n".join(sqlite_statements(service, release)) + ";\nCOMMIT;")


def _reference(spec: dict[str, Any], quote: str) -> str:
    rules = "".join(f" ON {event.upper()} {spec[event]}" for event in ("delete", "update") if event in spec)
    columns, refers = _list(spec["columns"], quote), _list(spec["refers"], quote)
    return f"FOREIGN KEY ({columns}) REFERENCES {quote}{spec['table']}{quote} ({refers}){rules}"


def _listed(columns: list[str]) -> str:
    """The columns as SQLite quotes them."""
    return _list([_bare(c) for c in columns], '"')


def _list(columns: list[str], quote: str = "`") -> str:
    return ", ".join(f"{quote}{_bare(c)}{quote}{c[len(_bare(c)) :]}" for c in columns)


def _bare(column: str) -> str:
    """The column of an index part: ``name(255)`` without the length."""
    return column.split("(")[0]


def _literal(value: Any, dialect: str = "mariadb") -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("'", "''")
    return "'" + (text if dialect == "sqlite" else text.replace("\\", "\\\\")) + "'"
