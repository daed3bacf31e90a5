# SPDX-License-Identifier: Apache-2.0
"""Tables on a terminal: ids are never broken, prose is wrapped. In a pipe :mod:`stackmend.cli.formats` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO
from unicodedata import combining, east_asian_width

_COLORS = {"error": "bold red", "warning": "yellow", "info": "cyan", "waived": "dim", "candidate": "dim"}
#: headings of prose: these columns give way when the terminal is narrow
_PROSE = frozenset({"message", "what is wrong", "what it does", "repairs", "mends", "step", "note", "what", "command"})

#: characters that prose wants at least, before other columns are folded, too
_ENOUGH = 24


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO, *, color: bool = True) -> None:
    """Draw a table that fits the terminal."""
    from rich.box import ASCII2
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2, header_style="bold")
    console = Console(file=stream, color_system="auto" if color else None, highlight=False)
    widths = [max(len(cell) for cell in column) + 3 for column in zip(headings, *rows, strict=True)]
    fixed = sum(width for heading, width in zip(headings, widths, strict=True) if heading.lower() not in _PROSE)
    roomy = fixed + _ENOUGH <= console.width
    for heading in headings:
        table.add_column(Text(heading), overflow="fold", no_wrap=roomy and heading.lower() not in _PROSE)
    for row in rows:
        table.add_row(*(Text(cell, style=_COLORS.get(cell, "") if color else "") for cell in row))
    console.print(table)


def columns(text: str) -> int:
    """Columns that a text takes on a terminal: wide letters take two, marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
