# SPDX-License-Identifier: Apache-2.0
"""Runs contestants in turn and reports their costs: medians of wall and CPU time, peaks of memory and disk space."""

from __future__ import annotations

import argparse
import glob
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def parser(program: str, page: str | None, *, rounds: int, what: str = "each contestant") -> argparse.ArgumentParser:
    """The options that measurements share: ``--rounds``, ``--folder``, ``--json``; ``page``: the docstring of one."""
    found = argparse.ArgumentParser(prog=f"python -m {program}", description=(page or "").split("\n\n")[0])
    found.add_argument("--rounds", type=int, default=rounds, metavar="R", help=f"of {what}; the median counts")
    found.add_argument("--folder", type=Path, help="where large files go; the temporary folder by default")
    found.add_argument("--json", type=Path, help="write the results there too")
    return found


def printed(results: Any, file: Path | None) -> None:
    """Print the results as JSON, and write them into the file, if there is one."""
    text = json.dumps(results, indent=2)
    print(text)
    if file:
        file.write_text(text + "\n", encoding="utf-8")


@dataclass
class Cost:
    """What the runs of one contestant cost."""

    wall: list[float] = field(default_factory=list)  #: seconds
    cpu: list[float] = field(default_factory=list)  #: seconds, user and system, of the child process
    rss: list[int] = field(default_factory=list)  #: peak, MiB
    spill: list[int] = field(default_factory=list)  #: peak of the temporary folder, MiB

    def median(self) -> float:
        """Median wall time, seconds."""
        return statistics.median(self.wall)

    def as_dict(self) -> dict[str, Any]:
        """Medians of the times and peaks of the rest; values that were not measured are left out."""
        found: dict[str, Any] = {"seconds": round(self.median(), 3), "runs": len(self.wall)}
        if self.cpu:
            found["cpu_seconds"] = round(statistics.median(self.cpu), 3)
        if self.rss:
            found |= {"peak_rss_mib": max(self.rss), "peak_spill_mib": max(self.spill)}
        return found


def ratio(ours: Cost, theirs: Cost) -> float:
    """Median of ours as a multiple of the median of theirs."""
    return round(ours.median() / theirs.median(), 3)


def of_cpu(ours: Cost, theirs: Cost) -> float:
    """The same of their CPU time, which other work on the machine hardly changes."""
    return round(statistics.median(ours.cpu) / statistics.median(theirs.cpu), 3)


def timed(cost: Cost, run: Callable[[], T]) -> T:
    """Run something in this process and note its wall time; returns its result."""
    begin = time.perf_counter()
    found = run()
    cost.wall.append(time.perf_counter() - begin)
    return found


def child(cost: Cost, argv: list[str], env: dict[str, str], expect: set[int]) -> bytes:
    """Run a process and note its wall and CPU time, its peak memory and the peak of its temporary folder."""
    with tempfile.TemporaryDirectory(prefix="stackmend-bench-") as temporary, tempfile.TemporaryFile() as out:
        watch = FolderPeak(Path(temporary))
        begin = time.perf_counter()
        pid = os.posix_spawn(
            argv[0],
            argv,
            {**env, "TMPDIR": temporary},
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)],
        )
        watch.pid = pid
        _, status, usage = os.wait4(pid, 0)
        cost.wall.append(time.perf_counter() - begin)
        cost.spill.append(watch.stop() >> 20)
        cost.cpu.append(usage.ru_utime + usage.ru_stime)
        cost.rss.append(watch.rss >> 10)
        code = os.waitstatus_to_exitcode(status)
        if code not in expect:
            raise RuntimeError(f"{' '.join(argv)} ended with {code}, expected one of {sorted(expect)}")
        out.seek(0)
        return out.read()


class FolderPeak(threading.Thread):
    """Watches how large a folder's spill files get, from its creation until :meth:`stop`; and a process's memory.

    What wait4 says of memory includes that of the process before its exec, which is this one's.
    """

    pid = 0
    rss = 0  #: its peak until now, KiB

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder, self._peak, self._over = folder, 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Look at it five times a second."""
        while not self._over.wait(0.2):
            self._peak = max(self._peak, sum(map(_blocks, glob.iglob(f"{self._folder}/**/*.tmp", recursive=True))))
            self.rss = max(self.rss, peak_rss(self.pid) if self.pid else 0)

    def stop(self) -> int:
        """The peak, in bytes."""
        self._over.set()
        self.join()
        return self._peak


def peak_rss(pid: int) -> int:
    """The peak of a process's memory, KiB; 0 if it is over."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _blocks(path: str) -> int:
    try:
        return os.stat(path).st_blocks * 512
    except FileNotFoundError:
        return 0  # the file was there a moment ago


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
