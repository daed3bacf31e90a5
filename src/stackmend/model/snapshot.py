# SPDX-License-Identifier: Apache-2.0
"""What was collected, from where, when, and what of it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: A *database* is one schema: "nova_api", "neutron", "cinder", "placement", "glance", "keystone" or "cell:<name>".
CELL = "cell:"


def cell_database(cell: str) -> str:
    """The name of the database of a cell."""
    return CELL + cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One database as it was read."""

    database: str
    release: str = ""  #: from the schema version, e.g. "nova 34", or "" where unknown
    start: str = ""  #: UTC, ISO 8601: when the consistent view was opened
    end: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)  #: label of the table -> rows
    error: str = ""  #: why it could not be read whole; "" when it was
    doubt: str = ""  #: why it is not believed, though it could be read: what others say that it should hold
    #: label of a table -> columns this release lacks (the table itself: "*")
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: as ``missing``: what is not shown to the account, and may be there. Nobody has said that it is not
    unseen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    api: bool = False  #: read from the service's API, for want of a database

    @property
    def called(self) -> str:
        """What it is, for a human."""
        if not self.api:
            return f"database {self.database}"
        return f"the API of {'nova' if self.database.startswith(CELL) else self.database.removesuffix('_api')}"

    @property
    def trouble(self) -> str:
        """Why nothing is concluded from it, in a sentence; "" where all is well."""
        if self.error:
            return f"{self.called} could not be read: {self.error}"
        return f"{self.called} is not believed: {self.doubt}" if self.doubt else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The table of contents of a snapshot."""

    format: str
    created_at: str
    now: str  #: the clock of the databases, UTC: ages are counted from it
    skew: float  #: seconds between the first and the last consistent view
    sources: tuple[Source, ...]
    cells_known: bool  #: cell_mappings was read and every cell of it is among the sources
    extra: Mapping[str, object] = field(default_factory=dict)

    def called(self, database: str) -> str:
        """What a source of this name is, for a human."""
        return next((s.called for s in self.sources if s.database == database), f"database {database}")

    @property
    def nova_is_shown(self) -> bool:
        """Whether Nova's API stands in for its databases."""
        return any(s.api and s.database.startswith(CELL) for s in self.sources)

    def failed(self) -> dict[str, str]:
        """Database -> why it could not be read, or is not believed."""
        return {s.database: s.error or s.doubt for s in self.sources if s.error or s.doubt}

    def troubles(self) -> dict[str, str]:
        """Database -> :attr:`Source.trouble`, of those that have one."""
        return {s.database: s.trouble for s in self.sources if s.trouble}


#: The table in which the collector notes what it could not decode; the check ``unreadable-row`` reads it.
UNREADABLE = "unreadable_rows"
