# SPDX-License-Identifier: Apache-2.0
"""Judges the sources before the checks run: a source that lacks rows that others refer to is no evidence.

The expectations are in :mod:`stackmend.tables.expectations`. A source that fails one is *doubted*: it is treated as
unreadable, and the reason says what it lacks, how many of how many, and the likely cause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from stackmend.model.check import Check
from stackmend.model.errors import SourceError
from stackmend.model.protocols import Collector, Query
from stackmend.model.snapshot import CELL, UNREADABLE, Manifest
from stackmend.tables import tables
from stackmend.tables.expectations import (
    EXPECTATIONS,
    GAP,
    IN_A_ROW,
    NONE_OF,
    STALE,
    WRITTEN,
    Expectation,
)
from stackmend.tables.nova import VIFS

_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why a source is not trusted."""

    source: str  #: name of the database
    expectation: str
    expected: int = 0
    absent: int = 0
    older: bool = False  #: it was restored to an older state, and is not a different database
    text: str = ""


def labels(checks: Iterable[Check]) -> set[str]:
    """The tables needed to judge the sources of these checks."""
    return {label for one in concerning(checks) for label in one.reads} - {VIFS.label}


def concerning(checks: Iterable[Check]) -> list[Expectation]:
    """The expectations that judge the sources of these checks."""
    read: set[str] = set()
    for check in checks:
        if UNREADABLE in check.reads:
            return list(EXPECTATIONS)
        read |= {service_of(label) for label in check.reads} | {"nova" if n == "cells" else n for n in check.needs}
    if "nova" in read:
        read.add("nova_api")  # which names the cells
    return [one for one in EXPECTATIONS if one.of in read]


def service_of(label: str) -> str:
    """The service whose databases contain the table."""
    return "nova" if label == VIFS.label else next((part.service for part in tables().get(label, ())), "")


def judged(manifest: Manifest, checks: Iterable[Check], opened: Callable[[Collection[str]], Query]) -> Manifest:
    """The manifest, with every source doubted that the others contradict.

    ``opened`` gives the snapshot without the rows of some databases, which the caller closes. Nova is judged first,
    because it is a witness for all others: a doubted cell is no witness.
    """
    read = {label for source in manifest.sources for label in source.rows}
    read -= {label for source in manifest.sources for label in (*source.missing, *source.unseen)}
    concern = [one for one in concerning(checks) if one.reads.keys() - {VIFS.label} <= read]
    for stage in (True, False):
        query = opened(manifest.failed())
        found = [
            doubt for one in concern if early(one) is stage and _known(one, manifest) for doubt in _failing(query, one)
        ]
        found += _stale(query, sorted(read & WRITTEN.keys())) if stage and concern else []
        manifest = doubting(manifest, found)
    return manifest


def early(one: Expectation) -> bool:
    """Whether it judges Nova from Nova's own databases alone."""
    return {service_of(label) for label in one.reads} <= {"nova", "nova_api"}


def _known(one: Expectation, manifest: Manifest) -> bool:
    """Whether it can be evaluated: some cells suffice as witnesses, but a source that was not read is not judged."""
    failed = manifest.failed()
    if one.every_cell and (not manifest.cells_known or any(name.startswith(CELL) for name in failed)):
        return False
    there = {source.database for source in manifest.sources} - failed.keys()
    services = {service_of(label) for label in one.reads}
    return all(any(name.startswith(CELL) for name in there) if s == "nova" else s in there for s in services)


def doubting(manifest: Manifest, found: Sequence[Doubt]) -> Manifest:
    """The manifest with these doubts."""
    texts = texts_of(found)
    sources = tuple(replace(s, doubt=texts[s.database]) if s.database in texts else s for s in manifest.sources)
    return replace(manifest, sources=sources)


def texts_of(found: Sequence[Doubt]) -> dict[str, str]:
    """Each source with the first two reasons to doubt it."""
    texts: dict[str, list[str]] = {}
    for doubt in found:
        texts.setdefault(doubt.source, []).append(doubt.text)
    return {source: "; ".join(dict.fromkeys(some[:2])) for source, some in texts.items()}


def sample(collector: Collector, expectations: Iterable[Expectation]) -> list[Doubt]:
    """The doubts about the sources as they are now, from a few hundred rows read again.

    A source that cannot be read raises no doubt here: whoever needs it will get the error.
    """
    some = list(expectations)
    found = {name: doubts for part in _together(some) for name, doubts in _sampled(collector, part).items()}
    return [doubt for one in some for doubt in found.get(one.name, [])]


def _together(expectations: Iterable[Expectation]) -> list[list[Expectation]]:
    """Those that read the same rows of the tables that they share: one narrow read serves them all."""
    parts: list[list[Expectation]] = []
    for one in expectations:
        agreeing = (part for part in parts if all(_agree(one, other) for other in part))
        if part := next(agreeing, None):
            part.append(one)
        else:
            parts.append([one])
    return parts


