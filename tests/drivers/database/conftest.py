# SPDX-License-Identifier: Apache-2.0
"""A database on a real PostgreSQL, and sessions on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from stackmend.drivers.database.dialects import Address, Connection, dialect_of
from stackmend_lab.postgresql import PostgreSQL

SECRET = "Xyzzy-plugh-42"
SCHEMA = """
    CREATE TYPE state AS ENUM ('up', 'down');
    CREATE TABLE parent (id serial PRIMARY KEY, name varchar(40));
    CREATE TABLE child (a integer NOT NULL, b varchar(20) NOT NULL, parent_id integer REFERENCES parent (id),
                        PRIMARY KEY (b, a));
    INSERT INTO parent (name) VALUES ('one'), (NULL), ('');
    CREATE TABLE kinds (id integer PRIMARY KEY, flag boolean, share double precision, at timestamp, place inet,
                        state state, raw bytea, text varchar(40));
    INSERT INTO kinds VALUES (1, true, 0.5, '2026-11-30 16:05:09.25', '10.0.0.1', 'up', '\\x00ff', E'tab\\tand % sign'),
                             (2, false, NULL, '2026-03-01', 'fe80::1', NULL, NULL, NULL);
"""


@pytest.fixture(scope="session")
def address(postgresql: PostgreSQL) -> Address:
    """A database whose owner reads it: only the session can refuse a change."""
    postgresql.create("dialects")
    postgresql.account("dialect", SECRET)
    postgresql.run('ALTER DATABASE dialects OWNER TO "dialect"')
    with closing(postgresql.connect("dialects")) as connection:
        connection.execute(f"GRANT ALL ON SCHEMA public TO dialect; SET ROLE dialect; {SCHEMA}".encode())
    return Address.from_url(postgresql.url("dialects", ("dialect", SECRET)))


@pytest.fixture
def session(address: Address) -> Iterator[Connection]:
    """A reading session."""
    with closing(dialect_of(address).connect(address)) as connection:
        yield connection


@pytest.fixture
def writing(address: Address) -> Iterator[Connection]:
    """A writing session."""
    with closing(dialect_of(address).connect(address, write=True)) as connection:
        yield connection
