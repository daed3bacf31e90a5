# SPDX-License-Identifier: Apache-2.0
"""MariaDB and MySQL, also behind Galera and ProxySQL: no lock functions, no global settings, no temporary tables.

Rows are written and looked up through PyMySQL. Whole tables are streamed through mysqlclient where it is installed
(the extra ``stackmend[fast]``), which costs a fraction of the CPU, else through PyMySQL (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import escape_item, through
from pymysql.cursors import SSCursor

from stackmend.drivers.dialects.base import Address, Connection, Reader, TableInfo
from stackmend.drivers.dialects.session import settle
from stackmend.model.errors import SourceError

try:
    from MySQLdb import _mysql
except ImportError:  # the extra is optional
    _mysql = None

_CONNECT_SECONDS = 10
_READ_SECONDS = 3600
_SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"

#: canonical values: numbers as numbers, everything else as the server prints it
_DECODERS: dict[int, Any] = {
    **dict.fromkeys(
        (
            FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.INT24, FIELD_TYPE.YEAR,
        ),
        int,
    ),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
    **dict.fromkeys((FIELD_TYPE.BIT,), through),
}  # fmt: skip
_ENCODERS: dict[Any, Any] = {
    kind: encode for kind, encode in pymysql.converters.encoders.items() if isinstance(kind, type)
}
_CONVERTERS: dict[Any, Any] = _ENCODERS | _DECODERS

_HINTS = {
    1044: "Grant the account SELECT on that database.",
    1045: "The account or its password is wrong, or it may not connect from this host.",
    1049: "The database name in the URL is wrong, or the database was not created.",
    1142: "Grant the account the right it names.",
    1227: "Grant the account the right it names.",
    2002: "Is the server running and reachable from here?",
    2003: "Is the server running and reachable from here?",
}


class MySQL:
    """The dialect of MariaDB and MySQL."""

    name = "mysql"
    placeholder = "%s"
    for_update = " FOR UPDATE"

    def quote(self, name: str) -> str:
        """A name in backticks."""
        return "`" + name.replace("`", "``") + "`"

    def qualified(self, address: Address, table: str) -> str:
        """A table with its schema."""
        return f"{self.quote(address.database)}.{self.quote(table)}"

    def null_safe(self, column: str) -> str:
        """``<=>``: NULL equals NULL."""
        return f"{self.quote(column)} <=> %s"

    def connect(self, address: Address, *, write: bool = False) -> Connection:
        """A PyMySQL connection in UTC; unless ``write``, every transaction of it is READ ONLY."""
        with telling(address):
            connection = _Connection(
                **_where(address),
                database=address.database,
                charset="utf8mb4",
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                client_flag=CLIENT.FOUND_ROWS,
                conv=_CONVERTERS,
            )
            with connection.cursor() as cursor:
                settle(lambda sql: _rows(cursor, sql), address.redacted, write=write)
            connection.commit()
        return _Told(connection, address)

    def begin_snapshot(self, connection: Connection) -> None:
        """One read-only view of every InnoDB schema of the server."""
        self.select(connection, _SNAPSHOT)

    def begin_write(self, connection: Connection) -> None:
        """An explicit transaction, whatever the session's autocommit is."""
        self.select(connection, "START TRANSACTION READ WRITE")

    def introspect(self, connection: Connection, database: str | None = None) -> dict[str, TableInfo]:
        """Tables, columns, primary keys and references from information_schema."""
        schema = database or self.select(connection, "SELECT DATABASE()")[0][0]
        counts = dict(self.select(connection, _TABLES, [schema]))
        columns: dict[str, dict[str, str]] = {}
        # not joined with the tables: that makes the server build a temporary table on disk, twenty times as slow
        for table, column, kind in self.select(connection, _COLUMNS, [schema]):
            if table in counts:
                columns.setdefault(table, {})[column] = kind
        keys: dict[str, list[str]] = {}
        references: dict[str, list[tuple[str, str, str]]] = {}
        for table, constraint, column, parent, parent_column in self.select(connection, _USAGE, [schema]):
            if constraint == "PRIMARY":
                keys.setdefault(table, []).append(column)
            elif parent:
                references.setdefault(table, []).append((column, parent, parent_column))
        return {
            table: TableInfo(names, tuple(keys.get(table, ())), tuple(references.get(table, ())), counts[table])
            for table, names in columns.items()
        }

    def utcnow(self, connection: Connection) -> str:
        """The server's UTC clock."""
        return str(self.select(connection, "SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%%Y-%%m-%%d %%H:%%i:%%s')", [])[0][0])

    def select(
        self, connection: Connection, sql: str, parameters: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows in canonical values. ``%`` must be doubled when parameters are given, even none (``[]``)."""
        with telling(getattr(connection, "address", None)), connection.cursor() as cursor:
            cursor.execute(sql, None if parameters is None else tuple(parameters))
            return list(cursor.fetchall())

    def reader(self, address: Address) -> Reader:
        """mysqlclient where it is installed, else PyMySQL; this one too for what the C layer cannot be told."""
        unchecked = address.options.get("ssl_check_hostname", "").lower() == "false"
        return _PythonReader(address) if _mysql is None or unchecked else _NativeReader(address)


_COLUMNS = (
    "SELECT table_name, column_name, column_type FROM information_schema.columns"
    " WHERE table_schema = %s ORDER BY table_name, ordinal_position"
)
_USAGE = (
    "SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name"
    " FROM information_schema.key_column_usage WHERE table_schema = %s"
    " ORDER BY table_name, constraint_name, ordinal_position"
)
_TABLES = (
    "SELECT table_name, table_rows FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"
)


class _Told:
    """A connection that remembers which database it is to, so that errors can name it."""

    def __init__(self, connection: Any, address: Address) -> None:
        self._connection, self.address = connection, address

    def cursor(self) -> Any:
        return self._connection.cursor()

    def commit(self) -> None:
        self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()


class _NativeReader:
    """Streams through mysqlclient's C layer; values are bytes."""

    packs = True

    def __init__(self, address: Address) -> None:
        self._address = address
        with telling(address):
            where = _where(address)
            if "ssl" in where:  # by itself the C layer goes on in plain text with a server that has no TLS
                where["ssl_mode"] = "VERIFY_IDENTITY"
            self._connection = _mysql.connect(**where, conv={}, charset="utf8mb4", connect_timeout=_CONNECT_SECONDS)
        settle(self._run, address.redacted)

    def begin(self) -> None:
        self._run(_SNAPSHOT)

    def stream(self, sql: str, batch: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        with telling(self._address):
            self._connection.query(sql.encode())
            result = self._connection.use_result()
            while rows := result.fetch_row(batch, 0):
                yield rows
            # the C layer ends a stream and breaks it with the same empty answer: only the error number tells
            if self._connection.errno():
                raise SourceError(f"{self._address.redacted}: the stream broke: {self._connection.error()}", _BROKEN)

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: str) -> Sequence[tuple[Any, ...]]:
        with telling(self._address):
            self._connection.query(statement.encode())
            result = self._connection.store_result()
            return result.fetch_row(0, 0) if result is not None else ()


class _PythonReader:
    """Streams through PyMySQL; values are bytes."""

    packs = True

    def __init__(self, address: Address) -> None:
        self._address = address
        with telling(address):
            self._connection = _Connection(
                **_where(address), charset="utf8mb4", use_unicode=False, connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS, conv=_ENCODERS,
            )  # fmt: skip
        settle(self._run, address.redacted)

    def begin(self) -> None:
        self._run(_SNAPSHOT)

    def stream(self, sql: str, batch: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        with telling(self._address):
            cursor = SSCursor(self._connection)
            cursor.execute(sql)
            while rows := cursor.fetchmany(batch):
                yield rows
            cursor.close()

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: str) -> Sequence[tuple[Any, ...]]:
        with telling(self._address), self._connection.cursor() as cursor:
            return _rows(cursor, statement)


def _rows(cursor: Any, sql: str) -> Sequence[tuple[Any, ...]]:
    cursor.execute(sql)
    found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return found


_BROKEN = "What was read of that table is thrown away; the server's log says why. Try again."


@contextmanager
def telling(address: Address | None) -> Iterator[None]:
    """Turn driver errors into a SourceError that names the database and never the password."""
    native = (pymysql.MySQLError,) if _mysql is None else (pymysql.MySQLError, _mysql.MySQLError)
    try:
        yield
    except native as problem:
        number = problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0
        text = str(problem.args[1]) if len(problem.args) > 1 else str(problem)
        where = address.redacted if address else "the database"
        hint = _HINTS.get(number, _BROKEN if number in (2006, 2013, 2014, 1927) else "")
        raise SourceError(f"{where} cannot be read: {text} ({number})", hint) from problem
    except (OSError, UnicodeError) as problem:  # a certificate that is not there, a host that is no name
        where = address.redacted if address else "the database"
        missing = ", ".join(address.missing_files()) if address else ""
        raise SourceError(
            f"{where} cannot be read: {f'{missing} of its URL is not there' if missing else problem}",
            "Look at the host and the options of its URL.",
        ) from problem


class _Connection(pymysql.connections.Connection):
    """PyMySQL's. All that name no certificate share a TLS context: to make one reads every authority of the machine."""

    _any: ClassVar[Any] = None

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        if sslp != {}:
            return super()._create_ssl_ctx(sslp)  # type: ignore[misc]
        cls = type(self)
        if cls._any is None:
            cls._any = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
        return cls._any


def _where(address: Address) -> dict[str, Any]:
    socket = address.options.get("unix_socket")
    place: dict[str, Any] = {"unix_socket": socket} if socket else {"host": address.host, "port": address.port}
    if "ssl_ca" in address.options:
        names = {"ssl_ca": "ca", "ssl_cert": "cert", "ssl_key": "key"}
        place["ssl"] = {ours: address.options[theirs] for theirs, ours in names.items() if theirs in address.options}
        if address.options.get("ssl_check_hostname", "").lower() == "false":
            place["ssl"]["check_hostname"] = False
    return {**place, "user": address.username, "password": address.password}


def literal(value: object) -> str:
    """A value as PyMySQL writes it into a statement; for the literal SQL that plans show."""
    return str(escape_item(value, "utf8mb4", _ENCODERS))
