# SPDX-License-Identifier: Apache-2.0
"""Signals that end a command: Ctrl-C, SIGTERM, and SIGHUP when the terminal closes (docs/adr/0020).

A command that only reads ends at once, and leaves nothing behind. One that changes something finishes the steps in
progress and starts no others; a second signal ends it at once, and ``run resume`` finds out where it stopped.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from stackmend.cli.notes import INTERRUPTED

#: seconds from the last signal until a program that does not end by itself is killed
GRACE = 3.0
#: signals that are handled; one that is ignored (nohup) stays ignored
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], Any]


class Interrupted(KeyboardInterrupt):
    """A signal: the command has to end now."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(problem: KeyboardInterrupt) -> int:
    """128 plus the number of the signal, as in shells."""
    return 128 + getattr(problem, "number", int(signal.SIGINT))


@contextmanager
def ending() -> Iterator[None]:
    """Let every signal raise Interrupted, so that what is open is closed and temporary files are removed."""
    seen: list[int] = []

    def raise_it(number: int, frame: FrameType | None) -> None:
        del frame
        seen.append(number)
        raise Interrupted(number)

    with _listening(raise_it, lambda number: None, patience=1):
        try:
            yield
        except KeyboardInterrupt as problem:
            # code that is not Python only reports that it was interrupted
            raise Interrupted(int(signal.SIGINT)) from problem
        finally:
            # also if a library turned it into an error of its own, as DuckDB does
            if seen:
                raise Interrupted(seen[-1])


@dataclass(slots=True)
class StopRequest:
    """Whether a run must not start further steps."""

    reason: str = ""  #: name of the signal, "" if there was none

    def __call__(self) -> str:
        """Why it has to stop, or ""."""
        return self.reason


@contextmanager
def stopping(tell: Callable[[str], None]) -> Iterator[StopRequest]:
    """Let the first signal ask a run to stop, and a second one raise Interrupted."""
    stop = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.reason:
            raise Interrupted(number)
        stop.reason = signal.Signals(number).name

    def say(number: int) -> None:
        name = signal.Signals(number).name
        tell(f"{name}: finishing the steps in progress and starting no others; signal again to stop at once")

    with _listening(ask, say, patience=2):
        yield stop


@contextmanager
def _listening(handler: _Handler, first: Callable[[int], None], patience: int) -> Iterator[None]:
    """Handle the signals; ``first`` is called at the first one, even while this thread waits in a library.

    After ``patience`` signals the program has a moment to end by itself. Only the main thread may handle signals;
    elsewhere (in a server) other code does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until this handles them
    _find_temporary_folder()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    mine = [number for number, old in before.items() if old is not signal.SIG_IGN and old is not None]
    watch = _Watch(first, patience)
    outer = signal.set_wakeup_fd(watch.wake, warn_on_full_buffer=False)
    for number in mine:
        signal.signal(number, handler)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])
        signal.set_wakeup_fd(outer, warn_on_full_buffer=False)
        watch.close()


def _find_temporary_folder() -> None:
    """Have tempfile probe for a writable folder, while signals are blocked: its probe file would be left behind.

    Only before the first other thread starts: signals are blocked per thread.
    """
    with suppress(FileNotFoundError):  # there is none: code that needs one reports that
        tempfile.gettempdir()


class _Watch(threading.Thread):
    """Handles signals while the main thread waits in a library that does not: for a locked row, or a frozen server."""

    def __init__(self, first: Callable[[int], None], patience: int) -> None:
        super().__init__(name="signals", daemon=True)
        self._first, self._patience = first, patience
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._over = threading.Event()
        self.start()

    @property
    def wake(self) -> int:
        """Where Python writes the number of each signal at once."""
        return self._writing.fileno()

    def close(self) -> None:
        """Stop watching."""
        self._over.set()
        self._writing.close()
        self.join()
        self._reading.close()

    def run(self) -> None:
        """Count them."""
        seen = 0
        while some := self._reading.recv(16):
            for number in some:
                if number not in SIGNALS:
                    continue
                seen += 1
                if seen == 1:
                    self._first(number)
                if seen >= self._patience and not self._over.wait(GRACE):
                    _leave(number)


def clean_up() -> None:
    """Remove the temporary folders if the program will not end normally."""
    if scratch := sys.modules.get("stackmend.drivers.scratch"):
        scratch.remove_all()


def _leave(number: int) -> None:
    """End although the main thread does not return: as safe as kill -9, but quieter, and removes temporary folders."""
    clean_up()
    with suppress(OSError):
        os.write(2, f"error: {INTERRUPTED[0]}\nhint: {INTERRUPTED[1]}\n".encode())
    os._exit(128 + number)
