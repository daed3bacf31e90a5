# SPDX-License-Identifier: Apache-2.0
"""Runs the checks, and reports which of them have no answer (rules R1, R2)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stackmend.engine.auditing.statements import EVERY, NotUnderstood, columns_read
from stackmend.model.audit import CheckOutcome, CheckResult
from stackmend.model.check import Check
from stackmend.model.errors import Exit, StackmendError
from stackmend.model.events import Events
from stackmend.model.finding import Finding, State, alike, finding_of, fingerprint, same
from stackmend.model.protocols import Query
from stackmend.model.snapshot import CELL, UNREADABLE, Manifest, Source, service_of_source
from stackmend.tables import Table, tables
from stackmend.tables.nova import VIFS
from stackmend.tables.outside import of_service
from stackmend.tables.outside import services as outside_services

_EVENTS = Events(__name__)

_UNKNOWN = "not every cell is known: cell_mappings could not be read, or one of its cells is not among the sources"
_CACHES = f"{VIFS.service}_{VIFS.name}"
#: an age that every row has, even one written by a service whose clock is ahead
_AGELESS = -86_400
#: sources outside the databases whose reasons are shown; of the others, names are
_SHOWN = 3
#: columns that hold the name of a cell or a kind of damage, not an object
_NO_NAMES = frozenset({"cell", "code"})
#: values derived from a column during collection: without the column they are NULL, or have no rows
_MADE_OF = {"network_info": frozenset({"document", "vifs", "length", "crc32", VIFS.label})}


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a check may run on this snapshot."""

    speaks: bool
    complete: bool
    reason: str = ""


def standing(check: Check, manifest: Manifest) -> Readiness:
    """Whether the manifest allows a check to run, and whether its answer is complete.

    A failed source in ``needs`` forbids any verdict, and so does a missing table or column that the check reads:
    rows that could not be read must not count as rows that do not exist. Any other failed source makes it
    incomplete: findings are shown, but no finding does not mean clean. A missing optional table does the same.
    """
    outside = {source.database for source in manifest.sources if source.outside}
    failed = {name: why for name, why in manifest.troubles().items() if name not in outside}
    known = {source.database for source in manifest.sources}
    for need in sorted(check.needs):
        if need == "cells":
            reason = _cells(manifest, failed)
        elif need in failed:
            reason = failed[need]
        else:
            reason = "" if need in known else f"database {need} is not configured"
        if reason:
            return Readiness(False, False, reason)
    spared = _spared(check, manifest)
    try:
        lacking = _unseen(check, manifest) or _missing(check, manifest)
    except NotUnderstood as problem:
        lacking = [f"a source does not show everything, and it is unknown what this check reads from it: {problem}"]
    if lacking:
        return Readiness(False, False, "; ".join(lacking))
    beside = _beside(check, manifest)
    if not beside.speaks:
        return beside
    services = {t.service for label in check.reads for t in tables().get(label, ())}
    everything = UNREADABLE in check.reads
    shown = sorted({source.called for source in manifest.sources if source.api})
    if everything and shown:
        why = f"{', '.join(shown)} {'shows' if len(shown) == 1 else 'show'} no rows as they are stored"
        return Readiness(
            any(not (source.api or source.outside or source.error) for source in manifest.sources), False, why
        )
    reasons = [why for database, why in sorted(failed.items()) if everything or service_of_source(database) in services]
    if not reasons and (everything or "nova" in services):
        # nova_api lists the cells: a cell that it does not list was not read
        reasons = [why for why in (failed.get("nova_api") or ("" if manifest.cells_known else _UNKNOWN),) if why]
    if everything:
        reasons += [
            f"the account has no right to see {', '.join(sorted(source.unseen))} in {source.called}"
            for source in manifest.sources
            if source.unseen
        ]
    reasons += [*spared, *([beside.reason] if beside.reason else [])]
    return Readiness(True, not reasons, "; ".join(reasons))


def _spared(check: Check, manifest: Manifest) -> list[str]:
    """The missing parts of tables that are optional for the check."""
    found = []
    for source in (source for source in manifest.sources if source.api):
        own = {label for label, parts in tables().items() if any(_serves(source, part) for part in parts)}
        for spare in sorted(check.spares):
            label, _, rows = spare.partition(".")
            if label in own and (rows or label in source.missing):
                found.append(f"{source.called} does not show {f'{rows} rows of ' if rows else ''}{label}")
    return found


def _serves(source: Source, part: Table) -> bool:
    return part.service == ("nova" if source.database.startswith(CELL) else source.database)


