# SPDX-License-Identifier: Apache-2.0
"""The display of a run in progress: a line per call, a word per finished lane, and gates."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from stackmend.report.words import pace

if TYPE_CHECKING:
    from stackmend.cli.notes import Notes
    from stackmend.engine.running.lanes import Lane
    from stackmend.model.protocols import Progress
    from stackmend.model.step import Gate
    from stackmend.model.writer import Pending


#: seconds between two lines of progress
AGAIN = 30.0


class LaneProgress:
    """Shows the progress of lanes: calls in progress on a terminal, finished lanes everywhere."""

    def __init__(self, notes: Notes, progress: Progress) -> None:
        self._notes, self._show = notes, getattr(progress, "lanes", None)
        self._ended: set[str] = set()
        self._begun = self._told = time.monotonic()

    def __call__(self, lanes: Sequence[Lane], moving: Mapping[Lane, Pending]) -> None:
        """Called by the runner, again and again."""
        for lane in lanes:
            if not lane.open and lane.action.id not in self._ended:
                self._ended.add(lane.action.id)
                words = f"{lane.state.value}{f': {lane.note}' if lane.note else ''}"
                self._notes.say(f"{_name(lane)}: {words}")
        self._far(sum(not lane.open for lane in lanes), len(lanes))
        if self._show is not None:
            self._show({_name(lane): pending.progress for lane, pending in moving.items()})

    def _far(self, done: int, of: int) -> None:
        """Without a bar: print the progress now and then."""
        now = time.monotonic()
        if self._show is None and now - self._told >= AGAIN and done < of:
            self._told = now
            self._notes.say(f"progress: {pace(done, of, now - self._begun)}")


def ask_at_terminal(notes: Notes) -> Callable[[Gate], bool]:
    """Asks at the terminal; without a terminal the answer is no."""

    def ask(gate: Gate) -> bool:
        if not sys.stdin.isatty():
            return False
        notes.say(f"gate {gate.name}: {gate.text}")
        notes.stream.write("continue? [y/N] ")
        notes.stream.flush()
        try:
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        except OSError:  # the terminal is gone
            return False

    return ask


def _name(lane: Lane) -> str:
    action = lane.action
    return f"{action.id} {action.resource_type} {action.target.get('name') or action.resource_id}"
