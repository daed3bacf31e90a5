# SPDX-License-Identifier: Apache-2.0
"""A limit on how fast many readers read together."""

from __future__ import annotations

import threading
import time


class StoppedError(Exception):
    """Reading was told to end."""


class Pace:
    """So many bytes a second for all readers together; 0: no limit. Says, too, when they are to end."""

    def __init__(self, rate: float = 0.0) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free = time.monotonic()  #: when the next byte may be read
        self._over = threading.Event()

    def stop(self) -> None:
        """Every reader ends at its next chunk."""
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether readers are to end."""
        return self._over.is_set()

    def took(self, number: int) -> None:
        """So many bytes were read: wait until more may be. StoppedError after :meth:`stop`."""
        if self._over.is_set():
            raise StoppedError
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            # what was not used is lost after a moment: a reader that was slow must not be followed by a flood
            self._free = max(self._free, now - 0.1) + number / self._rate
            wait = self._free - now
        if wait > 0 and self._over.wait(wait):
            raise StoppedError
