# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL, which is only read (docs/adr/0080).

Neutron's migrations run on it up to 2025.1. The driver is psycopg 3, the extra ``stackmend[postgresql]``, which is
imported by the first connection. A connection sees one database: each has its own session and its own view.

The catalog shows every table and column to every account, so what is not listed does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stackmend.drivers.database.dialects.base import Address, Connection, TableInfo, TableReader, reference
from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.database.load import Load
from stackmend.model.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from stackmend.drivers.database.dialects.psycopg_session import Session

#: a table may take hours as long as rows arrive; but an abandoned read must not run forever
_TABLE_SECONDS = 6 * 3600

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), has_column_privilege(c.oid, a.attnum, 'SELECT')
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
       AND NOT a.attisdropped ORDER BY c.relname, a.attnum"""
_ROWS = """
    SELECT relname, CASE WHEN reltuples < 0 THEN NULL ELSE reltuples::bigint END FROM pg_class
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"""
_KEYS = """
    SELECT c.relname, k.contype::text, k.conname, a.attname, p.relname, b.attname
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_class p ON p.oid = k.confrelid
     CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(own, other, place)
      JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.own
      LEFT JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.other
     WHERE k.connamespace = current_schema()::regnamespace AND k.contype IN ('p', 'f')
     ORDER BY c.relname, k.conname, u.place"""
_TRIGGERS = """
    SELECT DISTINCT c.relname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
     WHERE c.relnamespace = current_schema()::regnamespace AND NOT g.tgisinternal"""
#: sessions of others are counted for everyone; their states are shown to members of pg_monitor
_LOAD = """
    SELECT count(*) FILTER (WHERE state = 'active'), count(*),
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
           CASE WHEN NOT pg_is_in_recovery() THEN NULL
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END
      FROM pg_stat_activity WHERE backend_type = 'client backend'"""
_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"

#: how MySQL's functions in the fragments of :mod:`stackmend.tables` are called here; the arguments are the same
_FUNCTIONS = re.compile(r"\b(INSTR|HEX|SUBSTR)\((?=(t\.\w+)?)", re.IGNORECASE)
_COMPARED = re.compile(r'(?<!\w)([a-z])\.("?)(\w+)\2\s*(=|<>)\s*([01])(?!\w)')


class PostgreSQL:
    """The dialect of PostgreSQL."""

    name = "postgresql"
    placeholder = "%s"
    writes = False
    folds = False
    for_update = ""  # nothing is written, so nothing is locked
    for_share = ""

    def quote(self, name: str) -> str:
        """A name in double quotes."""
        return '"' + name.replace('"', '""') + '"'

    def qualified(self, address: Address, table: str) -> str:
        """The table: a connection sees no other database."""
        return self.quote(table)

    def null_safe(self, column: str) -> str:
        """``IS NOT DISTINCT FROM``: NULL equals NULL."""
        return f"{self.quote(column)} IS NOT DISTINCT FROM %s"

    def adapted(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """What the fragments of tables mean here: booleans are no numbers, and some functions have other names."""

        def compared(found: re.Match[str]) -> str:
            alias, mark, column, sign, number = found.groups()
            if types.get(alias, {}).get(column) != "boolean":
                return found[0]
            return f"{alias}.{mark}{column}{mark} {sign} {'TRUE' if number == '1' else 'FALSE'}"

        def named(found: re.Match[str]) -> str:
            verb = found[1].upper()
            if verb == "SUBSTR":  # of a time: its text, as the others have it
                alias, _, column = (found[2] or "").partition(".")
                if not types.get(alias, {}).get(column, "").startswith("timestamp"):
                    return found[0]
                return "SUBSTR(''||"
            # HEX is used where case counts, and here it always does
            return "STRPOS(" if verb == "INSTR" else "("

        return _FUNCTIONS.sub(named, _COMPARED.sub(compared, sql))

    def as_text(self, value: str, null: str) -> str:
        """A value as the type prints it: a cast would add a mask to addresses."""
        return f"CASE WHEN {value} IS NULL THEN '{null}' ELSE CONCAT({value}) END"

    def connect(self, address: Address, *, write: bool = False) -> Connection:
        """A session in UTC, every transaction of which is read-only: for ``write`` it reads what guards API calls."""
        return _opened(address, 0.9 * address.silence)

    def begin_snapshot(self, connection: Connection) -> None:
        """A view of this database: the first statement of a transaction opens it."""
        self.select(connection, "SELECT 1")

    def begin_write(self, connection: Connection) -> None:
        """A new view, in which guards are read; the server refuses every change."""
        connection.rollback()

    def introspect(self, connection: Connection, database: str | None = None) -> dict[str, TableInfo]:
        """From the catalog; ``information_schema`` would hide keys and tables from accounts that only read."""
        rows = dict(self.select(connection, _ROWS))
        columns: dict[str, dict[str, str]] = {table: {} for table in rows}
        hidden: dict[str, set[str]] = {}
        for table, column, kind, may_read in self.select(connection, _COLUMNS):
            if may_read:
                columns[table][column] = kind
            else:
                hidden.setdefault(table, set()).add(column)
        keys: dict[str, list[str]] = {}
        references: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        for table, kind, name, column, parent, parent_column in self.select(connection, _KEYS):
            if kind == "p":
                keys.setdefault(table, []).append(column)
            else:
                references.setdefault(table, {}).setdefault(name, []).append((column, parent, parent_column))
        return {
            table: TableInfo(
                names,
                tuple(keys.get(table, ())),
                tuple(reference(table, pairs) for pairs in references.get(table, {}).values()),
                rows[table],
                frozenset(hidden.get(table, ())),
            )
            for table, names in columns.items()
        }

    def sight(self, connection: Connection, database: str | None = None) -> Visibility:
        """Everything: the catalog is open to all accounts."""
        return Visibility()

    def load(self, connection: Connection) -> Load:
        """What the server tells this account of its sessions, and how far a standby is behind."""
        ((running, connected, most, lag),) = self.select(connection, _LOAD)
        connection.rollback()
        return Load(running=int(running), connected=int(connected), connections=int(most), lag=lag)

    def is_full(self, problem: SourceError) -> bool:
        """No connection is left for accounts like this one."""
        return any(text in problem.message for text in ("connection slots", "too many clients", "too many connections"))

    def account(self, connection: Connection) -> str:
        """The role, as GRANT names it."""
        return self.quote(str(self.select(connection, "SELECT current_user")[0][0]))

    def grantee(self, name: str, host: str) -> str:
        """The role; the hosts that it may connect from are in pg_hba.conf."""
        return self.quote(name)

    def seeing(self, address: Address, account: str) -> tuple[str, str]:
        """The catalog is open to all; without USAGE no table of a schema can be named."""
        return "USAGE", f"GRANT USAGE ON SCHEMA public TO {account};"

    def lacks(self, connection: Connection, table: str, columns: Sequence[str], verbs: Sequence[str]) -> list[str]:
        """Asks the server for each column."""
        sql = "SELECT bool_and(has_column_privilege(%s::regclass, c, %s)) FROM unnest(%s::text[]) c"
        named = "{" + ",".join(map(self.quote, columns)) + "}"
        return [v for v in verbs if not self.select(connection, sql, [self.quote(table), v, named])[0][0]]

    def triggers(self, connection: Connection) -> frozenset[str]:
        """From the catalog, without those that enforce foreign keys."""
        return frozenset(str(table) for (table,) in self.select(connection, _TRIGGERS))

    def utcnow(self, connection: Connection) -> str:
        """The server's UTC clock."""
        return str(self.select(connection, _NOW)[0][0])

    def select(
        self, connection: Connection, sql: str, parameters: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Rows in canonical values. ``%`` must be doubled when parameters are given, even none (``[]``).

        Parameters are sent as texts whose type the server finds: a number is compared with a boolean as well.
        """
        given = None if parameters is None else [p if isinstance(p, bytes | None) else str(p) for p in parameters]
        found: list[tuple[Any, ...]] = connection.read(sql, given)  # type: ignore[attr-defined]
        return found

    def reader(self, address: Address) -> TableReader:
        """A session of its own, whose statements may take long."""
        return _Reader(_opened(address, _TABLE_SECONDS))


class _Reader:
    """Streams whole tables through a cursor on the server: the client holds a few thousand rows."""

    packs = True

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self) -> None:
        self._session.rollback()
        self._session.read("SELECT 1")

    def stream(self, sql: str, batch: int, database: str = "") -> Iterator[Sequence[tuple[Any, ...]]]:
        return self._session.stream(sql, batch)

    def close(self) -> None:
        self._session.close()


def refused(what: str) -> ConfigError:
    """The error of whoever wants to write."""
    return ConfigError(
        f"database {what} is on PostgreSQL, where stackmend only reads: no row is changed there",
        "Leave out --allow-db: what an API can repair is planned, and the pages of the checks say how to see the rest.",
    )


def _opened(address: Address, seconds: float) -> Session:
    try:
        from stackmend.drivers.database.dialects.psycopg_session import Session
    except ImportError as problem:
        raise ConfigError(
            f"{address.redacted} cannot be read: the driver psycopg is not installed",
            "Install it: pip install 'stackmend[postgresql]'.",
        ) from problem
    return Session.to(address, seconds)
