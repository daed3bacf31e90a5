# SPDX-License-Identifier: Apache-2.0
"""``demo``: a demonstration of finding, repairing and undoing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from stackmend.cli.base import TEXT, Printing
from stackmend.cli.commands.lab import require_lab
from stackmend.model.errors import Exit, UsageError
from stackmend.tables.releases import NEWEST, RELEASES, named


class Demo(Printing):
    """Break a toy cloud, audit it, plan, apply and undo everything; touches nothing else.

    Builds the databases of a small cloud in SQLite files, and runs the commands an operator would type. Exit code 0 if
    every step succeeded. The toy cloud comes from the lab: pip install 'stackmend[lab]'.
    """

    examples = """
  $ stackmend demo
  $ stackmend demo --release zed                # on the databases of an older release
  $ stackmend demo --check volume-stuck-detaching     # nothing is broken but what this check finds
  $ stackmend demo --keep stackmend-demo        # keep the folder to experiment with"""
    default_format = TEXT

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("--keep", metavar="DIR", help="work in this new folder and keep it")
        parser.add_argument(
            "--servers", type=int, default=200, metavar="N", help="number of servers in the cloud (default: 200)"
        )
        parser.add_argument(
            "--release",
            type=named,
            choices=RELEASES,
            default=NEWEST,
            help="whose databases the services have (default: the newest)",
        )
        parser.add_argument(
            "--check",
            action="append",
            metavar="NAME",
            help="break only what this check finds, and a repair mends in the databases; can be repeated",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Run it and report the result."""
        if parsed_args.servers < 150:
            raise UsageError(
                f"--servers {parsed_args.servers} is too small",
                "Use 150 or more: every check breaks a server of its own.",
            )
        checks = chosen(parsed_args.check)
        require_lab()
        if not parsed_args.keep:
            with TemporaryDirectory(prefix="stackmend-demo-") as temporary:
                return self._rehearse(Path(temporary), parsed_args, checks)
        folder = Path(parsed_args.keep)
        try:
            folder.mkdir(parents=True)
        except OSError as problem:
            raise UsageError(f"{folder} cannot be made: {problem.strerror}", "Name a new folder.") from None
        code = self._rehearse(folder, parsed_args, checks)
        self.notes.say(
            f"kept in {folder}; try: STACKMEND_STATE={folder}/state stackmend --config {folder}/cloud.toml audit"
        )
        return code

    def _rehearse(self, folder: Path, parsed_args: argparse.Namespace, checks: frozenset[str]) -> int:
        from stackmend.cli.shell import main
        from stackmend.report.document import Document
        from stackmend_lab.rehearsal import Rehearsal

        machine = not self.for_people(parsed_args)
        out = sys.stderr if machine else self.stdout
        begun = time.monotonic()
        rehearsal = Rehearsal(folder, parsed_args.servers, main, checks, out, parsed_args.release)
        good = rehearsal.run()
        steps = [step.as_dict() for step in rehearsal.steps]
        if machine:
            columns = tuple((name.capitalize(), name) for name in ("step", "command", "exit", "expected", "seconds"))
            self.show(Document(data=steps, columns=columns), parsed_args)
        verdict = "all as expected" if good else "NOT as expected"
        self.notes.say(f"{len(steps)} steps in {time.monotonic() - begun:.0f} s, {verdict}")
        return int(Exit.CLEAN if good else Exit.ERROR)


def chosen(names: Sequence[str] | None) -> frozenset[str]:
    """The checks of these names, or all of :func:`repairable`; UsageError for one that is not among them."""
    from stackmend.engine.auditing import catalogue

    known = repairable()
    for name in catalogue.chosen(catalogue.every_check(), tuple(names)) if names else ():
        if name not in known:
            raise UsageError(
                f"no repair mends the findings of {name} in the databases",
                f"'stackmend check show {name}' says what does.",
            )
    return frozenset(names or known)


def repairable() -> frozenset[str]:
    """The checks that have a repair in the databases."""
    from stackmend.engine.auditing import catalogue
    from stackmend.model.step import Risk

    repairs = [r for r in catalogue.repairs().values() if r.risk is not Risk.MANUAL and "db" in r.strategies]
    return frozenset(check for repair in repairs for check in repair.checks)


COMMANDS = {"demo": Demo}
