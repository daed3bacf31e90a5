# SPDX-License-Identifier: Apache-2.0
"""A lab for breaks that run side by side: none waits longer than it must, and one kill serves several."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Lock

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.process import Process

#: several breaks can go wrong at once, and only one can bring a lab up
_giving_up = Lock()


class Impatient(Plane):
    """Does not wait for a started nova-compute: the next request to it waits in RabbitMQ anyway."""

    def __init__(self, plane: Plane) -> None:
        super().__init__(plane.folder)
        self.heard: set[str] = set()
        self.connect = plane.connect  # one token for all breaks

    def start(self, name: str) -> None:
        """Start a service and remember its name."""
        self.heard.add(name)
        super().start(name)

    def wait(self, progress: Callable[[str], None] = lambda text: None) -> None:
        """Wait only if an API was started."""
        heard, self.heard = self.heard, set()
        if not all(name.startswith("nova-compute-") for name in heard):
            super().wait(progress)

    def give_up(self) -> None:
        """A break went wrong: restore the services, so that it does not spoil the next break."""
        with _giving_up:
            self.release_all()
            self.up()


class Meeting:
    """A meeting of threads: once all have arrived, one of them does what comes next."""

    def __init__(self, threads: int) -> None:
        self._changed = Condition()
        self._expected = set(range(threads))
        self._here: set[int] = set()
        self._done = False

    def come(self, number: int, do: Callable[[], object]) -> None:
        """Arrive, and continue once it is done."""
        with self._changed:
            self._here.add(number)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._here >= self._expected)
            if not self._done:
                do()
                self._done = True

    def follow(self, number: int) -> None:
        """Wait until all threads with a lower number have arrived."""
        with self._changed:
            self._changed.wait_for(lambda: self._here >= {other for other in self._expected if other < number})

    def leave(self, number: int) -> None:
        """Stop waiting for a thread that will not arrive."""
        with self._changed:
            self._expected.discard(number)
            self._changed.notify_all()


class Crowd:
    """Breaks that kill one service in the middle of something: they are held one after another, then it is killed.

    None is held before all are ready, because some cannot be held for long. The service is started again once all have
    seen it dead.
    """

    def __init__(self, members: int) -> None:
        self._ready, self._killed, self._started = (Meeting(members) for _ in range(3))

    def pull(self, number: int, do: Callable[[], object]) -> None:
        """Pull a lever once all others are ready to, and those before this one are held."""
        self._ready.come(number, lambda: None)
        self._killed.follow(number)
        do()

    def kill(self, number: int, do: Callable[[], object]) -> None:
        """Kill the service once, when all are held."""
        self._killed.come(number, do)

    def start(self, number: int, do: Callable[[], object]) -> None:
        """Start the service once, when all have asked for it."""
        self._started.come(number, do)

    def leave(self, number: int) -> None:
        """One break went wrong: the others continue without it."""
        for meeting in (self._ready, self._killed, self._started):
            meeting.leave(number)


class Member(Impatient):
    """The lab as seen by one break of a crowd: it pulls one lever, kills one service and starts that again."""

    def __init__(self, plane: Plane, crowd: Crowd, number: int) -> None:
        super().__init__(plane)
        self._crowd, self._number = crowd, number

    def lever(self, place: str, action: str, what: str) -> None:
        """Pull the lever when it is this break's turn."""
        self._crowd.pull(self._number, lambda: Plane.lever(self, place, action, what))

    def kill(self, name: str) -> Process:
        """Kill the service, once for all breaks."""
        victim = self._keeper(self.layout).alive(name)
        assert victim is not None
        self._crowd.kill(self._number, lambda: Plane.kill(self, name))
        return victim

    def start(self, name: str) -> None:
        """Start the service, once for all breaks."""
        self.heard.add(name)
        self._crowd.start(self._number, lambda: Plane.start(self, name))

    def give_up(self) -> None:
        """Let the others continue."""
        self._crowd.leave(self._number)
