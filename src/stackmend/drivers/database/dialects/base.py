# SPDX-License-Identifier: Apache-2.0
"""The interface of a database dialect."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from stackmend.drivers.database.dialects.rights import Visibility
from stackmend.drivers.database.load import Load
from stackmend.drivers.database.patience import SILENCE
from stackmend.drivers.database.urls import parsed
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.protocols import Reference
from stackmend.model.step import Value

#: options that name files
FILES = ("ssl_ca", "ssl_cert", "ssl_key", "sslrootcert", "sslcert", "sslkey")
_SCHEMES = {"mysql": "mysql", "mariadb": "mysql", "postgresql": "postgresql", "sqlite": "sqlite"}
_PORTS = {"mysql": 3306, "postgresql": 5432}


@dataclass(frozen=True, slots=True)
class Address:
    """The location of a database and the account; its repr never shows the password."""

    scheme: str  #: "mysql", "postgresql" or "sqlite"
    database: str  #: schema on a server, or the path of a file
    host: str = ""
    port: int = 3306
    username: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    name: str = field(default="", compare=False)  #: its name in the cloud: "neutron"
    silence: float = field(default=SILENCE, compare=False)  #: seconds without an answer after which it is given up

    @classmethod
    def from_url(cls, url: str, what: str = "the database URL") -> Address:
        """Parse an SQLAlchemy URL; ConfigError, without the password, if it is not supported."""
        try:
            parts = parsed(url)
        except ValueError as problem:
            raise ConfigError(
                f"{what} is malformed: {problem}",
                "Write it as mysql+pymysql://account:password@host:3306/database; percent-encode special characters.",
            ) from None
        scheme = _SCHEMES.get(parts.get_backend_name())
        if scheme is None:
            raise ConfigError(
                f"{what} has the unsupported scheme {parts.get_backend_name()!r}",
                "Supported are mysql:// (MariaDB and MySQL), postgresql:// and sqlite://.",
            )
        options = {name: value if isinstance(value, str) else value[-1] for name, value in parts.query.items()}
        database = parts.database or ""
        if scheme == "sqlite":
            if not database.strip("/"):
                raise ConfigError(f"{what} has no file name", "Write it as sqlite:////absolute/path.db.")
            return cls("sqlite", database, options=options)
        database = database.strip("/")
        if not database:
            raise ConfigError(f"{what} has no database name", "It must end in /<database>.")
        if "/" in database:
            raise ConfigError(f"{what} is malformed: it has no database name", "Percent-encode special characters.")
        host = (parts.host or "localhost").lower()
        port = parts.port or _PORTS[scheme]
        return cls(scheme, database, host, port, parts.username or "", str(parts.password or ""), options)

    @property
    def redacted(self) -> str:
        """The address for errors and documents."""
        if self.scheme == "sqlite":
            return f"sqlite:///{self.database}"
        return f"{self.scheme}://{self.username}@{self.host}:{self.port}/{self.database}"

    @property
    def server(self) -> tuple[str, ...]:
        """Identifies a database server (and account): a consistent view covers one of these."""
        if self.scheme == "sqlite":
            return ("sqlite", self.database)
        if self.scheme == "postgresql":  # a connection sees one database
            return (self.scheme, self.host, str(self.port), self.username, self.options.get("host", ""), self.database)
        return ("mysql", self.host, str(self.port), self.username, self.options.get("unix_socket", ""))

    def missing_files(self) -> list[str]:
        """Files in its options that do not exist."""
        named = (self.options[name] for name in FILES if name in self.options)
        return [path for path in named if not os.path.exists(path)]

    def under(self, username: str, password: str) -> Address:
        """The same database for another account."""
        return self if self.scheme == "sqlite" else replace(self, username=username, password=password)

    def __str__(self) -> str:
        return self.redacted


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table as described by the database's own catalog (R7)."""

    columns: Mapping[str, str]  #: name -> type, of those that the account may read
    key: tuple[str, ...]  #: columns of the primary key
    references: tuple[Reference, ...] = ()  #: its foreign keys
    rows: int | None = None  #: approximate number of rows, if available at no cost
    hidden: frozenset[str] = frozenset()  #: columns that exist, and that the account may not read


def reference(table: str, pairs: Sequence[tuple[str, str, str]]) -> Reference:
    """A foreign key of ``table``, from (column, referenced table, its column)."""
    return Reference(table, tuple(p[0] for p in pairs), pairs[0][1], tuple(p[2] for p in pairs))


