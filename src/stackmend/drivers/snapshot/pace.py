# SPDX-License-Identifier: Apache-2.0
"""The pace at which one server is read: it rests, gives way to others, and renews a view that is held too long.

The server is looked at once a second, over a connection of its own. Reading pauses while the server is busy, and goes
on; if that takes too long in all, the server's tables are incomplete, and the cause is named. A connection is taken
only where enough are left. gh-ost and pt-archiver do likewise.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

from stackmend.drivers.database.dialects import Address, Connection, dialect_of
from stackmend.drivers.database.load import Load
from stackmend.model.errors import BusyError, SilentError, SourceError
from stackmend.model.events import Events

_LOG = logging.getLogger(__name__)
_EVENTS = Events(__name__)

#: seconds between two looks, and for which one pause lasts
_LOOK = 1.0
#: the longest rest after one batch, in seconds
_REST = 5.0
#: our own threads that a server counts as running: the one that looks, and the one that reads
_OURS = 2
#: reasons for waiting, as the manifest has them
REST = "rest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nice:
    """What is too busy for us, and how much we rest. 0 switches a limit off."""

    rest: float = 0.0  #: seconds of rest for each second of reading
    threads_running: int = 50  #: threads of others that execute statements
    lag: float = 60.0  #: seconds that the server, if it is a replica, may be behind
    flow_control: float = 0.1  #: share of the time for which a Galera cluster may be paused
    connections: int = 10  #: free connections that are left to others
    history: int = 1_000_000  #: row versions kept since a view was opened, after which it is renewed
    view: float = 0.0  #: seconds for which one view is kept
    patience: float = 300.0  #: seconds in all for which a busy server is waited for


@dataclass(slots=True)
class Pace:
    """The pace for one server. ``waited``: seconds by reason."""

    nice: Nice
    address: Address
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    waited: dict[str, float] = field(default_factory=dict)
    _looker: Connection | None = None
    _seen: tuple[float, Load] | None = None
    _since: float = 0.0
    _next: float = 0.0  #: when to look again
    _view: tuple[float, int | None] = (0.0, None)

    def admit(self, address: Address) -> None:
        """Return once enough connections are left to take some; BusyError if they never are."""
        if self._looker is not None:
            return
        for _ in self._patiently(lambda: self._few(address), lambda _why: None):
            self._let_go()

    def viewing(self) -> None:
        """A view was opened."""
        load = self._look() if self._looker else None
        self._view = (self.clock(), load.history if load else None)
        self._since = self.clock()

    def is_stale(self) -> bool:
        """Whether the view has been kept for too long."""
        opened, history = self._view
        if self.nice.view and self.clock() - opened > self.nice.view:
            return True
        if not self.nice.history or history is None or not self._looker:
            return False
        load = self._look()
        return load is not None and load.history is not None and load.history - history > self.nice.history

    def between(self, tell: Callable[[str], None]) -> None:
        """Call it between two batches: rests, and waits while the server is busy. ``tell`` is told why."""
        now = self.clock()
        if self.nice.rest and (rest := min(_REST, self.nice.rest * (now - self._since))) > 0:
            self._wait(REST, rest)
        if self._looker and now >= self._next:
            for _ in self._patiently(self._busy, tell):
                pass
            self._next = self.clock() + _LOOK
        self._since = self.clock()

    def close(self) -> None:
        """Let the connection go, and record what was waited for."""
        self._let_go()
        if self.waited:
            _EVENTS.detail("gave way", server=self.address.redacted, **rounded(self.waited))

    def _patiently(self, busy: Callable[[], tuple[str, str]], tell: Callable[[str], None]) -> Iterator[None]:
        """Wait while it is busy, yielding before each pause; BusyError after too long."""
        told = False
        while (cause := busy())[0]:
            kind, text = cause
            if self.busy >= self.nice.patience:
                raise BusyError(
                    f"{self.address.redacted} cannot be read: it is too busy, as {text}, and was waited for"
                    f" {self.busy:.0f} s",
                    f"Try again at another time; [nice] in the configuration sets what is too busy ({kind}).",
                )
            if not told:
                told = True
                _LOG.warning("%s: reading pauses, because %s", self.address.name or self.address.redacted, text)
            tell(text)
            yield
            self._wait(kind, _LOOK)

    @property
    def busy(self) -> float:
        """Seconds for which the server was waited for."""
        return sum(seconds for why, seconds in self.waited.items() if why != REST)

    def _wait(self, kind: str, seconds: float) -> None:
        self.sleep(seconds)
        self.waited[kind] = self.waited.get(kind, 0.0) + seconds

    def _few(self, address: Address) -> tuple[str, str]:
        """Take the connection that looks; a reason if too few are left beside it."""
        dialect = dialect_of(address)
        try:
            self._looker = self._looker or dialect.connect(address)
            load = self._look()
        except SilentError:
            raise
        except SourceError as problem:
            if dialect.is_full(problem):
                return "connections", "it has no free connection"
            self._let_go()  # what is wrong is told by the connection that reads
            return "", ""
        if load is None:
            self._let_go()
            return "", ""
        return self._too_few(load)

    def _too_few(self, load: Load) -> tuple[str, str]:
        if load.free < self.nice.connections:
            return "connections", f"only {load.free} of its {load.connections} connections are free"
        return "", ""

    def _busy(self) -> tuple[str, str]:
        """(limit, reason) if the server is too busy now."""
        before, load = self._seen, self._look()
        if load is None:
            return "", ""
        nice, others = self.nice, load.running - _OURS
        if nice.threads_running and others > nice.threads_running:
            return "threads_running", f"{others} threads are running"
        # a replica that has stopped is not delayed by reading; whether it is believed is judged before
        if nice.lag and load.lag is not None and isfinite(load.lag) and load.lag > nice.lag:
            return "lag", f"its replication is {load.lag:.0f} s behind"
        if load.apart and nice.flow_control:
            return "flow_control", f"this node of the cluster is {load.apart}"
        if nice.flow_control and before and load.paused is not None and before[1].paused is not None:
            passed = self.clock() - before[0]
            share = (load.paused - before[1].paused) / 1e9 / passed if passed > 0 else 0.0
            if share > nice.flow_control:
                return "flow_control", f"flow control paused the cluster for {share:.0%} of the time"
        return self._too_few(load)

    def _look(self) -> Load | None:
        if self._looker is None:
            return None
        try:
            load = dialect_of(self.address).load(self._looker)
        except SilentError:
            raise
        except SourceError as problem:
            # the connection that reads tells for itself whether the server is gone
            self._let_go()
            _LOG.warning("%s; reading goes on, and no longer gives way to others", problem.message)
            return None
        self._seen = (self.clock(), load) if load else None
        return load

    def _let_go(self) -> None:
        if self._looker is not None:
            self._looker.close()
            self._looker = None


def rounded(waited: Mapping[str, float]) -> dict[str, float]:
    """For the manifest."""
    return {why: round(seconds, 1) for why, seconds in sorted(waited.items())}
