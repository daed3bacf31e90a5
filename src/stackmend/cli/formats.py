# SPDX-License-Identifier: Apache-2.0
"""cliff's formatters, as in the ``openstack`` client, with cells that people and shells can read."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint
from typing import TextIO

from cliff.formatters.base import SingleFormatter
from cliff.formatters.commaseparated import CSVLister
from cliff.formatters.json_format import JSONFormatter
from cliff.formatters.table import TableFormatter
from cliff.formatters.value import ValueFormatter
from cliff.formatters.yaml_format import YAMLFormatter
from stevedore import ExtensionManager
from stevedore.extension import Extension

from stackmend.cli.base import TEXT
from stackmend.report.clean import printable
from stackmend.report.document import cell
from stackmend.report.table import draw

#: characters of a cell that a table shows: a cell with a whole file would make every line that long
_LONGEST = 1000
_Rows = Iterable[Sequence[object]]
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def readable(value: object) -> object:
    """A value as a cell: numbers unchanged, everything else as text without control characters."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return printable(cell(value))


def _harmless(value: object) -> object:
    """A cell that a spreadsheet displays instead of computing: names in a cloud are chosen by its users."""
    value = readable(value)
    formula = isinstance(value, str) and value[:1] in tuple("=+-@\t\r") and not _NUMBER.fullmatch(value)
    return f"'{value}" if formula else value


def _cut(value: object) -> object:
    value = readable(value)
    if not isinstance(value, str) or len(value) <= _LONGEST:
        return value
    return f"{value[:_LONGEST]}... ({len(value):,} characters: -f json has them all)"


class TableOutput(TableFormatter):
    """On a terminal ids stay whole and severities have colours, unless a width is asked for."""

    def __init__(self, *, color: bool = True) -> None:
        self._color = color

    def emit_list(self, names: Sequence[str], data: _Rows, stdout: TextIO, parsed_args: Namespace) -> None:
        """One line per record; nothing at all if there are none, unless ``--print-empty``."""
        rows = [[_cut(value) for value in row] for row in data]
        fitted = parsed_args.fit_width or parsed_args.max_width > 0
        if rows and stdout.isatty() and not fitted:
            draw(names, [[str(value) for value in row] for row in rows], stdout, color=self._color)
        elif rows or parsed_args.print_empty:
            super().emit_list(names, rows, stdout, parsed_args)

    def emit_one(self, names: Sequence[str], data: Sequence[object], stdout: TextIO, parsed_args: Namespace) -> None:
        """One line per field."""
        super().emit_one(names, [_cut(value) for value in data], stdout, parsed_args)


class ValueOutput(ValueFormatter):
    """For shells."""

    def emit_list(self, names: Sequence[str], data: _Rows, stdout: TextIO, parsed_args: Namespace) -> None:
        """One line per record."""
        super().emit_list(names, [[readable(value) for value in row] for row in data], stdout, parsed_args)

    def emit_one(self, names: Sequence[str], data: Sequence[object], stdout: TextIO, parsed_args: Namespace) -> None:
        """One line per value."""
        super().emit_one(names, [readable(value) for value in data], stdout, parsed_args)


class Csv(CSVLister, SingleFormatter):
    """For spreadsheets."""

    def emit_list(self, names: Sequence[str], data: _Rows, stdout: TextIO, parsed_args: Namespace) -> None:
        """A heading, and one line per record."""
        super().emit_list(names, [[_harmless(value) for value in row] for row in data], stdout, parsed_args)

    def emit_one(self, names: Sequence[str], data: Sequence[object], stdout: TextIO, parsed_args: Namespace) -> None:
        """As a list of one."""
        self.emit_list(names, [data], stdout, parsed_args)


class TextOutput(TableOutput):
    """The format name of prose; if sorting or columns are requested, a table of records is printed."""

    def add_argument_group(self, parser: ArgumentParser) -> None:
        """Those of the table."""

    def emit_one(self, names: Sequence[str], data: Sequence[object], stdout: TextIO, parsed_args: Namespace) -> None:
        """A list of one."""
        self.emit_list(names, [data], stdout, parsed_args)


def formatters(*, text: bool, color: bool) -> ExtensionManager[object]:
    """cliff's formatters, which it finds by entry points, without reading the metadata of every distribution."""
    found = {"csv": Csv(), "json": JSONFormatter(), "value": ValueOutput(), "yaml": YAMLFormatter()}
    found |= {"table": TableOutput(color=color)} | ({TEXT: TextOutput(color=color)} if text else {})
    return ExtensionManager.make_test_instance(
        [Extension(name, EntryPoint(name, "", ""), type(one), one) for name, one in found.items()]
    )
