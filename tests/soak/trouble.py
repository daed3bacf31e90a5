# SPDX-License-Identifier: Apache-2.0
"""Nodes that are killed or stand still while stackmend works, and a proxy that notices."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.support.cut_wire import Wire
from tests.support.galera import NODES, Galera

READER = b"looker"
#: statements of a run at which something may happen; time: at any moment
ANY_TIME = ("time",)
_MOMENTS = ("COMMIT", "COMMIT arrived", "UPDATE", "DELETE", "INSERT", *ANY_TIME)
#: seconds after which a proxy takes a node for dead, and for which a node stands still
_NOTICED, _STILL = (0.1, 3.0), (1.0, 20.0)
#: seconds from the begin of a run in which a node is killed "at any moment"
_SOON = 8.0


@dataclass
class Trouble:
    """At most one node at a time is away: the others have the quorum."""

    galera: Galera
    line: Wire
    chance: random.Random
    told: Counter[str] = field(default_factory=Counter)
    writer: int = 0  #: the node that writers are led to
    reader: int = 1
    _away: dict[int, threading.Timer | None] = field(default_factory=dict)  #: None: killed
    _timers: list[threading.Timer] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def calm(self) -> None:
        """Nothing happens any more, and every node is there again."""
        self.disarm()
        with self._lock:
            for number, timer in dict(self._away).items():
                if timer is None:
                    self.galera.revive(number)
                else:
                    self._awake(number)
                self._away.pop(number, None)
        self.galera.whole()

    def disarm(self) -> None:
        """What has not happened will not happen; a node that stands still continues in its own time."""
        self.line.cut, self.line.then = "", lambda: None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._away:
            self._turn()

    def lead(self) -> None:
        """Choose the nodes that readers and writers are led to."""
        here = [number for number in range(NODES) if number not in self._away]
        self.writer, self.reader = self.chance.choice(here), self.chance.choice(here)
        self._point()

    def present(self) -> int:
        """A node that is there."""
        with self._lock:
            return self.chance.choice([number for number in range(NODES) if number not in self._away])

    def awake(self) -> None:
        """Wait for a node that stands still: what it was sent may still be committed."""
        with self._lock:
            for number, timer in dict(self._away).items():
                if timer is not None:
                    self._awake(number)
        if not self._away:
            self.galera.whole()

    def arm(self, moments: Sequence[str] = _MOMENTS) -> str:
        """Let something happen to a node; returns what and when."""
        what = self.chance.choices(["kill", "pause"], weights=[2, 1])[0]
        whom = self.chance.choice(["writer", "writer", "reader", "other"])
        number = {"writer": self.writer, "reader": self.reader}.get(whom, self.chance.randrange(NODES))
        act = partial(self._kill if what == "kill" else self._pause, number)
        when = self.chance.choice(moments)
        if when == "time":
            self._later(self.chance.uniform(0, _SOON), act)
        else:
            self.line.at = when.split()[0].encode()
            self.line.then = act
            self.line.cut = "after" if "arrived" in when else "held"
        return f"{what} {whom} (n{number}) at {when}"

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _kill(self, number: int) -> None:
        with self._lock:
            if self._away:
                return
            self._away[number] = None
            self.told["nodes killed"] += 1
            self.galera.nodes[number].kill()
        self._later(self.chance.uniform(*_NOTICED), self._turn)

    def _pause(self, number: int) -> None:
        with self._lock:
            if self._away:
                return
            timer = threading.Timer(self.chance.uniform(*_STILL), self._awake, [number])
            timer.daemon = True
            self._away[number] = timer
            self.told["nodes paused"] += 1
            self.galera.nodes[number].send(signal.SIGSTOP)
            timer.start()
        self._later(self.chance.uniform(*_NOTICED), self._turn)

    def _awake(self, number: int) -> None:
        with self._lock:
            timer = self._away.pop(number, None)
            if timer is not None:
                timer.cancel()
                self.galera.nodes[number].send(signal.SIGCONT)

    def _turn(self) -> None:
        """The proxy leads elsewhere what it led to a node that is away."""
        with self._lock:
            here = [number for number in range(NODES) if number not in self._away]
            self.writer = self.writer if self.writer in here else self.chance.choice(here)
            self.reader = self.reader if self.reader in here else self.chance.choice(here)
            self._point()

    def _point(self) -> None:
        self.line.to = self.galera.nodes[self.writer].port
        self.line.routes[READER] = self.galera.nodes[self.reader].port
