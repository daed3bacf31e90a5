# SPDX-License-Identifier: Apache-2.0
"""Queries about processes, through psutil.

A process id alone may be reused; together with the start time it is unique. psutil gives the start time as a time of
day, which shifts when the clock is set; what is recorded here counts from boot.
"""

from __future__ import annotations

import os

import psutil

_TICKS = os.sysconf("SC_CLK_TCK")


def begun(pid: int) -> int | None:
    """Start time of a living process, in kernel ticks since boot; None for a dead one.

    A zombie counts as dead only once its last thread is: until then its files stay open, and its port in use.
    """
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_DEAD:
                return None
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
                return None
            return round(float(process.create_time() - psutil.boot_time()) * _TICKS)
    except (psutil.Error, ValueError):  # psutil raises ValueError if no process can have such an id
        return None


def started_at(begun: int) -> float:
    """Convert such a time to seconds since the epoch."""
    return float(psutil.boot_time()) + begun / _TICKS


def variable(pid: int, name: str) -> str:
    """A variable of a process's initial environment; "" if it is not set or not readable."""
    try:
        return str(psutil.Process(pid).environ().get(name, ""))
    except psutil.Error:
        return ""


def every() -> list[int]:
    """The ids of all visible processes."""
    return list(psutil.pids())


def session(pid: int) -> int:
    """The session leader of a process; 0 if there is no such process."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
