# SPDX-License-Identifier: Apache-2.0
"""Runs statements and commits, and distinguishes how they fail: refused, lost to another transaction, unknown."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pymysql

from stackmend.drivers.database.dialects.base import Connection
from stackmend.model.errors import SilentError, SourceError, StackmendError, WriteError

try:
    import MySQLdb

    _DRIVERS: tuple[type[Exception], ...] = (sqlite3.Error, pymysql.MySQLError, MySQLdb.MySQLError)
except ImportError:
    _DRIVERS = (sqlite3.Error, pymysql.MySQLError)

#: lock wait timeout, deadlock (also a Galera certification failure), too many of either; as PostgreSQL calls them, and
#: its answer to the COMMIT of a transaction that has failed
_TIMED_OUT = 1205
_LOST: frozenset[int | str] = frozenset({_TIMED_OUT, 1213, 1020, 3572, "40001", "40P01", "55P03", "25P02"})
#: the connection broke: before the commit, the transaction is lost as well. MariaDB and MySQL say 1053, 1927, 3169 and
#: 4031 to those whom they end; PgBouncer says 08P01 when it lost its own
_CUT = "08006"
_BROKEN: frozenset[int | str] = frozenset(
    {1053, 1927, 2006, 2013, 2055, 3169, 4031, _CUT, "08P01", "25P03", "57P01", "57P02", "57P03", "57P05"}
)
#: constraints that are checked by the COMMIT, if they are deferred: an answer like that is a rollback
_REFUSED = ("23001", "23502", "23503", "23505", "23514", "23P01")
#: the server ended the statement, or its transaction, because it took too long, and would do so again
_ENDED: frozenset[int | str] = frozenset({1969, 3024, "25P04", "57014"})


class Lost(Exception):  # noqa: N818 - the transaction lost to another one and is retried
    """The transaction was rolled back because another one locked or changed its rows."""


class Unknown(Exception):  # noqa: N818 - an answer, not an error
    """The connection broke during the commit."""


@contextmanager
def translated_errors(what: str) -> Iterator[None]:
    """Turn driver errors into Lost or WriteError; ``what`` names database and table."""
    try:
        yield
    except _drivers(StackmendError) as problem:
        if isinstance(problem, SilentError):
            raise
        if isinstance(problem.__context__, TimeoutError):
            raise SilentError(f"{what}: the server has stopped answering", "Is it frozen?") from problem
        if _code(problem) in _ENDED:
            raise SourceError(f"{what} took too long: {_text(problem)}", "Was it waiting for a lock?") from problem
        if _code(problem) in _LOST | _BROKEN or _locked(problem):
            raise Lost(what) from problem
        if isinstance(problem, StackmendError):
            raise
        raise _refusal(what, problem) from problem


def execute(connection: Connection, sql: str, parameters: Sequence[object], expected: int, what: str) -> None:
    """Run one statement that must match exactly ``expected`` rows; WriteError otherwise."""
    with translated_errors(what):
        cursor = connection.cursor()
        try:
            cursor.execute(sql, parameters)
            found = cursor.rowcount
        finally:
            cursor.close()
    if found != expected:
        raise WriteError(
            f"{what}: a statement found {found} rows instead of {expected}",
            "The transaction was rolled back; a trigger or another session interferes.",
        )


def commit(connection: Connection, what: str) -> None:
    """Commit; Unknown if the connection broke meanwhile, because the commit may or may not have happened."""
    try:
        connection.commit()
    except _drivers(SilentError) as problem:
        # the server reports a rollback; a timeout would say nothing about that
        if _code(problem) in _LOST - {_TIMED_OUT} or _locked(problem):
            raise Lost(what) from problem
        if isinstance(problem, sqlite3.Error):
            raise WriteError(f"{what} cannot be committed: {problem}", "Check the free space on its disk.") from problem
        if _code(problem) in _REFUSED:
            raise _refusal(what, problem) from problem
        raise Unknown(f"{what}: {_text(problem)}") from problem


def back_out(connection: Connection) -> bool:
    """Roll back; False if the connection is no longer usable."""
    try:
        connection.rollback()
    except _drivers(StackmendError):
        return False
    return True


def _refusal(what: str, problem: Exception) -> WriteError:
    return WriteError(
        f"{what} refused the change: {_text(problem)}",
        "The transaction was rolled back; check the constraint or the account it names.",
    )


def _drivers(own: type[StackmendError]) -> tuple[type[Exception], ...]:
    """Errors of ours and those of drivers; psycopg's once a connection has imported it."""
    psycopg = sys.modules.get("psycopg")
    return (own, *_DRIVERS, psycopg.Error) if psycopg else (own, *_DRIVERS)


def _code(problem: BaseException | None) -> int | str | None:
    """The server's error number, or PostgreSQL's state, from anywhere in the exception chain."""
    while problem is not None:
        if isinstance(problem, _DRIVERS) and problem.args and isinstance(problem.args[0], int):
            return problem.args[0]
        if hasattr(problem, "diag"):  # of psycopg; a connection that broke has no state
            state: str | None = getattr(problem, "sqlstate", None)
            return state or (_CUT if type(problem).__name__ == "OperationalError" else None)
        problem = problem.__context__
    return None


def _locked(problem: BaseException | None) -> bool:
    while problem is not None:
        if isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem):
            return True
        problem = problem.__context__
    return False


def _text(problem: Exception) -> str:
    """The server's message without the values it quotes."""
    if hasattr(problem, "diag"):
        said = problem.diag.message_primary or str(problem).strip()
        return f"{said.partition(': ')[0]} ({problem.sqlstate or _CUT})"  # type: ignore[attr-defined]
    text = str(problem.args[1] if len(problem.args) > 1 else problem)
    number = f" ({problem.args[0]})" if len(problem.args) > 1 else ""
    return text.split("'")[0].strip() + number if "Duplicate entry" in text else text + number
