# SPDX-License-Identifier: Apache-2.0
"""One look at a database of OVN: which member of its cluster is asked, and the rows it shows at one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from stackmend.drivers.ovn.remote import Endpoint, listed
from stackmend.drivers.ovn.wire import Connection, Row, Select
from stackmend.model.errors import SourceError

#: what each server says of the databases it serves, and of its place in their cluster
_SERVER = "_Server"
_STANDING = Select("Database", ("name", "connected", "leader", "model"))
#: what every row has, though no schema lists it
_ALWAYS = frozenset({"_uuid"})
_HINT = "See [ovn] in the configuration, and on a controller: ovs-appctl -t ... cluster/status DATABASE."


@dataclass(frozen=True, slots=True)
class Look:
    """The rows of some tables at one moment."""

    rows: Mapping[str, Sequence[Row]]  #: by table; a table that this release lacks is missing
    columns: Mapping[str, frozenset[str]]  #: those that were read, by table
    remote: str  #: who was asked
    leads: bool = True  #: False: a follower was asked, which may be a moment behind


@dataclass(slots=True)
class _Members:
    """Those that were tried."""

    follower: Connection | None = None
    problems: list[str] = field(default_factory=list)


def look(
    endpoint: Endpoint,
    database: str,
    wanted: Mapping[str, Collection[str]],
    silence: float,
    keys: frozenset[str] = frozenset(),
) -> Look:
    """The wanted columns of the wanted tables, as far as this release has them; of maps only what is under ``keys``.

    The leader of a cluster is asked, or a member that is in touch with it: one that is cut off shows old rows for ever.
    SourceError if no member can be asked, with the reason for each.
    """
    connection, leads = _chosen(endpoint, database, silence)
    with closing(connection):
        known = connection.columns(database)
        there = {
            name: frozenset(columns) & (known[name] | _ALWAYS) for name, columns in wanted.items() if name in known
        }
        selects = [Select(name, tuple(sorted(columns)), keys) for name, columns in sorted(there.items())]
        found = connection.read(database, selects)
    rows = {one.table: some for one, some in zip(selects, found, strict=True)}
    return Look(rows, there, str(connection.remote), leads)


def _chosen(endpoint: Endpoint, database: str, silence: float) -> tuple[Connection, bool]:
    members = _Members()
    for remote in endpoint.remotes:
        try:
            connection = Connection(remote, endpoint.keys, silence)
        except SourceError as problem:
            members.problems.append(problem.message)
            continue
        try:
            leads, why = _standing(connection, database)
        except SourceError as problem:
            leads, why = False, problem.message
        if leads and not why:
            if members.follower is not None:
                members.follower.close()
            return connection, True
        if why or members.follower is not None:
            members.problems += [why] if why else []
            connection.close()
        else:
            members.follower = connection
    if members.follower is not None:
        return members.follower, False
    raise SourceError(f"{database} cannot be read ({listed(endpoint.remotes)}): {'; '.join(members.problems)}", _HINT)


def _standing(connection: Connection, database: str) -> tuple[bool, str]:
    """(whether it may answer for the database, why it may not)."""
    served = connection.databases()
    if database not in served:
        others = ", ".join(sorted(served - {_SERVER})) or "none"
        return False, f"{connection.remote} has no database {database} (it has {others})"
    if _SERVER not in served:  # older than clusters
        return True, ""
    (rows,) = connection.read(_SERVER, [_STANDING])
    own = next((row for row in rows if row["name"] == database), None)
    if own is None or not own["connected"]:
        return False, f"{connection.remote} is not in touch with its cluster: what it shows may be old"
    return own["model"] == "standalone" or bool(own["leader"]), ""
