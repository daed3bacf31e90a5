# SPDX-License-Identifier: Apache-2.0
"""An embedded cloud on a private PostgreSQL: loaded by COPY, saved in a schema of its own beside the rows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from stackmend_lab import postgresql_schemas, schemas
from stackmend_lab.cloud.handle import Row
from stackmend_lab.cloud.served import Served
from stackmend_lab.postgresql import PostgreSQL

Connections = dict[str, "psycopg.Connection[Any]"]

_PARAMETER = re.compile(r":(\w+)\b")
_COMPARED = re.compile(r"\b((?:\w+\.)?(\w+))\s*(=|<>)\s*([01])\b(?!\s*[-+*/.])")
_TABLE = re.compile(r'\b(?:FROM|JOIN|UPDATE|INTO)\s+"?(\w+)')
#: foreign keys are not checked meanwhile
_UNCHECKED, _CHECKED = "SET session_replication_role = replica", "SET session_replication_role = DEFAULT"
_SAVED = "saved"


def create(server: PostgreSQL, databases: Mapping[str, tuple[str, str]], prefix: str, release: str) -> PostgreSQLStore:
    """Empty databases with the schemas of a release. ``databases``: name -> (service, name on the server)."""
    names, connections = {}, {}
    for database, (service, name) in databases.items():
        names[database] = prefix + name
        server.create(names[database])
        connections[database] = server.connect(names[database])
        script = [f'GRANT ALL ON SCHEMA public TO "{server.owner}"', f'SET ROLE "{server.owner}"']
        script += [*postgresql_schemas.statements(service, release), "RESET ROLE"]
        connections[database].execute(";\n".join(script).encode())
    return PostgreSQLStore(server, names, connections, release)


class PostgreSQLLoader:
    """Writes rows as lines for COPY."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lines: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}

    def emit(self, database: str, table: str, columns: tuple[str, ...], values: Sequence[Any]) -> None:
        """Store a row as a line."""
        line = "\t".join(["\x00" if v is None else _escaped(v) for v in values]).replace("\x00", "\\N")
        self._lines.setdefault((database, table, columns), []).append(line)

    def close(self) -> None:
        """Load all lines."""
        for (database, table, columns), lines in self._lines.items():
            names = ", ".join(f'"{c}"' for c in columns)
            command = f'COPY "{table}" ({names}) FROM STDIN'.encode()
            with unchecked(self._connections[database]) as connection, connection.cursor().copy(command) as copy:
                copy.write("\n".join(lines) + "\n")
        self._lines.clear()


def _escaped(value: Any) -> str:
    text = value if type(value) is str else str(value)
    return (
        text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") if "\\" in text or "\n" in text else text
    )


@contextmanager
def unchecked(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """Foreign keys are not checked for the duration of the ``with`` block."""
    connection.execute(_UNCHECKED)
    try:
        yield connection
    finally:
        connection.execute(_CHECKED)


class PostgreSQLStore(Served):
    """A cloud on a private PostgreSQL."""

    def __init__(self, server: PostgreSQL, names: dict[str, str], connections: Connections, release: str) -> None:
        super().__init__(server, names, Path(tempfile.mkdtemp(prefix="state-", dir=server.folder)))
        self.connections, self._release = connections, release
        self._sums: dict[str, dict[str, str]] = {}

    def loaded(self) -> None:
        """Numbers that the server assigns follow those of the rows, and it knows how many rows there are."""
        for database, connection in self.connections.items():
            for table in self._tables(database):
                for (sequence,) in connection.execute(
                    "SELECT pg_get_serial_sequence(%s, attname) FROM pg_attribute WHERE attrelid = %s::regclass"
                    " AND attname = 'id' AND atthasdef", (f'"{table}"', f'"{table}"'),
                ).fetchall():  # fmt: skip
                    if sequence:
                        connection.execute(f'SELECT setval(%s, max(id)) FROM "{table}" HAVING max(id) > 0', (sequence,))
            connection.execute("ANALYZE")

    def quote(self, name: str) -> str:
        """As a standard identifier."""
        return f'"{name}"'

    def run(self, database: str, sql: str, parameters: Mapping[str, Any]) -> tuple[list[Row], Any]:
        """Numbers that are compared with a Boolean, and parameters of any type, become texts of unknown type."""
        sql = _COMPARED.sub(self._flag(database, sql), sql)
        statement = _PARAMETER.sub(lambda m: f"%({m[1]})s" if m[1] in parameters else m[0], sql.replace("%", "%%"))
        given = {name: v if isinstance(v, bytes | None) else _text(v) for name, v in parameters.items()}
        table = re.match(r'\s*INSERT INTO "?(\w+)"?', sql)
        if table and "id" in schemas.columns(database, table[1], self._release):
            statement += " RETURNING id"
        with psycopg.ClientCursor(self.connections[database], row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), given)
            rows = [{n: _plain(v) for n, v in row.items()} for row in cursor.fetchall()] if cursor.description else []
        return ([], rows[-1]["id"] if rows else None) if table else (rows, None)

    def _flag(self, database: str, sql: str) -> Callable[[re.Match[str]], str]:
        """Plants compare what is a Boolean with numbers, as other servers allow."""
        service = schemas.service_of(database)
        known = {c for t in _TABLE.findall(sql) for c in postgresql_schemas.booleans(service, t, self._release)}

        def flag(found: re.Match[str]) -> str:
            return f"{found[1]} {found[3]} '{found[4]}'" if found[2] in known else found[0]

        return flag

    def later(self, column: str, seconds: int) -> str:
        """An interval is added."""
        return f"{column} + INTERVAL '{seconds} seconds'"

    def dump(self) -> dict[tuple[str, str], list[str]]:
        """Rows as the server prints them."""
        found = {}
        for database, connection in self.connections.items():
            for table in self._tables(database):
                rows = sorted(row for (row,) in connection.execute(f'SELECT t::text FROM "{table}" t'))
                if rows:
                    found[database, table] = rows
        return found

    def save(self) -> None:
        """Copy the rows into a schema of their own."""
        for database, connection in self.connections.items():
            connection.execute(f"DROP SCHEMA IF EXISTS {_SAVED} CASCADE; CREATE SCHEMA {_SAVED}".encode())
            self._sums[database] = self._checksums(database)
            for table, checksum in self._sums[database].items():
                if checksum:
                    connection.execute(f'CREATE TABLE {_SAVED}."{table}" AS TABLE public."{table}"')

    def restore(self) -> None:
        """Copy back those of the tables that differ."""
        for database, connection in self.connections.items():
            with unchecked(connection):
                for table, checksum in self._checksums(database).items():
                    if checksum == self._sums[database][table]:
                        continue
                    connection.execute(f'DELETE FROM public."{table}"')
                    if self._sums[database][table]:
                        connection.execute(f'INSERT INTO public."{table}" TABLE {_SAVED}."{table}"')

    def close(self) -> None:
        """Close the connections."""
        for connection in self.connections.values():
            connection.close()

    def _tables(self, database: str) -> list[str]:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return [name for (name,) in self.connections[database].execute(sql)]

    def _checksums(self, database: str) -> dict[str, str]:
        """Table -> a sum over its rows; "" for an empty one."""
        parts = [
            f"SELECT '{table}', COALESCE(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM \"{table}\" t"
            for table in self._tables(database)
        ]
        return dict(self.connections[database].execute(" UNION ALL ".join(parts)).fetchall())


def _text(value: Any) -> str:
    """A text of unknown type, which the server takes for whatever the column is."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _plain(value: Any) -> Any:
    """As other servers give it."""
    return int(value) if isinstance(value, bool) else value
