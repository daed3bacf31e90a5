# SPDX-License-Identifier: Apache-2.0
"""Runs that die: a program that forks a new process for every run it is asked for.

Input: one JSON object per line on stdin: ``{"do": "apply" | "resume" | "undo", "config": path, "what": plan file or id
of a run, "deadly": n, "when": "before" | "after"}``. The process kills itself with SIGKILL (or ``"signal"``) before or
after the n-th write to its journal (0: never). With ``"fails": n`` the n-th write and those after it raise JournalError
instead; with ``"fsize": bytes`` no file can grow beyond that. Output: one JSON object per line on stdout: ``{"signal":
number, "writes": names of the journal's methods that wrote, "result": RunResult or null, "error": [class, message,
hint, exit code] or null}``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stackmend.app import plans, runs
from stackmend.config.settings import load
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import JournalError, StackmendError
from stackmend.model.journal import JournalEntry, RunRecord, RunState
from stackmend.model.plan import Action


class DyingJournal(DatabaseJournal):
    """A journal that counts its writes, and calls ``strike`` before and after each."""

    def __init__(self, url: str, strike: Callable[[str, int], None], told: Callable[[str], None]) -> None:
        super().__init__(url)
        self._strike, self._told, self._written = strike, told, 0

    def _around(self, name: str, write: Callable[[], None]) -> None:
        self._written += 1
        number = self._written
        self._told(name)
        self._strike("before", number)
        write()
        self._strike("after", number)

    def begin(self, run: RunRecord, actions: Sequence[Action]) -> None:
        """Count, and record a run."""
        self._around("begin", lambda: super(DyingJournal, self).begin(run, actions))

    def note(self, run: str, entries: Sequence[JournalEntry]) -> None:
        """Count, and append entries."""
        kinds = sorted({entry.state.value for entry in entries})
        self._around(f"note {'+'.join(kinds)}", lambda: super(DyingJournal, self).note(run, entries))

    def end(self, run: str, state: RunState) -> None:
        """Count, and close a run."""
        self._around("end", lambda: super(DyingJournal, self).end(run, state))

    def lock(self, cloud: str, run: RunRecord) -> None:
        """Count, and take the lease."""
        self._around("lock", lambda: super(DyingJournal, self).lock(cloud, run))

    def unlock(self, run: str) -> None:
        """Count, and release the lease."""
        self._around("unlock", lambda: super(DyingJournal, self).unlock(run))


def strike(order: Mapping[str, Any]) -> Callable[[str, int], None]:
    """What happens before and after the n-th write."""

    def act(when: str, number: int) -> None:
        if when == order.get("when", "before") and number == order.get("deadly", 0):
            os.kill(os.getpid(), order.get("signal", signal.SIGKILL))
        if when == "before" and 0 < order.get("fails", 0) <= number:
            raise JournalError("the journal of this test fails", "It was told to.")

    return act


def run(order: Mapping[str, Any], told: Callable[[str], None]) -> dict[str, Any]:
    """Run what was requested; returns the result."""
    config = load(order["config"])
    if order.get("fsize"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["fsize"], order["fsize"]))

    def make(url: str, silence: float) -> DyingJournal:
        return DyingJournal(url, strike(order), told)

    try:
        if order["do"] == "apply":
            found = runs.apply(config, plans.load(order["what"]), accept=("all",), make_journal=make)
        else:
            found = {"resume": runs.resume, "undo": runs.undo}[order["do"]](config, order["what"], make_journal=make)
    except StackmendError as problem:
        return {"error": [type(problem).__name__, problem.message, problem.hint, int(problem.exit_code)]}
    return {"result": found.as_dict()}


def fork(order: Mapping[str, Any]) -> dict[str, Any]:
    """Let a new process do it, and wait for its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        found = run(order, lambda name: os.write(writing, f"{name}\n".encode()) and None)
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        lines = stream.read().decode().splitlines()
    status = os.waitpid(pid, 0)[1]
    last = json.loads(lines.pop()) if lines and lines[-1].startswith("{") else {}
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {"signal": number, "writes": lines, "result": None, "error": None, **last}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(fork(json.loads(line))), flush=True)
