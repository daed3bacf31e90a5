# SPDX-License-Identifier: Apache-2.0
"""What the lab asks the kernel about processes, by psutil.

A process id alone may be somebody else's by now; together with the start time it is not. psutil tells that as a time of
day, which moves when the clock is set; what is written down here counts from boot.
"""

from __future__ import annotations

import os

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")


def begun(pid: int) -> int | None:
    """Start time of a living process, in the kernel's ticks since boot; None for a dead one.

    A zombie is dead only when its last thread is: until then what it had open is open, and its port taken.
    """
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_DEAD:
                return None
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                return None
            return round(float(process.create_time() - psutil.boot_time()) * _TICKS)
    except (psutil.Error, ValueError):  # the latter: no process has such an id
        return None


def started_at(begun: int) -> float:
    """Such a time as seconds since the epoch."""
    return float(psutil.boot_time()) + begun / _TICKS


def variable(pid: int, name: str) -> str:
    """A variable of the environment that a process was started with; "" if it has none, or is not ours to read."""
    try:
        return str(psutil.Process(pid).environ().get(name, ""))
    except psutil.Error:
        return ""


def every() -> list[int]:
    """The ids of all processes that can be seen."""
    return list(psutil.pids())


def session(pid: int) -> int:
    """The leader of the session of a process; 0 if there is no such process."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
