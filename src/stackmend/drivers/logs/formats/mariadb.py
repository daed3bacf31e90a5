# SPDX-License-Identifier: Apache-2.0
"""The error log of MariaDB and MySQL, including Galera's messages."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d[ T]\s?\d{1,2}:\d\d:\d\d)(?:\.(?P<fraction>\d+))?(?P<zone>Z|) (?P<process>\d+) "
    r"\[(?P<level>Note|Warning|ERROR|Error|System)\] (?:\[MY-\d+\] )?(?:\[\w+\] )?(?P<text>.*)"
)
_LEVELS = {"Note": "INFO", "System": "INFO", "Warning": "WARNING"}


def read(line: str, context: Context) -> Line | None:
    """Read one line."""
    found = _LINE.match(line)
    if found is None:
        return None
    day, _, clock = found["second"].replace("T", " ").partition(" ")
    at = iso(f"{day} {clock.strip():0>8}", found["fraction"] or "", found["zone"], context)
    level = _LEVELS.get(found["level"], "ERROR")
    return (
        None
        if at is None
        else Line(at=at, text=found["text"], level=level, process=found["process"], service="mariadb")
    )


FORMAT = Format(name="mariadb", title="MariaDB or MySQL: 2026-11-29 10:11:12 0 [ERROR] text", read=read)
