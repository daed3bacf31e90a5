# SPDX-License-Identifier: Apache-2.0
"""Time that passes only while somebody sleeps, with the events in it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

#: something that takes time: it yields the seconds until it continues
Course = Generator[float, None, None]


class Clock:
    """Implements :class:`stackmend.model.protocols.Clock`. An event costs O(log n) of the pending events."""

    def __init__(self) -> None:
        self.seconds = 0.0  #: since START
        self._events: list[tuple[float, int, Callable[[], None] | Course]] = []
        self._order = count()
        self._texts: tuple[int, str] = (-1, "")

    def now(self) -> datetime:
        """UTC, aware."""
        return START + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        """Let that much time pass, with all its events."""
        end = self.seconds + max(0.0, seconds)
        while self._events and self._events[0][0] <= end:
            at, _, what = heapq.heappop(self._events)
            self.seconds = max(self.seconds, at)
            if callable(what):
                what()
            else:
                self._go_on(what)
        self.seconds = max(self.seconds, end)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Schedule a call in so many seconds."""
        heapq.heappush(self._events, (self.seconds + seconds, next(self._order), what))

    def run(self, course: Course) -> None:
        """Begin something that takes time, now."""
        self._go_on(course)

    def text(self, seconds: float | None = None) -> str:
        """A time as the services print it: ``2026-11-21T03:00:00``; by default now."""
        whole = int(self.seconds if seconds is None else seconds)
        if self._texts[0] != whole:
            self._texts = (whole, (START + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S"))
        return self._texts[1]

    @property
    def pending(self) -> int:
        """The number of pending events."""
        return len(self._events)

    def _go_on(self, course: Course) -> None:
        try:
            pause = next(course)
        except StopIteration:
            return
        heapq.heappush(self._events, (self.seconds + pause, next(self._order), course))
