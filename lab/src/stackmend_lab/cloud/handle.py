# SPDX-License-Identifier: Apache-2.0
"""The handle of a built cloud: read it, break it, restore it."""

from __future__ import annotations

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pymysql

from stackmend.tables.releases import NEWEST
from stackmend_lab import schemas
from stackmend_lab.cloud.kinds import text
from stackmend_lab.cloud.served import Served
from stackmend_lab.mariadb import MariaDB

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a built cloud."""

    uuid: str
    kind: str
    cell: str
    host: str | None
    node: str | None
    project_id: str
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    migration: str  #: UUID of its migration, if it has one

    @property
    def database(self) -> str:
        """Name of the database its row is in."""
        return f"cell:{self.cell}"


class AbsentError(LookupError):
    """The release of the cloud does not have what somebody wants to write: such damage cannot exist there."""


class Statements(Protocol):
    """Where a cloud's databases are, and how to run statements on them."""

    def url(self, database: str) -> str: ...
    def databases(self) -> tuple[str, ...]: ...
    def run(self, database: str, sql: str, parameters: Mapping[str, Any]) -> tuple[list[Row], Any]:
        """(rows, last id) of one statement with ``:name`` parameters."""
        ...

    def quote(self, name: str) -> str: ...


class Store(Statements, Protocol):
    """The same for an embedded cloud, which can be restored."""

    def later(self, column: str, seconds: int) -> str:
        """A column's time plus a number of seconds, in SQL; fractions of a second are kept."""
        ...

    def state(self) -> Path: ...
    def dump(self) -> dict[tuple[str, str], list[str]]: ...
    def save(self) -> None: ...
    def restore(self) -> None: ...
    def close(self) -> None: ...


