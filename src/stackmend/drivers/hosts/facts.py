# SPDX-License-Identifier: Apache-2.0
"""Reads the facts that show whether a host is really back, from plain files, with one command."""

from __future__ import annotations

import time
from collections.abc import Callable

from stackmend.model.errors import SourceError
from stackmend.model.objects.facts import HostFacts, mounts
from stackmend.model.protocols import Hosts

#: the source of each part; none of them contains the separator
_SCRIPT = (
    "cat /proc/sys/kernel/random/boot_id && echo == && cat /proc/uptime && echo == && date +%s.%N && echo =="
    " && cat /proc/self/mounts"
)


def facts(hosts: Hosts, host: str, *, now: Callable[[], float] = time.time) -> HostFacts:
    """The facts about ``host``. HostUnreachable and HostLost as ``hosts.run``; SourceError for an incomplete answer.

    ``now``: seconds since 1970 by our own clock.
    """
    before = now()
    done = hosts.run(host, ("sh", "-c", _SCRIPT), limit=30.0)
    after = now()
    parts = done.out.decode("utf-8", "surrogateescape").split("==\n")
    try:
        if done.code != 0:
            raise ValueError(f"exit code {done.code}")
        boot_id, uptime, seconds, mounted = parts
        # without nanoseconds (busybox) the time has a resolution of one second
        if len(boot_id.split()) != 1:
            raise ValueError(f"its boot id is {boot_id.strip()[:40]!r}")
        whole, _, rest = seconds.strip().partition(".")
        fraction = float(f"0.{rest}") if rest.isdigit() else 0.5
        there = int(whole) + fraction
        found = HostFacts(
            host=host,
            boot_id=boot_id.strip(),
            uptime=float(uptime.split()[0]),
            mounts=mounts(mounted),
            ahead=there - (before + after) / 2,
            within=(after - before) / 2 + (0.0 if rest.isdigit() else 0.5),
        )
    except (ValueError, IndexError) as problem:
        raise SourceError(
            f"{host or 'this machine'} does not report its boot time and mounts: {problem}",
            "It must have /proc, and the account must be allowed to read it.",
        ) from None
    return found
