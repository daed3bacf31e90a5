# SPDX-License-Identifier: Apache-2.0
"""cloud-init, on a guest's console or in its ``cloud-init.log``."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?:\[\s*\d+\.\d+\] )?(?:cloud-init\[\d+\]: )?(?P<second>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(?P<fraction>\d{3}) - "
    r"(?P<logger>[\w.]+)\[(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\]: (?P<text>.*)"
)


def read(line: str, context: Context) -> Line | None:
    """Read one line."""
    found = _LINE.match(line)
    at = iso(found["second"], found["fraction"], "", context) if found else None
    if found is None or at is None:
        return None
    # the text keeps the name of the file, which says what asked in vain
    text = f"{found['logger']}[{found['level']}]: {found['text']}"
    return Line(at=at, text=text, level=found["level"], logger=found["logger"], service="console")


FORMAT = Format(
    name="cloud-init",
    title="cloud-init: 2026-11-29 10:11:12,123 - url_helper.py[WARNING]: text",
    read=read,
    order=15,
)
