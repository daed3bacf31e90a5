# SPDX-License-Identifier: Apache-2.0
"""Numbers and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 row``, ``2 rows``, ``12,000 rows``; ``plural=""`` for a noun without one."""
    many = f"{noun}s" if plural is None else plural or noun
    return f"{number:,} {noun if number == 1 else many}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """``a, b and 3 more``."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
