# SPDX-License-Identifier: Apache-2.0
"""Hypervisors as witnesses of findings made in the databases (docs/adr/0070).

A finding that they contradict is dropped, and it is said; one that they support says so. What they do not show changes
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from stackmend.model.check import Check
from stackmend.model.finding import Finding, Says, fingerprint
from stackmend.model.sight import HostLook, HostWitness, Row, Sighted, relevant

#: findings that were dropped and are named
_NAMED = 10
_WORDS = {Says.SUPPORTS: "supported", Says.CONTRADICTS: "contradicted and dropped", Says.UNKNOWN: "undecided"}


def concerned(checks: Mapping[str, Check], rows: Mapping[str, Sequence[Row]]) -> set[str]:
    """Names that say which hypervisors matter: everything that findings with a ``sight`` name."""
    return {name for check, found in rows.items() if checks[check].sight for name in relevant(found)}


def sightings(
    checks: Mapping[str, Check], rows: Mapping[str, Sequence[Row]], looks: Mapping[str, HostLook]
) -> dict[str, HostWitness]:
    """Fingerprint -> what hypervisors show of it; findings of which no host was read are left out."""
    seen = Sighted(looks)
    found = {}
    for name, some in rows.items():
        check = checks[name]
        if check.sight is None or not looks:
            continue
        for row in some:
            witness = check.sight.witness(row, seen)
            if witness.lines:
                found[fingerprint(check, row)] = witness
    return found


def heard(found: Iterable[Finding], witnesses: Mapping[str, HostWitness]) -> tuple[list[Finding], list[Finding]]:
    """(the findings that stand, each with its witness, those that hypervisors contradict)."""
    stand, fall = list[Finding](), list[Finding]()
    for one in found:
        witness = witnesses.get(one.fingerprint)
        against = witness is not None and witness.says is Says.CONTRADICTS
        (fall if against else stand).append(replace(one, hosts=witness))
    return stand, fall


def notes(stand: Iterable[Finding], fall: Sequence[Finding]) -> list[str]:
    """What was heard, and each finding that was dropped, with what was seen."""
    kinds = [one.hosts.says for one in (*stand, *fall) if one.hosts is not None]
    counts = [f"{kinds.count(says)} {word}" for says, word in _WORDS.items() if says in kinds]
    lines = [f"hypervisors on the findings: {', '.join(counts)}"] if counts else []
    for one in fall[:_NAMED]:
        witness = one.hosts
        if witness is not None:
            lines.append(
                f"dropped: {one.check} of {one.resource_type} {one.resource_id}: {witness.reason}"
                f" ({'; '.join(witness.lines)})"
            )
    if len(fall) > _NAMED:
        lines.append(f"dropped for the same reason: {len(fall) - _NAMED} more")
    return lines
