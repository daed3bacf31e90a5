# SPDX-License-Identifier: Apache-2.0
"""What all commands share: the boundary that catches errors, the output options, and the global options.

A command works under ``stackmend`` and as ``openstack mend ...`` (:mod:`stackmend.cli.plugin`): of the application it
uses only the streams and ``NAME``, and every global option has a default.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import traceback
from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from cliff import command
from cliff.lister import Lister

from stackmend.cli.logs import redacted
from stackmend.cli.notes import INTERRUPTED, Notes
from stackmend.cli.progress import progress
from stackmend.cli.signals import ending
from stackmend.cli.streams import discard_output, reason, safe_stream
from stackmend.model.errors import Exit, OutputError, StackmendError, UsageError

if TYPE_CHECKING:
    from stackmend.app.selecting import About
    from stackmend.config.settings import Config
    from stackmend.model.protocols import Progress
    from stackmend.report.document import Document

#: the format for people, where a command has more to say than a table holds
TEXT = "text"
#: formats that print whole records, their values as they are
WHOLE = ("json", "yaml")
#: global options that every application on cliff has
_OF_CLIFF = ("verbose_level", "debug")


class Command(command.Command):
    """Base of every command."""

    #: examples, one ``$ command  # what for`` a line
    examples: ClassVar[str] = ""
    #: the ``openstack`` client need not authenticate first: most commands use no API, and the others do it themselves
    auth_required: ClassVar[bool] = False
    _warned = False  #: the warning about a world-readable configuration was printed
    _single: frozenset[str] = frozenset()  #: names of options that take one value

    _stderr: TextIO | None = None

    def _load_hooks(self) -> None:
        """No hooks: looking for them would read the metadata of every distribution installed."""
        self._hooks: list[Any] = []

    def get_epilog(self) -> str:
        """The examples, as they are typed under this program."""
        if not self.examples:
            return ""
        examples = self.examples.strip("\n")
        return "Examples:\n" + (examples.replace("$ stackmend ", "$ openstack mend ") if self.is_plugin else examples)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The parser, with the examples unchanged."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        self.add_arguments(parser)
        self._single = frozenset(a.dest for a in parser._actions if a.nargs in (None, "?") and a.default != [])
        return parser

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""

    @abstractmethod
    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Do it and return the exit code."""

    def run(self, parsed_args: argparse.Namespace) -> int:
        """The command boundary: every error becomes two lines on stderr and an exit code."""
        try:
            with redacted(), ending():
                self._sensible(parsed_args)
                self._found(parsed_args)
                return int(self.take_action(parsed_args) or Exit.CLEAN)
        except StackmendError as problem:
            self._traceback()
            self.notes.error(problem)
            return int(problem.exit_code)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            if self.is_plugin:  # the client ends without a word
                self.notes.fail(*INTERRUPTED)
            raise
        except Exception as problem:  # noqa: BLE001 - one of the two named boundaries (CONTRIBUTING.md, house rules)
            self._traceback()
            self.notes.fail(
                f"unexpected error: {type(problem).__name__}: {problem}",
                "This is a bug: run the command again with --debug and report it with that output. "
                "'stackmend run list' shows whether a run was begun.",
            )
            return int(Exit.ERROR)

    def _sensible(self, parsed_args: argparse.Namespace) -> None:
        """UsageError for invalid text, and for a lone ``--`` as a value, which argparse turns into an empty list."""
        for name, value in vars(parsed_args).items():
            values = value if isinstance(value, list) else [value]
            option = f"--{name.replace('_', '-')}"
            if any(isinstance(one, list) for one in values) or (value == [] and name in self._single):
                raise UsageError(f"{option} has no value", f"If it begins with a dash, write {option}=VALUE.")
            for one in values:
                if isinstance(one, str) and ("\0" in one or not _is_text(one)):
                    raise UsageError(
                        f"{name} {one!r} is not UTF-8 text", "Check what produced it; a file can be renamed."
                    )

    def _found(self, parsed_args: argparse.Namespace) -> None:
        """Replace names by ids (:func:`stackmend.cli.options.add_object`), and say which objects they are."""
        given: dict[str, str] = getattr(parsed_args, "objects", None) or {}
        asked = {dest: value for dest in given if (value := getattr(parsed_args, dest))}
        if not asked:
            return
        from stackmend.app.selecting import About, chosen

        every = [(given[dest], one) for dest, value in asked.items() for one in _several(value)]
        found = chosen(self.config(), dict.fromkeys(every))
        self.about(About.of(found.values()))
        for dest, value in asked.items():
            ids = [found[given[dest], one].id for one in _several(value)]
            setattr(parsed_args, dest, ids if isinstance(value, list) else ids[0])

    def about(self, about: About) -> None:
        """Report which objects the typed names refer to."""
        for line in about.notes:
            self.notes.say(line)
        for line in about.doubts:
            self.notes.warn(line)

    def option(self, name: str, default: Any = None) -> Any:
        """A global option if it is set, else the default; a plugin's options have a prefix, except cliff's own."""
        return getattr(self.app_args, f"mend_{name}" if self.is_plugin and name not in _OF_CLIFF else name, default)

    @property
    def is_plugin(self) -> bool:
        """True as ``openstack mend ...``."""
        return getattr(self.app, "NAME", "stackmend") != "stackmend"

    @property
    def is_alone(self) -> bool:
        """True if the process ends with this command; the ``openstack`` client may wait for another one."""
        found: bool = not self.app.interactive_mode if self.is_plugin else getattr(self.app, "is_alone", False)
        return found

    @property
    def notes(self) -> Notes:
        """Output for the user, on stderr."""
        stream: TextIO = getattr(self.app, "stderr", None) or sys.stderr
        if self._stderr is None:
            self._stderr = safe_stream(stream)
        return Notes(self._stderr, quiet=self.option("verbose_level", 1) == 0, plugin=self.is_plugin)

    @property
    def stdout(self) -> TextIO:
        """Where the document goes."""
        stream: TextIO = getattr(self.app, "stdout", None) or sys.stdout
        return stream

    @property
    def color(self) -> bool:
        """True unless colours were switched off."""
        return not (self.option("no_color", False) or os.environ.get("NO_COLOR"))

    @property
    def width(self) -> int:
        """Columns for text: the terminal's, else 80; at most 120, because longer lines of prose are hard to read."""
        fallback = shutil.get_terminal_size((80, 24)).columns if self.stdout.isatty() or "COLUMNS" in os.environ else 80
        return max(40, min(fallback, 120))

    @property
    def arrow(self) -> str:
        """The arrow from an old to a new value, as the terminal can display it."""
        try:
            "\u2192".encode(getattr(self.stdout, "encoding", None) or "ascii")
        except UnicodeEncodeError:
            return "->"
        return "\u2192"

    def watch(self) -> AbstractContextManager[Progress]:
        """A progress bar, if stderr is a terminal."""
        notes = self.notes
        return progress(notes.stream, wanted=not notes.quiet, color=self.color)

    def config(self) -> Config:
        """The configuration; ConfigError when it is wrong. As a plugin, with the client's cloud if it has none."""
        from stackmend.config.settings import load

        found = load(*self.where(), **self.whose())
        if found.exposed and not self._warned:
            self._warned = True
            self.notes.warn(
                f"{found.exposed} contains passwords and is readable by every account: chmod o-r {found.exposed}"
            )
        given = self.option("database_timeout")
        return found if given is None else replace(found, database_timeout=given)

    def config_if_any(self) -> Config:
        """The configuration; an empty one if there is none."""
        from stackmend.config.settings import Config
        from stackmend.model.errors import NoConfigError

        try:
            return self.config()
        except NoConfigError:
            return Config()

    def where(self) -> tuple[str | None, Path | None]:
        """``--config`` and ``--root``: None if neither is given."""
        root = self.option("root")
        return self.option("config"), Path(root) if root else None

    def whose(self) -> dict[str, Any]:
        """``--layout``, and of the ``openstack`` client the cloud and its account."""
        chosen: dict[str, Any] = {"layout": self.option("layout")}
        if self.is_plugin:
            chosen["cloud"] = self._cloud or None
            from stackmend.cli.plugin import connection, has_account

            if has_account(self.app):
                chosen["client"] = partial(connection, self.app)
        return chosen

    @property
    def _cloud(self) -> str:
        """``--os-cloud``."""
        return getattr(self.app_args, "cloud", None) or ""

    def typed(self, *words: str) -> str:
        """The command line for a next step, with the configuration this one was given."""
        front = ["openstack"] if self.is_plugin else ["stackmend"]
        if self.is_plugin and self._cloud != os.environ.get("OS_CLOUD", ""):
            front += ["--os-cloud", self._cloud]
        for name in ("config", "root", "layout", "database-timeout"):
            if value := self.option(name.replace("-", "_")):
                text = f"{value:g}" if isinstance(value, float) else str(value)
                front += [f"--mend-{name}" if self.is_plugin else f"--{name}", text]
        return shlex.join([*front, *(["mend"] if self.is_plugin else []), *words])

    def _traceback(self) -> None:
        if self.option("debug", False):
            self.notes.lines(traceback.format_exc().rstrip().splitlines())


