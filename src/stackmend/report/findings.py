# SPDX-License-Identifier: Apache-2.0
"""Findings and the summary of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.finding import Finding, Says, State
from stackmend.model.values import members
from stackmend.report.document import Document
from stackmend.report.words import count, listed

COLUMNS = (
    ("Severity", "severity"),
    ("Check", "check"),
    ("Resource", "resource"),
    ("Message", "message"),
    ("Fingerprint", "fingerprint"),
)
_SAYS = {
    Says.SUPPORTS: "the services' APIs confirm it",
    Says.CONTRADICTS: "the services' APIs contradict it",
    Says.UNKNOWN: "the services' APIs can neither confirm nor contradict it",
}
_SEEN = {
    Says.SUPPORTS: "hypervisors show it",
    Says.CONTRADICTS: "hypervisors contradict it",
    Says.UNKNOWN: "hypervisors do not decide it",
}
_ORDER = {"error": 0, "warning": 1, "info": 2}

#: checks that are named for one reason to have no answer: a service that is not configured silences a dozen
_NAMED = 16


def findings(found: Iterable[Finding], text: str = "") -> Document:
    """The list of findings, the worst first (docs/schemas/findings.json); ``text`` is what people read instead."""
    ordered = sorted(found, key=lambda f: (f.state is State.WAIVED, _ORDER[f.severity.value], f.check, f.resource_id))
    sure = all(f.state is State.CONFIRMED for f in ordered)
    columns = COLUMNS if sure else (*COLUMNS[:2], ("State", "state"), *COLUMNS[2:])
    return Document(data=[finding.as_dict() for finding in ordered], columns=columns, text=text)


def finding(found: Finding) -> Document:
    """One finding with its evidence."""
    data = found.as_dict()
    evidence = members(data["evidence"])
    width = max(map(len, evidence), default=0)
    lines = [
        f"{found.check} ({found.severity.value}, {found.state.value})",
        f"  {found.message}",
        f"  {found.resource_type} {found.resource_id}   fingerprint {found.fingerprint}",
    ]
    if found.first_seen:
        lines.append(f"  first seen {found.first_seen}")
    if found.waiver:
        lines.append(f"  waived: {found.waiver}")
    if found.api:
        reason = f": {found.api.reason}" if found.api.reason else ""
        lines.append(f"  {_SAYS[found.api.says]}{reason}")
    if found.hosts:
        lines += [f"  {_SEEN[found.hosts.says]}{f': {why}' if (why := found.hosts.reason) else ''}"]
        lines += [f"    {line}" for line in found.hosts.lines]
    if found.explains:
        lines.append(f"  explains {count(found.explains, 'other finding')}")
    lines += ["", "evidence"]
    lines += [f"  {name:<{width}}  {'NULL' if value is None else value}" for name, value in evidence.items()]
    return Document(data=data, columns=COLUMNS, text="\n".join(lines))


def summary(report: Report) -> list[str]:
    """The summary of an audit for stderr: a line of numbers, then notes for the operator."""
    open_ = [f for f in report.findings if f.state is not State.WAIVED]
    severities = Counter(f.severity.value for f in open_)
    parts = [count(severities[s], s, plural="" if s == "info" else None) for s in _ORDER if severities[s]]
    asked = len(report.checks)
    answered = sum(result.outcome is CheckOutcome.OK for result in report.checks.values())
    line = f"{', '.join(parts) if parts else 'no findings'} in {answered} of {count(asked, 'check')}"
    waived = len(report.findings) - len(open_)
    explained = sum(result.explained for result in report.checks.values())
    unsure = sum(f.state is State.CANDIDATE for f in open_)
    line += "".join(f"; {n} {word}" for n, word in ((waived, "waived"), (explained, "explained by a root cause")) if n)
    lines = [line]
    young = [f for f in open_ if f.young]
    unsure -= len(young)
    if young:
        lines.append(f"including {count(len(young), 'suspected finding')} too recent to confirm")
    if unsure:
        against = sum(f.api is not None and f.api.says is Says.CONTRADICTS for f in open_)
        why = {0: "seen only once", unsure: "the services contradict it"}
        both = "seen only once, or the services contradict it"
        lines.append(f"{count(unsure, 'finding')} not confirmed: {why.get(against, both)}")
    return [*lines, *held_back(report), *report.notes]


def held_back(report: Report) -> list[str]:
    """Suspicions that are too recent: their number, how to list them, their checks and how long these wait."""
    open_ = [f for f in report.young if f.state is not State.WAIVED]
    if not open_:
        return []
    kinds = Counter(f"{f.check} ({f.unsure.partition(': ')[2]})" for f in open_)
    them = "it" if len(open_) == 1 else "them"
    line = f"{len(open_):,} suspected, too recent to confirm: 'audit --include-young' lists {them}"
    return [line, *(f"  {number:,} {kind}" for kind, number in sorted(kinds.items()))]


def without_answer(report: Report) -> list[str]:
    """A line for each reason why checks have no answer: they are not clean."""
    reasons: dict[str, list[str]] = {}
    for name, reason in sorted(report.incomplete.items()):
        reasons.setdefault(reason, []).append(name)
    return [
        f"INCOMPLETE, not proven clean: no answer from {listed(names, _NAMED)}: {reason}"
        for reason, names in reasons.items()
    ]
