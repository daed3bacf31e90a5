# SPDX-License-Identifier: Apache-2.0
"""What was collected, from where and when, and what failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: A *database* is one schema: "nova_api", "neutron", "cinder", "placement", "glance", "keystone" or "cell:<name>". What
#: lies outside the databases is called "<service>" or "<service>:<name>" in its place: "host:compute-07".
CELL = "cell:"


def cell_database(cell: str) -> str:
    """The name of the database of a cell."""
    return CELL + cell


def service_of_source(database: str) -> str:
    """The service of a source, named as in :class:`stackmend.tables.Table`."""
    return "nova" if database.startswith(CELL) else database.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One database, or something outside the databases, as it was read."""

    database: str
    revision: str = ""  #: how far its migrations came, as its own table says; "" if it does not
    releases: tuple[str, ...] = ()  #: those whose schema this is, from the oldest; () if it is of none that is known
    start: str = ""  #: UTC, ISO 8601: when the consistent view was opened
    end: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)  #: label of the table -> rows
    error: str = ""  #: why it could not be read completely; "" if it was
    doubt: str = ""  #: why it is not trusted although it could be read: what others say it should hold
    #: label of a table -> columns that this release lacks ("*": the table itself)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: as ``missing``: what the account may not see, and what may therefore exist
    unseen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: seconds for which reading waited, by reason: "rest", or a key of [nice]
    waited: Mapping[str, float] = field(default_factory=dict)
    #: label of a table -> UTC, when its view was opened, if that was after ``start``: views are not held for ever
    views: Mapping[str, str] = field(default_factory=dict)
    replica: str = ""  #: the replica that was read in place of the database itself
    lag: float | None = None  #: seconds that it was behind
    as_of: str = ""  #: UTC: it has at least everything that was written until then
    api: bool = False  #: read from the service's API, as there is no database
    outside: str = ""  #: its name in messages, if it lies outside the databases: "hypervisor compute-07"
    #: labels of the only tables that it has a part of; () if it may have rows in each of its service
    only: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """Its name in messages."""
        if self.outside:
            return self.outside
        if not self.api:
            return f"database {self.database}"
        return f"the API of {'nova' if self.database.startswith(CELL) else self.database.removesuffix('_api')}"

    @property
    def trouble(self) -> str:
        """Why no conclusions are drawn from it, as a sentence; "" if it is fine."""
        if self.error:
            return f"{self.called} could not be read: {self.error}"
        return f"{self.called} is not believed: {self.doubt}" if self.doubt else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The table of contents of a snapshot."""

    format: str
    created_at: str
    now: str  #: the databases' clock, UTC: ages are counted from it
    skew: float  #: seconds between the first and the last consistent view
    sources: tuple[Source, ...]
    cells_known: bool  #: cell_mappings was read, and every cell in it is among the sources
    extra: Mapping[str, object] = field(default_factory=dict)

    def called(self, database: str) -> str:
        """The name of a source in messages."""
        return next((s.called for s in self.sources if s.database == database), f"database {database}")

    @property
    def nova_is_shown(self) -> bool:
        """Whether Nova's API is used in place of its databases."""
        return any(s.api and s.database.startswith(CELL) for s in self.sources)

    def failed(self) -> dict[str, str]:
        """Each database that could not be read or is not trusted, with the reason."""
        return {s.database: s.error or s.doubt for s in self.sources if s.error or s.doubt}

    def troubles(self) -> dict[str, str]:
        """Each database with :attr:`Source.trouble`, if there is any."""
        return {s.database: s.trouble for s in self.sources if s.trouble}


#: The table in which the collector records rows that it could not decode; the check ``unreadable-row`` reads it.
UNREADABLE = "unreadable_rows"
