# SPDX-License-Identifier: Apache-2.0
"""What a check is: one question about the snapshot, as data plus one SQL statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stackmend.model.objects.disks import Visit


class Severity(StrEnum):
    """What breaks if the finding is left alone."""

    ERROR = "error"  #: data or an address can be lost, or a server or resource is unusable
    WARNING = "warning"  #: an operation is blocked, capacity or quota is wrong
    INFO = "info"  #: residue


class Status(StrEnum):
    """The life of a check."""

    PREVIEW = "preview"
    STABLE = "stable"
    DEPRECATED = "deprecated"


#: How to narrow a table to one finding's rows: column of the table -> where its values come from, which is
#: either a column of the finding (``"server"``) or a column of a table read before it (``"nova_migrations.uuid"``).
#: Several entries must all hold. An empty mapping reads the whole table: for small reference tables only.
Scope = Mapping[str, str]

#: in the place of values: the newest rows of the table, a few hundred, for a sample. A condition on the row ``s``
#: may follow it, in SQL that all dialects understand
NEWEST = "newest "


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One inconsistency of the catalogue. The docstring of its module is its page.

    ``sql`` runs on the collected tables (see :mod:`stackmend.tables`); each row it returns is a finding and no row
    means consistent. It may use ``$now`` (timestamp, UTC) and one ``$name`` timestamp for each entry of ``ages``,
    which is bound to *now minus that many seconds*. It must return the columns of ``key``, every finding column
    that ``reads`` refers to, the ``resource`` column, and whatever the message and the repairs use.

    ``reads`` names every table the SQL uses and the rows of it that decide one finding. The verdict on a key must
    not depend on rows outside of it: tests/properties proves that for every check.
    """

    name: str  #: kebab-case as in the catalogue; public and permanent
    catalogue: str  #: number of the catalogue entry, e.g. "A1"
    severity: Severity
    #: one line; ``{column}`` of the returned row, and for ``{code}`` what it means (:attr:`codes`)
    message: str
    resource: tuple[str, str]  #: (type, column): the main object, e.g. ("server", "server")
    key: tuple[str, ...]  #: columns that identify a finding
    reads: Mapping[str, Scope]
    sql: str
    #: ``code`` of a finding -> what it means, for people; ``{column}`` as in the message
    codes: Mapping[str, str] = field(default_factory=dict)
    status: Status = Status.STABLE
    ages: Mapping[str, int] = field(default_factory=dict)  #: seconds; may be set per site
    #: sources whose failure forbids any verdict (R2): "nova_api", "cells" (every cell), "neutron", ...
    needs: frozenset[str] = frozenset()
    #: tables without which it finds less and nothing wrong: where an API shows none it speaks, and is incomplete.
    #: ``<table>.<some>`` stands for rows of it that no API shows: ``deleted``, marked as such; ``inactive``
    spares: frozenset[str] = frozenset()
    #: name of a root cause -> {column here: column there}; a finding matching one is counted with it, not listed
    explained_by: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: ``code`` of a finding -> why it is no more than a candidate where Nova is known by its API alone, which does not
    #: show what would tell; ``{column}`` as in the message
    untold: Mapping[str, str] = field(default_factory=dict)
    #: where it has no repair on purpose: what a plan says to do instead; ``{column}`` as in the message
    by_hand: str = ""
    #: what does harm to, or fails for, a server with such a finding: "move", "start", "rebuild" (on another host).
    #: Workflows leave such a server alone (:attr:`stackmend.model.workflow.Workflow.deed`)
    hinders: frozenset[str] = frozenset()
    #: True where the databases change one after another, so that only a second look after --settle confirms it
    settle: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck(Check):
    """One inconsistency that is seen on hosts alone: asked of each host that is visited, not of the snapshot.

    ``find`` gets what was read of one host, and yields the rows that a statement would return. SourceError where the
    host cannot be judged: that is no answer, and not "nothing found".
    """

    find: Callable[[Visit], Iterable[Mapping[str, Any]]]
    reads: Mapping[str, Scope] = field(default_factory=dict)
    sql: str = ""
    needs: frozenset[str] = frozenset({"nova_api", "cells"})
