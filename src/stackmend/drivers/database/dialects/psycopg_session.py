# SPDX-License-Identifier: Apache-2.0
"""A session on PostgreSQL through psycopg: read-only, its settings read back, its silence limited.

The only module that imports psycopg at its top; it is imported by the first connection.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import make_conninfo
from psycopg.types.numeric import FloatLoader, IntLoader
from psycopg.types.string import ByteaLoader, TextLoader

from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.database.patience import Wait
from stackmend.model.errors import SilentError, SourceError

_CONNECT_SECONDS = 10
#: options of a URL that libpq knows and services use
_OPTIONS = frozenset({
    "host", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "gssencmode", "channel_binding",
    "target_session_attrs", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count",
})  # fmt: skip
#: variable -> (value to set, value as shown). A server's own may be anything, and a pooler may drop a SET
_VARIABLES: Mapping[str, tuple[str, str]] = {
    "default_transaction_read_only": ("on", "on"),
    "default_transaction_isolation": ("'repeatable read'", "repeatable read"),
    "timezone": ("'UTC'", "UTC"),
    "datestyle": ("'ISO, YMD'", "ISO, YMD"),
    "client_encoding": ("'UTF8'", "UTF8"),
    "standard_conforming_strings": ("on", "on"),
    "bytea_output": ("hex", "hex"),
    # rows that a policy hides would look missing: the server refuses the statement instead
    "row_security": ("off", "off"),
    # nobody may end the view while other databases are read
    "idle_in_transaction_session_timeout": ("0", "0"),
}


class Session(psycopg.Connection):  # type: ignore[misc]
    """psycopg's connection, with the address that errors name."""

    address: Address
    patience: Wait

    @classmethod
    def to(cls, address: Address, seconds: float) -> Self:
        """Connect; the server ends statements that take longer than ``seconds``."""
        place = {"host": address.host, "port": str(address.port), "dbname": address.database}
        more = {name: value for name, value in address.options.items() if name in _OPTIONS}
        account = {name: value for name, value in (("user", address.username), ("password", address.password)) if value}
        text = make_conninfo(**{**place, **account, **more, "application_name": "stackmend"})
        limit = _patience(address)
        with translated_errors(address):
            found: Self = cls.connect(
                text, connect_timeout=limit, prepare_threshold=None, cursor_factory=psycopg.ClientCursor
            )
        found.address, found.patience = address, Wait(address.name or address.redacted, address.silence)
        with ExitStack() as unsettled:
            unsettled.callback(found.close)
            found._settle(seconds)
            unsettled.pop_all()
        return found

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """As psycopg's, for as long as something arrives; SilentError otherwise."""
        return super().wait(self._limited(gen), *args, **kwargs)

    def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        self.patience.begin()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    self.patience.begin()
                elif self.patience.silent():
                    self.pgconn.finish()  # a frozen server answers no cancellation either
                    raise no_answer(self.address, self.address.silence)
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
        finally:
            self.patience.end()

    def rollback(self) -> None:
        """As psycopg's; SourceError if the connection broke."""
        with translated_errors(self.address):
            super().rollback()

    def commit(self) -> None:
        """As psycopg's; SourceError if the connection broke: nothing was to be written."""
        with translated_errors(self.address):
            super().commit()

    def read(self, sql: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        self.patience.what = sql
        with translated_errors(self.address), self.cursor() as cursor:
            cursor.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def stream(self, sql: str, portion: int) -> Iterator[Sequence[tuple[Any, ...]]]:
        """Rows through a cursor on the server, so many at a time; text as bytes."""
        self.patience.what = sql
        with translated_errors(self.address), self.cursor(name="stackmend") as cursor:
            for name in _TEXTS:
                cursor.adapters.register_loader(name, _Bytes)
            cursor.execute(sql.encode())
            while rows := cursor.fetchmany(portion):
                yield rows

    def _settle(self, seconds: float) -> None:
        """Apply the settings; SourceError, naming the variable, if one did not take effect."""
        for kind in psycopg.adapters.types:
            self.adapters.register_loader(kind.oid, _LOADERS.get(kind.name, TextLoader))
        limit = str(max(1, round(1000 * seconds)))
        wanted = {**_VARIABLES, "statement_timeout": (limit, limit)}
        self.read_only, self.isolation_level = True, psycopg.IsolationLevel.REPEATABLE_READ
        self.autocommit = True
        for name, (value, _) in wanted.items():
            self.read(f"SET SESSION {name} = {value}")
        shown = dict(self.read("SELECT lower(name), setting FROM pg_settings"))
        self.autocommit = False
        for name, (_, value) in wanted.items():
            if shown.get(name) != value:
                raise SourceError(
                    f"{self.address.redacted} cannot be used: its session has {name} = {shown.get(name, 'nothing')!r}"
                    f" after it was set to {value!r}",
                    "Something between this machine and the server drops or overrides SET: use the address of the"
                    " server itself, or a pooler that keeps sessions.",
                )


class _Flag(Loader):  # type: ignore[misc]
    """0 and 1, as other servers store a boolean."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


class _Bytes(Loader):  # type: ignore[misc]
    def load(self, data: Buffer) -> bytes:
        return bytes(data)


_LOADERS: Mapping[str, type[Loader]] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), IntLoader),
    **dict.fromkeys(("float4", "float8", "numeric"), FloatLoader),
    "bool": _Flag,
    "bytea": ByteaLoader,
}
_TEXTS = ("text", "varchar", "bpchar")


@contextmanager
def translated_errors(address: Address) -> Iterator[None]:
    """Turn psycopg's errors into a SourceError that names the database and never the password."""
    try:
        yield
    except psycopg.errors.ConnectionTimeout as problem:
        raise no_answer(address, _patience(address)) from problem
    except psycopg.Error as problem:
        state = problem.sqlstate or ""
        text = problem.diag.message_primary or str(problem).strip().splitlines()[-1]
        code = f" ({state})" if state else ""
        raise SourceError(f"{address.redacted} cannot be read: {text}{code}", _hint(state, text)) from problem


def no_answer(address: Address, seconds: float) -> SilentError:
    """The error of a server that does not answer."""
    return SilentError(
        f"{address.redacted} cannot be read: no answer for {seconds:g} s",
        "Is it frozen, or waiting for a lock? [timeouts] database and --database-timeout set the limit.",
    )


def _patience(address: Address) -> int:
    """Seconds for which a server has to accept a connection."""
    return max(2, round(min(address.silence, _CONNECT_SECONDS)))


_HINTS = {
    "28P01": "The account or its password is wrong.",
    "28000": "The account may not connect from this host: see pg_hba.conf.",
    "3D000": "The database name in the URL is wrong, or the database was not created.",
    "40001": "A standby had to discard rows of the view: read the primary, or set hot_standby_feedback.",
    "42501": "Grant the account the privilege it names; a row security policy must not hide rows from it.",
    "57014": "The server ended the statement at its time limit: was it waiting for a lock?",
}
#: a connection that is refused has no code, only a text
_SAID = {"password authentication failed": "28P01", "pg_hba.conf": "28000", "does not exist": "3D000"}


def _hint(state: str, text: str) -> str:
    code = state or next((code for part, code in _SAID.items() if part in text), "")
    return _HINTS.get(code, "" if code else "Is the server running and reachable from here?")
