# SPDX-License-Identifier: Apache-2.0
"""Apache's error log, which has the stderr of services that run under mod_wsgi."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from stackmend.drivers.logs.formats import oslo
from stackmend.drivers.logs.formats._times import MONTHS
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"\[[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>\d\d) (?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:\."
    r"(?P<fraction>\d+))? "
    r"(?P<year>\d{4})\] \[(?:\w*:)?(?P<level>\w+)\] (?:\[pid (?P<process>\d+)[^\]]*\] )?(?:\[\S+ [^\]]*\]"
    r" )*(?P<text>.*)"
)
_LEVELS = {
    "emerg": "CRITICAL",
    "alert": "CRITICAL",
    "crit": "CRITICAL",
    "error": "ERROR",
    "warn": "WARNING",
    "debug": "DEBUG",
}


def read(line: str, context: Context) -> Line | None:
    """Read one line; a message of oslo.log in it is read as such."""
    found = _LINE.match(line)
    if found is None or found["month"] not in MONTHS:
        return None
    inner = oslo.read(found["text"], context)
    if inner is not None:
        return inner
    try:
        clock = datetime(
            int(found["year"]), MONTHS[found["month"]], int(found["day"]), int(found["h"]), int(found["m"]),
            int(found["s"]), tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    at = clock.timestamp() + float(f"0.{found['fraction'] or 0}") - context.offset
    level = _LEVELS.get(found["level"], "INFO")
    return Line(at=at, text=found["text"], level=level, logger="apache", process=found["process"] or "")


FORMAT = Format(
    name="apache-error", title="Apache: [Sun Nov 29 10:11:12.123456 2026] [wsgi:error] [pid 4711] text", read=read
)
