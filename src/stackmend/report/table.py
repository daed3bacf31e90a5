# SPDX-License-Identifier: Apache-2.0
"""Tables with the look of openstackclient: they fit a terminal, and keep each record on one line in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

_COLORS = {"error": "bold red", "warning": "yellow", "info": "cyan", "waived": "dim", "candidate": "dim"}
_IDENTIFIERS = frozenset({"fingerprint", "id", "severity", "state", "status", "check", "resource", "port", "run"})


def draw(headings: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO, *, color: bool = True) -> None:
    """Draw a table; nothing at all when there are no rows."""
    if not rows:
        return
    if stream.isatty():
        _fitted(headings, rows, stream, color=color)
        return
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+\n"
    stream.write(rule + _line(headings, widths) + rule)
    stream.writelines(_line(row, widths) for row in rows)
    stream.write(rule)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "|" + "|".join(f" {cell:<{width}} " for cell, width in zip(cells, widths, strict=True)) + "|\n"


def _fitted(headings: Sequence[str], rows: Sequence[Sequence[str]], stream: TextIO, *, color: bool) -> None:
    from rich.box import ASCII2
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=ASCII2, header_style="bold")
    for heading in headings:
        short = heading.lower() in _IDENTIFIERS
        table.add_column(Text(heading), overflow="fold", ratio=None, min_width=8 if not short else None)
    for row in rows:
        table.add_row(*(Text(cell, style=_COLORS.get(cell, "") if color else "") for cell in row))
    Console(file=stream, no_color=not color or None, highlight=False).print(table)
