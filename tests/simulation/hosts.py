# SPDX-License-Identifier: Apache-2.0
"""Hosts beside a simulated cloud: this machine under their names, with files that say what a test wants of them."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.protocols import Clock

from ..support.simulated_runs import Drill

#: program -> what it does on these hosts; what it is for others is not touched
_PROGRAMS = {
    "cat": 'case "$1" in /proc/stat) exec {cat} "{folder}/stat";; *) exec {cat} "$@";; esac',
    "tail": 'exec {cat} "{folder}/log"',
}


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
    (folder / "bin").mkdir()
    for name, does in _PROGRAMS.items():
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{does.format(folder=folder, cat=shutil.which('cat'))}\n", encoding="utf-8")
        program.chmod(0o755)
    prefix = ("env", f"PATH={folder / 'bin'}:{os.environ['PATH']}")
    return Transport(Routes(transport="local", local=frozenset(names), prefix=prefix))


def fence(drill: Drill, folder: Path, code: int, name: str = "fence") -> Path:
    """A hook that writes down which host it was asked for; its exit code."""
    drill.pace, drill.name = Quick(drill.cloud.clock), f"{uuid.uuid4()}-"
    drill.hook = HostExecutor(Transport(Routes()), drill.pace)
    drill.settings[f"hooks.{name}"] = ("sh", "-c", f"echo $0 >>{folder}/{name}; exit {code}", "{host}")
    return folder / name
