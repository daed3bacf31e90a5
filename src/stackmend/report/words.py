# SPDX-License-Identifier: Apache-2.0
"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from stackmend.report.clean import printable
from stackmend.report.table import columns

#: columns of a text if nobody says how many there are
WIDTH = 80
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 row``, ``2 rows``, ``12,000 rows``; ``plural=""`` for a noun without one."""
    many = f"{noun}s" if plural is None else plural or noun
    return f"{number:,} {noun if number == 1 else many}"


def size(number: int) -> str:
    """``512 B``, ``1.5 KiB``, ``128 GiB``."""
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """``a, b and 3 more``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def pace(done: int, total: int, seconds: float) -> str:
    """``34 of 120 (28%), begun 4 min ago, 8.5 a minute, about 10 min left``."""
    told = f"{done:,} of {total:,} ({done / total:.0%}), started {lasted(seconds)} ago" if total else "nothing to do"
    if not 0 < done < total or seconds <= 0:
        return told
    return f"{told}, {60 * done / seconds:.3g} a minute, about {lasted(seconds * (total - done) / done)} left"


def lasted(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``, ``2.0 d``."""
    for long, unit in ((86_400, "d"), (3_600, "h")):
        if seconds >= long:
            return f"{seconds / long:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(0, seconds):.0f} s"


def wrapped(text: str, width: int = WIDTH, indent: str = "", hang: str | None = None) -> list[str]:
    """Lines of at most ``width`` columns, except for longer words: an identifier is never broken.

    The first begins with ``indent``, the others with ``hang``, by default the same. Line ends in ``text``, like all
    control characters, are escaped.
    """
    lines, line = [], indent
    empty = True
    for word in printable(text).split(" "):
        if not empty and columns(line) + 1 + columns(word) > width:
            lines.append(line.rstrip(" "))
            line, empty = indent if hang is None else hang, True
        if empty and not word and lines:
            continue  # a gap between words that the end of the line has taken
        line, empty = f"{line}{word}" if empty else f"{line} {word}", False
    return [*lines, line] if text else []
