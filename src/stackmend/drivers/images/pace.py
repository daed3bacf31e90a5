# SPDX-License-Identifier: Apache-2.0
"""A common rate limit for several readers."""

from __future__ import annotations

import threading
import time


class StoppedError(Exception):
    """The readers were stopped."""


class Pace:
    """Limits all readers together to a number of bytes per second (0: no limit), and tells them when to stop."""

    def __init__(self, rate: float = 0.0) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free = time.monotonic()  #: when the next byte may be read
        self._over = threading.Event()

    def stop(self) -> None:
        """Make every reader stop at its next chunk."""
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether the readers are to stop."""
        return self._over.is_set()

    def took(self, number: int) -> None:
        """Record that so many bytes were read, and wait until more may be read. StoppedError after :meth:`stop`."""
        if self._over.is_set():
            raise StoppedError
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            # unused allowance expires after a moment: a slow phase must not be followed by a flood
            self._free = max(self._free, now - 0.1) + number / self._rate
            wait = self._free - now
        if wait > 0 and self._over.wait(wait):
            raise StoppedError
