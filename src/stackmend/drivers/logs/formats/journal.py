# SPDX-License-Identifier: Apache-2.0
"""systemd's journal as ``journalctl -o json`` prints it; ``-o export`` is converted to that while it is read."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from stackmend.drivers.logs.formats import oslo
from stackmend.model.diagnosing.logs import Context, Format, Line

_LEVELS = ("CRITICAL", "CRITICAL", "CRITICAL", "ERROR", "WARNING", "INFO", "INFO", "DEBUG")
_UNIT = re.compile(r"(?:kolla-|container-|devstack@)?(?P<name>.*?)(?:@[^.]*)?(?:-container)?\.(?:service|scope)$")


def read(line: str, context: Context) -> Line | None:
    """Read one entry; a message of oslo.log in it is read as such."""
    if not line.startswith("{") or '"MESSAGE"' not in line:
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    stamp = _text(found.get("_SOURCE_REALTIME_TIMESTAMP") or found.get("__REALTIME_TIMESTAMP"))
    if not stamp.isdigit():
        return None
    message = _text(found.get("MESSAGE"))
    at = int(stamp) / 1e6
    unit = _UNIT.match(_text(found.get("_SYSTEMD_UNIT")))
    service = _text(found.get("SYSLOG_IDENTIFIER")) or (unit["name"] if unit else "")
    host = _text(found.get("_HOSTNAME")) or context.host
    first, _, rest = message.partition("\n")
    inner = oslo.read(first, context)
    if inner is not None:
        return replace(inner, at=at, host=host, service=service, more=rest)
    priority = _text(found.get("PRIORITY"))
    level = _LEVELS[int(priority)] if priority in tuple("01234567") else "INFO"
    return Line(
        at=at,
        text=first,
        host=host,
        service=service,
        level=_text(found.get("LOGGER_LEVEL")) or level,
        logger=_text(found.get("LOGGER_NAME")),
        process=_text(found.get("_PID")),
        request=_text(found.get("REQUEST_ID")),
        more="\n".join(part for part in (rest, _text(found.get("EXCEPTION_INFO"))) if part and part not in rest)
        or rest,
    )


def _text(value: object) -> str:
    """A field: text, or a list of bytes if it is not valid UTF-8."""
    if isinstance(value, list):
        if all(isinstance(one, int) and 0 <= one < 256 for one in value):
            return bytes(value).decode("utf-8", "replace")
        return _text(value[-1]) if value else ""
    return "" if value is None else str(value)


FORMAT = Format(name="journal", title="journalctl -o json, or -o export", read=read, order=20)
