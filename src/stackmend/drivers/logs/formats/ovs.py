# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch and OVN: ``ovs-vswitchd.log``, ``ovn-controller.log``, ``ovsdb-server-nb.log``."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(?P<fraction>\d+)Z\|\d+\|(?P<logger>[^|]+)\|(?P<level>\w+)\|(?P<text>.*)"
)
_LEVELS = {"EMER": "CRITICAL", "ERR": "ERROR", "WARN": "WARNING", "DBG": "DEBUG"}


def read(line: str, context: Context) -> Line | None:
    """Read one line."""
    found = _LINE.match(line)
    at = iso(found["second"].replace("T", " "), found["fraction"], "Z", context) if found else None
    if found is None or at is None:
        return None
    return Line(at=at, text=found["text"], level=_LEVELS.get(found["level"], "INFO"), logger=found["logger"])


FORMAT = Format(name="ovs", title="Open vSwitch and OVN: 2026-11-29T10:11:12.123Z|00001|bridge|ERR|text", read=read)
