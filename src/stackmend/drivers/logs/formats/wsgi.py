# SPDX-License-Identifier: Apache-2.0
"""Requests as eventlet's WSGI server logs them (``neutron.wsgi``), without oslo.log's header."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import clf
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r'[0-9a-fA-F.:,]+ - - \[(?P<time>\d{1,2}/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d)\] "[A-Z]+ \S+'
    r' HTTP/[\d.]+" (?P<status>\d{3}) .*'
)


def read(line: str, context: Context) -> Line | None:
    """Read one request."""
    found = _LINE.match(line)
    at = clf(found["time"], "", context) if found else None
    if found is None or at is None:
        return None
    return Line(at=at, text=line, level="ERROR" if found["status"] >= "500" else "INFO", logger="wsgi")


FORMAT = Format(
    name="wsgi",
    title='eventlet: 10.0.0.11,10.0.0.21 - - [02/Aug/2016 14:03:11] "GET /v2.0/ports.json HTTP/1.1" 200 ...',
    read=read,
)  # fmt: skip
