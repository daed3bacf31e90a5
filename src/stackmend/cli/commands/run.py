# SPDX-License-Identifier: Apache-2.0
"""``run``: what was done, going on with it, taking it back."""

from __future__ import annotations

import argparse

from stackmend.cli.applying import company, report, tell_reach
from stackmend.cli.base import Printing
from stackmend.model.errors import ConsentError, Exit


class RunList(Printing):
    """List the runs in the journal, newest first."""

    examples = """
  $ stackmend run list
  $ stackmend run list -f value -c id"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print them."""
        from stackmend.app import runs
        from stackmend.report import runs as shown

        found = runs.list_runs(self.config())
        self.show(shown.runs(found), parsed_args)
        if not found:
            self.notes.say("no runs yet")
        return int(Exit.CLEAN)


class _OneRun(Printing):
    """A command about one run."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("run", metavar="ID", help="a run, as 'run list' shows it")
        super().add_arguments(parser)


class RunShow(_OneRun):
    """Show a run with its steps and what became of each."""

    examples = """
  $ stackmend run show 20261121-031502-7f3a"""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it."""
        from stackmend.app import runs
        from stackmend.report import runs as shown

        self.show(shown.run(*runs.show_run(self.config(), parsed_args.run)), parsed_args)
        return int(Exit.CLEAN)


class RunResume(_OneRun):
    """Go on with a run that was cut off.

    Steps in doubt are probed, never repeated blindly. Exit codes are those of 'plan apply'.
    """

    examples = """
  $ stackmend run resume 20261121-031502-7f3a
  $ stackmend run resume 20261121-031502-7f3a --ack disabled"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument(
            "--ack",
            action="append",
            default=[],
            metavar="GATE",
            help="acknowledge this gate, may be repeated",
        )
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Resume, print what became of it."""
        from stackmend.app import runs

        config = self.config()
        tell_reach(self, config)
        with company(self, parsed_args.ack) as (here, progress):
            result = runs.resume(config, parsed_args.run, company=here, progress=progress)
        return report(self, result, parsed_args)


class RunUndo(_OneRun):
    """Take a run back: put every row back that still reads as the run left it.

    Without --yes nothing is changed. Exit code 0: all is back, 5: a row has moved on and was left alone.
    """

    examples = """
  $ stackmend run undo 20261121-031502-7f3a --yes"""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""
        parser.add_argument("-y", "--yes", action="store_true", help="undo it; without it nothing is changed")
        super().add_arguments(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Undo, print what became of it."""
        from stackmend.app import runs

        if not parsed_args.yes:
            runs.show_run(self.config(), parsed_args.run)
            raise ConsentError(
                "nothing was changed: --yes is missing",
                f"See what it did with: {self.typed('run', 'show', parsed_args.run)}; "
                f"then: {self.typed('run', 'undo', parsed_args.run, '--yes')}",
            )
        config = self.config()
        tell_reach(self, config)
        with company(self) as (here, progress):
            result = runs.undo(config, parsed_args.run, company=here, progress=progress)
        return report(self, result, parsed_args, "taken back")


COMMANDS = {"run list": RunList, "run show": RunShow, "run resume": RunResume, "run undo": RunUndo}