def _several(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Printing(Command, Lister):
    """A command with a document: the output options of the ``openstack`` client, by cliff's own formatters."""

    #: ``text`` where people get prose; machines get the whole document, tables columns of its records
    default_format: ClassVar[str] = "table"

    def _load_formatter_plugins(self) -> Any:
        from stackmend.cli.formats import formatters

        return formatters(text=self.default_format == TEXT, color=self.color)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """cliff's, with columns that may be paths into nested objects."""
        parser = super().get_parser(prog_name)
        for action in parser._actions:
            if action.dest == "columns":
                action.help = f"{action.help}; a dot goes deeper (evidence.server)"
        return parser

    @property
    def formatter_default(self) -> str:
        """The format without ``-f``."""
        return self.default_format

    def for_people(self, parsed_args: argparse.Namespace) -> bool:
        """True if prose is wanted: no format for machines, no selection or order of columns."""
        return parsed_args.formatter == TEXT and not (parsed_args.columns or parsed_args.sort_columns)

    def show(self, document: Document, parsed_args: argparse.Namespace) -> None:
        """Print the document on stdout in the format that was asked for; OutputError if that cannot be written."""
        from stackmend.report.clean import printable

        try:
            if document.text and self.for_people(parsed_args):
                self.stdout.write(printable(document.text, keep="\n").rstrip("\n") + "\n")
            else:
                self._formatted(document, parsed_args)
            self.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as problem:
            discard_output(self.stdout)
            raise OutputError(reason(problem)) from None

    def _formatted(self, document: Document, parsed_args: argparse.Namespace) -> None:
        from stackmend.report.document import reach

        whole = parsed_args.formatter in WHOLE
        shown = document.chosen(parsed_args.columns, whole=whole)
        order = [column for name in parsed_args.sort_columns if (column := document.column(name))]
        columns = tuple(dict.fromkeys((*shown, *order)))
        headed = parsed_args.formatter in ("table", TEXT)
        names = {column: column[0] if headed else column[1] for column in columns}
        rows = [[reach(record, path) for _, path in columns] for record in document.records]
        self.formatter = self._formatter_plugins[parsed_args.formatter].obj
        values = vars(parsed_args) | {
            "columns": [names[column] for column in shown],
            "sort_columns": [names[column] for column in order],
        }
        chosen = argparse.Namespace(**values)
        if whole:
            rows = json.loads(json.dumps(rows))
        if isinstance(document.data, list):
            self.produce_output(chosen, list(names.values()), rows)
        else:
            self.formatter.emit_one(chosen.columns, rows[0][: len(shown)], self.stdout, chosen)
