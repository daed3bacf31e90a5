# SPDX-License-Identifier: Apache-2.0
"""The program ``stackmend``: global options, help, and the outermost handler of interruptions."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from cliff import help as cliff_help
from cliff.app import App

from stackmend import __version__
from stackmend.cli import help as helping
from stackmend.cli import notes
from stackmend.cli.completion import Complete
from stackmend.cli.logs import FORMATS as LOG_FORMATS
from stackmend.cli.logs import logging_to
from stackmend.cli.manager import Commands
from stackmend.cli.notes import Notes
from stackmend.cli.options import silence
from stackmend.cli.signals import clean_up, exit_code
from stackmend.cli.streams import discard_output, open_closed_ones, reason, safe_stream
from stackmend.model.errors import Exit, OutputError, StackmendError

LAYOUTS = ("packages", "kolla", "openstack-ansible")  #: of stackmend.config.layouts, which takes long to import
INTERRUPTED_ABOVE = 128  #: exit codes of interrupted commands: 128 and the number of the signal
BROKEN_PIPE = 141  #: 128 + SIGPIPE

DESCRIPTION = """\
Finds inconsistencies between the services of an OpenStack cloud, explains them, and
repairs them from a plan you have reviewed, with an undo."""

EPILOG = """\
First steps:
  $ stackmend demo                              # find, repair and undo on a toy cloud
  $ stackmend audit                             # read-only
  $ stackmend plan create --out plan.json       # read-only
  $ stackmend plan apply plan.json --yes

'stackmend help COMMAND' explains a command."""


class Shell(App):
    """The application: cliff's, with help that loads no entry points and errors that go to stderr."""

    NAME = "stackmend"
    #: the process ends with the command
    is_alone = False

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        super().__init__(DESCRIPTION, __version__, Commands(), stdout=stdout, stderr=stderr)
        self.command_manager.add_command("help", helping.Help)
        self.command_manager.add_command("complete", Complete)

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """The parser of the options that precede the command."""
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
        parser.add_argument("-h", "--help", action=_ListCommands, nargs=0, default=self, help="show this help and exit")
        parser.add_argument(
            "--version", action="version", version=f"stackmend {version}", help="show the version and exit"
        )
        source = parser.add_mutually_exclusive_group()
        source.add_argument(
            "--config",
            metavar="FILE",
            help="configuration file (TOML); default: $STACKMEND_CONFIG, else the services' own files",
        )
        source.add_argument(
            "--root",
            metavar="DIR",
            help="folder with the services' own files, such as copies; default: $STACKMEND_ROOT, else /",
        )
        parser.add_argument(
            "--layout",
            choices=LAYOUTS,
            metavar="LAYOUT",
            help=f"deployment tool whose files to use, if there are several: {', '.join(LAYOUTS)};"
            " default: $STACKMEND_LAYOUT",
        )
        parser.add_argument(
            "--database-timeout",
            type=silence,
            metavar="SECONDS",
            help="give up on a database that has not answered for this long; default: [timeouts] database, else 300",
        )
        _add_telling(parser)
        parser.add_argument("--no-color", action="store_true", help="no colours (also NO_COLOR)")
        parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
        return parser

    def configure_logging(self) -> None:
        """Nothing here: :func:`main` wraps the whole run."""

    def run(self, argv: list[str]) -> int:
        """Parse the global options and run the command."""
        self.options, remainder = self.parser.parse_known_args(front(argv))
        remainder = [*remainder, *argv[len(front(argv)) :]]
        with logging_to(self.stderr, self.options.verbose_level, self.options.log_file, self.options.log_format):
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
            words = [word for word in argv if word not in ("-h", "--help")]
            asked = helping.group(self, words) if len(words) < len(argv) else None
            return helping.unknown(self, argv) if asked is None else asked
        command = factory(self, self.options, cmd_name=name)
        parser = command.get_parser(f"{self.NAME} {name}")
        parsed, strange = parser.parse_known_args(rest)
        if strange:
            parser.print_usage(self.stderr)
            said = f"unrecognized arguments: {' '.join(strange)}"
            near = helping.option_like(parser, strange)
            Notes(self.stderr).fail(said, near or f"'stackmend help {name}' explains it.")
            return int(Exit.USAGE)
        try:
            return int(command.run(parsed))
        except cliff_help.HelpExit:
            return int(Exit.CLEAN)


def _add_telling(parser: argparse.ArgumentParser) -> None:
    """The options for verbosity and logs."""
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument(
        "-v",
        "--verbose",
        action="count",
        dest="verbose_level",
        default=1,
        help="print more on stderr; twice: everything",
    )
    volume.add_argument(
        "-q",
        "--quiet",
        action="store_const",
        dest="verbose_level",
        const=0,
        help="print warnings and errors only",
    )
    parser.add_argument("--log-file", metavar="FILE", help="write a full log to this file")
    parser.add_argument(
        "--log-format",
        choices=LOG_FORMATS,
        default=LOG_FORMATS[0],
        help="format of the log file; json: one object per line",
    )


class _ListCommands(argparse.Action):
    """``--help``: the options, then one line for each command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print and leave."""
        shell, lines = self.default, helping.listing(self.default)
        text = parser.format_help().replace(EPILOG, "commands:\n" + "\n".join(lines) + "\n\n" + EPILOG)
        print(text, end="", file=shell.stdout)
        parser.exit()


def front(argv: Sequence[str]) -> list[str]:
    """The words up to the command: everything after it belongs to the command."""
    takes_value = {"--config", "--root", "--layout", "--database-timeout", "--log-file", "--log-format"}
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
    with contextlib.redirect_stderr(safe_stream(sys.stderr)):
        shell = Shell(sys.stdout, sys.stderr)
        shell.is_alone = argv is None
        code = guard(lambda: shell.run(arguments))
        sys.stderr.flush()
    if argv is None and code > INTERRUPTED_ABOVE and threading.active_count() > 1:
        # a thread that still waits (for a database that does not answer) must not delay the exit
        clean_up()
        os._exit(code)
    return code


def guard(action: Callable[[], int]) -> int:
    """Run it and return its exit code; interruptions and closed pipes have their own codes and print nothing."""
    try:
        code = _code(action)
        sys.stdout.flush()
        return code
    except StackmendError as problem:
        Notes(sys.stderr).error(problem)
        return int(problem.exit_code)
    except KeyboardInterrupt as problem:
        Notes(sys.stderr).fail(*notes.INTERRUPTED)
        discard_output(sys.stdout)
        return exit_code(problem)
    except BrokenPipeError:
        discard_output(sys.stdout)
        return BROKEN_PIPE
    except OSError as problem:
        Notes(sys.stderr).error(OutputError(reason(problem)))
        discard_output(sys.stdout)
        return int(OutputError.exit_code)


def _code(action: Callable[[], int]) -> int:
    """The exit code, also if the parser exits by itself; its output (``--help``) is not flushed in that case."""
    try:
        return action()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(Exit.CLEAN)
