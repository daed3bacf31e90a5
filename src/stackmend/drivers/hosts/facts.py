# SPDX-License-Identifier: Apache-2.0
"""Reads what tells whether a host is really back, from plain files, with one command."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from stackmend.model.errors import SourceError
from stackmend.model.facts import HostFacts, Mount
from stackmend.model.ports import Hosts

#: what each part is taken from; the separator is in none of them
_SCRIPT = (
    "cat /proc/sys/kernel/random/boot_id && echo == && cat /proc/uptime && echo == && date +%s.%N && echo =="
    " && cat /proc/self/mounts"
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


def facts(hosts: Hosts, host: str, *, now: Callable[[], float] = time.time) -> HostFacts:
    """What ``host`` says of itself. HostUnreachable and HostLost as ``hosts.run``; SourceError for half an answer.

    ``now``: seconds since 1970 by our own clock.
    """
    before = now()
    done = hosts.run(host, ("sh", "-c", _SCRIPT), limit=30.0)
    after = now()
    parts = done.out.decode("utf-8", "surrogateescape").split("==\n")
    try:
        if done.code != 0:
            raise ValueError(f"exit code {done.code}")
        boot_id, uptime, seconds, mounts = parts
        # without nanoseconds (busybox) the time is known to the second
        whole, _, rest = seconds.strip().partition(".")
        fraction = float(f"0.{rest}") if rest.isdigit() else 0.5
        there = int(whole) + fraction
        found = HostFacts(
            host=host,
            boot_id=boot_id.strip(),
            uptime=float(uptime.split()[0]),
            mounts=tuple(_mount(line) for line in mounts.splitlines() if line),
            ahead=there - (before + after) / 2,
            within=(after - before) / 2 + (0.0 if rest.isdigit() else 0.5),
        )
    except (ValueError, IndexError) as problem:
        raise SourceError(
            f"{host or 'this machine'} does not say when it was started and what is mounted: {problem}",
            "It must have /proc, and the account must be allowed to read it.",
        ) from None
    return found


def _mount(line: str) -> Mount:
    source, target, kind, options, *_ = line.split(" ")
    return Mount(source=_plain(source), target=_plain(target), kind=kind, options=tuple(options.split(",")))


def _plain(field: str) -> str:
    """Spaces and the like are written as octal numbers there."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)
