# SPDX-License-Identifier: Apache-2.0
"""The committed schemas are what the services' own migrations make, and both dialects make what they say."""

from __future__ import annotations

import lzma
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stackmend.tables.releases import NEWEST, RELEASES, fitting, revisions
from stackmend_lab import releases, schemas
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.migrations import described, migrated

SERVICES = Path(os.environ.get("STACKMEND_SERVICES", Path(__file__).parents[2] / ".services")).absolute()


#: their migrations take minutes, and the lab has run them, with the same outcome (lab/control_plane/test_plane.py)
BY_THE_LAB = ("nova", "nova_api", "neutron")


@pytest.mark.parametrize("service", [service for service in schemas.SERVICES if service not in BY_THE_LAB])
def test_description_is_what_the_migrations_make(mariadb: MariaDB, service: str) -> None:
    """The services' own migrations, run anew, make exactly the committed description."""
    assert migrated(mariadb, SERVICES, service) == schemas.load(service)


#: releases of which every schema is made: the newest, and one on each side of the largest changes; others as ``long``
MADE = ("train", "zed", NEWEST)
_MADE = [r if r in MADE else pytest.param(r, marks=pytest.mark.long) for r in RELEASES]


@pytest.mark.parametrize("release", _MADE)
def test_mariadb_reads_back_as_described(mariadb: MariaDB, release: str) -> None:
    """Schemas made from the descriptions read back as the descriptions: columns, keys, references, charsets, rows."""
    for service in schemas.SERVICES:
        database = f"made_{service}"
        mariadb.create(database)
        with closing(mariadb.connect(database)) as connection, connection.cursor() as cursor:
            schemas.create_on_mariadb(cursor, service, release)
            assert described(connection, service) == schemas.load(service, release), service
            cursor.execute(f"DROP DATABASE `{database}`")


@pytest.mark.parametrize("release", RELEASES)
def test_sqlite_has_the_same_tables_columns_and_keys(release: str) -> None:
    """SQLite gets every table with the same columns, NOT NULLs, primary keys, unique keys and references."""
    for service in schemas.SERVICES:
        connection = sqlite3.connect(":memory:")
        schemas.create_on_sqlite(connection, service, release)
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
                _unique(table),
                sorted((spec["table"], sorted(spec["columns"])) for spec in table.get("foreign", {}).values()),
            )
            for name, table in schemas.load(service, release)["tables"].items()
        }
        assert expected == made, service


def test_a_dump_is_described_as_the_database_it_was_made_of(mariadb: MariaDB, tmp_path: Path) -> None:
    """Tables as SHOW CREATE TABLE prints them, by which older releases came here, give the committed descriptions."""
    with lzma.open(tmp_path / "xena.sql.xz", "wt") as dump:
        for service in schemas.SERVICES:
            mariadb.create(service)
            with closing(mariadb.connect(service)) as connection, connection.cursor() as cursor:
                schemas.create_on_mariadb(cursor, service, "xena")
                dump.write(f"CREATE DATABASE `{service}`;\nUSE `{service}`;\n")
                for table in schemas.load(service, "xena")["tables"]:
                    cursor.execute(f"SHOW CREATE TABLE `{table}`")
                    dump.write(cursor.fetchone()[1] + ";\n")
                cursor.execute(f"DROP DATABASE `{service}`")

    script = Path(__file__).parents[2] / "scripts" / "describe_releases.py"
    outcome = subprocess.run(
        [sys.executable, script, "--check", tmp_path], capture_output=True, text=True, check=False, timeout=120
    )

    assert outcome.stdout == "".join(f"xena {service}: as committed\n" for service in schemas.SERVICES)
    assert outcome.returncode == 0


def test_a_difference_makes_one_description_of_the_other() -> None:
    """What is added, removed or changed at any depth is in the difference, and nothing else."""
    old, new = {"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": 3, "e": {"f": 4}}, "g": [None]}

    patch = releases.difference(old, new)

    assert patch == {"a": {"b": 3, "c": None, "e": {"f": 4}}, "d": None, "g": [None]}
    assert releases.merged(old, patch) == new


def test_revisions_are_those_of_the_described_schemas() -> None:
    """What tells releases apart is what the migrations of that release wrote, and says which releases it fits."""
    for release in RELEASES:
        for service in schemas.SERVICES:
            rows = schemas.load(service, release)["rows"]
            found = [row["version_num"] for row in rows.get("alembic_version", ())]
            found += [str(row["version"]) for row in rows.get("migrate_version", ())]
            assert tuple(sorted(found)) == revisions()[release][service]
            assert release in fitting(service, found)
    assert fitting("nova", ["ccb0fa1a2252"]) == ("zed",)
    assert fitting("placement", ["422ece571366"]) == ("xena", "yoga", "zed", "2023.1")
    upgraded, new = ["109", "79", "79", "79"], ["79", "79", "79"]
    assert fitting("keystone", upgraded) == fitting("keystone", new) == ("wallaby", "xena", "yoga")
    assert fitting("nova", ["0123456789ab"]) == fitting("nova", []) == ()


def _unique(table: dict[str, Any]) -> list[tuple[str, ...]]:
    """The unique keys; SQLite makes one of those that repeat another, or the primary key."""
    keys = {tuple(sorted(c.split("(")[0] for c in columns)) for columns in table.get("unique", {}).values()}
    return sorted(keys - {tuple(sorted(table["primary"]))})


def _shape(connection: sqlite3.Connection, table: str) -> tuple[object, ...]:
    columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    unique = [
        tuple(sorted(c[2] for c in connection.execute(f'PRAGMA index_info("{index[1]}")')))
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
