# SPDX-License-Identifier: Apache-2.0
"""libvirtd's own log, and the log that it keeps of each guest (``/var/log/libvirt/qemu/``)."""

from __future__ import annotations

import re

from stackmend.drivers.logs.formats._times import iso
from stackmend.model.diagnosing.logs import Context, Format, Line

_DAEMON = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(?P<fraction>\d+)(?P<zone>[+-]\d{4}): (?P<process>\d+): "
    r"(?P<level>debug|info|warning|error) : (?P<logger>\w+):\d+ : (?P<text>.*)"
)
_GUEST = re.compile(r"(?P<second>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(?P<fraction>\d+)(?P<zone>[+-]\d{4}): (?P<text>.*)")
_QEMU = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(?P<fraction>\d+)(?P<zone>Z) "
    r"(?P<program>\S*qemu\S*|kvm): (?P<text>.*)"
)


def read(line: str, context: Context) -> Line | None:
    """Read one line of the daemon's log or of a guest's log; QEMU writes to the latter too."""
    found = _DAEMON.match(line) or _QEMU.match(line) or _GUEST.match(line)
    if found is None:
        return None
    at = iso(found["second"].replace("T", " "), found["fraction"], found["zone"], context)
    said = found.groupdict()
    if at is None:
        return None
    if said.get("program"):
        bad = "WARNING" if said["text"].startswith(("warning", "terminating")) else "ERROR"
        return Line(at=at, text=f"{said['program'].rpartition('/')[2]}: {said['text']}", level=bad, service="qemu")
    level = (said.get("level") or "info").upper()
    return Line(
        at=at,
        text=said["text"],
        level=level,
        logger=said.get("logger") or "",
        process=said.get("process") or "",
        service="libvirt",
    )


FORMAT = Format(
    name="libvirt",
    title="libvirt and QEMU: 2026-11-29 10:11:12.123+0000: 4711: error : function:99 : text",
    read=read,
    order=25,
)
