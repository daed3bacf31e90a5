# SPDX-License-Identifier: Apache-2.0
"""The demo: a toy cloud is broken, audited, repaired and restored, with the commands an operator would type."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from stackmend.model.errors import Exit
from stackmend.tables.releases import NEWEST
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants import PLANT, Case, broken, impossible

Main = Callable[[Sequence[str]], int]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the demo, with its exit code and the expected one."""

    what: str
    command: str
    exit: int
    expected: int
    seconds: float

    @property
    def good(self) -> bool:
        """True if the exit code is the expected one."""
        return self.exit == self.expected

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "step": self.what,
            "command": self.command,
            "exit": self.exit,
            "expected": self.expected,
            "seconds": round(self.seconds, 2),
        }


class Unexpected(Exception):  # noqa: N818 - the demo's own way out
    """A step had an unexpected result: the following steps would be meaningless."""


@dataclass(slots=True)
class Rehearsal:
    """Runs the demo in a folder and records its steps.

    ``main`` is the program's own entry point, ``repairable`` the checks whose findings it repairs.
    """

    folder: Path
    servers: int
    main: Main
    repairable: Collection[str]
    out: TextIO
    release: str = NEWEST
    steps: list[Step] = field(default_factory=list)

    def run(self) -> bool:
        """Run the whole demo; True if every step had its expected result."""
        try:
            self._all()
        except Unexpected:
            return False
        return True

    def _all(self) -> None:
        whose = "" if self.release == NEWEST else f" of {self.release.capitalize()}"
        self._say(f"A cloud of {self.servers} servers: every database the services{whose} have, in SQLite files.")
        cloud = self._timed("build the cloud", self._build)
        self._type("the cloud is healthy", Exit.CLEAN, "audit")
        plants = [case for case in broken() if case.variant == PLANT and case.check in self.repairable]
        absent = impossible(cloud, plants, self.folder / "tried")
        planted = self._timed("break things", lambda: plant(cloud, self.repairable, absent))
        for check, key in planted:
            self._say(f"  broken: {check}  {', '.join(f'{k}={v}' for k, v in key.items())}")
        for case, why in absent.items():
            self._say(f"  not broken: {case.check}: {why}")
        before = cloud.dump()
        self._type("what is wrong", Exit.FINDINGS, "audit")
        found = self._quietly("audit", "-f", "json")
        self._same("every damage is found, and nothing else", sorted(c for c, _ in planted), _checks(found))
        plan = self._file("plan.json")
        chosen = [word for name in choices(self.repairable, absent) for word in ("--repair", name)]
        self._type("how it would be mended", Exit.FINDINGS, "plan", "create", "--allow-db", *chosen, "--out", plan)
        self._type("every statement of the plan", Exit.CLEAN, "plan", "show", plan)
        self._type("do it", Exit.REPAIRED, "plan", "apply", plan, "--yes", "--accept", "all")
        self._type("the cloud is healthy again", Exit.CLEAN, "audit")
        run = self._quietly("run", "list", "-f", "json")[0]["id"]
        self._type("what was done is written down", Exit.CLEAN, "run", "list")
        self._type("take it all back", Exit.CLEAN, "run", "undo", run, "--yes")
        rows = self._timed("compare every row", cloud.dump)
        self._same("every row is as it was before the plan", before, rows)
        again = self._quietly("audit", "-f", "json")
        self._same("the same findings are back", _prints(found), _prints(again))
        self._say(f"\nEvery row is back: {sum(len(table) for table in rows.values()):,} rows compared.")

    def _build(self) -> Cloud:
        cloud = build(self.folder, servers=self.servers, release=self.release)
        (self.folder / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
        return cloud

    def _file(self, name: str) -> str:
        return (
            os.path.relpath(self.folder / name) if self.folder.is_relative_to(Path.cwd()) else str(self.folder / name)
        )

    def _type(self, what: str, expected: Exit, *words: str) -> None:
        """Show a command, run it, and record its result."""
        argv = ["--config", self._file("cloud.toml"), *words]
        command = shlex.join(["stackmend", *argv])
        self._say(f"\n# {what}\n$ {command}")
        begun = time.monotonic()
        with redirect_stdout(self.out):
            code = self.main(argv)
        sys.stderr.flush()
        self._note(Step(what, command, code, int(expected), time.monotonic() - begun))

    def _quietly(self, *words: str) -> list[dict[str, Any]]:
        """The document printed by a command, to check the result."""
        text = io.StringIO()
        with redirect_stdout(text):
            self.main(["-q", "--config", self._file("cloud.toml"), *words])
        document: list[dict[str, Any]] = json.loads(text.getvalue())
        return document

    def _timed(self, what: str, action: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        made = action()
        self._note(Step(what, "", 0, 0, time.monotonic() - begun), shown=False)
        return made

    def _same(self, what: str, expected: object, actual: object) -> None:
        good = expected == actual
        self._note(Step(what, "", 0 if good else 1, 0, 0.0), shown=False)

    def _note(self, step: Step, *, shown: bool = True) -> None:
        self.steps.append(step)
        if shown:
            self._say(f"[exit {step.exit}, {step.seconds:.1f} s]")
        if not step.good:
            self._say(f"UNEXPECTED: {step.what}: exit {step.exit}, expected {step.expected}")
            raise Unexpected

    def _say(self, text: str) -> None:
        self.out.write(f"{text}\n")
        self.out.flush()


def plant(
    cloud: Cloud, repairable: Collection[str], absent: Collection[Case] = ()
) -> list[tuple[str, Mapping[str, Any]]]:
    """Break one object for each of these checks; returns (check, key of the finding) of each."""
    return [
        (case.check, case.make(cloud))
        for case in broken()
        if case.variant == PLANT and case.check in repairable and case not in absent
    ]


def choices(repairable: Collection[str], absent: Collection[Case] = ()) -> list[str]:
    """The repairs that an operator would choose for the damage of :func:`plant`, if there are several."""
    plants = (case for case in broken() if case.variant == PLANT and case.check in repairable and case not in absent)
    return sorted({case.chosen for case in plants if case.chosen})


def _checks(found: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(finding["check"] for finding in found)


def _prints(found: Sequence[Mapping[str, Any]]) -> set[str]:
    return {finding["fingerprint"] for finding in found}
