# SPDX-License-Identifier: Apache-2.0
"""A lab as breaks have it that go on side by side: none waits longer than it must, and one kill serves several."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.process import Process


class Impatient(Plane):
    """Does not wait for a nova-compute that was started: what asks it next waits for it anyhow, in RabbitMQ."""

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane.folder)
        self.heard: set[str] = set()
        self.connect = plane.connect  # one token for all

    def start(self, name: str) -> None:
        """Start it and remember its name."""
        self.heard.add(name)
        super().start(name)

    def wait(self, progress: Callable[[str], None] = lambda text: None) -> None:
        """Wait where an API was started."""
        heard, self.heard = self.heard, set()
        if not all(name.startswith("nova-compute-") for name in heard):
            super().wait(progress)

    def give_up(self) -> None:
        """A break went wrong: what it left to the services is not to spoil the next one."""
        self.release_all()
        self.up()


class Meeting:
    """Of so many threads: what comes next is done once all are there, by one of them."""

    def __init__(self, threads: int) -> None:
        self._changed = Condition()
        self._expected = set(range(threads))
        self._here: set[int] = set()
        self._done = False

    def come(self, number: int, do: Callable[[], object]) -> None:
        """Come, and go on when it is done."""
        with self._changed:
            self._here.add(number)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._here >= self._expected)
            if not self._done:
                do()
                self._done = True

    def follow(self, number: int) -> None:
        """Wait until all with a lower number are there."""
        with self._changed:
            self._changed.wait_for(lambda: self._here >= {other for other in self._expected if other < number})

    def leave(self, number: int) -> None:
        """Whoever does not come is not waited for."""
        with self._changed:
            self._expected.discard(number)
            self._changed.notify_all()


class Crowd:
    """Breaks that kill one service in the middle of something: they are held one after another, then it is killed.

    Nobody is held before all are ready, for some cannot be held for long; and the service is started again when all
    have seen it dead.
    """

    def __init__(self, members: int) -> None:
        self._ready, self._killed, self._started = (Meeting(members) for _ in range(3))

    def pull(self, number: int, do: Callable[[], object]) -> None:
        """Pull a lever when all others are about to, and those before this one are held."""
        self._ready.come(number, lambda: None)
        self._killed.follow(number)
        do()

    def kill(self, number: int, do: Callable[[], object]) -> None:
        """Once, when all are held."""
        self._killed.come(number, do)

    def start(self, number: int, do: Callable[[], object]) -> None:
        """Once, when all want it."""
        self._started.come(number, do)

    def leave(self, number: int) -> None:
        """One of them went wrong: the others go on without it."""
        for meeting in (self._ready, self._killed, self._started):
            meeting.leave(number)


class Member(Impatient):
    """The lab of one break of a crowd: it pulls one lever, kills one service, and starts that again."""

    def __init__(self, plane: Plane, crowd: Crowd, number: int) -> None:
        super().__init__(plane)
        self._crowd, self._number = crowd, number

    def lever(self, place: str, action: str, what: str) -> None:
        """When it is its turn."""
        self._crowd.pull(self._number, lambda: Plane.lever(self, place, action, what))

    def kill(self, name: str) -> Process:
        """Once for all."""
        victim = self._keeper(self.layout).alive(name)
        assert victim is not None
        self._crowd.kill(self._number, lambda: Plane.kill(self, name))
        return victim

    def start(self, name: str) -> None:
        """Likewise."""
        self.heard.add(name)
        self._crowd.start(self._number, lambda: Plane.start(self, name))

    def give_up(self) -> None:
        """The others go on."""
        self._crowd.leave(self._number)
