# SPDX-License-Identifier: Apache-2.0
"""A session on PostgreSQL through psycopg: its settings read back, its silence limited.

Settings are those of transactions (``SET LOCAL``): behind a pooler the session serves others after each of them.

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
#: variable -> (value to set, value as shown). A server's own may be anything
_VARIABLES: Mapping[str, tuple[str, str]] = {
    "timezone": ("'UTC'", "UTC"),
    "datestyle": ("'ISO, YMD'", "ISO, YMD"),
    "client_encoding": ("'UTF8'", "UTF8"),
    "standard_conforming_strings": ("on", "on"),
    "bytea_output": ("hex", "hex"),
    "extra_float_digits": ("3", "3"),  # all digits of a number, also before release 12
    # rows that a policy hides would look missing: the server refuses the statement instead
    "row_security": ("off", "off"),
}
_READING: Mapping[str, tuple[str, str]] = {
    "transaction_read_only": ("on", "on"),
    "transaction_isolation": ("'repeatable read'", "repeatable read"),
    # nobody may end the view while other databases are read
    "idle_in_transaction_session_timeout": ("0", "0"),
}
_WRITING: Mapping[str, tuple[str, str]] = {
    "transaction_read_only": ("off", "off"),
    # a database that somebody has made read-only, as before it is moved to another server, stays as it is
    "default_transaction_read_only": ("", "off"),
    # each statement sees what was committed before it: so what is read after a lock was got is what there is
    "transaction_isolation": ("'read committed'", "read committed"),
    # a table that we have locked is free again when nothing has been heard from us for so long
    "idle_in_transaction_session_timeout": ("60000", "60000"),
    # what was committed survives a crash of the server
    "synchronous_commit": ("on", "on"),
    # foreign keys are enforced; only a superuser may set it, so it is only looked at
    "session_replication_role": ("", "origin"),
}
#: milliseconds to wait for a lock, unless the role has less: those who want to write wait behind us for as long. More
#: than a deadlock takes to be noticed, after which the server ends an autovacuum that is in the way. And the account's
#: own schemas, so that a session which another client has left elsewhere does not show its tables
_OWN = """
    SELECT name, CASE WHEN name = 'search_path' THEN reset_val
                      ELSE COALESCE(LEAST(NULLIF(reset_val::int, 0), 2000), 2000)::text END
      FROM pg_settings WHERE name IN ('lock_timeout', 'search_path')"""


class Session(psycopg.Connection):  # type: ignore[misc]
    """psycopg's connection, with the address that errors name."""

    address: Address
    patience: Wait
    _wanted: Mapping[str, tuple[str, str]] = {}  #: the variables of each transaction, as above

    @classmethod
    def to(cls, address: Address, seconds: float, *, write: bool = False) -> Self:
        """Connect; the server ends statements after so many ``seconds``, and changes nothing unless ``write``."""
        place = {"host": address.host, "port": str(address.port), "dbname": address.database}
        more = {name: value for name, value in address.options.items() if name in _OPTIONS}
        account = {name: value for name, value in (("user", address.username), ("password", address.password)) if value}
        text = make_conninfo(**{**place, **account, **more, "application_name": "stackmend"})
        limit = _patience(address)
        with translated_errors(address):
            found: Self = cls.connect(
                text, connect_timeout=limit, prepare_threshold=None, cursor_factory=_Cursor, autocommit=True
            )
        found.address, found.patience = address, Wait(address.name or address.redacted, address.silence)
        with ExitStack() as unsettled:
            unsettled.callback(found.close)
            found._settle(seconds, write=write)
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

    def begin(self) -> None:
        """Begin a transaction; SourceError, naming the variable, if one did not take effect."""
        self.rollback()
        shown = dict(self.read("SELECT lower(name), setting FROM pg_settings"))
        for name, (_, value) in self._wanted.items():
            if shown.get(name) != value:
                raise SourceError(
                    f"{self.address.redacted} cannot be used: its session has {name} = {shown.get(name, 'nothing')!r}"
                    f" instead of {value!r}",
                    "A setting of the account or of the database, or something on the way to the server, prevents it.",
                )
        if self._wanted["transaction_read_only"] == ("off", "off") and shown["server_encoding"] == "SQL_ASCII":
            raise SourceError(
                f"{self.address.redacted} cannot be changed: its encoding SQL_ASCII does not say what its texts are",
                "It can be audited. Load it into a database whose encoding is UTF8.",
            )

    def open(self) -> None:
        """Begin a transaction, unless one is open, and make its settings; the next statement opens its view."""
        if self.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            made = [f"SET LOCAL {name} = {value}" for name, (value, _) in self._wanted.items() if value]
            with psycopg.ClientCursor(self) as cursor:
                cursor.execute("; ".join(["BEGIN", *made]).encode())

    def rollback(self) -> None:
        """As psycopg's; SourceError if the connection broke."""
        with translated_errors(self.address):
            super().rollback()

    def commit(self) -> None:
        """As psycopg's, and its errors; of a transaction that has failed a server answers that it was rolled back."""
        with psycopg.ClientCursor(self) as cursor:
            cursor.execute(b"COMMIT")
            if cursor.statusmessage != "COMMIT":
                raise psycopg.errors.InFailedSqlTransaction(f"the server answered {cursor.statusmessage}")

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
            self.open()
            cursor.execute(sql.encode())
            while rows := cursor.fetchmany(portion):
                yield rows

    def _settle(self, seconds: float, *, write: bool) -> None:
        """Determine the settings and try them."""
        for kind in psycopg.adapters.types:
            self.adapters.register_loader(kind.oid, _LOADERS.get(kind.name, TextLoader))
        limit = str(max(1, round(1000 * seconds)))
        self._wanted = {**_VARIABLES, **(_WRITING if write else _READING), "statement_timeout": (limit, limit)}
        # DEFAULT is shown as the server spells it, anything else in a form of its own
        own = {
            name: ("DEFAULT" if name == "search_path" else value, value)
            for name, value in self.read(_OWN)
            if write or name != "lock_timeout"
        }
        self._wanted = {**self._wanted, **own}
        self.begin()
        self.rollback()


class _Cursor(psycopg.ClientCursor):  # type: ignore[misc]
    """Opens a transaction first. Sends numbers as texts whose type the server finds: they compare with booleans."""

    def execute(self, query: Any, params: Any = None, **more: Any) -> Self:
        self.connection.open()
        given = None if params is None else [str(p) if isinstance(p, int | float) else p for p in params]
        return super().execute(query, given, **more)  # type: ignore[no-any-return]


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
    except UnicodeError as problem:
        raise SourceError(
            f"{address.redacted} cannot be read: {problem}", "A text in it is not what its encoding says."
        ) from problem
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
    "25006": "Is it a standby? [databases] has to name the primary.",
    "55000": "Is it a standby? [databases] has to name the primary.",
    "55P03": "Nothing was changed; run it again when there is less activity on the rows.",
    "57014": "The server ended the statement at its time limit: was it waiting for a lock?",
}
#: a connection that is refused has no code, only a text
_SAID = {"password authentication failed": "28P01", "pg_hba.conf": "28000", "does not exist": "3D000"}


def _hint(state: str, text: str) -> str:
    if "during recovery" in text:  # also said with the state of what is not supported
        state = "25006"
    code = state or next((code for part, code in _SAID.items() if part in text), "")
    return _HINTS.get(code, "" if code else "Is the server running and reachable from here?")
