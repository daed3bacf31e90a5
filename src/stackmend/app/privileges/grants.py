# SPDX-License-Identifier: Apache-2.0
"""The privileges that stackmend needs: as GRANT statements, and which of them an account lacks.

What is read follows from :mod:`stackmend.tables`, what repairs touch from their code
(:mod:`stackmend.app.privileges.mentions`) and from the foreign keys to it; which columns there are, the server says.
Columns that :mod:`stackmend.tables` marks as secret are left out of what the reader gets, unless the collector makes a
digest of them; the writer may read them in tables it deletes from, because it seals what it deletes (docs/adr/0004).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from stackmend.app.discovery import MAPPINGS, connect
from stackmend.app.privileges.mentions import READING, WRITING, named
from stackmend.config.settings import Config
from stackmend.drivers.database.dialects import Address, Dialect, TableInfo, dialect_of
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.snapshot.selects import read_columns
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.snapshot import CELL
from stackmend.tables import NEVER_CHANGED, secret_columns, tables
from stackmend.tables.marks import VERSIONS

READER, WRITER = "reader", "writer"
#: the reader of replicas: only whole tables are read there
REPLICA = "reader of the replica"
_VERSIONED = frozenset(table for table, _ in VERSIONS)
_READ, _CHANGE = ("SELECT",), ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Need:
    """What an account has to be allowed on one table."""

    table: str
    verbs: tuple[str, ...]
    columns: tuple[str, ...]
    whole: bool  #: these are all columns


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege, or several on one table, and the statement that grants it."""

    role: str
    server: str
    database: str
    table: str  #: "" is the whole database
    verbs: tuple[str, ...]
    columns: tuple[str, ...]  #: () means all
    statement: str


@dataclass(frozen=True, slots=True)
class Rights:
    """Grants, and the databases of which nothing can be said, each with the reason."""

    grants: tuple[Grant, ...]
    unread: Mapping[str, str]


def needed(database: str, known: Mapping[str, TableInfo], role: str, to_lock: tuple[str, ...] = ()) -> list[Need]:
    """What a role needs in a database that has these tables, by table; ``to_lock`` as of the dialect."""
    service = "nova" if database.startswith(CELL) else database
    changed = _changed(service, known)
    collected = _collected(service)
    looked_up = set(named(service, known, READING)) if changed else set(known) & set(collected)
    looked_up |= {name for name, info in known.items() if any(one.parent in changed for one in info.references)}
    found = []
    for table, info in sorted(known.items()):
        every = {*info.columns, *info.hidden}
        verbs = _CHANGE if role == WRITER and table in changed else _READ
        wanted: Collection[str] = every if verbs is _CHANGE else ()
        if verbs is _READ and table in looked_up and role != REPLICA and (changed or role == READER):
            wanted = every - secret_columns(database, table)
        if role != WRITER:
            wanted = {*wanted, *collected.get(table, ())}
        columns = tuple(sorted(every & {*wanted}))
        if columns:
            locked = to_lock if role == WRITER and verbs is _READ and table not in _VERSIONED else ()
            found.append(Need(table, verbs + locked, columns, len(columns) == len(every)))
    return found


def _collected(service: str) -> dict[str, set[str]]:
    """The columns that audits read, by table."""
    found: dict[str, set[str]] = {table: {column} for table, column in VERSIONS}
    if service == "nova_api":
        found[MAPPINGS[0]] = set(MAPPINGS[1])
    for part in (part for parts in tables().values() for part in parts):
        if part.service == service:
            for table, columns in read_columns(part).items():
                found.setdefault(table, set()).update(columns)
    return found


def grants(config: Config, reader: str, writer: str, host: str) -> Rights:
    """The statements for both roles, for every database of the configuration.

    ``reader`` and ``writer``: names of accounts, default those of the configuration.
    """
    asked = connect(config)
    accounts = {READER: reader or _reader_of(config), WRITER: writer or _writer_of(config)}
    unread, found = dict(asked.errors), list[Grant]()
    with closing(Connections(asked.addresses, asked.errors)) as connections:
        for database, address in asked.addresses.items():
            if address.scheme == "sqlite" or database in unread:
                continue
            try:
                known = connections.tables(database)
                if not connections.sight(database).everything:
                    unread[database] = f"account {address.username} may not see all of its tables"
                    continue
            except SourceError as problem:
                unread[database] = problem.message
                continue
            dialect = dialect_of(address)
            for role, account in accounts.items():
                found += _of_database(dialect, address, database, role, dialect.grantee(account, host), known)
    order = {READER: 0, WRITER: 1}
    return Rights(tuple(sorted(found, key=lambda one: (one.server, order[one.role]))), unread)


def _of_database(
    dialect: Dialect, address: Address, database: str, role: str, account: str, known: Mapping[str, TableInfo]
) -> Iterator[Grant]:
    needs = needed(database, known, role, dialect.to_lock)
    if needs:
        yield _seeing(dialect, address, database, role, account)
        yield from _numbering(dialect, address, database, role, account)
    for need in needs:
        yield _granted(dialect, address, database, role, account, need)


