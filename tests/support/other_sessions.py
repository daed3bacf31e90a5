# SPDX-License-Identifier: Apache-2.0
"""What others do on the server of a cloud meanwhile: sessions of theirs, and what only an administrator may."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import sqlalchemy as sa

from stackmend_lab.cloud import Cloud

#: the last release that runs on PostgreSQL: Neutron's migrations end it in the next one
ON_POSTGRESQL = "2025.1"


class Others(ABC):
    """Other sessions of the database of Neutron."""

    waiting: str  #: counts the transactions that wait for a lock
    not_locked: tuple[object, ...]  #: what a session is told that has waited for a lock in vain

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._url = cloud, sa.make_url(cloud.databases["neutron"])

    @abstractmethod
    def connect(self) -> Any:
        """A session in a transaction."""

    @abstractmethod
    def hurry(self, session: Any) -> None:
        """Let it wait for no lock."""

    @contextmanager
    @abstractmethod
    def impatient(self) -> Iterator[None]:
        """New sessions of the writer's account wait for no lock."""

    @contextmanager
    def sacrificed(self) -> Iterator[None]:
        """Of two sessions that wait for each other, the server sacrifices the one that has written less."""
        yield

    @abstractmethod
    def kill(self) -> None:
        """Cut every session of the writer's account on that database."""

    @contextmanager
    def somebody(self) -> Iterator[Any]:
        """Another session, in a transaction, which is rolled back at the end."""
        session = self.connect()
        try:
            yield session
        finally:
            session.rollback()
            session.close()

    def until_waiting(self) -> None:
        """Return when a transaction of the server waits for a lock."""
        for _ in range(100):
            # MariaDB shows a picture of 0.1 s ago to those who ask more often than that
            time.sleep(0.15)
            if self._cloud.rows("keystone", self.waiting)[0]["n"]:
                return
        raise AssertionError("nobody waits for a lock")


class OnMariaDB(Others):
    """MariaDB."""

    waiting = "SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    not_locked = (1205,)

    def connect(self) -> Any:
        url = self._url
        session = pymysql.connect(
            host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=url.database
        )
        session.begin()
        return session

    def hurry(self, session: Any) -> None:
        run(session, "SET SESSION innodb_lock_wait_timeout = 0")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        self._cloud.execute("keystone", "SET GLOBAL innodb_lock_wait_timeout = 0")
        try:
            yield
        finally:
            self._cloud.execute("keystone", "SET GLOBAL innodb_lock_wait_timeout = 50")

    def kill(self) -> None:
        sql = "SELECT id FROM information_schema.processlist WHERE user = :u AND db = :d"
        for session in self._cloud.rows("keystone", sql, {"u": self._url.username, "d": self._url.database}):
            self._cloud.execute("keystone", f"KILL CONNECTION {session['id']}")


class OnPostgreSQL(Others):
    """PostgreSQL."""

    waiting = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    not_locked = ("55P03",)

    def connect(self) -> Any:
        import psycopg

        return psycopg.connect(
            self._url.set(drivername="postgresql").render_as_string(hide_password=False),
            cursor_factory=psycopg.ClientCursor,
        )

    def hurry(self, session: Any) -> None:
        run(session, "SET lock_timeout = '10ms'")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        with self.settled("lock_timeout", "10ms"):
            yield

    @contextmanager
    def sacrificed(self) -> Iterator[None]:
        """The one that began to wait first and notices it; time enough for the other to begin."""
        with self.settled("deadlock_timeout", "1500ms"):
            yield

    @contextmanager
    def settled(self, name: str, value: str) -> Iterator[None]:
        """New sessions of the writer's account, which is everybody's, have this setting."""
        self._cloud.execute("keystone", f"ALTER ROLE {self._url.username} SET {name} = '{value}'")
        try:
            yield
        finally:
            self._cloud.execute("keystone", f"ALTER ROLE {self._url.username} RESET {name}")

    def kill(self) -> None:
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :u AND datname = :d"
        self._cloud.rows("keystone", sql, {"u": self._url.username, "d": self._url.database})


def others_of(cloud: Cloud) -> Others:
    """Those of a cloud on a server."""
    scheme = sa.make_url(cloud.databases["neutron"]).get_backend_name()
    return {"mysql": OnMariaDB, "postgresql": OnPostgreSQL}[scheme](cloud)


def run(session: Any, sql: str, *parameters: Any) -> Any:
    """One statement; its rows."""
    with session.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else ()


def code_of(problem: Exception) -> object:
    """The server's number or state of an error."""
    return problem.args[0] if isinstance(problem.args[0], int) else getattr(problem, "sqlstate", None)