class Connection(Protocol):
    """The part of a DBAPI connection that stackmend uses."""

    def cursor(self) -> Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class TableReader(Protocol):
    """Streams whole tables inside one consistent, read-only view."""

    #: True if rows are cheaper to read as one text each (see ``packed``) than column by column
    packs: bool

    def begin(self) -> None:
        """Open the view; every later read sees the databases as of now."""
        ...

    def stream(self, sql: str, batch: int, database: str = "") -> Iterator[Sequence[tuple[Value, ...]]]:
        """Rows in batches; text may come as bytes. A broken stream raises SourceError, it never ends normally.

        ``database``: the database to read, if it is not the one connected to.
        """
        ...

    def close(self) -> None: ...


class Dialect(Protocol):
    """One kind of database. Every failure is a SourceError (reading) whose message names the database."""

    @property
    def name(self) -> str: ...
    @property
    def placeholder(self) -> str: ...
    @property
    def for_update(self) -> str: ...
    @property
    def folds(self) -> bool:
        """Whether text comparison ignores case."""
        ...

    @property
    def for_share(self) -> str:
        """Suffix of a SELECT whose rows must not change until the transaction ends."""
        ...

    @property
    def to_lock(self) -> tuple[str, ...]:
        """Privileges, beside SELECT, on tables whose rows are locked, or kept absent, and not changed."""
        ...

    def quote(self, name: str) -> str:
        """A name as an identifier."""
        ...

    def qualified(self, address: Address, table: str) -> str:
        """A table qualified for any connection to its server."""
        ...

    def connect(self, address: Address, *, write: bool = False) -> Connection:
        """Open a connection; unless ``write``, it is technically unable to change anything."""
        ...

    def begin_snapshot(self, connection: Connection) -> None:
        """Begin one consistent, read-only view of every database of the server."""
        ...

    def begin_write(self, connection: Connection) -> None:
        """Begin a transaction that may write."""
        ...

    def keep_out(self, connection: Connection, tables: Collection[str]) -> None:
        """Nobody adds a row to these tables until the transaction ends, where a locking read does not prevent it.

        BusyError if others write to them for so long.
        """
        ...

    def introspect(self, connection: Connection, database: str | None = None) -> dict[str, TableInfo]:
        """The tables of a database (default: the one connected to)."""
        ...

    def sight(self, connection: Connection, database: str | None = None) -> Visibility:
        """What the account may see in a database (default: the one connected to)."""
        ...

    def load(self, connection: Connection) -> Load | None:
        """How busy the server is; None if that has no meaning."""
        ...

    def is_full(self, problem: SourceError) -> bool:
        """Whether connecting failed because the server has no free connection."""
        ...

    def account(self, connection: Connection) -> str:
        """The account of the connection as GRANT names it; "" if there are no accounts."""
        ...

    def grantee(self, name: str, host: str) -> str:
        """An account, for connections from ``host``, as GRANT names it."""
        ...

    def seeing(self, address: Address, account: str) -> tuple[str, str]:
        """The privilege to see which tables there are, and the statement that grants it."""
        ...

    def lacks(self, connection: Connection, table: str, columns: Sequence[str], verbs: Sequence[str]) -> list[str]:
        """Which privileges (SELECT and others) the account lacks on these columns of a table; nothing is executed."""
        ...

    def numbering(self, account: str) -> tuple[str, str]:
        """The privilege to give new rows their numbers, and the statement that grants it; "" if there is none."""
        ...

    def may_number(self, connection: Connection) -> bool:
        """Whether the account has that privilege."""
        ...

    def triggers(self, connection: Connection) -> frozenset[str]:
        """The tables with triggers, as far as the account may see them."""
        ...

    def utcnow(self, connection: Connection) -> str:
        """The server's clock, UTC, ``YYYY-MM-DD HH:MM:SS``."""
        ...

    def select(self, connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Value, ...]]:
        """All rows, in canonical values: None, int, float, str, bytes; times as text exactly as stored."""
        ...

    def reader(self, address: Address) -> TableReader:
        """A connection for reading whole tables; it can read several databases of its server."""
        ...

    def adapted(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """A fragment of :mod:`stackmend.tables` as this database understands it.

        ``types``: alias of a table -> its columns and their types.
        """
        ...

    def as_text(self, value: str, null: str) -> str:
        """The value as an argument of CONCAT_WS, with this text for NULL."""
        ...

    def typed(self, value: str, kind: str) -> str:
        """An expression made of parameters, as a value for a column of that type."""
        ...

    def null_safe(self, column: str) -> str:
        """A condition with one parameter, in which NULL equals NULL."""
        ...


class Usual:
    """Where a locking read keeps out new rows, an insertion needs no more than INSERT, and texts become values."""

    to_lock: tuple[str, ...] = ()

    def keep_out(self, connection: Connection, tables: Collection[str]) -> None:
        """Nothing to do: a locking read has locked where a row would be."""

    def numbering(self, account: str) -> tuple[str, str]:
        """None."""
        return "", ""

    def may_number(self, connection: Connection) -> bool:
        """Always."""
        return True

    def typed(self, value: str, kind: str) -> str:
        """As it is."""
        return value
