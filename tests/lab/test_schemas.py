# SPDX-License-Identifier: Apache-2.0
"""The committed schemas are what the services' own migrations make, and both dialects make what they say."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from stackmend_lab import schemas
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.migrations import described, migrated

SERVICES = Path(os.environ.get("STACKMEND_SERVICES", Path(__file__).parents[2] / ".services")).absolute()


#: their migrations take minutes, and the lab has run them, with the same outcome (lab/control_plane/test_plane.py)
BY_THE_LAB = ("nova", "nova_api", "neutron")


@pytest.mark.parametrize("service", [service for service in schemas.SERVICES if service not in BY_THE_LAB])
def test_description_is_what_the_migrations_make(mariadb: MariaDB, service: str) -> None:
    """The services' own migrations, run anew, make exactly the committed description."""
    assert migrated(mariadb, SERVICES, service) == schemas.load(service)


@pytest.mark.parametrize("service", schemas.SERVICES)
def test_mariadb_reads_back_as_described(mariadb: MariaDB, service: str) -> None:
    """A schema made from the description reads back as the description: columns, keys, references, charsets, rows."""
    database = f"made_{service}"
    mariadb.create(database)
    with closing(mariadb.connect(database)) as connection:
        with connection.cursor() as cursor:
            schemas.create_on_mariadb(cursor, service)
        assert described(connection, service) == schemas.load(service)


@pytest.mark.parametrize("service", schemas.SERVICES)
def test_sqlite_has_the_same_tables_columns_and_keys(service: str) -> None:
    """SQLite gets every table with the same columns, NOT NULLs, primary keys, unique keys and references."""
    connection = sqlite3.connect(":memory:")
    schemas.create_on_sqlite(connection, service)
    made = {
        name: _shape(connection, name)
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if name != "sqlite_sequence"
    }
    connection.close()

    expected = {
        name: (
            {c: spec.get("null", True) for c, spec in table["columns"].items()},
            sorted(table["primary"]),
            sorted(sorted(c.split("(")[0] for c in columns) for columns in table.get("unique", {}).values()),
            sorted((spec["table"], sorted(spec["columns"])) for spec in table.get("foreign", {}).values()),
        )
        for name, table in schemas.load(service)["tables"].items()
    }
    assert expected == made


def _shape(connection: sqlite3.Connection, table: str) -> tuple[object, ...]:
    columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    unique = [
        sorted(c[2] for c in connection.execute(f'PRAGMA index_info("{index[1]}")'))
        for index in connection.execute(f'PRAGMA index_list("{table}")')
        if index[3] == "u"
    ]
    references: dict[int, tuple[str, list[str]]] = {}
    for number, _, parent, column, *_ in connection.execute(f'PRAGMA foreign_key_list("{table}")'):
        references.setdefault(number, (parent, []))[1].append(column)
    return (
        {c[1]: not c[3] for c in columns},
        sorted(c[1] for c in columns if c[5]),
        sorted(unique),
        sorted((parent, sorted(names)) for parent, names in references.values()),
    )


def test_nova_and_cinder_force_utf8mb3_where_others_take_the_default() -> None:
    """The charsets differ between the services, which is why stackmend never joins across schemas."""
    charsets = {
        service: {t.get("collation", d.get("charset")) for t in d["tables"].values()}
        for service in schemas.SERVICES
        for d in [schemas.load(service)]
    }

    assert charsets["placement"] == {None}
    assert {"utf8mb3_general_ci", "utf8mb3"} & charsets["nova"]
    assert {"utf8mb3_general_ci", "utf8mb3"} & charsets["cinder"]
