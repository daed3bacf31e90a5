# SPDX-License-Identifier: Apache-2.0
"""Compares what databases showed with the services' APIs: a finding that they contradict is not confirmed.

A check that can be answered from what the APIs show is run again on that. For any other check, the objects it concerns
are compared as far as both sides show them: this also detects a service that uses other databases than those
configured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from stackmend.engine.auditing.ask import parameters, standing
from stackmend.engine.auditing.confirm import Rows
from stackmend.model.check import Check
from stackmend.model.errors import SourceError, TimeIsUp
from stackmend.model.finding import ApiWitness, Says, alike, fingerprint, same
from stackmend.model.protocols import Collector, Query
from stackmend.model.snapshot import Manifest

#: findings of one check about which the services are queried
ASKED = 500
#: seconds for queries about one check's findings
ASKING = 60.0
#: findings of one check that are queried one by one if they cannot be queried together
ONE_BY_ONE = 50
_LIVE = "NOT COALESCE(deleted, FALSE)"


@dataclass(frozen=True, slots=True)
class _Object:
    """What both sides show of an object: its table, and the columns that do not change by themselves."""

    what: str
    key: str
    columns: tuple[str, ...]
    where: str = _LIVE


#: Nova also shows what only has a build request, and no row in a cell
_IN_A_CELL = f"{_LIVE} AND NOT COALESCE(hidden, FALSE) AND NOT (COALESCE(vm_state, '') = 'building' AND host IS NULL)"
_OBJECTS = {
    "nova_instances": _Object("server", "uuid", ("host", "node", "vm_state"), _IN_A_CELL),
    "neutron_ports": _Object("port", "id", ("device_id", "device_owner", "mac_address"), "TRUE"),
    "cinder_volumes": _Object("volume", "id", ("status", "migration_status")),
    "cinder_volume_attachment": _Object("attachment", "id", ("volume_id", "instance_uuid", "attach_status")),
}


@dataclass(frozen=True, slots=True)
class WitnessSources:
    """Both sources, and how much to query: ``manifest`` says what the APIs can show."""

    databases: Collector
    apis: Collector
    manifest: Manifest
    ages: Mapping[str, Mapping[str, int]]
    most: int = ASKED
    seconds: float = ASKING


AskApis = Callable[[Rows], dict[str, ApiWitness]]


def witnesses(check: Check, rows: Rows, sides: WitnessSources) -> tuple[dict[str, ApiWitness], list[str]]:
    """(fingerprint -> what the APIs say about the findings with these rows, fingerprints left out).

    Empty if they show nothing that the check concerns.
    """
    ask = _way(check, sides)
    if ask is None:
        return {}, []
    said, late = _together(check, rows[: sides.most], ask, time.monotonic() + sides.seconds)
    notes = [
        f"{count} of {len(rows)} findings of {check.name} were not compared with the services' APIs: {why}"
        for count, why in (
            (late, f"the time limit was reached ({sides.seconds:.0f} s per check)"),
            (len(rows) - sides.most, f"at most {sides.most} per check are compared"),
        )
        if count > 0
    ]
    return said, notes


def _way(check: Check, sides: WitnessSources) -> AskApis | None:
    stand = standing(check, sides.manifest)
    reads = {label: scope for label, scope in check.reads.items() if label in _OBJECTS}
    if stand.speaks:
        return lambda part: _again(check, part, sides, whole=stand.complete)
    if not reads or any("." in origin for scope in reads.values() for origin in scope.values()):
        return None
    return lambda part: _compared(check, reads, part, sides)


def _together(check: Check, rows: Rows, ask: AskApis, end: float) -> tuple[dict[str, ApiWitness], int]:
    """Query them all together; if that fails, one by one, so that one cell that is down does not hide the others.

    Also returns how many were left out for lack of time.
    """
    try:
        return ask(rows), 0
    except TimeIsUp as problem:
        return _unknown(check, rows, problem), len(rows)
    except SourceError as problem:
        if not 1 < len(rows) <= ONE_BY_ONE:
            return _unknown(check, rows, problem), 0
    said: dict[str, ApiWitness] = {}
    for number, row in enumerate(rows):
        if time.monotonic() > end:
            left = rows[number:]
            return said | _unknown(check, left, TimeIsUp()), len(left)
        said |= _together(check, [row], ask, end)[0]
    return said, 0


def _unknown(check: Check, rows: Rows, problem: SourceError) -> dict[str, ApiWitness]:
    return {fingerprint(check, row): ApiWitness(Says.UNKNOWN, problem.message) for row in rows}


def _again(check: Check, rows: Rows, sides: WitnessSources, *, whole: bool) -> dict[str, ApiWitness]:
    query = sides.apis.recollect(check.reads, rows)
    try:
        now = query.rows("SELECT CAST(now AS TEXT) AS now FROM clock", {})[0]["now"]
        seen = {same(check, row) for row in query.rows(check.sql, parameters(check, now, sides.ages))}
    finally:
        query.close()
    other = (
        ApiWitness(Says.CONTRADICTS, "the services' APIs show a consistent state")
        if whole
        else ApiWitness(Says.UNKNOWN, "the services' APIs do not show all that is needed")
    )
    return {fingerprint(check, row): ApiWitness(Says.SUPPORTS) if same(check, row) in seen else other for row in rows}


def _compared(
    check: Check, reads: Mapping[str, Mapping[str, str]], rows: Rows, sides: WitnessSources
) -> dict[str, ApiWitness]:
    ours = sides.databases.recollect(reads, rows)
    try:
        theirs = sides.apis.recollect(reads, rows)
        try:
            differences = [one for label in reads for one in _differences(label, ours, theirs)]
        finally:
            theirs.close()
    finally:
        ours.close()
    found = {}
    for row in rows:
        names = {alike(value) for value in row.values() if isinstance(value, str)}
        why = [text for of, text in differences if of & names]
        found[fingerprint(check, row)] = (
            ApiWitness(Says.CONTRADICTS, "; ".join(why)) if why else ApiWitness(Says.SUPPORTS)
        )
    return found


def _differences(label: str, ours: Query, theirs: Query) -> Iterator[tuple[set[str], str]]:
    """(ids concerned, difference) for each object that the two sides show differently.

    If a side has several rows of one object, as for a server in two cells, one that the other side shows is enough.
    """
    of = _OBJECTS[label]
    left, right = (_by_key(of, side.rows(_selected(label, of), {})) for side in (ours, theirs))
    for name in sorted(left.keys() | right.keys()):
        pairs = list(product(left.get(name, [None]), right.get(name, [None])))
        one, other = min(pairs, key=lambda pair: len(_unequal(of, *pair)))
        ids = {name} | {
            alike(row[c]) for row in (one, other) if row for c in of.columns if c.endswith(("_id", "_uuid"))
        }
        if one is None or other is None:
            yield (
                ids,
                f"{of.what} {name} is {'not ' if one is None else ''}in the database, but {_shown(other)} by its API",
            )
            continue
        for column in _unequal(of, one, other):
            yield ids, f"{column} of {of.what} {name} is {one[column]} in the database, {other[column]} in its API"


def _selected(label: str, of: _Object) -> str:
    return f'SELECT {", ".join((of.key, *of.columns))} FROM "{label}" WHERE {of.where}'


def _by_key(of: _Object, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any] | None]]:
    found: dict[str, list[Mapping[str, Any] | None]] = {}
    for row in rows:
        found.setdefault(alike(row[of.key]), []).append(row)
    return found


def _unequal(of: _Object, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> list[str]:
    """The columns in which two rows differ; none if there is only one."""
    if one is None or other is None:
        return []
    return [column for column in of.columns if alike(one[column] or "") != alike(other[column] or "")]


def _shown(row: Mapping[str, object] | None) -> str:
    return "not shown" if row is None else "shown"
