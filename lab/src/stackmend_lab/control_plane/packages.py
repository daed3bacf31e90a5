# SPDX-License-Identifier: Apache-2.0
"""Installs Debian packages without starting a service; run as root, as a program: ``python packages.py NAME...``.

It needs only the standard library, as there is no environment under sudo. Meanwhile ``/usr/sbin/policy-rc.d`` prevents
services from being started, stopped or restarted; the previous file is restored whatever happens.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

POLICY = Path("/usr/sbin/policy-rc.d")
SAVED = Path("/usr/sbin/policy-rc.d.before-stackmend-lab")
_TEXT = "#!/bin/sh\n# put here by stackmend lab up, for a moment\nexit 101\n"
_UNITS = ("rabbitmq-server.service", "epmd.service", "epmd.socket")
_APT = (
    "apt-get", "-y", "--no-remove", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3",
    "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
)  # fmt: skip


def main(names: list[str]) -> int:
    """Install the packages; returns the exit code of apt-get."""
    # needrestart would restart services despite policy-rc.d
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    install = [*_APT, "install", "--no-install-recommends", *names]
    with _no_services(), _none_for_the_next_start():
        code = _run(install, environment)
        if code:
            # the package lists were never fetched, or are out of date
            _run([*_APT, "update"], environment)
            code = _run(install, environment)
        return code


@contextmanager
def _none_for_the_next_start() -> Iterator[None]:
    """RabbitMQ's package enables services at boot: those enabled before stay enabled. The lab starts its own."""
    units = [unit for unit in _UNITS if not _starts_with_machine(unit)] if shutil.which("systemctl") else []
    try:
        yield
    finally:
        for unit in filter(_starts_with_machine, units):
            _run(["systemctl", "disable", unit], dict(os.environ))


def _starts_with_machine(unit: str) -> bool:
    asked = subprocess.run(["systemctl", "is-enabled", unit], capture_output=True, text=True, check=False)
    return asked.stdout.strip() == "enabled"


@contextmanager
def _no_services() -> Iterator[None]:
    with open("/run/stackmend-lab-packages.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _restore()
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGHUP, _leave)
        if POLICY.exists():
            POLICY.rename(SAVED)
        POLICY.write_text(_TEXT)
        POLICY.chmod(0o755)
        try:
            yield
        finally:
            _restore()


def _restore() -> None:
    """Restore the policy; also after a run that was killed."""
    if SAVED.exists():
        SAVED.replace(POLICY)
    elif POLICY.exists() and POLICY.read_text() == _TEXT:
        POLICY.unlink()


def _run(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
