# SPDX-License-Identifier: Apache-2.0
"""oslo.log with and without context, of every release since Mitaka: the logs of Nova, Neutron, Cinder, Glance ..."""

from __future__ import annotations

import re
from dataclasses import replace

from stackmend.drivers.logs.formats._times import iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_HEAD = re.compile(
    r"(?:\x1b\[[\d;]*m)?(?P<second>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)[.,](?P<fraction>\d{3,6})"
    r"(?P<zone>Z|[+-]\d\d:?\d\d|)\s+"
    r"(?P<process>\d+)\s+(?P<level>TRACE|DEBUG|INFO|NOTICE|AUDIT|WARNING|WARN|ERROR|CRITICAL)\s+"
    r"(?P<logger>[\w.-]+)(?P<rest>(?:\s.*)?)$",
    re.DOTALL,
)
_BRACKET = re.compile(r"\s\[(?P<inside>-|None|(?:None |- )?(?:req-|None|- ).*?)\]\s?")
_INSTANCE = re.compile(r"\[instance: [0-9a-f-]{36}\]\s?")
_LEVELS = {"WARN": "WARNING", "TRACE": "ERROR", "AUDIT": "INFO", "NOTICE": "INFO"}


def context_of(inside: str) -> tuple[str, str]:
    """(request, global request) from the text in the brackets."""
    asked = [word for word in inside.split()[:2] if word.startswith("req-")]
    if len(asked) == 2:
        return asked[1], asked[0]
    return (asked[0] if asked else ""), ""


def read(line: str, context: Context) -> Line | None:
    """Read one line; the lines of a traceback continue the message before them."""
    found = _HEAD.match(line)
    if found is None:
        return None
    at = iso(found["second"], found["fraction"], found["zone"], context)
    if at is None:
        return None
    rest, level = found["rest"], _LEVELS.get(found["level"], found["level"])
    made = Line(at=at, text="", level=level, logger=found["logger"], process=found["process"])
    bracket = _BRACKET.match(rest)
    if bracket is None:
        # the prefix of a traceback has no context
        goes_on = level in ("ERROR", "CRITICAL", "WARNING")
        text = rest[1:] if rest[:1].isspace() else rest
        return replace(made, text=_INSTANCE.sub("", text, count=1) if goes_on else text, goes_on=goes_on)
    request, asked = context_of(bracket["inside"])
    return replace(made, text=rest[bracket.end() :], request=request, global_request=asked)


FORMAT = Format(
    name="oslo",
    title="oslo.log: 2026-11-29 10:11:12.123 4711 INFO nova.compute.manager [req-... - -] [instance: ...] text",
    read=read,
    order=10,
)
