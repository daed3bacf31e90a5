# SPDX-License-Identifier: Apache-2.0
"""Waiting for a server that may have stopped answering: reported by name in time, and given up at a limit.

Only silence counts. A slow server is waited for as long as something arrives.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)

#: default number of seconds without any answer after which a database is given up
SILENCE = 300.0
#: seconds of silence after which a warning is printed
TOLD = 30.0
_TICK = 0.5
#: ticks without a wait after which the watching thread ends
_IDLE = 10

_STATEMENT = re.compile(
    r"\b(?P<verb>FROM|UPDATE|INTO)\s+(?:[`\"]?(?P<schema>\w+)[`\"]?\.)?[`\"]?(?P<table>\w+)", re.IGNORECASE
)
_VERBS = {"SELECT": "reading", "INSERT": "writing", "UPDATE": "writing", "DELETE": "writing"}


class Wait:
    """One connection to watch: silent between :meth:`begin` and the next :meth:`begin` or :meth:`end`.

    ``who`` and ``what`` appear in the warning; ``limit``: seconds after which the waiting code gives up.
    """

    __slots__ = ("__weakref__", "_told", "limit", "since", "what", "who")

    def __init__(self, who: str, limit: float = SILENCE, what: str = "connecting") -> None:
        self.who, self.limit, self.what = who, limit, what
        self.since: float | None = None  #: time of the last answer during a wait
        self._told = 0.0
        _WATCH.over(self)

    def begin(self) -> None:
        """Wait for an answer from now on."""
        self.since = time.monotonic()

    def end(self) -> None:
        """It has answered, or the wait is over."""
        self.since = None

    def silent(self, share: float = 1.0) -> bool:
        """Whether it has been silent for this share of the limit."""
        return self.since is not None and time.monotonic() - self.since >= share * self.limit

    def tell(self, now: float) -> None:
        """Warn once that it has been silent for long."""
        since, after = self.since, min(TOLD, self.limit / 2)
        if since is None or since == self._told or now - since < after:
            return
        self._told = since
        left = "" if self.limit == float("inf") else f"; giving up after {self.limit:g} s"
        _LOG.warning("%s has not answered for %g s: %s%s", self.who, after, purpose(self.what), left)


class _Watch:
    """A thread that checks all waits; it exists only while there are any."""

    def __init__(self) -> None:
        self._waits: weakref.WeakSet[Wait] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def over(self, wait: Wait) -> None:
        """Also watch this wait."""
        with self._lock:
            self._waits.add(wait)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="patience", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        idle = 0
        while True:
            time.sleep(_TICK)
            with self._lock:
                waits = list(self._waits)
                idle = 0 if waits else idle + 1
                if idle > _IDLE:
                    self._thread = None
                    return
            while waits:
                waits.pop().tell(time.monotonic())


_WATCH = _Watch()


@contextmanager
def waiting(who: str, what: str, limit: float = float("inf")) -> Iterator[None]:
    """Wait for one answer, whose limit is enforced elsewhere."""
    wait = Wait(who, limit, what)
    wait.begin()
    try:
        yield
    finally:
        wait.end()


def purpose(statement: str) -> str:
    """The purpose of a statement in two words: "reading ports"; other texts unchanged."""
    head = statement[:2000].lstrip()
    verb = head.partition(" ")[0].upper()
    if verb == "COMMIT":
        return "committing"
    if verb in ("START", "SET", "SHOW", "ROLLBACK"):
        return "opening a view"
    found = _STATEMENT.search(head)
    if verb not in _VERBS:
        return head
    if found is None:
        return f"{_VERBS[verb]} its own description"
    schema = found["schema"] or ""
    table = f"{schema}.{found['table']}" if schema.lower() == "information_schema" else found["table"]
    return f"{_VERBS[verb]} {table}"
