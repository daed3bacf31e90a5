# SPDX-License-Identifier: Apache-2.0
"""Connects drivers and engine: every use case opens a session first and closes it last."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from stackmend.app.discovery import Databases, connect
from stackmend.config.settings import Config
from stackmend.drivers.database.live import LiveDatabases
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.drivers.snapshot.collector import DatabaseCollector
from stackmend.drivers.snapshot.recollect import TableSource
from stackmend.engine.auditing import catalogue, sources
from stackmend.engine.auditing.confirm import Confirmed, Rows, confirm
from stackmend.model.check import Check
from stackmend.model.errors import ConfigError
from stackmend.model.protocols import Api, Guests
from stackmend.model.snapshot import CELL, service_of_source
from stackmend.tables.expectations import Expectation
from stackmend.tables.outside import outside

#: seconds for which a judgement of the sources stays valid while a plan is applied
BELIEVED = 60.0


def no_progress(what: str, rows: int, expected: int | None) -> None:
    """Progress that is not displayed."""
    del what, rows, expected


def utcnow() -> str:
    """ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def has_api(config: Config) -> bool:
    """Whether an account is given by the configuration, the environment or the ``openstack`` client."""
    return config.has_account


@dataclass(frozen=True, slots=True)
class CloudSession:
    """The cloud of one command."""

    config: Config
    databases: Databases
    elsewhere: TableSource | None = None  #: read instead of databases that are not configured

    @classmethod
    def of(cls, config: Config, *, write: bool = False) -> CloudSession:
        """Find the databases; ConfigError if none is configured."""
        if not config.databases:
            raise ConfigError("no database is configured", "Set at least nova_api under [databases].")
        return cls(config, connect(config, write=write))

    @classmethod
    def looking(cls, config: Config, *, write: bool = False) -> CloudSession:
        """As :meth:`of`; also without any database, if there is an API instead."""
        if config.databases or not has_api(config):
            return cls.of(config, write=write)
        name = f"api {config.cloud or os.environ.get('OS_AUTH_URL', '')} {config.clouds or ''}"
        identity = hashlib.sha256(name.encode()).hexdigest()[:16]
        return cls(config, Databases(identity=identity, lease=identity))

    def beside(self, elsewhere: TableSource) -> CloudSession:
        """The same cloud, with these tables read elsewhere."""
        return replace(self, elsewhere=elsewhere)

    def collector(self, *, replicas: bool = False) -> DatabaseCollector:
        """A collector of everything; with ``replicas`` it copies tables from these, and still confirms on primaries."""
        known = self.databases
        return DatabaseCollector(
            known.addresses,
            known.errors,
            cells_known=known.cells_known,
            elsewhere=self.elsewhere,
            nice=self.config.nice,
            replicas=known.replicas if replicas else None,
            max_lag=self.config.replica.max_lag if self.config.replica else 0.0,
        )

    def without(self, failed: Mapping[str, str]) -> CloudSession:
        """The same cloud, knowing that these databases could not be read."""
        addresses = {name: a for name, a in self.databases.addresses.items() if name not in failed}
        errors = {**self.databases.errors, **{n: why for n, why in failed.items() if not is_outside(n)}}
        known = self.databases.cells_known and "nova_api" not in failed
        found = replace(self.databases, addresses=addresses, errors=errors, cells_known=known)
        return replace(self, databases=found)

    def believed(self, checks: Iterable[Check] | None = None, connections: Connections | None = None) -> CloudSession:
        """The same cloud without the databases that the others contradict, judged by a sample of their rows.

        ``checks``: those whose sources count; by default all. ``connections``: existing connections to use.
        """
        return self._judged(sources.concerning(catalogue.checks().values() if checks is None else checks), connections)

    def _judged(self, expectations: Iterable[Expectation], connections: Connections | None) -> CloudSession:
        elsewhere = self.elsewhere
        wanted = [one for one in expectations if not (elsewhere and any(map(elsewhere.serves, one.reads)))]
        session = self
        own = connections or Connections(self.databases.addresses, {})
        with nullcontext(own) if connections else closing(own):
            for stage in (True, False):
                known = session.databases
                every = known.cells_known and not any(name.startswith(CELL) for name in known.errors)
                some = [one for one in wanted if sources.early(one) is stage and (every or not one.every_cell)]
                collector = DatabaseCollector(known.addresses, {}, cells_known=known.cells_known, connections=own)
                session = session.without(sources.texts_of(sources.sample(collector, some)))
        return session

    @contextmanager
    def live(self, api: Api | None = None, now: str = "", guests: Guests | None = None) -> Iterator[LiveDatabases]:
        """The live databases, closed at the end, with ``api`` and ``guests`` for repairs; ``now``: or the present."""
        live = LiveDatabases(
            self.databases.addresses,
            self.databases.errors,
            cells_known=self.databases.cells_known,
            settings=self.config.nova_settings.get,
            api=api,
            now=now,
            guests=guests,
        )
        try:
            yield live
        finally:
            live.close()

    @contextmanager
    def asking(self, checks: Mapping[str, Check]) -> Iterator[Callable[[Mapping[str, Rows]], Confirmed]]:
        """A function that runs these checks again for findings, on rows read again.

        The sources of each are judged before, once a minute: they may be others since the audit. What judges those of
        several checks is asked once.
        """
        session, begun, judged = self, -BELIEVED, set[str]()

        def again(candidates: Mapping[str, Rows]) -> Confirmed:
            nonlocal session, begun, judged
            if time.monotonic() - begun > BELIEVED:
                session, begun, judged = self, time.monotonic(), set()
            concerned = sources.concerning(checks[name] for name in candidates)
            if new := [one for one in concerned if one.name not in judged]:
                session = session._judged(new, connections)
                judged |= {one.name for one in new}
            known = session.databases
            found = Confirmed()
            for name, rows in candidates.items():
                # a failed database that the check does not need must not prevent its answer
                errors = {database: why for database, why in known.errors.items() if needed(checks[name], database)}
                collector = DatabaseCollector(
                    known.addresses,
                    errors,
                    cells_known=known.cells_known,
                    connections=connections,
                    elsewhere=self.elsewhere,
                )
                one = confirm(checks, {name: rows}, collector, self.config.thresholds)
                found.rows |= one.rows
                found.unknown |= one.unknown
            return found

        with closing(Connections(self.databases.addresses, self.databases.errors)) as connections:
            yield again

    @contextmanager
    def journal(self) -> Iterator[DatabaseJournal]:
        """The journal, closed at the end."""
        journal = DatabaseJournal(self.config.journal_url, self.config.database_timeout)
        try:
            yield journal
        finally:
            journal.close()


def is_outside(source: str) -> bool:
    """Whether the source is none of the databases."""
    return service_of_source(source) in {table.service for table in outside().values()}


def needed(check: Check, database: str) -> bool:
    """True if a check cannot run without this database."""
    return database in check.needs or (database.startswith(CELL) and "cells" in check.needs)
