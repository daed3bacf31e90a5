# SPDX-License-Identifier: Apache-2.0
"""Hosts beside a simulated cloud: this machine under their names, with files that say what a test wants of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.ports import Clock

_INSIDE = 'case "$1" in cat) exec cat "$0/stat";; tail) exec cat "$0/log";; *) exec "$@";; esac'


@dataclass
class Quick:
    """Time in which a second takes a fiftieth of one: processes get on, tests too."""

    inner: Clock

    def now(self) -> datetime:
        return self.inner.now()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / 50)
        self.inner.sleep(seconds)


def machine(folder: Path, *names: str) -> Transport:
    """Hosts of these names: ``folder`` has ``stat`` in place of /proc/stat, ``log`` in place of nova-compute's."""
    (folder / "log").touch()
    return Transport(Routes(transport="local", local=frozenset(names), prefix=("sh", "-c", _INSIDE, str(folder))))
