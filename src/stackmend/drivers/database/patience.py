# SPDX-License-Identifier: Apache-2.0
"""Waiting for somebody who may have stopped to answer: it is said by name in time, and given up at a limit.

What counts is silence. Whoever answers slowly is waited for as long as something comes.
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

#: seconds of complete silence after which a database is given up, unless told otherwise
SILENCE = 300.0
#: seconds of silence after which it is said
TOLD = 30.0
_TICK = 0.5
#: ticks without anybody waiting, after which nobody watches any more
_IDLE = 10

_STATEMENT = re.compile(
    r"\b(?P<verb>FROM|UPDATE|INTO)\s+(?:[`\"]?(?P<schema>\w+)[`\"]?\.)?[`\"]?(?P<table>\w+)", re.IGNORECASE
)
_VERBS = {"SELECT": "reading", "INSERT": "writing", "UPDATE": "writing", "DELETE": "writing"}


class Wait:
    """One line to somebody: silent between :meth:`begin` and the next :meth:`begin` or :meth:`end`.

    ``who`` and ``what`` are named when it is said; ``limit`` is when it is given up, in seconds, by whoever waits.
    """

    __slots__ = ("__weakref__", "_told", "limit", "since", "what", "who")

    def __init__(self, who: str, limit: float = SILENCE, what: str = "connecting") -> None:
        self.who, self.limit, self.what = who, limit, what
        self.since: float | None = None  #: when it was last heard of, while somebody waits
        self._told = 0.0
        _WATCH.over(self)

    def begin(self) -> None:
        """Wait for an answer from now on."""
        self.since = time.monotonic()

    def end(self) -> None:
        """It has answered, or nobody waits any more."""
        self.since = None

    def silent(self, share: float = 1.0) -> bool:
        """Whether nothing was heard for this share of the limit."""
        return self.since is not None and time.monotonic() - self.since >= share * self.limit

    def tell(self, now: float) -> None:
        """Say once that it has been silent for long."""
        since, after = self.since, min(TOLD, self.limit / 2)
        if since is None or since == self._told or now - since < after:
            return
        self._told = since
        left = "" if self.limit == float("inf") else f"; giving up after {self.limit:g} s"
        _LOG.warning("%s has not answered for %g s: %s%s", self.who, after, purpose(self.what), left)


class _Watch:
    """A thread that looks at everybody who waits; it is there only while somebody does."""

    def __init__(self) -> None:
        self._waits: weakref.WeakSet[Wait] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def over(self, wait: Wait) -> None:
        """Watch over this one as well."""
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
    """Wait for one answer, which has a limit elsewhere."""
    wait = Wait(who, limit, what)
    wait.begin()
    try:
        yield
    finally:
        wait.end()


def purpose(statement: str) -> str:
    """What a statement is for, in two words: "reading ports"; other texts as they are."""
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
