# SPDX-License-Identifier: Apache-2.0
"""Requests as uWSGI logs them, for APIs that run under it."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import MONTHS, iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"\[pid: (?P<process>\d+)\|app: [\d-]+\|req: [\d/-]+\] (?P<client>\S+) \([^)]*\) \{[^}]*\} "
    r"\[\w{3} (?P<month>\w{3})\s+(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d) (?P<year>\d{4})\] "
    r"(?P<request>.*?) => generated .*?\(HTTP/[\d.]+ (?P<status>\d{3})\).*"
)


def read(line: str, context: Context) -> Line | None:
    """Read one request."""
    found = _LINE.match(line)
    if found is None or found["month"] not in MONTHS:
        return None
    day = f"{found['year']}-{MONTHS[found['month']]:02d}-{int(found['day']):02d}"
    at = iso(f"{day} {found['clock']}", "", "", context)
    level = "ERROR" if found["status"] >= "500" else "INFO"
    return None if at is None else Line(at=at, text=line, level=level, logger="uwsgi", process=found["process"])


FORMAT = Format(
    name="uwsgi", title="uWSGI: [pid: 4711|app: 0|req: 1/1] 10.0.0.11 () {...} [...] GET / => generated ...", read=read
)
