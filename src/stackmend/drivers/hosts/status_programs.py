# SPDX-License-Identifier: Apache-2.0
"""Runs ``nova-status upgrade check`` and its likes on this machine, and reads their answers.

All of them are made with oslo.upgradecheck, and no two behave alike (docs/reference/api-facts.md): nova-status refuses
``--json``, placement-status accepts and ignores it, and an exit code alone means nothing, because 1 is also that of a
program that could not start, and 2 that of a wrong argument. Therefore only a complete answer, which explains the exit
code, is believed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from stackmend.drivers.hosts.child import KEPT, Child
from stackmend.drivers.hosts.words import last_line, named
from stackmend.model.errors import HostUnreachable
from stackmend.model.events import Events
from stackmend.model.objects.upgrade import Outcome, StatusAnswer, StatusCheck, Verdict
from stackmend.model.redaction import redact

_EVENTS = Events(__name__)

_ASK = ("upgrade", "check")
_JSON = "--json"
#: results are translated to the language of whoever runs it
_PLAIN = ("env", "LC_ALL=C.UTF-8", "LANGUAGE=C")
#: "something unexpected happened": the traceback is on stdout
_BROKEN = 255
#: of env(1), if there is no such program
_MISSING = 127
#: columns of a line of details in a table, which may break words at hyphens, and longer ones anywhere
_WIDTH = 60
_WORDS = {verdict.name.capitalize(): verdict for verdict in Verdict}
_RULE = re.compile(r"\+-+\+")
_FIELD = re.compile(r"(Check|Result|Details): ?(.*)")
#: seconds between two looks at a program
_SLICE = 0.5


class _Unclear(Exception):  # noqa: N818 - names a condition; does not leave this module
    """The output is not a complete answer."""


def ask(service: str, words: Sequence[str], limit: float) -> StatusAnswer:
    """Run one program to its end, at most ``limit`` seconds, twice if it does not know ``--json``."""
    child = _run([*words, *_ASK, _JSON], limit)
    if isinstance(child, Child) and child.code == Verdict.FAILURE and _refuses(child):
        child = _run([*words, *_ASK], limit)
    program = named(words)
    if isinstance(child, str):
        return StatusAnswer(service=service, program=program, outcome=Outcome.FAILED, reason=child)
    try:
        checks = _answer(child)
    except _Unclear as problem:
        reason = redact(str(problem))
        _EVENTS.detail("no answer", program=program, exit=child.code, reason=reason)
        return StatusAnswer(service=service, program=program, outcome=Outcome.FAILED, code=child.code, reason=reason)
    return StatusAnswer(
        service=service, program=program, outcome=Outcome.ANSWERED, code=child.code, checks=tuple(checks)
    )


def _run(words: Sequence[str], limit: float) -> Child | str:
    """The program after its end, or why there was none."""
    try:
        child = Child([*_PLAIN, *words])
    except HostUnreachable as problem:
        return problem.message
    end = time.monotonic() + limit
    try:
        while child.poll(_SLICE) is None:
            if time.monotonic() >= end:
                return f"it did not end within {limit:.0f} s"
    finally:
        child.end()
    return child


def _refuses(child: Child) -> bool:
    return not child.out.strip() and f"unrecognized arguments: {_JSON}" in child.err.decode("utf-8", "replace")


def _answer(child: Child) -> list[StatusCheck]:
    """Every check, if the exit code is that of the worst."""
    if child.code == _MISSING:
        raise _Unclear("there is no such program")
    if child.code == _BROKEN:
        raise _Unclear(f"it broke off: {last_line(child.out) or last_line(child.err)}")
    if child.over or len(child.out) > KEPT:
        raise _Unclear("its output is too long")
    text = child.out.decode("utf-8", "replace")
    checks = _of_document(text)
    if checks is None:
        checks = list(_of_table(text))
    if not checks:
        said = last_line(child.err) or last_line(child.out)
        raise _Unclear(f"it ended with exit code {child.code} and told no result" + (f": {said}" if said else ""))
    if child.code != max(check.verdict for check in checks):
        raise _Unclear(f"its exit code {child.code} is not that of the results that it printed")
    return checks


def _of_document(text: str) -> list[StatusCheck] | None:
    """From JSON, one line between whatever else is printed; None if there is none."""
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                document = json.loads(line)
                return [_of_record(record) for record in document["checks"]]
            except (ValueError, TypeError, KeyError):
                continue
    return None


def _of_record(record: dict[str, Any]) -> StatusCheck:
    details = " ".join(str(record["details"] or "").split())
    return StatusCheck(name=str(record["check"]), verdict=Verdict(record["result"]), details=redact(details))


def _of_table(text: str) -> Iterator[StatusCheck]:
    """From a table: a title, then one cell for each check, between rules."""
    cells: list[list[str]] = []
    for line in text.splitlines():
        if _RULE.fullmatch(line.strip()):
            cells.append([])
        elif cells and line.startswith("| ") and line.endswith(" |"):
            cells[-1].append(line[2:-2].rstrip(" "))
        elif cells:
            break
    if cells and cells[-1]:
        raise _Unclear("its table is cut off")
    for cell in cells[1:]:
        if cell:
            yield _of_cell(cell)


def _of_cell(lines: Sequence[str]) -> StatusCheck:
    fields: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found and found[1] not in fields:
            current = fields[found[1]] = [found[2]]
        else:
            current.append(line)
    if set(fields) != {"Check", "Result", "Details"}:
        raise _Unclear(f"its table has a cell that is no result: {' '.join(lines)}")
    result = " ".join(fields["Result"]).strip()
    if result not in _WORDS:
        raise _Unclear(f"its table has an unknown result: {result}")
    details = _unwrapped(fields["Details"])
    return StatusCheck(
        name=" ".join(" ".join(fields["Check"]).split()),
        verdict=_WORDS[result],
        details=redact("" if details == "None" else details),
    )


def _unwrapped(lines: Sequence[str]) -> str:
    """Details in one line. A line ended within a word if that has a hyphen there, or is an address that filled it."""
    text, within = "", False
    for line in lines:
        text = f"{text}{line.strip()}" if within else f"{text} {line.strip()}"
        word = text.rsplit(" ", 1)[-1]
        within = (word.endswith("-") and len(word) > 1) or ("://" in word and len(line) >= _WIDTH)
    return " ".join(text.split())
