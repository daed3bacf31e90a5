# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ's log, as written by current releases and by those before 3.7."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import MONTHS, iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(?P<fraction>\d+)(?P<zone>[+-]\d\d:\d\d|) "
    r"\[(?P<level>debug|info|notice|warning|error|critical)\] <(?P<process>[\d.]+)> ?(?P<text>.*)"
)
_OLD = re.compile(
    r"=(?P<level>INFO|WARNING|ERROR|CRASH) REPORT==== (?P<day>\d{1,2})-(?P<month>\w{3})-(?P<year>\d{4})::"
    r"(?P<clock>\d\d:\d\d:\d\d) ==="
)


def read(line: str, context: Context) -> Line | None:
    """Read one line, or the header of a report whose lines follow."""
    if (found := _LINE.match(line)) is not None:
        at = iso(found["second"], found["fraction"], found["zone"], context)
        level = {"notice": "INFO"}.get(found["level"], found["level"].upper())
        return (
            None
            if at is None
            else Line(at=at, text=found["text"], level=level, process=found["process"], service="rabbitmq")
        )
    old = _OLD.match(line)
    if old is None or old["month"] not in MONTHS:
        return None
    day = f"{old['year']}-{MONTHS[old['month']]:02d}-{int(old['day']):02d}"
    at = iso(f"{day} {old['clock']}", "", "", context)
    return (
        None
        if at is None
        else Line(at=at, text="", level={"CRASH": "ERROR"}.get(old["level"], old["level"]), service="rabbitmq")
    )


FORMAT = Format(name="rabbitmq", title="RabbitMQ: 2026-11-29 10:11:12.123456+00:00 [error] <0.1.0> text", read=read)
