#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test that attacks a promise of the README, and writes what was tried and what held.

Usage: scripts/attack.py [ARGUMENT OF PYTEST]...    (make attack ATTACKS="-k galera")

An attack is a test with ``@pytest.mark.attack("what the attacker does")``. Several tests may carry one title: they are
one row of ``docs/explanation/attacks.md``. A test that tries something many times says how often with
``record_property("tries", n)``. A whole run writes the page; a choice by ``-k`` writes the rows of the attacks of which
all tests were chosen, and leaves the others as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "attacks.md"
_HEAD = """# What was attacked

Made by `make attack`: each row is an attack on a promise, how often it was tried when it was last run, and whether the
promise held. The tests are in the files named; their docstrings state what must hold.

| attack | tried | held | tests |
|---|---:|---|---|
"""


@dataclass
class Attack:
    """What came of the tests with one title."""

    tried: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    files: set[str] = field(default_factory=set)

    @property
    def held(self) -> str:
        """A word for the table."""
        if self.failed:
            return f"no: {len(self.failed)} failed"
        if not self.tried:
            return "not tried here"
        return f"yes, {len(self.skipped)} not tried here" if self.skipped else "yes"


class Table:
    """A plugin of pytest that collects reports by the title of their attack."""

    def __init__(self) -> None:
        self.attacks: dict[str, Attack] = {}
        self.partly: set[str] = set()  #: titles of which not every test was chosen

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """A title of which a test is left out has no row of this run; with workers the controller hears of none."""
        self.partly |= {str(mark.args[0]) for item in items if (mark := item.get_closest_marker("attack"))}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: when it was called, or where it did not come to that."""
        properties = dict(report.user_properties)
        if "attack" not in properties or (report.when != "call" and report.passed):
            return
        attack = self.attacks.setdefault(str(properties["attack"]), Attack())
        attack.files.add(report.nodeid.split("::", 1)[0])
        if report.skipped:
            attack.skipped.append(report.nodeid)
            return
        attack.tried += int(str(properties.get("tries", 1)))
        if report.failed:
            attack.failed.append(report.nodeid)

    def rows(self) -> dict[str, str]:
        """Title -> its row of the table."""
        found = {}
        for title, attack in self.attacks.items():
            files = ", ".join(f"`{name}`" for name in sorted(attack.files))
            found[title] = f"| {title} | {attack.tried:,} | {attack.held} | {files} |\n"
        return found


def kept() -> dict[str, str]:
    """Title -> its row on the page as it is."""
    if not PAGE.exists():
        return {}
    lines = PAGE.read_text(encoding="utf-8").removeprefix(_HEAD).splitlines(keepends=True)
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}


def main(arguments: list[str]) -> int:
    """Run the attacks; the exit status is pytest's."""
    table = Table()
    some = "-k" in arguments
    # of a choice only the process that collects knows what was left out
    status = pytest.main(["-m", "attack", *arguments, *(["-n0"] if some else [])], plugins=[table])
    rows = {title: row for title, row in table.rows().items() if title not in table.partly}
    print(_HEAD.split("\n\n")[-1] + "".join(row for _, row in sorted(rows.items())))
    if rows and not any(Path(argument.split("::")[0]).exists() for argument in arguments):
        rows = {**(kept() if some else {}), **rows}
        PAGE.write_text(_HEAD + "".join(row for _, row in sorted(rows.items())), encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