def _seeing(dialect: Dialect, address: Address, database: str, role: str, account: str) -> Grant:
    verb, statement = dialect.seeing(address, account)
    return Grant(role, _server(address), database, "", (verb,), (), statement)


def _numbering(dialect: Dialect, address: Address, database: str, role: str, account: str) -> Iterator[Grant]:
    verb, statement = dialect.numbering(account)
    if statement and role == WRITER:
        yield Grant(role, _server(address), database, "", (verb,), (), statement)


def _granted(dialect: Dialect, address: Address, database: str, role: str, account: str, need: Need) -> Grant:
    some = "" if need.whole else f" ({', '.join(map(dialect.quote, need.columns))})"
    # where a table is locked and not changed, the privilege for it is one on the table
    verbs = ", ".join(verb + some if verb == "SELECT" else verb for verb in need.verbs)
    return Grant(
        role, _server(address), database, need.table, need.verbs, () if need.whole else need.columns,
        f"GRANT {verbs} ON {dialect.qualified(address, need.table)} TO {account};",
    )  # fmt: skip


def _server(address: Address) -> str:
    name = f", database {address.database}" if address.scheme == "postgresql" else ""  # each has its own session
    return address.options.get("unix_socket") or f"{address.host}:{address.port}{name}"


def _reader_of(config: Config) -> str:
    names = [address.username for address in config.databases.values() if address.username]
    return (
        config.reader.username if config.reader else names[0] if config.found is None and names else "stackmend_reader"
    )


def _writer_of(config: Config) -> str:
    return config.writer.username if config.writer else "stackmend_mender"


# -- what is missing


def missing(config: Config) -> Rights:
    """What the accounts of the configuration lack, as their servers say; a statement for each."""
    if not config.databases:
        raise ConfigError("no database is configured", "Set at least nova_api under [databases].")
    asked = connect(config)
    found, unread = list[Grant](), dict(asked.errors)
    roles = [(READER, asked.addresses), (REPLICA, asked.replicas)]
    if config.writer:
        roles.append((WRITER, connect(config, write=True).addresses))
    elif config.same_account:
        roles.append((WRITER, asked.addresses))
    for role, addresses in roles:
        with closing(Connections(addresses, asked.errors, write=role == WRITER)) as connections:
            for database in addresses:
                if role == WRITER and not changes(database):
                    continue
                try:
                    # a privilege is granted on the primary, and replicated
                    found += _lacking(connections, database, asked.addresses[database], role)
                except SourceError as problem:
                    unread.setdefault(f"{database} ({role})", problem.message)
    # what an account of both servers lacks on the primary, it lacks on the replica too
    said = {_subject(one) for one in found if one.role == READER}
    return Rights(tuple(one for one in found if one.role != REPLICA or _subject(one) not in said), unread)


def _subject(grant: Grant) -> tuple[str, str, str]:
    return grant.database, grant.table, grant.statement.rpartition(" TO ")[2]


def changes(database: str) -> bool:
    """Whether repairs touch this database."""
    service = "nova" if database.startswith(CELL) else database
    return bool(_changed(service, _collected(service)))


def _changed(service: str, there: Collection[str]) -> frozenset[str]:
    return frozenset() if service in NEVER_CHANGED else named(service, there, WRITING)


def _lacking(connections: Connections, database: str, address: Address, role: str) -> Iterator[Grant]:
    known = connections.tables(database)
    dialect, connection = connections.get(database)
    account = dialect.account(connection)
    if not account:
        return
    if not connections.sight(database).everything:
        yield _seeing(dialect, address, database, role, account)
        yield from _unlisted(dialect, address, database, role, account, known)
    if role == WRITER and not dialect.may_number(connection):
        yield from _numbering(dialect, address, database, role, account)
    for need in needed(database, known, role, dialect.to_lock):
        if lack := _lack(dialect, connections, database, need, known[need.table]):
            yield _granted(dialect, address, database, role, account, lack)


def _unlisted(
    dialect: Dialect, address: Address, database: str, role: str, account: str, known: Mapping[str, TableInfo]
) -> Iterator[Grant]:
    """Tables that audits read in every release, and that the account is not shown."""
    service = "nova" if database.startswith(CELL) else database
    always = {p.name for parts in tables().values() for p in parts if p.service == service and not p.optional}
    for table in sorted(always - known.keys()) if role != WRITER else ():
        columns = tuple(sorted(_collected(service)[table]))
        yield _granted(dialect, address, database, role, account, Need(table, _READ, columns, whole=False))


def _lack(dialect: Dialect, connections: Connections, database: str, need: Need, info: TableInfo) -> Need | None:
    """The part of a need that the account does not have."""
    _, connection = connections.get(database)
    verbs = dialect.lacks(connection, need.table, need.columns, need.verbs)
    if not verbs:
        return None
    hidden = [column for column in need.columns if column in info.hidden]
    if verbs == ["SELECT"] and hidden and not need.whole:
        return Need(need.table, ("SELECT",), tuple(hidden), whole=False)
    return Need(need.table, tuple(verbs), need.columns, need.whole)
