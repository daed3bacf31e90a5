# SPDX-License-Identifier: Apache-2.0
"""MariaDB and MySQL, also behind Galera and ProxySQL: no lock functions, no global settings, no temporary tables.

Rows are written and looked up through PyMySQL. Whole tables are streamed through mysqlclient where it is installed
(the extra ``stackmend[fast]``), which costs a fraction of the CPU, else through PyMySQL (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE
from pymysql.converters import through
from pymysql.cursors import SSCursor

from stackmend.drivers.database.dialects.base import Address, Connection, TableInfo, TableReader, Usual, reference
from stackmend.drivers.database.dialects.rights import DENIED, Visibility, explained, grantee, visibility
from stackmend.drivers.database.dialects.session import settle
from stackmend.drivers.database.load import Load, load_of
from stackmend.drivers.database.patience import Wait
from stackmend.model.errors import SilentError, SourceError

try:
    from MySQLdb import _mysql
except ImportError:  # the extra is optional
    _mysql = None

_CONNECT_SECONDS = 10
#: a running server sends its greeting immediately; the kernel of a frozen one still accepts connections
_GREETING_SECONDS = 30
#: a table may take hours as long as rows arrive; but an abandoned read must not run forever
_TABLE_SECONDS = 6 * 3600
_SNAPSHOT = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"

#: canonical values: numbers as numbers, everything else as printed by the server
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
    1045: "The account or its password is wrong, or the account may not connect from this host.",
    1049: "The database name in the URL is wrong, or the database was not created.",
    1142: "Grant the account the privilege it names.",
    1227: "Grant the account the privilege it names.",
    1290: "Is it a replica, or closed to writers? [databases] has to name the primary.",
    1836: "Is it a replica, or closed to writers? [databases] has to name the primary.",
    1969: "The server ended the statement at its time limit: was it waiting for a lock?",
    2002: "Is the server running and reachable from here?",
    2003: "Is the server running and reachable from here?",
    3024: "The server ended the statement at its time limit: was it waiting for a lock?",
}


class MySQL(Usual):
    """The dialect of MariaDB and MySQL."""

    name = "mysql"
    placeholder = "%s"
    folds = True
    for_update = " FOR UPDATE"
    for_share = " LOCK IN SHARE MODE"

    def quote(self, name: str) -> str:
        """A name in backticks."""
        return "`" + name.replace("`", "``") + "`"

    def qualified(self, address: Address, table: str) -> str:
        """A table with its schema."""
        return f"{self.quote(address.database)}.{self.quote(table)}"

    def null_safe(self, column: str) -> str:
        """``<=>``: NULL equals NULL."""
        return f"{self.quote(column)} <=> %s"

    def adapted(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """As it is."""
        return sql

    def as_text(self, value: str, null: str) -> str:
        """The server makes a text of it."""
        return f"COALESCE({value}, '{null}')"

    def connect(self, address: Address, *, write: bool = False) -> Connection:
        """A PyMySQL connection in UTC; unless ``write``, every transaction of it is READ ONLY."""
        with translated_errors(address):
            connection = _Connection.to(
                address, database=address.database, client_flag=CLIENT.FOUND_ROWS, conv=_CONVERTERS
            )
            with connection.cursor() as cursor:
                cursor.execute(_ending_after(0.9 * address.silence))
                settle(lambda sql: _rows(cursor, sql), address.redacted, write=write)
            connection.commit()
        return _Told(connection, address)

    def begin_snapshot(self, connection: Connection) -> None:
        """One read-only view of every InnoDB schema of the server."""
        self.select(connection, _SNAPSHOT)

    def begin_write(self, connection: Connection) -> None:
        """An explicit transaction, regardless of the session's autocommit."""
        self.select(connection, "START TRANSACTION READ WRITE")

    def introspect(self, connection: Connection, database: str | None = None) -> dict[str, TableInfo]:
        """Tables, columns, primary keys and references from information_schema."""
        schema = database or self.select(connection, "SELECT DATABASE()")[0][0]
        counts = dict(self.select(connection, _TABLES, [schema]))
        columns: dict[str, dict[str, str]] = {}
        # not joined with the tables: the server would build a temporary table on disk, twenty times slower
        hidden: dict[str, set[str]] = {}
        for table, column, kind, may_read in self.select(connection, _COLUMNS, [schema]):
            if table in counts:
                columns.setdefault(table, {})
                if may_read:
                    columns[table][column] = kind
                else:
                    hidden.setdefault(table, set()).add(column)
        keys: dict[str, list[str]] = {}
        references: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        usage = self.select(connection, _USAGE, [schema])
        for table, constraint, column, parent, parent_column in usage:
            if constraint == "PRIMARY":
                keys.setdefault(table, []).append(column)
            elif parent:
                references.setdefault(table, {}).setdefault(constraint, []).append((column, parent, parent_column))
        named = {row[0] for row in usage}
        self._require_all(connection, schema, counts.keys() - columns.keys(), columns.keys() - named)
        return {
            table: TableInfo(
                names,
                tuple(keys.get(table, ())),
                tuple(reference(table, pairs) for pairs in references.get(table, {}).values()),
                counts[table],
                frozenset(hidden.get(table, ())),
            )
            for table, names in columns.items()
        }

    def _require_all(self, connection: Connection, schema: str, bare: Set[str], keyless: Set[str]) -> None:
        """SourceError if information_schema left out what the server could not open: of that it only warns."""
        lost = set(bare)
        for table in sorted(keyless):  # hardly any table of the services has no key
            try:
                shown = self.select(connection, f"SHOW KEYS FROM {self.quote(schema)}.{self.quote(table)}")
            except SourceError as problem:
                if getattr(problem.__cause__, "args", (0,))[0] not in DENIED:
                    raise
            else:
                lost |= {table for row in shown if row[2] == "PRIMARY"}
        if lost:
            what = f"{schema} cannot be read: the server does not describe {', '.join(sorted(lost))}"
            raise SourceError(what, "Try again; if it is the same, CHECK TABLE and the server's log say what is wrong.")

    def sight(self, connection: Connection, database: str | None = None) -> Visibility:
        """What the grants of the account, and of its active role, allow it to see."""
        schema = database or self.select(connection, "SELECT DATABASE()")[0][0]
        lines = self.select(connection, "SHOW GRANTS")
        # each kind of server supports one of these
        for statement in ("SHOW GRANTS FOR CURRENT_ROLE", "SHOW GRANTS FOR CURRENT_USER() USING {role}"):
            with suppress(SourceError):
                role = self.select(connection, "SELECT CURRENT_ROLE()")[0][0]
                if role not in (None, "NONE"):
                    lines += self.select(connection, statement.format(role=role))
        return visibility([str(line[0]) for line in lines], schema)

    def load(self, connection: Connection) -> Load:
        """Its own counters."""
        with translated_errors(getattr(connection, "address", None)):
            return load_of(connection)

    def is_full(self, problem: SourceError) -> bool:
        """Too many connections, of all accounts or of this one."""
        return isinstance(problem.__cause__, pymysql.MySQLError) and problem.__cause__.args[:1] in _FULL

    def account(self, connection: Connection) -> str:
        """As the server matched it, with its pattern of hosts."""
        name, _, host = str(self.select(connection, "SELECT CURRENT_USER()")[0][0]).rpartition("@")
        return grantee(name, host)

    def grantee(self, name: str, host: str) -> str:
        """Name and host."""
        return grantee(name, host)

    def seeing(self, address: Address, account: str) -> tuple[str, str]:
        """REFERENCES on the whole schema shows names, and no value."""
        # in this place alone a name is a pattern
        schema = self.quote(address.database.replace("_", r"\_").replace("%", r"\%"))
        return "REFERENCES", f"GRANT REFERENCES ON {schema}.* TO {account};"

    def lacks(self, connection: Connection, table: str, columns: Sequence[str], verbs: Sequence[str]) -> list[str]:
        """Asks the server itself: it checks privileges for EXPLAIN as for the statement, whatever grants them."""
        names = [self.quote(column) for column in columns]
        return [verb for verb in verbs if not self._may(connection, explained(verb, self.quote(table), names))]

    def _may(self, connection: Connection, statement: str) -> bool:
        try:
            self.select(connection, statement)
        except SourceError as problem:
            cause = problem.__cause__
            if isinstance(cause, pymysql.MySQLError) and cause.args[0] in DENIED:
                return False
            if not isinstance(cause, pymysql.MySQLError) or cause.args[0] in _GONE:
                raise
        return True

    def triggers(self, connection: Connection) -> frozenset[str]:
        """From information_schema, which shows them only to accounts with the privilege TRIGGER."""
        return frozenset(str(table) for (table,) in self.select(connection, _TRIGGERS))

    def utcnow(self, connection: Connection) -> str:
        """The server's UTC clock."""
        return str(self.select(connection, "SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%%Y-%%m-%%d %%H:%%i:%%s')", [])[0][0])

    def select(
        self, connection: Connection, sql: str, parameters: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows in canonical values. ``%`` must be doubled when parameters are given, even none (``[]``)."""
        with translated_errors(getattr(connection, "address", None)), connection.cursor() as cursor:
            cursor.execute(sql, None if parameters is None else tuple(parameters))
            return list(cursor.fetchall())

    def reader(self, address: Address) -> TableReader:
        """mysqlclient if it is installed, else PyMySQL; also PyMySQL for options that the C layer does not support."""
        unchecked = address.options.get("ssl_check_hostname", "").lower() == "false"
        return _PythonReader(address) if _mysql is None or unchecked else _NativeReader(address)


_COLUMNS = (
    "SELECT table_name, column_name, column_type, FIND_IN_SET('select', privileges) FROM information_schema.columns"
    " WHERE table_schema = %s ORDER BY table_name, ordinal_position"
)
_USAGE = (
    "SELECT table_name, constraint_name, column_name, referenced_table_name, referenced_column_name"
    " FROM information_schema.key_column_usage WHERE table_schema = %s"
    " ORDER BY table_name, constraint_name, ordinal_position"
)
_TRIGGERS = "SELECT event_object_table FROM information_schema.triggers WHERE event_object_schema = DATABASE()"
_TABLES = (
    "SELECT table_name, table_rows FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"
)


class _Told:
    """A connection that remembers its database, so that errors can name it."""

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
        with translated_errors(address):
            where = _where(address)
            if "ssl" in where:  # by default the C layer continues in plain text with a server without TLS
                where["ssl_mode"] = "VERIFY_IDENTITY"
            # whole seconds; PyMySQL's limits are exact
            silence = max(1, round(address.silence))
            self._wait = Wait(address.name or address.redacted, address.silence)
            with self._waiting("connecting"):
                self._connection = _mysql.connect(
                    **where, conv={}, charset="utf8mb4", connect_timeout=_CONNECT_SECONDS, read_timeout=silence,
                    write_timeout=silence,
                )  # fmt: skip
        self._run(_ending_after(_TABLE_SECONDS))
        settle(self._run, address.redacted)

    def begin(self) -> None:
        self._run(_SNAPSHOT)

    def stream(self, sql: str, batch: int, database: str = "") -> Iterator[Sequence[tuple[Any, ...]]]:
        self._wait.who = database or self._wait.who
        with translated_errors(self._address), self._waiting(sql):
            self._connection.query(sql.encode())
            result = self._connection.use_result()
            while rows := self._some(result, batch):
                self._wait.end()
                yield rows
                self._wait.begin()
            # the C layer returns the same empty answer at the end and for a broken stream: the error number differs
            if self._connection.errno():
                if self._wait.silent(0.9):
                    raise no_answer(self._address)
                raise SourceError(
                    f"{self._address.redacted}: the connection broke: {self._connection.error()}", _BROKEN
                )

    def _some(self, result: Any, batch: int) -> list[tuple[Any, ...]]:
        """Up to ``batch`` rows, in small portions: each one shows that the server is alive."""
        rows: list[tuple[Any, ...]] = []
        while len(rows) < batch and (some := result.fetch_row(min(_PORTION, batch - len(rows)), 0)):
            rows += some
            self._wait.begin()
        return rows

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _waiting(self, what: str) -> Iterator[None]:
        self._wait.what = what
        self._wait.begin()
        try:
            yield
        except _mysql.MySQLError as problem:
            if problem.args[:1] == (_LOST,) and self._wait.silent(0.9):
                raise no_answer(self._address) from problem
            raise
        finally:
            self._wait.end()

    def _run(self, statement: str) -> Sequence[tuple[Any, ...]]:
        with translated_errors(self._address), self._waiting(statement):
            self._connection.query(statement.encode())
            result = self._connection.store_result()
            return result.fetch_row(0, 0) if result is not None else ()


class _PythonReader:
    """Streams through PyMySQL; values are bytes."""

    packs = True

    def __init__(self, address: Address) -> None:
        self._address = address
        with translated_errors(address):
            self._connection = _Connection.to(address, use_unicode=False, conv=_ENCODERS)
        self._run(_ending_after(_TABLE_SECONDS))
        settle(self._run, address.redacted)

    def begin(self) -> None:
        self._run(_SNAPSHOT)

    def stream(self, sql: str, batch: int, database: str = "") -> Iterator[Sequence[tuple[Any, ...]]]:
        self._connection.wait.who = database or self._connection.wait.who
        with translated_errors(self._address):
            cursor = SSCursor(self._connection)
            cursor.execute(sql)
            while rows := cursor.fetchmany(batch):
                yield rows
            cursor.close()

    def close(self) -> None:
        self._connection.close()

    def _run(self, statement: str) -> Sequence[tuple[Any, ...]]:
        with translated_errors(self._address), self._connection.cursor() as cursor:
            return _rows(cursor, statement)


def _rows(cursor: Any, sql: str) -> Sequence[tuple[Any, ...]]:
    cursor.execute(sql)
    found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return found


#: the server was lost during a query
_LOST = 2013
_FULL = ((1040,), (1203,), (1226,))
#: the connection is of no use any more
_GONE = frozenset({1053, 1927, 2006, _LOST, 2055})
#: characters of a statement that show its purpose
_HEAD = 2000
#: rows that the C layer returns at a time
_PORTION = 250
_BROKEN = "The rows read from that table were discarded; see the server's log. Try again."


@contextmanager
def translated_errors(address: Address | None) -> Iterator[None]:
    """Turn driver errors into a SourceError that names the database and never the password."""
    native = (pymysql.MySQLError,) if _mysql is None else (pymysql.MySQLError, _mysql.MySQLError)
    try:
        yield
    except native as problem:
        if isinstance(problem.__context__, TimeoutError) and address:
            raise no_answer(address) from problem
        number = problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0
        text = str(problem.args[1]) if len(problem.args) > 1 else str(problem)
        where = address.redacted if address else "the database"
        hint = _HINTS.get(number, _BROKEN if number in (2006, 2013, 2014, 1927) else "")
        raise SourceError(f"{where} cannot be read: {text} ({number})", hint) from problem
    except (OSError, UnicodeError) as problem:  # a missing certificate, an invalid host name
        where = address.redacted if address else "the database"
        missing = ", ".join(address.missing_files()) if address else ""
        raise SourceError(
            f"{where} cannot be read: {f'{missing} in its URL does not exist' if missing else problem}",
            "Check the host and the options in its URL.",
        ) from problem


_LIMIT = "[timeouts] database and --database-timeout set the limit."


def no_answer(address: Address) -> SilentError:
    """The error of a server that does not answer."""
    return SilentError(
        f"{address.redacted} cannot be read: no answer for {address.silence:g} s",
        f"Is it frozen, or waiting for a lock? {_LIMIT}",
    )


def _ending_after(seconds: float) -> str:
    """Makes the server end longer statements: one that nobody waits for any more would continue to run.

    Each kind of server executes its own part: MariaDB skips comments for 5.7 to 9.9, MySQL those with an M.
    """
    limit = max(1, round(seconds))
    return (
        f"SET SESSION net_write_timeout = 600 /*M!100101 , max_statement_time = {limit} */"
        f" /*!50708 , max_execution_time = {limit * 1000} */"
    )


class _Connection(pymysql.connections.Connection):
    """PyMySQL's connection. Those without a certificate share a TLS context: creating one loads every CA."""

    _any: ClassVar[Any] = None
    wait: Wait  #: the current wait for an answer

    @classmethod
    def to(cls, address: Address, **more: Any) -> _Connection:
        """Connect. Silence is limited from the greeting on, also in the middle of an answer."""
        greeting = min(address.silence, _GREETING_SECONDS)
        found = cls(
            **_where(address), charset="utf8mb4", connect_timeout=_CONNECT_SECONDS, read_timeout=greeting,
            write_timeout=address.silence, defer_connect=True, **more,
        )  # fmt: skip
        found.wait = Wait(address.name or address.redacted, greeting)
        found.connect()
        found.wait.limit = found._read_timeout = address.silence  # type: ignore[attr-defined]
        return found

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        head = sql[:_HEAD]
        self.wait.what = head.decode("utf-8", "replace") if isinstance(head, bytes) else head
        self.wait.begin()
        try:
            super()._execute_command(command, sql)  # type: ignore[misc]
        finally:
            self.wait.end()

    def _read_bytes(self, num_bytes: int) -> bytes:
        self.wait.begin()
        try:
            return super()._read_bytes(num_bytes)  # type: ignore[no-any-return,misc]
        finally:
            self.wait.end()

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
