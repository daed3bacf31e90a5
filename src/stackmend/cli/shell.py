# SPDX-License-Identifier: Apache-2.0
"""The program ``stackmend``: global options, help, and the last stop of interruptions."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, TextIO

from cliff import help as cliff_help
from cliff.app import App

from stackmend import __version__
from stackmend.cli import notes
from stackmend.cli.logs import logging_to
from stackmend.cli.manager import Commands
from stackmend.cli.notes import Notes
from stackmend.cli.options import silence
from stackmend.cli.signals import exit_code
from stackmend.cli.streams import hush, open_closed_ones, reason, steady
from stackmend.model.errors import Exit, OutputError, StackmendError

LAYOUTS = ("packages", "kolla", "openstack-ansible")  #: of stackmend.app.layouts, which takes long to import
INTERRUPTED_ABOVE = 128  #: exit codes of interrupted commands: 128 and the number of the signal
BROKEN_PIPE = 141  #: 128 + SIGPIPE

DESCRIPTION = """\
Finds where the parts of an OpenStack cloud disagree, says why, and mends it from
a plan that you have read, with an undo."""

EPILOG = """\
First steps:
  $ stackmend demo                              # see it find, mend and undo, on a toy cloud
  $ stackmend audit                             # read only
  $ stackmend plan create --out plan.json       # read only
  $ stackmend plan apply plan.json --yes

'stackmend help COMMAND' explains a command."""


class Help(cliff_help.HelpCommand):
    """print help for a command."""

    def _load_hooks(self) -> None:
        self._hooks: list[Any] = []

    def get_epilog(self) -> str:
        """None."""
        return ""

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print it; what is no command gets the nearest that are."""
        try:
            return int(super().take_action(parsed_args))
        except ValueError:
            return int(self.app.unknown(parsed_args.cmd))


class Shell(App):
    """The application: cliff's, with help that loads no entry points and errors that go to stderr."""

    NAME = "stackmend"

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        super().__init__(DESCRIPTION, __version__, Commands(), stdout=stdout, stderr=stderr)
        self.command_manager.add_command("help", Help)

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """The parser of the options that stand before the command."""
        parser = argparse.ArgumentParser(
            prog=self.NAME,
            usage="stackmend [options] COMMAND ...",
            description=description,
            epilog=EPILOG,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **argparse_kwargs or {},
        )
        parser.add_argument("-h", "--help", action=_ListCommands, nargs=0, default=self, help="show this and exit")
        parser.add_argument("--version", action="version", version=f"stackmend {version}", help="show it and exit")
        source = parser.add_mutually_exclusive_group()
        source.add_argument(
            "--config",
            metavar="FILE",
            help="configuration (TOML); else STACKMEND_CONFIG, else the services' own files are found",
        )
        source.add_argument(
            "--root",
            metavar="DIR",
            help="where the services' own files are looked for, such as copies; else STACKMEND_ROOT, else /",
        )
        parser.add_argument(
            "--layout",
            choices=LAYOUTS,
            metavar="LAYOUT",
            help=f"whose files count where several are there: {', '.join(LAYOUTS)}; else STACKMEND_LAYOUT",
        )
        parser.add_argument(
            "--database-timeout",
            type=silence,
            metavar="SECONDS",
            help="silence after which a database is given up; else [timeouts] database, else 300",
        )
        volume = parser.add_mutually_exclusive_group()
        volume.add_argument(
            "-v",
            "--verbose",
            action="count",
            dest="verbose_level",
            default=1,
            help="say more on stderr; twice: everything",
        )
        volume.add_argument(
            "-q",
            "--quiet",
            action="store_const",
            dest="verbose_level",
            const=0,
            help="no progress, no summary: warnings and errors only",
        )
        parser.add_argument("--log-file", metavar="FILE", help="write a full log to this file")
        parser.add_argument("--no-color", action="store_true", help="no colours (also NO_COLOR)")
        parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
        return parser

    def configure_logging(self) -> None:
        """Nothing here: :func:`main` wraps the whole run."""

    def run(self, argv: list[str]) -> int:
        """Parse the global options and run the command."""
        self.options, remainder = self.parser.parse_known_args(_front(argv))
        remainder = [*remainder, *argv[len(_front(argv)) :]]
        with logging_to(self.stderr, self.options.verbose_level, self.options.log_file):
            if not remainder:
                self.parser.print_usage(self.stderr)
                Notes(self.stderr).fail("no command was given", "'stackmend --help' lists the commands.")
                return int(Exit.USAGE)
            return self.run_subcommand(remainder)

    def run_subcommand(self, argv: list[str]) -> int:
        """Find the command and run it; the exit code."""
        try:
            factory, name, rest = self.command_manager.find_command(argv)
        except ValueError:
            return self.unknown(argv)
        command = factory(self, self.options, cmd_name=name)
        parser = command.get_parser(f"{self.NAME} {name}")
        try:
            return int(command.run(parser.parse_args(rest)))
        except cliff_help.HelpExit:
            return int(Exit.CLEAN)

    def unknown(self, argv: list[str]) -> int:
        """Say that there is no such command, and which are near."""
        words = [] if argv[0].startswith("-") else [word for word in argv if not word.startswith("-")]
        names = self.command_manager.get_command_names()
        below = [name for name in names if words and name.split()[0] == words[0]]
        asked = " ".join(words[:2])
        nouns = {name.split()[0] for name in names}
        near = below or get_close_matches(asked, names, 3) or get_close_matches(asked.partition(" ")[0], nouns)
        message = f"there is no command '{asked}'" if words else f"'{argv[0]}' is not an option of stackmend itself"
        hint = f"Did you mean: {', '.join(near)}?" if near else "'stackmend --help' lists the commands."
        Notes(self.stderr).fail(message, hint)
        return int(Exit.USAGE)


