# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of an upgrade, for people and for machines (docs/schemas/upgrade-check.json)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from stackmend.model.audit import Report
from stackmend.model.errors import Exit
from stackmend.model.finding import State
from stackmend.model.objects.upgrade import Hindrance, Outcome, StatusAnswer, Verdict
from stackmend.report.document import Document
from stackmend.report.pages import obstacle_record
from stackmend.report.words import count, listed, wrapped

COLUMNS = (
    ("Outcome", "outcome"), ("Blockers", "blockers"), ("Warnings", "warnings"), ("Programs", "programs"),
    ("Findings", "findings"), ("Incomplete", "incomplete"),
)  # fmt: skip
#: what scripts read, and what people do
_OUTCOMES = {Exit.CLEAN: "ready", Exit.FINDINGS: "blocked", Exit.INCOMPLETE: "incomplete"}
_SENTENCES = {
    Exit.CLEAN: "nothing stands in the way of an upgrade",
    Exit.FINDINGS: "do not upgrade yet",
    Exit.INCOMPLETE: "do not upgrade yet: not everything was answered",
}
#: findings that people are shown; one cause may have thousands
_SHOWN = 40


class _Gate(Protocol):
    """See :class:`stackmend.app.upgrading.gate.UpgradeGate`."""

    @property
    def programs(self) -> Sequence[StatusAnswer]: ...
    @property
    def report(self) -> Report: ...
    @property
    def hindrances(self) -> Sequence[Hindrance]: ...
    @property
    def strict(self) -> bool: ...
    @property
    def blockers(self) -> int: ...
    @property
    def warnings(self) -> int: ...
    @property
    def exit(self) -> Exit: ...


def upgrade(gate: _Gate, width: int) -> Document:
    """The one report."""
    data = {
        "outcome": _OUTCOMES[gate.exit],
        "strict": gate.strict,
        "blockers": gate.blockers,
        "warnings": gate.warnings,
        "programs": [_program(one) for one in gate.programs],
        "checks": sorted(gate.report.checks),
        "findings": [_finding(one) for one in gate.hindrances],
        "incomplete": gate.report.incomplete,
    }
    return Document(data=data, columns=COLUMNS, text="\n".join(_lines(gate, width)))


def _program(one: StatusAnswer) -> dict[str, object]:
    return {
        "service": one.service,
        "program": one.program,
        "outcome": one.outcome.value,
        "code": one.code,
        "reason": one.reason,
        "checks": [
            {"check": check.name, "result": check.verdict.name.lower(), "details": check.details}
            for check in one.checks
        ],
    }


def _finding(one: Hindrance) -> dict[str, object]:
    return {**one.finding.as_dict(), "upgrade": obstacle_record(one.obstacle)}


def _lines(gate: _Gate, width: int) -> Iterator[str]:
    for answer in gate.programs:
        yield from _of_program(answer, width)
    lines = [_line(one) for one in gate.hindrances]
    yield f"our checks: {count(len(lines), 'finding')} in {count(len(gate.report.checks), 'check')}"
    for line in lines[:_SHOWN]:
        yield from wrapped(line, width, "  ", "    ")
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN:,} more: -f json has all of them"
    for check, why in gate.report.incomplete.items():
        yield from wrapped(f"NO ANSWER from {check}: {why}", width, "  ", "    ")


def _of_program(answer: StatusAnswer, width: int) -> Iterator[str]:
    name = f"{answer.service}-status"
    if answer.outcome is Outcome.ABSENT:
        yield from wrapped(f"{name}: not run: {answer.reason}", width, "", "  ")
        return
    if answer.outcome is Outcome.FAILED:
        yield from wrapped(f"{name}: NO ANSWER: {answer.reason}", width, "", "  ")
        return
    numbers = [
        count(len(found), verdict.name.lower(), plural="" if verdict is Verdict.SUCCESS else None)
        for verdict in reversed(Verdict)
        if (found := answer.of(verdict))
    ]
    yield f"{name}: {', '.join(numbers)}"
    for verdict in (Verdict.FAILURE, Verdict.WARNING):
        for check in answer.of(verdict):
            word = "BLOCKS" if verdict is Verdict.FAILURE else "WARNING"
            yield from wrapped(f"{word} {check.name}: {check.details or 'no details'}", width, "  ", "    ")


def _line(one: Hindrance) -> str:
    word = "BLOCKS" if one.obstacle.blocks else "WARNING"
    if one.finding.state is State.WAIVED:
        word = "waived"
    return f"{word} {one.finding.check}: {one.finding.message}: {one.obstacle.what}"


def summary(gate: _Gate) -> str:
    """For stderr: what it comes to."""
    numbers = f"{count(gate.blockers, 'blocker')}, {count(gate.warnings, 'warning')}"
    absent = [f"{one.service}-status" for one in gate.programs if one.outcome is Outcome.ABSENT]
    return f"{_SENTENCES[gate.exit]} ({numbers}{f'; not run: {listed(absent)}' if absent else ''})"
