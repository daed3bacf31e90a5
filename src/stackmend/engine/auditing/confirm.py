# SPDX-License-Identifier: Apache-2.0
"""Confirms findings: runs the same SQL on rows read again (rule R1). Counts symptoms under their root causes.

A symptom whose possible root cause has no answer is not planned: repairing the symptom could be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stackmend.engine.auditing.ask import parameters
from stackmend.model.check import Check
from stackmend.model.errors import StackmendError
from stackmend.model.finding import Finding, State, alike, fingerprint, same
from stackmend.model.protocols import Collector

Rows = Sequence[Mapping[str, object]]

#: findings whose rows are read again together
CHUNK = 500


@dataclass(slots=True)
class Confirmed:
    """The result of a confirmation."""

    #: check -> fingerprint -> the row as it reads now
    rows: dict[str, dict[str, dict[str, object]]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)  #: check -> why it could not be run again


def confirm(
    checks: Mapping[str, Check],
    candidates: Mapping[str, Rows],
    collector: Collector,
    ages: Mapping[str, Mapping[str, int]] | None = None,
) -> Confirmed:
    """Run the checks again for these rows (check -> rows they returned): those returned again are confirmed.

    Thresholds are counted from the clock of the databases. If anything cannot be read, nothing of that check is
    confirmed.
    """
    found = Confirmed()
    for name, rows in candidates.items():
        try:
            found.rows[name] = _again(checks[name], rows, collector, ages) if rows else {}
        except StackmendError as problem:
            found.unknown[name] = problem.message
    return found


def _again(
    check: Check,
    rows: Rows,
    collector: Collector,
    ages: Mapping[str, Mapping[str, int]] | None,
) -> dict[str, dict[str, object]]:
    kept: dict[str, dict[str, object]] = {}
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        asked = {same(check, row): row for row in part}
        query = collector.recollect(check.reads, part, check.spares)
        try:
            now = query.rows("SELECT CAST(now AS TEXT) AS now FROM clock", {})[0]["now"]
            answers = query.rows(check.sql, parameters(check, now, ages))
        finally:
            query.close()
        for row in answers:
            if one := asked.get(same(check, row)):
                # keep the key as before, although another of its tables may write the name in different case
                kept[fingerprint(check, one)] = {**row, **{column: one[column] for column in check.key}}
    return kept


def explain(checks: Mapping[str, Check], findings: Iterable[Finding]) -> tuple[list[Finding], dict[str, int]]:
    """Count findings under their root causes: (the rest, with ``explains`` set; check -> number counted elsewhere).

    A root cause that is itself explained passes its symptoms on.
    """
    every = list(findings)
    parent: dict[int, int] = {}
    index = _Index(every)
    for number, finding in enumerate(every):
        for cause, columns in checks[finding.check].explained_by.items():
            above = index.find(cause, tuple(columns.values()), tuple(alike(finding.evidence.get(c)) for c in columns))
            if above is not None and above != number:
                parent[number] = above
                break
    roots = [_root(number, parent) for number in range(len(every))]
    counts: dict[int, int] = {}
    swallowed: dict[str, int] = {}
    for number, root in enumerate(roots):
        if number != root:
            counts[root] = counts.get(root, 0) + 1
            swallowed[every[number].check] = swallowed.get(every[number].check, 0) + 1
    listed = [replace(every[n], explains=counts.get(n, 0)) for n, root in enumerate(roots) if n == root]
    return listed, swallowed


def _root(number: int, parent: Mapping[int, int]) -> int:
    """The topmost cause. Causes that explain each other in a circle explain nothing: the first of them stays."""
    path = [number]
    while path[-1] in parent and parent[path[-1]] not in path:
        path.append(parent[path[-1]])
    last = path[-1]
    return min(path[path.index(parent[last]) :]) if last in parent else last


def uncertain(
    checks: Mapping[str, Check], listed: Iterable[Finding], silent: Mapping[str, str], *, shown: bool = False
) -> list[Finding]:
    """Turn findings that cannot be certain into candidates, with the reason.

    Either a root cause may explain them that has no answer, or only an incomplete one (``silent``: check -> why), or
    Nova is ``shown`` only by its API, which does not show what they rest on.
    """
    found = []
    for finding in listed:
        check = checks[finding.check]
        if shown and (why := check.untold.get(str(finding.evidence.get("code")))):
            why = why.format_map(finding.evidence)
        else:
            why = _untold_cause(check, finding, silent)
        found.append(replace(finding, state=State.CANDIDATE, unsure=why) if why else finding)
    return found


def _untold_cause(check: Check, finding: Finding, silent: Mapping[str, str]) -> str:
    for cause, columns in check.explained_by.items():
        if cause in silent and all(finding.evidence.get(column) is not None for column in columns):
            return f"{cause} may explain it, but has no answer: {silent[cause]}"
    return ""


class _Index:
    """Findings by check and columns."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self._by_check: dict[str, list[int]] = {}
        for number, finding in enumerate(findings):
            self._by_check.setdefault(finding.check, []).append(number)
        self._findings = findings
        self._made: dict[tuple[str, tuple[str, ...]], dict[tuple[object, ...], int]] = {}

    def find(self, check: str, columns: tuple[str, ...], values: tuple[object, ...]) -> int | None:
        """The number of a finding of that check with these values; None if any value is NULL."""
        if None in values:
            return None
        made = self._made.get((check, columns))
        if made is None:
            made = self._made[check, columns] = {}
            for number in self._by_check.get(check, ()):
                evidence = self._findings[number].evidence
                made.setdefault(tuple(alike(evidence.get(c)) for c in columns), number)
        return made.get(values)
