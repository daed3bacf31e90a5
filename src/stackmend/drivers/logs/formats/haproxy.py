# SPDX-License-Identifier: Apache-2.0
"""Requests as HAProxy logs them (``option httplog``), with or without a syslog header."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import clf
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?:(?:<\d+>)?\w{3}\s+\d{1,2} \d\d:\d\d:\d\d (?:(?P<host>\S+) )?)?haproxy\[(?P<process>\d+)\]: "
    r"(?P<client>[0-9a-fA-F.:]+):\d+ "
    r"\[(?P<time>\d{1,2}/\w{3}/\d{4}:\d\d:\d\d:\d\d)\.(?P<fraction>\d{3})\] (?P<front>\S+) "
    r"(?P<back>[^/\s]+)/(?P<node>\S+) "
    r"[-+\d/]+ (?P<status>-?\d{1,3}) .*"
)


def read(line: str, context: Context) -> Line | None:
    """Read one request; a 5xx status, or no answer at all from the server behind it, is trouble."""
    found = _LINE.match(line)
    at = clf(found["time"], "", context) if found else None
    if found is None or at is None:
        return None
    bad = found["status"].startswith(("5", "-")) or found["node"] == "<NOSRV>"
    return Line(
        at=at + int(found["fraction"]) / 1000, text=line[line.index("haproxy[") :], level="ERROR" if bad else "INFO",
        logger="haproxy", process=found["process"], host=found["host"] or "", service="haproxy",
    )  # fmt: skip


FORMAT = Format(
    name="haproxy",
    title="HAProxy: haproxy[99]: 10.0.0.11:5 [29/Nov/2026:10:11:12.123] front back/node ...",
    read=read,
    order=25,
)
