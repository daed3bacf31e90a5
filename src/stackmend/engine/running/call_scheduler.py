# SPDX-License-Identifier: Apache-2.0
"""Decides which lanes may have a call in progress: a maximum in total and per slot, and when to check each again."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from datetime import datetime
from itertools import count

from stackmend.engine.running.lanes import Lane
from stackmend.model.plan import Limits
from stackmend.model.writer import Pending

#: slots with this prefix are used by one lane at a time, whatever the limits: Nova checks a server group once for each
#: move of a member, against its state at that moment
ALONE = "group:"


class CallScheduler:
    """The calls of one stage. A lane waits, is admitted, is in progress until its call ends, and may wait again.

    Every operation costs O(log n) for n lanes, however many wait for the same slot.
    """

    def __init__(self, limits: Limits) -> None:
        self._parallel, self._per_slot = max(1, limits.parallel), limits.per_slot
        self._ready: deque[Lane] = deque()
        self._blocked: dict[str, deque[Lane]] = {}
        self._taken: Counter[str] = Counter()
        self._moving: dict[Lane, Pending] = {}
        self._looks: list[tuple[datetime, int, Lane]] = []
        self._order = count()

    def wait(self, lane: Lane) -> None:
        """The lane has a call to make."""
        self._ready.append(lane)

    @property
    def busy(self) -> bool:
        """True while a call is in progress or waiting."""
        return bool(self._moving or self._ready or any(self._blocked.values()))

    @property
    def moving(self) -> dict[Lane, Pending]:
        """Each lane with its call in progress."""
        return self._moving

    def admit(self) -> Lane | None:
        """The next lane that may make its call, or None; the caller reports the result."""
        while self._ready and len(self._moving) < self._parallel:
            lane = self._ready.popleft()
            full = next((slot for slot in lane.action.slots if self._full(slot)), None)
            if full is None:
                return lane
            self._blocked.setdefault(full, deque()).append(lane)
        return None

    def _full(self, slot: str) -> bool:
        limit = 1 if slot.startswith(ALONE) else self._per_slot
        return bool(limit) and self._taken[slot] >= limit

    def begun(self, lane: Lane, pending: Pending) -> None:
        """Its call is in progress."""
        self._taken.update(lane.action.slots)
        self._schedule(lane, pending)

    def goes_on(self, lane: Lane, pending: Pending) -> None:
        """It was checked, and is still in progress."""
        self._schedule(lane, pending)

    def over(self, lane: Lane) -> None:
        """Its call has ended, or failed before it was in progress: lanes waiting for its slots may go."""
        if self._moving.pop(lane, None) is not None:
            self._taken.subtract(lane.action.slots)
        for slot in lane.action.slots:
            if (waiting := self._blocked.get(slot)) and not self._full(slot):
                self._ready.appendleft(waiting.popleft())

    def due(self, now: datetime) -> Lane | None:
        """A lane that is due to be checked, or None."""
        if self._looks and self._looks[0][0] <= now:
            return heapq.heappop(self._looks)[2]
        return None

    def next_look(self) -> datetime | None:
        """When the next check is due."""
        return self._looks[0][0] if self._looks else None

    def _schedule(self, lane: Lane, pending: Pending) -> None:
        self._moving[lane] = pending
        heapq.heappush(self._looks, (pending.at, next(self._order), lane))
