# SPDX-License-Identifier: Apache-2.0
"""Lines of oslo.log without times, as people paste them into tickets: they keep the order of their file."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats.oslo import context_of
from stackmend.model.diagnosing.logs import Context, Format, Line

_LINE = re.compile(
    r"(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) )?(?:(?P<logger>[a-z_]+(?:\.[a-z_0-9]+)+) )?"
    r"(?P<context>\[(?:-|req-[^\]]*)\] )?(?P<text>(?P<instance>\[instance: [0-9a-f-]{36}\])?.*)"
)
_TROUBLE = re.compile(r"\b(failed|error|Failed|Error)\b")


def read(line: str, context: Context) -> Line | None:
    """Read one line that names a logger with its context, or that begins with the instance."""
    found = _LINE.match(line)
    if found is None or not (found["instance"] or (found["logger"] and found["context"])):
        return None
    request, asked = context_of((found["context"] or "").strip("[] "))
    level = found["level"] or ("ERROR" if _TROUBLE.search(found["text"]) else "INFO")
    return Line(
        at=None, text=found["text"], level=level, logger=found["logger"] or "", request=request, global_request=asked
    )


FORMAT = Format(
    name="undated",
    title="oslo.log without a time: nova.virt.libvirt.driver [-] [instance: ...] text", read=read, order=90
)  # fmt: skip
