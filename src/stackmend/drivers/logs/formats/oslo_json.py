# SPDX-License-Identifier: Apache-2.0
"""oslo.log's JSON and Fluentd formatters: one object on each line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stackmend.drivers.logs.formats._times import iso
from stackmend.model.diagnosing.logs import Context, Format, Line


def read(line: str, context: Context) -> Line | None:
    """Read one object with ``message`` and ``levelname`` (JSON) or ``level`` (Fluentd)."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or not ("levelname" in found or "level" in found) or "message" not in found:
        return None
    about = found.get("context") if isinstance(found.get("context"), Mapping) else {}
    extra = found.get("extra") if isinstance(found.get("extra"), Mapping) else {}
    trace = found.get("traceback") or ""
    instance = str((extra or {}).get("instance") or "")
    text = str(found["message"])
    first, _, rest = text.partition("\n")
    if len(instance) == 36 and instance not in text:
        first = f"[instance: {instance}] {first}"
    more = "\n".join(trace) if isinstance(trace, list) else str(trace)
    return Line(
        at=_time(found, context),
        text=first,
        level=str(found.get("levelname") or found.get("level") or "INFO").upper(),
        logger=str(found.get("name") or ""),
        process=str(found.get("process") or ""),
        host=str(found.get("hostname") or found.get("host") or ""),
        request=str((about or {}).get("request_id") or ""),
        global_request=str((about or {}).get("global_request_id") or ""),
        more="\n".join(part for part in (rest, more) if part),
    )


def _time(found: Mapping[str, Any], context: Context) -> float | None:
    created = found.get("created")
    if isinstance(created, int | float) and not isinstance(created, bool):
        return float(created)
    text = str(found.get("asctime") or found.get("time") or "").replace(",", ".").replace("T", " ")
    second, _, fraction = text.partition(".")
    digits = "".join(char for char in fraction[:6] if char.isdigit())
    return iso(second[:19], digits, "", context)


FORMAT = Format(name="oslo-json", title='JSON of oslo.log or Fluentd: {"message": ..., "levelname": ...}', read=read)
