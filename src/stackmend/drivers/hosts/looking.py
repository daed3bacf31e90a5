# SPDX-License-Identifier: Apache-2.0
"""The guests of a host by libvirt, in a process of its own: libvirt waits without limit for a host that hangs.

Run as ``python -m stackmend.drivers.hosts.looking URI HOST SECONDS``, it writes a :class:`Look` to stdout. After that
time it is ended, by its parent or, if that was killed, by itself.
"""

from __future__ import annotations

import math
import signal
import sys

import msgspec

from stackmend.drivers.hosts import libvirt
from stackmend.drivers.hosts.child import KEPT, Child
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.objects.facts import Domain

#: more than any name of a host or message needs
_TAIL = 500


class Look(msgspec.Struct):
    """What such a process says."""

    domains: list[Domain] = []
    problem: str = ""
    hint: str = ""


def domains(uri: str, host: str, limit: float) -> list[Domain]:
    """As :func:`.libvirt.domains`; SourceError as well if it takes more than ``limit`` seconds."""
    child = Child((sys.executable, "-m", __spec__.name, uri, host, str(math.ceil(limit) + 1)))
    try:
        code = child.poll(limit)
    finally:
        child.end()
    if code is None:
        raise SourceError(f"libvirt of {host} did not answer within {limit:.0f} s", "Check libvirtd there.")
    if code != 0 or len(child.out) > KEPT:
        why = bytes(child.err[-_TAIL:]).decode(errors="replace").strip().rpartition("\n")[2]
        raise SourceError(f"libvirt of {host} could not be read: {why or f'exit code {code}'}")
    found = msgspec.json.decode(bytes(child.out), type=Look)
    if found.problem:
        raise SourceError(found.problem, found.hint)
    return found.domains


def _main(uri: str, host: str, seconds: str) -> None:
    signal.alarm(int(seconds))  # nothing handles it: the kernel ends the process, also while libvirt waits
    try:
        found = Look(libvirt.domains(uri, host))
    except (SourceError, ConfigError) as problem:
        found = Look(problem=problem.message, hint=problem.hint)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    _main(*sys.argv[1:])