def _beside(check: Check, manifest: Manifest) -> Readiness:
    """Whether what the check needs outside the databases was read; the sources that were not are named."""
    reasons = []
    for service in sorted(outside_services(check.needed)):
        own = of_service(service) & check.needed
        sources = [
            source
            for source in manifest.sources
            if service_of_source(source.database) == service and (not source.about or own & {*source.about})
        ]
        failed = [source for source in sources if source.error or source.doubt]
        if len(failed) == len(sources):
            why = "; ".join(source.trouble for source in failed[:_SHOWN]) or "it was not asked for"
            return Readiness(False, False, f"nothing of {', '.join(sorted(own))} was read: {why}")
        reasons += [source.trouble for source in failed[:_SHOWN]]
        if more := [source.called for source in failed[_SHOWN:]]:
            reasons.append(f"nor could {', '.join(more)}")
    return Readiness(True, not reasons, "; ".join(reasons))


def _cells(manifest: Manifest, failed: Mapping[str, str]) -> str:
    # nova_api lists the cells
    if broken := [why for name, why in sorted(failed.items()) if name == "nova_api" or name.startswith(CELL)]:
        return "; ".join(broken)
    if not manifest.cells_known:
        return _UNKNOWN
    return ""


def _read(check: Check, label: str) -> frozenset[str]:
    """The names under which the check reads the table: its own, and that of the table derived from it."""
    return frozenset(check.reads.keys() & ({label, VIFS.label} if label == _CACHES else {label}))


def _asked(check: Check, label: str) -> frozenset[str]:
    """Names that may be columns of this table in the check's SQL, views or scopes, including derived ones."""
    read = _read(check, label)
    columns = (columns_read(check.sql, name) | set(check.reads[name]) for name in read)
    return frozenset().union(*columns, read - {label})


def _hit(column: str, asked: frozenset[str]) -> bool:
    """Whether one of these names is the column or derived from it."""
    return EVERY in asked or bool(asked & _MADE_OF.get(column, frozenset({column})))


def _unseen(check: Check, manifest: Manifest) -> list[str]:
    """Tables and columns that the check reads and that may be hidden from the account: they are not missing."""
    found = []
    for source in manifest.sources:
        for label, columns in sorted(source.unseen.items()):
            if not _read(check, label):
                continue
            asked = _asked(check, label)
            hidden = [c for c in columns if c == "*" or _hit(c, asked)]
            found += [
                f"the account has no right to see {f'table {label}' if c == '*' else f'{label}.{c}'} in {source.called}"
                for c in hidden
            ]
    return found


def _missing(check: Check, manifest: Manifest) -> list[str]:
    """Tables and columns that the check reads and a source lacks, unless they vary by release."""
    found = []
    for source in manifest.sources:
        lacked = []
        for label, columns in sorted(source.missing.items()):
            parts = tables().get(label, ())
            if label in check.spares or not _read(check, label):
                continue
            if "*" in columns:
                if source.api or not parts or not all(part.optional for part in parts):
                    lacked.append(("table", label))
                continue
            asked = _asked(check, label)
            optional = {c.name for part in parts for c in part.columns if c.optional}
            lacking = sorted(c for c in columns if c not in optional and _hit(c, asked))
            lacked += [("column", f"{label}.{column}") for column in lacking]
        if source.api and lacked:
            shown = [name for _, name in lacked]
            more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
            found.append(f"{source.called} does not show {', '.join(shown[:6])}{more}")
        else:
            found += [f"{kind} {name} is missing in {source.called}" for kind, name in lacked]
    return found


def parameters(
    check: Check, now: str, ages: Mapping[str, Mapping[str, int]] | None = None
) -> dict[str, datetime | int]:
    """``$now`` and the thresholds of a check; ``ages``: check -> name -> seconds or number, as configured."""
    moment = datetime.fromisoformat(now).replace(tzinfo=None)
    site = (ages or {}).get(check.name, {})
    own = {name: moment - timedelta(seconds=site.get(name, usual)) for name, usual in check.ages.items()}
    return {"now": moment, **own, **{name: site.get(name, usual) for name, usual in check.counts.items()}}


