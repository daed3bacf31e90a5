#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test that attacks a promise of the README, and writes what was tried and what held.

Usage: scripts/attack.py [ARGUMENT OF PYTEST]...    (make attack ATTACKS="-k galera")

An attack is a test with ``@pytest.mark.attack("what the attacker does")``. Several tests may carry one title: they are
one row of ``docs/explanation/attacks.md``. A test that tries something many times says how often with
``record_property("tries", n)``. The page is written only by a whole run: a choice of tests prints the table and leaves
the page as it is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "attacks.md"
_HEAD = """# What was attacked

Made by `make attack`: each row is an attack on a promise, how often it was tried in the last whole run, and whether the
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

    def rows(self) -> str:
        """The rows of the table."""
        found = []
        for title, attack in sorted(self.attacks.items()):
            files = ", ".join(f"`{name}`" for name in sorted(attack.files))
            found.append(f"| {title} | {attack.tried:,} | {attack.held} | {files} |\n")
        return "".join(found)


def main(arguments: list[str]) -> int:
    """Run the attacks; the exit status is pytest's."""
    table = Table()
    status = pytest.main(["-m", "attack", *arguments], plugins=[table])
    print(_HEAD.split("\n\n")[-1] + table.rows())
    if "-k" not in arguments and not any(Path(a.split("::")[0]).exists() for a in arguments) and table.attacks:
        PAGE.write_text(_HEAD + table.rows(), encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
