# SPDX-License-Identifier: Apache-2.0
"""Running statements and commits, and telling apart how they fail: refused, lost against another one, unknown."""

from __future__ import annotations

import sqlite3
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

_PROBLEMS: tuple[type[Exception], ...] = (StackmendError, *_DRIVERS)

#: lock wait timeout, deadlock (and a Galera cluster's refusal to certify), too many of either
_TIMED_OUT = 1205
_LOST = frozenset({_TIMED_OUT, 1213, 1020, 3572})
#: the connection broke: before the commit that is a transaction lost as well
_BROKEN = frozenset({2006, 2013, 2055})
#: the server ended the statement, because it took too long: it would do so again
_ENDED = frozenset({1969, 3024})


class Lost(Exception):  # noqa: N818 - the transaction lost against another one: it is tried again
    """The transaction was rolled back because another one held or changed its rows."""


class Unknown(Exception):  # noqa: N818 - an answer, not an error
    """The connection broke while committing."""


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turn the errors of drivers into Lost or WriteError; ``what`` names database and table."""
    try:
        yield
    except _PROBLEMS as problem:
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
        raise WriteError(
            f"{what} refused the change: {_text(problem)}",
            "The transaction was rolled back; check the constraint or the account it names.",
        ) from problem


def execute(connection: Connection, sql: str, parameters: Sequence[object], expected: int, what: str) -> None:
    """Run one statement that must find exactly ``expected`` rows; WriteError otherwise."""
    with telling(what):
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
    """Commit; Unknown when the connection broke meanwhile, because then it may have been kept or not."""
    try:
        connection.commit()
    except _DRIVERS as problem:
        # its own word that it was rolled back; a time-out says nothing about that
        if _code(problem) in _LOST - {_TIMED_OUT} or _locked(problem):
            raise Lost(what) from problem
        if isinstance(problem, sqlite3.Error):
            raise WriteError(f"{what} cannot be committed: {problem}", "Check the free space on its disk.") from problem
        raise Unknown(f"{what}: {_text(problem)}") from problem


def back_out(connection: Connection) -> bool:
    """Roll back; False when the connection is of no use any more."""
    try:
        connection.rollback()
    except _DRIVERS:
        return False
    return True


def _code(problem: BaseException | None) -> int | None:
    """The server's number for the error, wherever in the chain it is."""
    while problem is not None:
        if isinstance(problem, _DRIVERS) and problem.args and isinstance(problem.args[0], int):
            return problem.args[0]
        problem = problem.__context__
    return None


def _locked(problem: BaseException | None) -> bool:
    while problem is not None:
        if isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem):
            return True
        problem = problem.__context__
    return False


def _text(problem: Exception) -> str:
    """What the server said, without the values it quotes."""
    text = str(problem.args[1] if len(problem.args) > 1 else problem)
    number = f" ({problem.args[0]})" if len(problem.args) > 1 else ""
    return text.split("'")[0].strip() + number if "Duplicate entry" in text else text + number
