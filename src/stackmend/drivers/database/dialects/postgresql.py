# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL (docs/adr/0081).

Neutron's migrations run on it up to 2025.1. The driver is psycopg 3, the extra ``stackmend[postgresql]``, which is
imported by the first connection. A connection sees one database: each has its own session and its own view.

The catalog shows every table and column to every account, so what is not listed does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stackmend.drivers.database.dialects.base import Address, Connection, TableInfo, TableReader, reference
from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.database.load import Load
from stackmend.model.errors import BusyError, ConfigError, SourceError

if TYPE_CHECKING:
    from stackmend.drivers.database.dialects.psycopg_session import Session

#: a lock was not to be had in time
_NOT_LOCKED = "55P03"
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
#: with rows of another schema that change along, which no look here finds; and with heirs, whose triggers run as well
_TRIGGERS = """
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
       AND (c.relhasrules OR c.relhassubclass
            OR EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
            OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f'
                          AND k.connamespace <> c.relnamespace
                          AND NOT (k.confdeltype IN ('a', 'r') AND k.confupdtype IN ('a', 'r'))))"""
#: sessions of others are counted for everyone; their states are shown to members of pg_monitor
_LOAD = """
    SELECT count(*) FILTER (WHERE state = 'active'), count(*),
           current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
           CASE WHEN NOT pg_is_in_recovery() THEN NULL
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END
      FROM pg_stat_activity WHERE backend_type = 'client backend'"""
_MAY_READ = "SELECT bool_and(has_column_privilege(%s::regclass, c, 'SELECT')) FROM unnest(%s::text[]) c"
_MAY = "SELECT has_table_privilege(%s, %s)"
_MAY_NUMBER = """
    SELECT count(*) = 0 FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
     WHERE c.relnamespace = current_schema()::regnamespace AND NOT has_sequence_privilege(s.seqrelid, 'USAGE')"""
_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"

#: how MySQL's functions in the fragments of :mod:`stackmend.tables` are called here; the arguments are the same
_FUNCTIONS = re.compile(r"\b(INSTR|HEX|SUBSTR)\((?=(t\.\w+)?)", re.IGNORECASE)
_LENGTH = re.compile(r"\(\d+(,\d+)?\)")
_COMPARED = re.compile(r'(?<!\w)([a-z])\.("?)(\w+)\2\s*(=|<>)\s*([01])(?!\w)')


class PostgreSQL:
    """The dialect of PostgreSQL."""

    name = "postgresql"
    placeholder = "%s"
    folds = False
    for_update = " FOR UPDATE"
    for_share = " FOR SHARE"
    to_lock = ("UPDATE",)

    def quote(self, name: str) -> str:
        """A name in double quotes."""
        return '"' + name.replace('"', '""') + '"'

    def qualified(self, address: Address, table: str) -> str:
        """The table: a connection sees no other database."""
        return self.quote(table)

    def typed(self, value: str, kind: str) -> str:
        """Of the type of a column: of texts alone an expression would be a text. Never cut to the length of one."""
        return value if kind.startswith(("char", "text")) else f"CAST({value} AS {_LENGTH.sub('', kind)})"

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
        """A session in UTC; unless ``write``, every transaction of it is read-only."""
        return _opened(address, 0.9 * address.silence, write=write)

    def begin_snapshot(self, connection: Connection) -> None:
        """A view of this database: the first statement of a transaction opens it."""
        self.select(connection, "SELECT 1")

    def begin_write(self, connection: Connection) -> None:
        """A transaction whose every statement sees what was committed before it."""
        connection.begin()  # type: ignore[attr-defined]

    def keep_out(self, connection: Connection, tables: Collection[str]) -> None:
        """Lock whole tables against those who write, not those who read: a row that is not there cannot be locked.

        In one order, so that two of us do not wait for each other.
        """
        if tables:
            names = ", ".join(map(self.quote, sorted(tables)))
            try:
                self.select(connection, f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
            except SourceError as problem:
                if getattr(problem.__cause__, "sqlstate", "") != _NOT_LOCKED:
                    raise
                raise BusyError(f"others write to {names} all the time: {problem.message}", problem.hint) from problem

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
        """Asks the server: for each column what is read, and for the table what is changed or locked."""
        own, named = self.quote(table), "{" + ",".join(map(self.quote, columns)) + "}"
        asked = {verb: (_MAY_READ, [own, named]) if verb == "SELECT" else (_MAY, [own, verb]) for verb in verbs}
        return [verb for verb, question in asked.items() if not self.select(connection, *question)[0][0]]

    def numbering(self, account: str) -> tuple[str, str]:
        """USAGE of the sequences."""
        return "USAGE", f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {account};"

    def may_number(self, connection: Connection) -> bool:
        """Whether it has USAGE of all sequences."""
        return bool(self.select(connection, _MAY_NUMBER)[0][0])

    def triggers(self, connection: Connection) -> frozenset[str]:
        """From the catalog, without those that enforce foreign keys; rules, heirs and other schemas do the same."""
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
        found: list[tuple[Any, ...]] = connection.read(sql, parameters)  # type: ignore[attr-defined]
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


def _opened(address: Address, seconds: float, *, write: bool = False) -> Session:
    try:
        from stackmend.drivers.database.dialects.psycopg_session import Session
    except ImportError as problem:
        raise ConfigError(
            f"{address.redacted} cannot be read: the driver psycopg is not installed",
            "Install it: pip install 'stackmend[postgresql]'.",
        ) from problem
    return Session.to(address, seconds, write=write)
