# SPDX-License-Identifier: Apache-2.0
"""The cases of the causes, and how a diagnosis of each turned out: for the tests, and for the table of the docs.

A case is a file in ``cases/``, named after its cause. The logs follow ``---``; before it are the object and the
expected answer. Causes in ``also`` may be blamed too, as a consequence or as the real cause of a look-alike. ``real``
says where lines were logged that nobody wrote by hand.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.app.diagnosing import Asked, diagnose
from stackmend.config.settings import Config
from stackmend.model.diagnosing.cause import Diagnosis

CASES = Path(__file__).parent / "cases"
TABLE = Path(__file__).parents[2] / "docs" / "explanation" / "recorded" / "accuracy.md"
#: placeholders in the cases
NAMES = {letter: str(uuid.uuid5(uuid.NAMESPACE_DNS, letter)) for letter in ("S", "O", "P", "V", "I", "N", "PV")}
NAMES |= {letter: f"req-{uuid.uuid5(uuid.NAMESPACE_DNS, letter)}" for letter in ("R", "Q", "T")}
NAMES["CTX"] = f"[None {NAMES['R']} admin admin - - default default]"


@dataclass
class Case:
    """Logs and the expected answer."""

    cause: str
    guilty: bool
    title: str
    facts: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.cause}-{'blamed' if self.guilty else 'look-alike'}-{self.title.replace(' ', '_')[:40]}"

    @property
    def also(self) -> set[str]:
        """Other causes that may be blamed."""
        return set(self.facts.get("also", "").split())

    def diagnosed(self, folder: Path) -> Diagnosis:
        """The answer, from its logs as files."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        kind, _, about = self.facts.get("about", f"server {NAMES['S']}").partition(" ")
        return diagnose(Config(), Asked(kind=kind, text=about, logs=(str(folder),)))

    def outcome(self, folder: Path) -> str:
        """``right``, ``wrong`` (a cause is blamed that the case does not name) or ``none`` (its own is not)."""
        blamed = {one.cause for one in self.diagnosed(folder).blamed}
        if blamed - self.also - ({self.cause} if self.guilty else set()):
            return "wrong"
        return "right" if not self.guilty or self.cause in blamed else "none"


def cases() -> list[Case]:
    """The cases of all files."""
    found: list[Case] = []
    for path in sorted(CASES.glob("*.txt")):
        case, name = None, ""
        for line in _filled(path.read_text()).splitlines():
            if line.startswith("== "):
                kind, _, title = line[3:].partition(": ")
                case, name = Case(path.stem, kind == "blamed", title), ""
                found.append(case)
            elif case is not None and line.startswith("--- "):
                name = line[4:]
                case.files[name] = ""
            elif case is not None and name:
                case.files[name] += f"{line}\n"
            elif case is not None:
                key, _, value = line.partition(": ")
                case.facts[key] = value
    return found


def _filled(text: str) -> str:
    return re.sub(r"\{([A-Z]+)\}", lambda found: NAMES.get(found[1], found[0]), text)


def table(outcomes: Iterable[tuple[Case, str]]) -> str:
    """The accuracy by cause, as Markdown."""
    rows: dict[str, list[tuple[Case, str]]] = {}
    for case, outcome in outcomes:
        rows.setdefault(case.cause, []).append((case, outcome))
    lines = ["| cause | cases | of real logs | look-alikes | right | wrong | none |", "|---|---|---|---|---|---|---|"]
    every = [one for some in rows.values() for one in some]
    for name, some in [*sorted(rows.items()), ("all", every)]:
        guilty = [case for case, _ in some if case.guilty]
        counts = [len(guilty), sum("real" in case.facts for case in guilty), len(some) - len(guilty)]
        counts += [sum(outcome == what for _, outcome in some) for what in ("right", "wrong", "none")]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines) + "\n"
