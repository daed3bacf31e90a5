# SPDX-License-Identifier: Apache-2.0
"""syslog, with the short time without a year or with rsyslog's: lines of any program, with or without oslo.log."""

from __future__ import annotations

import re
from dataclasses import replace

from stackmend.drivers.logs.formats import oslo
from stackmend.drivers.logs.formats._times import iso, without_year
from stackmend.model.diagnosing.logs import Context, Format, Line

_SHORT = re.compile(
    r"(?:<\d+>)?(?P<month>[A-Z][a-z]{2})\s+(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?:\.\d+)? (?P<rest>\S+ .*)",
    re.DOTALL,
)
_LONG = re.compile(
    r"(?:<\d+>)?(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d) (?P<rest>\S+ .*)",
    re.DOTALL,
)
_WHO = re.compile(r"(?P<host>\S+) (?P<program>[^\s\[:]+)(?:\[(?P<process>\d+)\])?: ?(?P<text>.*)", re.DOTALL)
_KERNEL = re.compile(r"^\[\s*\d+\.\d+\] ")
_BAD = re.compile(r"\b(error|failed|denied|DENIED|fatal|cannot|Out of memory|oom-kill|BUG:|panic)\b", re.IGNORECASE)


def read(line: str, context: Context) -> Line | None:
    """Read one line. syslog writes no level to its files, so a line with words of trouble counts as a warning."""
    if (short := _SHORT.match(line)) is not None:
        at, rest = without_year(short["month"], short["day"], short["clock"], context), short["rest"]
    elif (long := _LONG.match(line)) is not None:
        at, rest = iso(long["second"].replace("T", " "), long["fraction"] or "", long["zone"], context), long["rest"]
    else:
        return None
    who = _WHO.match(rest)
    if who is None or at is None:
        return None
    text = _KERNEL.sub("", who["text"])
    service = who["program"].rpartition("/")[2]
    inner = oslo.read(text, context)
    if inner is not None:
        return replace(inner, host=who["host"], service=service)
    level = "WARNING" if _BAD.search(text) else "INFO"
    return Line(at=at, text=text, level=level, host=who["host"], service=service, process=who["process"] or "")


FORMAT = Format(name="syslog", title="syslog: Nov 29 10:11:12 c01 nova-compute[4711]: text", read=read, order=30)
