# SPDX-License-Identifier: Apache-2.0
"""What a check is: one question about the snapshot, as data plus one SQL statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stackmend.model.objects.disks import Visit
from stackmend.model.objects.images import StoreVisit
from stackmend.model.sight import Sight


class Severity(StrEnum):
    """The damage if the finding is left alone."""

    ERROR = "error"  #: data or an address can be lost, or a server or resource is unusable
    WARNING = "warning"  #: an operation is blocked, or capacity or quota is wrong
    INFO = "info"  #: residue


class Status(StrEnum):
    """The life cycle of a check."""

    PREVIEW = "preview"
    STABLE = "stable"
    DEPRECATED = "deprecated"


#: How to narrow a table to the rows of one finding: column of the table -> where its values come from, either a column
#: of the finding (``"server"``) or a column of a table read before it (``"nova_migrations.uuid"``). Several entries
#: must all match. An empty mapping reads the whole table: for small reference tables only.
Scope = Mapping[str, str]

#: stands in place of values for the newest rows of the table, a few hundred, as a sample. A condition on the row ``s``
#: may follow it, in SQL common to all dialects
NEWEST = "newest "


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What an upgrade makes of a finding (``stackmend upgrade check``)."""

    what: str  #: what fails, or has to be done before: a sentence after the finding's message
    source: str  #: the file and function of the service that says so
    blocks: bool = True  #: the upgrade fails, or does harm; False: it does not, but this is better done before
    codes: frozenset[str] = frozenset()  #: each ``code`` of a finding that it is about; none: all findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One inconsistency of the catalogue. The docstring of its module is its page.

    ``sql`` runs on the collected tables (see :mod:`stackmend.tables`); each row it returns is a finding, and no row
    means consistent. It may use ``$now`` (timestamp, UTC), one timestamp ``$name`` for each entry of ``ages``, bound to
    *now minus that many seconds*, and one number ``$name`` for each entry of ``counts``. It must return the columns of
    ``key``, every finding column that ``reads`` refers to, the ``resource`` column, and whatever the message and the
    repairs use.

    ``reads`` names every table the SQL uses, and which of its rows decide one finding. The verdict on a key must not
    depend on any other row: tests/properties proves that for every check.
    """

    name: str  #: kebab-case as in the catalogue; public and permanent
    catalogue: str  #: number of the catalogue entry, e.g. "A1"
    severity: Severity
    #: one line; ``{column}`` of the returned row; ``{code}`` is replaced by its meaning (:attr:`codes`)
    message: str
    resource: tuple[str, str]  #: (type, column): the main object, e.g. ("server", "server")
    key: tuple[str, ...]  #: columns that identify a finding
    reads: Mapping[str, Scope]
    sql: str
    #: ``code`` of a finding -> its meaning in words; ``{column}`` as in the message
    codes: Mapping[str, str] = field(default_factory=dict)
    status: Status = Status.STABLE
    ages: Mapping[str, int] = field(default_factory=dict)  #: seconds; configurable per site
    counts: Mapping[str, int] = field(default_factory=dict)  #: numbers from which it counts; configurable per site
    #: the :attr:`ages` that are part of what is wrong: how long a passing state, or the silence of a heartbeat, is
    #: normal. A younger row is healthy; within any other age it is suspected (``--include-young``)
    lasting: frozenset[str] = frozenset()
    #: sources whose failure rules out any verdict (R2): "nova_api", "cells" (every cell), "neutron", ...
    needs: frozenset[str] = frozenset()
    #: tables without which it finds less, but nothing wrong: if an API does not show one, the check runs and is
    #: reported as incomplete; one outside the databases only adds to what is shown, and need not be read.
    #: ``<table>.<some>`` stands for rows that no API shows: ``deleted``, those marked as such; ``inactive``
    spares: frozenset[str] = frozenset()
    #: name of a root cause -> {column here: column there}; a finding that matches one is counted with it, not listed
    explained_by: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: ``code`` of a finding -> why it stays a candidate if Nova is known only through its API, which does not show what
    #: would decide it; ``{column}`` as in the message
    untold: Mapping[str, str] = field(default_factory=dict)
    #: for a finding that deliberately has no repair: what the plan says to do instead; ``{column}`` as in the message
    by_hand: str = ""
    #: alternatives to the default repair: what the plan says about them; ``{column}`` as in the message
    otherwise: str = ""
    #: operations that would harm, or fail for, a server with such a finding: "move", "start", "rebuild" (on another
    #: host). Workflows leave such a server alone (:attr:`stackmend.model.workflow.Workflow.deed`)
    hinders: frozenset[str] = frozenset()
    #: what an upgrade trips over; the first one that is about a finding counts
    obstacles: tuple[Obstacle, ...] = ()
    #: what hypervisors show of a finding, if they were read (docs/adr/0070)
    sight: Sight | None = None
    #: True if the databases change one after another, so that only a second audit after --settle confirms the finding
    settle: bool = True

    @property
    def needed(self) -> frozenset[str]:
        """The labels of the tables without which it has no answer."""
        return frozenset(self.reads) - self.spares

    def obstacle(self, code: object) -> Obstacle | None:
        """What an upgrade makes of a finding with this ``code``; None if it has nothing to do with it."""
        return next((one for one in self.obstacles if not one.codes or code in one.codes), None)


#: the age that is counted from the first audit that saw a finding, for what has no time of its own
SEEN = "seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideCheck(Check):
    """A :class:`Check` that also reads tables of what lies outside the databases (:mod:`stackmend.tables.outside`).

    It is run if that was read. What was not read there has no row: the statement begins with what was. With an age
    :data:`SEEN`, a finding is held back as too young until audits have seen it for so long without interruption.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck(Check):
    """An inconsistency visible only on hosts: evaluated for each host visited, not on the snapshot.

    ``find`` gets what was read from one host, and yields the rows that a statement would return. It raises SourceError
    if the host cannot be judged: that means no answer, not "nothing found".
    """

    find: Callable[[Visit], Iterable[Mapping[str, Any]]]
    reads: Mapping[str, Scope] = field(default_factory=dict)
    sql: str = ""
    needs: frozenset[str] = frozenset({"nova_api", "cells"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCheck(Check):
    """One inconsistency that is seen on the nodes of Glance alone: asked of all of them together.

    ``find`` as that of :class:`HostCheck`.
    """

    find: Callable[[StoreVisit], Iterable[Mapping[str, Any]]]
    reads: Mapping[str, Scope] = field(default_factory=dict)
    sql: str = ""
    needs: frozenset[str] = frozenset({"glance"})


#: kinds of checks that are asked of hosts
Visiting = HostCheck | StoreCheck
