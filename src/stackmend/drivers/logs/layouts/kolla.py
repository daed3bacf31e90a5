# SPDX-License-Identifier: Apache-2.0
"""kolla: ``/var/log/kolla/nova/nova-compute.log``, with the host's folder before it where several were collected."""

from __future__ import annotations

from stackmend.drivers.logs.layouts._names import service_of
from stackmend.model.diagnosing.logs import Layout

_ABOVE = {"var", "log", "volumes", "kolla_logs", "_data", "lib", "docker"}


def place(parts: tuple[str, ...]) -> tuple[str, str] | None:
    """Take the host from the folder above, unless that is one of the system's folders."""
    for mark in ("kolla", "kolla_logs"):
        if mark in parts[:-1]:
            above = [part for part in parts[: parts.index(mark)] if part not in _ABOVE and part != "/"]
            return (above[-1] if above else ""), service_of(parts[-1], parts[-2] if len(parts) > 1 else "")[0]
    return None


LAYOUT = Layout(name="kolla", title=__doc__ or "", place=place, order=30)
