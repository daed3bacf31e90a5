# SPDX-License-Identifier: Apache-2.0
"""Which lanes may have a call under way: so many in all, so many that name the same slot, and when to look again."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from datetime import datetime
from itertools import count

from stackmend.engine.running.lanes import Lane
from stackmend.model.plan import Limits
from stackmend.model.writer import Pending

#: slots that begin so are taken by one lane at a time, whatever the limits say: a server group is checked once for
#: each move of a member, by what is there at that moment
ALONE = "group:"


class Traffic:
    """The calls of one stage. A lane waits, is admitted, is under way until its call is over, and may wait again.

    Every step of it costs O(log n) for n lanes, however many wait for the same slot.
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
        """True while a call is under way or waits."""
        return bool(self._moving or self._ready or any(self._blocked.values()))

    @property
    def moving(self) -> dict[Lane, Pending]:
        """Lane -> its call that is under way."""
        return self._moving

    def admit(self) -> Lane | None:
        """The next lane that may make its call, or None; it has to be told how that went."""
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
        """Its call is under way."""
        self._taken.update(lane.action.slots)
        self._looked(lane, pending)

    def goes_on(self, lane: Lane, pending: Pending) -> None:
        """It was looked at, and is still under way."""
        self._looked(lane, pending)

    def over(self, lane: Lane) -> None:
        """Its call is over, or came to nothing before it was under way: those that waited for its slots may go."""
        if self._moving.pop(lane, None) is not None:
            self._taken.subtract(lane.action.slots)
        for slot in lane.action.slots:
            if (waiting := self._blocked.get(slot)) and not self._full(slot):
                self._ready.appendleft(waiting.popleft())

    def due(self, now: datetime) -> Lane | None:
        """A lane that it is time to look at, or None."""
        if self._looks and self._looks[0][0] <= now:
            return heapq.heappop(self._looks)[2]
        return None

    def next_look(self) -> datetime | None:
        """When the next one is due."""
        return self._looks[0][0] if self._looks else None

    def _looked(self, lane: Lane, pending: Pending) -> None:
        self._moving[lane] = pending
        heapq.heappush(self._looks, (pending.at, next(self._order), lane))
