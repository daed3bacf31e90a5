# SPDX-License-Identifier: Apache-2.0
"""A sosreport, packed or not: ``sosreport-HOST-2026-11-29-abcdefg/var/log/...``."""

from __future__ import annotations

import re

from stackmend.drivers.logs.layouts._names import service_of
from stackmend.model.diagnosing.logs import Layout

_REPORT = re.compile(r"sos(?:report|collector)?-(?P<host>.+?)(?:-\d{4,10})?-\d{4}-\d\d-\d\d-[a-z]{7}$")


def place(parts: tuple[str, ...]) -> tuple[str, str] | None:
    """Take the host from the name of the report."""
    for part in parts[:-1]:
        if (found := _REPORT.match(part)) is not None:
            return found["host"], service_of(parts[-1], parts[-2] if len(parts) > 1 else "")[0]
    return None


LAYOUT = Layout(name="sosreport", title=__doc__ or "", place=place, order=10)