def ask(
    checks: Iterable[Check],
    query: Query,
    manifest: Manifest,
    ages: Mapping[str, Mapping[str, int]] | None = None,
    suspects: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
) -> tuple[dict[str, list[dict[str, object]]], dict[str, CheckResult]]:
    """Run the checks on a snapshot: (check -> rows it returned, check -> result).

    An error in one check is its result, never a pass, and does not stop the others. ``suspects``: what
    :func:`whatever_their_age` returned. A check that suspects nothing has nothing that is old enough, and is not run
    again: in a healthy cloud that saves almost half of the work.
    """
    rows: dict[str, list[dict[str, object]]] = {}
    results: dict[str, CheckResult] = {}
    for check in checks:
        allowed = standing(check, manifest)
        if not allowed.speaks:
            results[check.name] = CheckResult(check=check.name, outcome=CheckOutcome.INCOMPLETE, reason=allowed.reason)
            _EVENTS.detail("check not asked", check=check.name, reason=allowed.reason)
            continue
        begin = time.monotonic()
        try:
            is_needless = suspects is not None and check.name in suspects and not suspects[check.name]
            rows[check.name] = [] if is_needless else query.rows(check.sql, parameters(check, manifest.now, ages))
        except StackmendError as problem:
            results[check.name] = CheckResult(check=check.name, outcome=CheckOutcome.ERROR, reason=problem.message)
            _EVENTS.detail("check failed", check=check.name, error=problem.message)
            continue
        results[check.name] = CheckResult(
            check=check.name,
            outcome=CheckOutcome.OK if allowed.complete else CheckOutcome.INCOMPLETE,
            reason=allowed.reason,
            seconds=time.monotonic() - begin,
        )
        seconds = round(time.monotonic() - begin, 3)
        _EVENTS.detail(
            "check asked", check=check.name, rows=len(rows[check.name]), reason=allowed.reason, seconds=seconds
        )
    return rows, results


def whatever_their_age(
    checks: Iterable[Check], query: Query, manifest: Manifest, ages: Mapping[str, Mapping[str, int]]
) -> tuple[dict[str, list[dict[str, object]]], dict[str, str]]:
    """(check -> what it would find if no row were too young, check -> why that is not known).

    Only checks that have an answer and an age of doubt are run. What is old enough is among these rows, whatever is
    broken (``tests/properties/test_answers.py``).
    """
    found: dict[str, list[dict[str, object]]] = {}
    unasked: dict[str, str] = {}
    for check in checks:
        own = _doubts(check, ages)
        if not any(own.values()) or not standing(check, manifest).speaks:
            continue
        site = {check.name: {**ages.get(check.name, {}), **dict.fromkeys(own, _AGELESS)}}
        try:
            found[check.name] = query.rows(check.sql, parameters(check, manifest.now, site))
        except StackmendError as problem:
            unasked[check.name] = problem.message
    return found, unasked


def held_back(
    checks: Iterable[Check],
    suspects: Mapping[str, Sequence[dict[str, object]]],
    rows: Mapping[str, Sequence[Mapping[str, object]]],
) -> dict[str, list[dict[str, object]]]:
    """Check -> the suspects that only their age keeps out of ``rows``."""
    found = {}
    for check in checks:
        if check.name in rows and (every := suspects.get(check.name)):
            named = {same(check, row) for row in rows[check.name]}
            if more := [row for row in every if same(check, row) not in named]:
                found[check.name] = more
    return found


def narrowed(check: Check, rows: Iterable[dict[str, object]], about: Collection[str]) -> list[dict[str, object]]:
    """The rows that name one of these (ids, names of hosts) or have one of these fingerprints; all if none is given."""
    wanted = {alike(name) for name in about}
    if not wanted:
        return list(rows)
    return [
        row
        for row in rows
        if any(alike(v) in wanted for column, v in row.items() if column not in _NO_NAMES)
        or fingerprint(check, row) in wanted
    ]


def findings_of(check: Check, rows: Iterable[Mapping[str, object]], state: State) -> list[Finding]:
    """The findings for these rows."""
    return [finding_of(check, row, state) for row in rows]


def suspected(
    check: Check, rows: Iterable[Mapping[str, object]], ages: Mapping[str, Mapping[str, int]]
) -> list[Finding]:
    """The findings for rows of :func:`held_back`: never more than candidates."""
    text = ", ".join(f"{name} < {_span(seconds)}" for name, seconds in _doubts(check, ages).items())
    found = findings_of(check, rows, State.CANDIDATE)
    return [replace(finding, young=True, unsure=f"too young to tell: {text}") for finding in found]


def _doubts(check: Check, ages: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The ages, in seconds at this site, under which something wrong may be work in progress."""
    return {
        name: ages.get(check.name, {}).get(name, usual)
        for name, usual in check.ages.items()
        if name not in check.lasting
    }


def _span(seconds: int) -> str:
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:g} h"


def exit_of(findings: Iterable[Finding], results: Iterable[CheckResult]) -> Exit:
    """7 if any check has no answer, else 3 if there is an unwaived finding, else 0."""
    if any(result.outcome is not CheckOutcome.OK for result in results):
        return Exit.INCOMPLETE
    if any(finding.state is not State.WAIVED for finding in findings):
        return Exit.FINDINGS
    return Exit.CLEAN