def _agree(one: Expectation, other: Expectation) -> bool:
    return all(other.reads.get(label, scope) == scope for label, scope in one.reads.items())


def _sampled(collector: Collector, part: Sequence[Expectation]) -> dict[str, list[Doubt]]:
    """Expectation -> doubts; an expectation whose sources cannot be read is left out."""
    try:
        query = collector.recollect({label: scope for one in part for label, scope in one.reads.items()}, [{}])
    except SourceError:
        if len(part) == 1:
            return {}
        return {name: doubts for one in part for name, doubts in _sampled(collector, [one]).items()}
    try:
        return {one.name: _failing(query, one) for one in part}
    finally:
        query.close()


def _failing(query: Query, one: Expectation) -> list[Doubt]:
    counted = query.rows(
        f"""SELECT source, COUNT(*) AS expected, COUNT(CASE WHEN NOT present THEN 1 END) AS absent,
                   MIN(CASE WHEN NOT present THEN item END) AS example
              FROM ({one.sql}) named GROUP BY source ORDER BY source""",
        {},
    )
    found: list[Doubt] = []
    for row in counted:
        expected, absent = int(row["expected"]), int(row["absent"])
        if (expected >= NONE_OF and absent == expected) or (absent >= one.least and absent >= one.share * expected):
            found.append(_lacking(one, row))
        elif one.own and absent >= IN_A_ROW and (gap := _gap(query, one, str(row["source"]))):
            found.append(_older(one, row, gap))
    return found


def _lacking(one: Expectation, row: _Row) -> Doubt:
    expected, absent = int(row["expected"]), int(row["absent"])
    much = "none" if absent == expected else str(expected - absent)
    says = one.says.format(absent=absent, expected=expected) or f"it has {much} of the {expected} {one.what}"
    return Doubt(
        source=row["source"],
        expectation=one.name,
        expected=expected,
        absent=absent,
        text=f"{says}: {one.cause} (the first of them: {row['example']})",
    )


def _older(one: Expectation, row: _Row, gap: tuple[int, datetime, datetime]) -> Doubt:
    many, since, until = gap
    return Doubt(
        source=row["source"],
        expectation=one.name,
        expected=int(row["expected"]),
        absent=int(row["absent"]),
        older=True,
        text=(
            f"it looks older than the others: it has nothing from {since:%Y-%m-%d %H:%M} to"
            f" {until:%Y-%m-%d %H:%M}, and lacks the {many} {one.what} of that time: was it restored from a dump?"
        ),
    )


def _gap(query: Query, one: Expectation, source: str) -> tuple[int, datetime, datetime] | None:
    """(how many, since, until) of the longest series of missing items during which the source has no row of its own."""
    runs = query.rows(
        f"""SELECT MIN(made) AS since, MAX(made) AS until, COUNT(CASE WHEN NOT present THEN 1 END) AS many
              FROM (SELECT made, item, present,
                           SUM(CASE WHEN present THEN 1 ELSE 0 END) OVER (ORDER BY made, item) AS island
                      FROM ({one.sql}) named WHERE source = $source AND made IS NOT NULL) placed
             WHERE NOT present
             GROUP BY island HAVING COUNT(*) >= {IN_A_ROW} ORDER BY many DESC LIMIT 20""",
        {"source": source},
    )
    for run in runs:
        since, until = run["since"], run["until"]
        if (until - since).total_seconds() < GAP:
            continue
        own = query.rows(
            f"SELECT COUNT(*) AS n FROM ({one.own}) own WHERE source = $source AND made BETWEEN $since AND $until",
            {"source": source, "since": since, "until": until},
        )
        if not own[0]["n"]:
            return int(run["many"]), since, until
    return None


def _stale(query: Query, written: Sequence[str]) -> list[Doubt]:
    """Sources that were not written to for a long time, while others were."""
    newest: dict[str, datetime] = {}
    for label in written:
        name = f"'{CELL}' || cell" if service_of(label) == "nova" else f"'{service_of(label)}'"
        for row in query.rows(f"SELECT {name} AS source, MAX({WRITTEN[label]}) AS made FROM {label} GROUP BY 1", {}):
            if row["made"] is not None:
                newest[row["source"]] = max(row["made"], newest.get(row["source"], row["made"]))
    # cell0 has no services, and gets no servers unless something fails
    cells = {source: at for source, at in newest.items() if source.startswith(CELL) and source != f"{CELL}cell0"}
    latest = max(newest.values(), default=None)
    return [
        Doubt(
            source=source,
            expectation="written",
            text=(
                f"its newest row is of {at:%Y-%m-%d}, {(latest - at).days} days older than those of the others:"
                " a copy, or a replica that has stopped?"
            ),
        )
        for source, at in sorted(cells.items())
        if latest is not None and latest - at > timedelta(days=STALE)
    ]
