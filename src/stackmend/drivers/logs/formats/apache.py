# SPDX-License-Identifier: Apache-2.0
"""Access logs of Apache, nginx and other programs that write the common or the combined format."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import clf
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?:(?P<vhost>[\w.-]+:\d+) )?(?P<client>[0-9a-fA-F.:,]+|-|[\w.-]+) \S+ \S+ "
    r"\[(?P<time>\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4})\] "
    r'"(?P<request>[^"]*)" (?P<status>\d{3}) .*'
)


def read(line: str, context: Context) -> Line | None:
    """Read one request."""
    found = _LINE.match(line)
    at = clf(found["time"], found["zone"], context) if found else None
    if found is None or at is None:
        return None
    return Line(at=at, text=line, level="ERROR" if found["status"] >= "500" else "INFO", logger="access")


FORMAT = Format(
    name="apache",
    title='Apache or nginx: 10.0.0.11 - - [29/Nov/2026:10:11:12 +0000] "GET / HTTP/1.1" 200 ...', read=read
)  # fmt: skip
