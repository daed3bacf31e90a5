# SPDX-License-Identifier: Apache-2.0
"""Times as they are written in logs."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from stackmend.model.diagnosing.logs import Context

MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}


@lru_cache(maxsize=4096)
def _second(text: str) -> float | None:
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def iso(second: str, fraction: str, zone: str, context: Context) -> float | None:
    """``2026-11-29 10:11:12``, a fraction and a zone ("Z", "+01:00", "+0000" or ""); None if it is not a valid time."""
    zone = "+00:00" if zone in ("Z", "UTC") else zone.replace("UTC", "")
    if len(zone) == 5:
        zone = f"{zone[:3]}:{zone[3:]}"
    at = _second(second + zone)
    if at is None:
        return None
    return at + (float(f"0.{fraction}") if fraction else 0.0) - (0.0 if zone else context.offset)


@lru_cache(maxsize=4096)
def _clf(text: str, zone: str) -> float | None:
    day, month, rest = text.split("/", 2)
    year, _, clock = rest.partition(":")
    if len(year) != 4:
        year, _, clock = rest.partition(" ")
    if month not in MONTHS:
        return None
    return _second(f"{year}-{MONTHS[month]:02d}-{int(day):02d} {clock}{zone[:3]}{':' if zone else ''}{zone[3:]}")


def clf(text: str, zone: str, context: Context) -> float | None:
    """``29/Nov/2026:10:11:12`` (or with a space) and a zone: ``+0100`` or ""."""
    at = _clf(text, zone)
    return at if at is None or zone else at - context.offset


def without_year(month: str, day: str, clock: str, context: Context) -> float | None:
    """``Nov 29 10:11:12``: in the year of the file's newest line, or in the year before it."""
    number = MONTHS.get(month)
    if number is None:
        return None
    year = context.year - (number > context.month)
    at = _second(f"{year:04d}-{number:02d}-{int(day):02d} {clock}")
    return None if at is None else at - context.offset