class _ListCommands(argparse.Action):
    """``--help``: the options, then one line for each command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and leave."""
        shell = self.default
        lines = []
        for name, entry in shell.command_manager:
            summary = (entry.load().__doc__ or "").strip().splitlines()[0]
            lines.append(f"  {name:<20} {summary[0].lower()}{summary[1:].rstrip('.')}")
        text = parser.format_help().replace(EPILOG, "commands:\n" + "\n".join(lines) + "\n\n" + EPILOG)
        print(text, end="", file=shell.stdout)
        parser.exit()


def _front(argv: Sequence[str]) -> list[str]:
    """The words up to the command: what follows it belongs to the command, whatever it is called."""
    takes_value = {"--config", "--root", "--layout", "--database-timeout", "--log-file"}
    index = 0
    while index < len(argv) and argv[index].startswith("-"):
        index += 2 if argv[index] in takes_value else 1
    return list(argv[:index])


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the entry point of the program."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    open_closed_ones()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with contextlib.redirect_stderr(steady(sys.stderr)):
        code = guard(lambda: Shell(sys.stdout, sys.stderr).run(arguments))
        sys.stderr.flush()
    if argv is None and code > INTERRUPTED_ABOVE and threading.active_count() > 1:
        # what a thread still waits for (a database that does not answer) must not hold up who said to end
        os._exit(code)
    return code


def guard(action: Callable[[], int]) -> int:
    """Do it and return its exit code; interruptions and closed pipes get theirs, quietly."""
    try:
        code = _code(action)
        sys.stdout.flush()
        return code
    except StackmendError as problem:
        Notes(sys.stderr).error(problem)
        return int(problem.exit_code)
    except KeyboardInterrupt as problem:
        Notes(sys.stderr).fail(*notes.INTERRUPTED)
        hush(sys.stdout)
        return exit_code(problem)
    except BrokenPipeError:
        hush(sys.stdout)
        return BROKEN_PIPE
    except OSError as problem:
        Notes(sys.stderr).error(OutputError(reason(problem)))
        hush(sys.stdout)
        return int(OutputError.exit_code)


def _code(action: Callable[[], int]) -> int:
    """The exit code, also where the parser leaves by itself; what it printed (``--help``) is not flushed then."""
    try:
        return action()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(Exit.CLEAN)
