# SPDX-License-Identifier: Apache-2.0
"""Processes of a lab: started in their own sessions, identified by process id and start time, and by a mark.

Children that outlive their parent (a worker whose master was killed) are found by ``STACKMEND_LAB_PROCESS`` in their
environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackmend_lab import processes
from stackmend_lab.mariadb import MARK, LabError

_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Process:
    """A started process: its id, and its start time in kernel ticks since boot."""

    pid: int
    begun: int

    @property
    def started_at(self) -> float:
        """When it was started, in seconds since the epoch."""
        return processes.started_at(self.begun)


class Keeper:
    """Starts and ends the processes of one lab; their mark begins with ``folder``."""

    def __init__(self, folder: Path, pids: Path) -> None:
        self._folder = folder
        self._pids = pids

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
        """Start a program unless it is running; remains of an earlier process are ended first."""
        running = self.alive(name)
        if running:
            return running
        self.end([name], grace=2)
        with log.open("ab") as output:
            try:
                pid = os.posix_spawn(
                    argv[0],
                    list(argv),
                    # services that set their process title overwrite their environment with it, including the mark
                    {**environment, MARK: self._mark(name), "SPT_NOENV": "1"},
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                        (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
                        *((os.POSIX_SPAWN_CLOSE, handed_down) for handed_down in _inherited()),
                    ],
                    setsid=True,
                )
            except OSError as problem:
                raise LabError(f"{argv[0]} cannot be started: {problem.strerror}") from None
        process = Process(pid, processes.begun(pid) or 0)
        file = self._pids / f"{name}.pid"
        temporary = file.with_suffix(".new")
        temporary.write_text(f"{process.pid} {process.begun}\n")
        temporary.replace(file)
        # for a moment after the start, the kernel does not show the environment yet
        _until(lambda: processes.variable(pid, MARK) or not is_alive(process), 10)
        return process

    def known(self, name: str) -> Process | None:
        """The process last started under that name, whether or not it is still running."""
        try:
            pid, begun = map(int, (self._pids / f"{name}.pid").read_text().split())
        except (OSError, ValueError):
            return None
        return Process(pid, begun) if 0 < pid < 2**31 else None

    def alive(self, name: str) -> Process | None:
        """The running process of that name."""
        process = self.known(name)
        return process if process and is_alive(process) else None

    def names(self) -> list[str]:
        """Names that were started and not ended."""
        return sorted(path.stem for path in self._pids.glob("*.pid"))

    def kill(self, name: str) -> Process | None:
        """``kill -9`` only this process, like a crash; its children are left alone."""
        process = self.alive(name)
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            _until(lambda: not is_alive(process), 10)
        return process

    def end(self, names: Iterable[str], grace: float) -> None:
        """Send TERM, and after ``grace`` seconds KILL, to all processes with these names; returns when all are gone."""
        marks = {self._mark(name): name for name in names}
        leaders = [p for p in map(self.alive, marks.values()) if p]
        for leader in leaders:
            _send(leader, signal.SIGTERM)
        members = self._members(marks)
        for process in members:
            if process not in leaders and _orphan(process, leaders):
                _send(process, signal.SIGTERM)
        if not _until(lambda: not any(map(is_alive, [*leaders, *members])), grace):
            deadline = time.monotonic() + 20
            while left := {*self._members(marks), *(p for p in [*leaders, *members] if is_alive(p))}:
                for process in left:
                    _send(process, signal.SIGKILL)
                if time.monotonic() > deadline:
                    raise LabError(f"processes {', '.join(str(p.pid) for p in left)} cannot be ended")
                time.sleep(_POLL)
        for name in marks.values():
            (self._pids / f"{name}.pid").unlink(missing_ok=True)

    def strays(self) -> list[Process]:
        """Every process of this lab, whatever its name."""
        return self._members(None)

    def end_strays(self, grace: float) -> None:
        """End what is left of this lab, even if no file records it."""
        left = self.strays()
        for process in left:
            _send(process, signal.SIGTERM)
        if _until(lambda: not any(map(is_alive, left)), grace):
            return
        for process in left:
            _send(process, signal.SIGKILL)
        _until(lambda: not self.strays(), 10)

    def _mark(self, name: str) -> str:
        return f"{self._folder}:{name}"

    def _members(self, marks: Mapping[str, str] | None) -> list[Process]:
        """Living processes with these names (mark -> name); None: any of this lab.

        They are found by their marks, and by the sessions of started processes: a process that is about to end keeps
        its files, and its port, longer than its environment.
        """
        names = self.names() if marks is None else marks.values()
        sessions = {process.pid: process for process in map(self.known, names) if process}
        found = []
        for pid in processes.every():
            begun = processes.begun(pid)
            if begun is None:
                continue
            leader, mark = sessions.get(processes.session(pid)), processes.variable(pid, MARK)
            own = mark.startswith(self._mark("")) and (marks is None or mark in marks)
            if own or (not mark and leader is not None and leader.begun <= begun):
                found.append(Process(pid, begun))
        return found


def is_alive(process: Process) -> bool:
    """Whether exactly this process is running; a zombie is not."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return processes.begun(process.pid) == process.begun


def tail(log: Path, lines: int = 12) -> list[str]:
    """The last lines of a log; for a Python traceback its end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20000))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line[:300] for line in text.splitlines() if line.strip()][-lines:]


def _orphan(process: Process, leaders: Sequence[Process]) -> bool:
    """Whether no living leader would end it: ending a child is up to its leader while that is stopping."""
    session = processes.session(process.pid)
    return session != 0 and session not in {leader.pid for leader in leaders}


def _send(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _inherited() -> list[int]:
    """The descriptors that this process inherited; services outlive it and must not keep them open.

    An example is the lock of ``flock``, if a lab is started under it.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _until(done: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