class CloudRows(ABC):
    """The target of damage: rows by database, and servers in a given state.

    Implemented by the embedded cloud, and by the real databases of a lab (:mod:`stackmend_lab.breaks`), so that a plant
    can be made on both. Databases have stackmend's names: ``nova_api``, ``cell:cell1``, ``neutron``, ...
    """

    def __init__(self, statements: Statements, release: str = NEWEST) -> None:
        self._statements, self.release = statements, release

    @abstractmethod
    def pick(self, kind: str = "active") -> Server:
        """A server of that kind that was not picked before; LookupError if there is none left."""

    @property
    def databases(self) -> dict[str, str]:
        """Database -> SQLAlchemy URL."""
        return {name: self._statements.url(name) for name in self._statements.databases()}

    def ago(self, seconds: float) -> str:
        """A time so many seconds ago, independent of the cloud's age, so that it is recent for an audit too."""
        return text(datetime.now(UTC) - timedelta(seconds=seconds))

    def rows(self, database: str, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """Rows of a query with ``:name`` parameters, in SQL common to all dialects."""
        return self._statements.run(database, sql, params or {})[0]

    def execute(self, database: str, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """Run one statement and commit it."""
        self._statements.run(database, sql, params or {})

    def has(self, database: str, table: str, *columns: str) -> bool:
        """Whether the release has such a table, with these columns."""
        there = schemas.columns(database, table, self.release)
        return bool(there) and there.issuperset(columns)

    def require(self, database: str, table: str, *columns: str) -> None:
        """AbsentError unless the release has them."""
        if not self.has(database, table, *columns):
            what = f"{table}.{', '.join(columns)}" if columns else f"the table {table}"
            raise AbsentError(f"{schemas.service_of(database)} of {self.release} does not have {what}")

    def quoted(self, name: str) -> str:
        """The name of a table or column, for a statement."""
        return self._statements.quote(name)

    def insert(self, database: str, table: str, **values: Any) -> Any:
        """Insert what the release has of a row; returns its ``id``, given or assigned."""
        values = self._fitting(database, table, values)
        q = self._statements.quote
        names, marks = ", ".join(q(c) for c in values), ", ".join(f":{c}" for c in values)
        last = self._statements.run(database, f"INSERT INTO {q(table)} ({names}) VALUES ({marks})", values)[1]
        return values.get("id", last)

    def orphan(self, database: str, table: str, **values: Any) -> None:
        """Insert a row whose parent does not exist, as a dump does that is loaded without checks."""
        values = self._fitting(database, table, values)
        q = self._statements.quote
        names, marks = ", ".join(q(c) for c in values), ", ".join(f":{c}" for c in values)
        insert = f"INSERT INTO {q(table)} ({names}) VALUES ({marks})"
        scheme = self._statements.url(database).partition(":")[0]
        if scheme.startswith("postgresql"):
            self._statements.run(database, f"SET session_replication_role = replica; {insert}", values)
            self._statements.run(database, "SET session_replication_role = DEFAULT", {})
            return
        unchecked = "" if scheme == "sqlite" else "SET STATEMENT foreign_key_checks = 0 FOR "
        self._statements.run(database, f"{unchecked}{insert}", values)

    def update(self, database: str, table: str, where: Mapping[str, Any], **values: Any) -> None:
        """Set columns of the rows that match, as far as the release has them."""
        values = self._fitting(database, table, values)
        q = self._statements.quote
        sets = ", ".join(f"{q(c)} = :{c}" for c in values)
        condition, parameters = self._where(where)
        self._statements.run(database, f"UPDATE {q(table)} SET {sets} WHERE {condition}", {**values, **parameters})

    def delete(self, database: str, table: str, where: Mapping[str, Any]) -> None:
        """Delete the rows that match."""
        condition, parameters = self._where(where)
        self._statements.run(database, f"DELETE FROM {self._statements.quote(table)} WHERE {condition}", parameters)

    def _fitting(self, database: str, table: str, values: Mapping[str, Any]) -> Row:
        """What the release has of these columns; AbsentError if that is nothing."""
        if self.release == NEWEST:  # a lab has what it has
            return dict(values)
        there = schemas.columns(database, table, self.release)
        found = {name: value for name, value in values.items() if name in there}
        if not found:
            self.require(database, table, *(values if there else ()))
        return found

    def _where(self, where: Mapping[str, Any]) -> tuple[str, Row]:
        terms = [
            f"{self._statements.quote(c)} IS NULL" if v is None else f"{self._statements.quote(c)} = :w_{c}"
            for c, v in where.items()
        ]
        return " AND ".join(terms), {f"w_{c}": v for c, v in where.items() if v is not None}


class Cloud(CloudRows):
    """An embedded cloud on real schemas."""

    def __init__(self, store: Store, now: datetime, servers: list[Server], release: str = NEWEST) -> None:
        super().__init__(store, release)
        self._store, self._now, self._servers = store, now, servers
        self._picked: set[str] = set()
        self._passed: dict[str, int] = {}  #: kind -> servers before the last one picked, all of them picked or others
        self._saved = self._now, frozenset[str]()

    @property
    def now(self) -> str:
        """When it was built or renewed, UTC, as databases print it."""
        return text(self._now)

    @property
    def state(self) -> Path:
        """The folder for stackmend's journal and snapshots."""
        return self._store.state()

    def toml(self, *, same_account: bool = False) -> str:
        """A configuration for stackmend; the cells are left to be discovered.

        ``same_account``: agree to reading and writing with the same account.
        """
        lines = [f'{name} = "{url}"' for name, url in self.databases.items() if not name.startswith("cell:")]
        lines += ["", "[writer]", "same_account = true"] if same_account else []
        return "\n".join(["[databases]", *lines, "", "[state]", f'directory = "{self.state}"', ""])

    def pick(self, kind: str = "active") -> Server:
        """A server of that kind that was not picked before; LookupError if there is none left."""
        for number in range(self._passed.get(kind, 0), len(self._servers)):
            server = self._servers[number]
            if server.kind == kind and server.uuid not in self._picked:
                self._picked.add(server.uuid)
                self._passed[kind] = number
                return server
        raise LookupError(f"the cloud has no further server of the kind {kind}: build a larger one")

    @property
    def picked(self) -> frozenset[str]:
        """UUIDs of the servers picked so far."""
        return frozenset(self._picked)

    def servers(self, kind: str | None = None) -> list[Server]:
        """The servers remembered, of one kind or all."""
        return [s for s in self._servers if kind in (None, s.kind)]

    def dump(self) -> dict[tuple[str, str], list[str]]:
        """(database, table) -> its rows as sorted text, for a byte-for-byte comparison; empty tables are left out."""
        return self._store.dump()

    def save(self) -> None:
        """Save all rows for :meth:`restore`."""
        self._store.save()
        self._saved = self._now, frozenset(self._picked)

    def restore(self) -> None:
        """Restore all rows as they were saved; servers picked since may be picked again."""
        self._store.restore()
        self._now, picked = self._saved
        self._picked, self._passed = set(picked), {}

    def reset(self) -> None:
        """Restore the saved cloud as one of today: it may have stood there for as long as a session of tests lasts."""
        self.restore()
        self.renew()

    def renew(self) -> None:
        """Make whatever was written in the hour before the build look just written; call it before anything is broken.

        In an idle cloud services send no heartbeats, and builds and moves in progress look abandoned. Older rows stay
        as they are.
        """
        passed = round((datetime.now(UTC).replace(tzinfo=None) - self._now).total_seconds())
        since = {"since": text(self._now - timedelta(hours=1))}
        for database in self.databases:
            for table, column in schemas.moments(schemas.service_of(database), self.release):
                name = self._store.quote(column)
                later = f"SET {name} = {self._store.later(name, passed)} WHERE {name} >= :since"
                self._store.run(database, f"UPDATE {self._store.quote(table)} {later}", since)
        self._now += timedelta(seconds=passed)

    def copied(self, folder: Path) -> Cloud:
        """The same cloud in another folder: a tenth of the work of a build. Only for a cloud in SQLite files."""
        if not isinstance(self._store, SQLiteStore):
            raise TypeError("a cloud on a server is not copied: build another one")
        copy = Cloud(self._store.copied(folder), self._now, self._servers, self.release)
        copy._picked = set(self._picked)
        return copy

    def close(self) -> None:
        """Close the connections."""
        self._store.close()


def run(connection: pymysql.Connection[Any], sql: str, parameters: Mapping[str, Any]) -> tuple[list[Row], Any]:
    """(rows, last id) of one statement with ``:name`` parameters on MariaDB."""
    statement = sql.replace("%", "%%")
    for name in sorted(parameters, key=len, reverse=True):
        statement = statement.replace(f":{name}", f"%({name})s")
    with connection.cursor(pymysql.cursors.DictCursor) as cursor:
        cursor.execute(statement, dict(parameters))
        return list(cursor.fetchall()), cursor.lastrowid


def connect(file: Path) -> sqlite3.Connection:
    """Connect to one database of a cloud; loss of power need not be survived."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


class SQLiteStore:
    """A cloud as SQLite files."""

    def __init__(self, folder: Path, files: dict[str, Path], connections: dict[str, sqlite3.Connection]) -> None:
        self._folder, self._files, self.connections = folder, files, connections

    def cell_urls(self) -> dict[str, str]:
        """The URL of each cell in nova_api.cell_mappings."""
        return {name.removeprefix("cell:"): self.url(name) for name in self._files if name.startswith("cell:")}

    def loaded(self) -> None:
        """Nothing to do: the rows are written."""

    def url(self, database: str) -> str:
        return f"sqlite:///{self._files[database]}"

    def databases(self) -> tuple[str, ...]:
        return tuple(self._files)

    def state(self) -> Path:
        return self._folder / "state"

    def quote(self, name: str) -> str:
        return f'"{name}"'

    def run(self, database: str, sql: str, parameters: Mapping[str, Any]) -> tuple[list[Row], Any]:
        cursor = self.connections[database].execute(sql, parameters)
        names = [d[0] for d in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()], cursor.lastrowid

    def later(self, column: str, seconds: int) -> str:
        return f"strftime('%Y-%m-%d %H:%M:%S', {column}, '{seconds:+d} seconds') || substr({column}, 20)"

    def dump(self) -> dict[tuple[str, str], list[str]]:
        found = {}
        for database, connection in self.connections.items():
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if table == "sqlite_sequence":
                    continue
                rows = sorted(repr(row) for row in connection.execute(f'SELECT * FROM "{table}"'))
                if rows:
                    found[database, table] = rows
        return found

    def save(self) -> None:
        saved = self._folder / "saved"
        saved.mkdir(exist_ok=True)
        for file in self._files.values():
            shutil.copyfile(file, saved / file.name)

    def restore(self) -> None:
        for database, file in self._files.items():
            self.connections[database].close()
            shutil.copyfile(self._folder / "saved" / file.name, file)
            self.connections[database] = connect(file)

    def copied(self, folder: Path) -> SQLiteStore:
        """The same rows in another folder, with the cell mappings adjusted."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {database: folder.absolute() / file.name for database, file in self._files.items()}
        for database, file in self._files.items():
            shutil.copyfile(file, files[database])
        copy = SQLiteStore(folder.absolute(), files, {database: connect(file) for database, file in files.items()})
        for cell, url in copy.cell_urls().items():
            copy.run("nova_api", "UPDATE cell_mappings SET database_connection = :url WHERE name = :cell",
                     {"url": url, "cell": cell})  # fmt: skip
        return copy

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()


class MariaDBStore(Served):
    """A cloud on a private MariaDB."""

    _options = "?charset=utf8"

    def __init__(
        self,
        server: MariaDB,
        names: dict[str, str],
        connections: dict[str, pymysql.Connection[Any]],
        state: Path,
    ) -> None:
        super().__init__(server, names, state)
        self.connections = connections
        self._sums: dict[str, int] = {}

    def loaded(self) -> None:
        """Let the server update its table statistics."""

    def quote(self, name: str) -> str:
        return f"`{name}`"

    def run(self, database: str, sql: str, parameters: Mapping[str, Any]) -> tuple[list[Row], Any]:
        return run(self.connections[database], sql, parameters)

    def dump(self) -> dict[tuple[str, str], list[str]]:
        found = {}
        for database, connection in self.connections.items():
            with connection.cursor() as cursor:
                for table, columns in self._columns(database).items():
                    # the server formats a row as text: splitting it into columns here costs twice as much
                    cursor.execute(
                        f"SELECT CONCAT_WS(', ', {', '.join(f'QUOTE(`{c}`)' for c in columns)}) FROM `{table}`"
                    )
                    rows = sorted(row for (row,) in cursor.fetchall())
                    if rows:
                        found[database, table] = rows
        return found

    def later(self, column: str, seconds: int) -> str:
        return f"{column} + INTERVAL {seconds} SECOND"

    def _columns(self, database: str) -> dict[str, list[str]]:
        """Each table with its columns, in order."""
        found: dict[str, list[str]] = {}
        with self.connections[database].cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
                " ORDER BY table_name, ordinal_position"
            )
            for table, column in cursor.fetchall():
                found.setdefault(table, []).append(column)
        return found

    def _tables(self, database: str) -> list[str]:
        with self.connections[database].cursor() as cursor:
            cursor.execute("SHOW TABLES")
            return [row[0] for row in cursor.fetchall()]

    def _checksums(self, database: str) -> dict[str, int]:
        tables = ", ".join(f"`{t}`" for t in self._tables(database))
        with self.connections[database].cursor() as cursor:
            cursor.execute(f"CHECKSUM TABLE {tables}")
            return {row[0]: row[1] for row in cursor.fetchall()}

    def save(self) -> None:
        for database, name in self._names.items():
            with self.connections[database].cursor() as cursor:
                cursor.execute(f"CREATE OR REPLACE DATABASE `saved_{name}`")
                for full, checksum in self._checksums(database).items():
                    self._sums[full] = checksum
                    if checksum:
                        table = full.split(".", 1)[1]
                        cursor.execute(f"CREATE TABLE `saved_{name}`.`{table}` LIKE `{name}`.`{table}`")
                        cursor.execute(f"INSERT INTO `saved_{name}`.`{table}` SELECT * FROM `{name}`.`{table}`")

    def restore(self) -> None:
        for database, name in self._names.items():
            with self.connections[database].cursor() as cursor:
                cursor.execute("SET SESSION foreign_key_checks = 0, unique_checks = 0")
                for full, checksum in self._checksums(database).items():
                    if checksum == self._sums[full]:
                        continue
                    table = full.split(".", 1)[1]
                    cursor.execute(f"DELETE FROM `{name}`.`{table}`")
                    if self._sums[full]:
                        cursor.execute(f"INSERT INTO `{name}`.`{table}` SELECT * FROM `saved_{name}`.`{table}`")
                cursor.execute("SET SESSION foreign_key_checks = 1, unique_checks = 1")

    def close(self) -> None:
        for connection in self.connections.values():
            connection.close()
