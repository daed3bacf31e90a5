# SPDX-License-Identifier: Apache-2.0
"""A child process that is looked at now and then: no thread, no waiting, and bounded memory for what it prints."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from stackmend.model.errors import HostUnreachable

#: bytes of output that are kept
KEPT = 8 * 1024 * 1024
_CHUNK = 65_536
#: and of what stands around the output of a command
_AROUND = 2 * _CHUNK
#: bytes of one look, so that one child that prints without end does not hold up the others
_LOOK = 4 * 1024 * 1024
#: seconds between two looks at whether a child is over, where its end wakes nobody (before Linux 5.3, and elsewhere)
_SLICE = 0.1
#: seconds from asking a child to end until it is killed
_PATIENCE = 0.5


class Child:
    """One process, in a session of its own: what interrupts this one does not reach it, and it is ended whole."""

    def __init__(self, argv: Sequence[str], stdin: bytes = b"") -> None:
        self.out = bytearray()  #: the first :data:`KEPT` bytes, and some more
        self.err = bytearray()  #: the last :data:`KEPT` bytes
        self.head = b""  #: of ``err``, the first few
        self.over = False  #: ``out`` is not all
        self.code: int | None = None  #: 128 + n where signal n ended it
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            self._process = _started(argv, given)
        self._end = _watched(self._process.pid)
        self._open = {}
        for stream, into in ((self._process.stdout, self.out), (self._process.stderr, self.err)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._open[stream.fileno()] = into

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self._process.pid

    def poll(self, wait: float = 0.0) -> int | None:
        """Read what is there; the exit code when it is over. At most ``wait`` seconds, None while it is in progress."""
        if self.code is not None:
            return self.code
        end = time.monotonic() + wait
        while True:
            # asked before reading, so that what it printed last is read
            code = self._process.poll()
            self._read()
            if code is not None:
                return self._closed(code)
            left = end - time.monotonic()
            if left <= 0:
                return None
            # its output alone does not tell: another process may hold it open, as ssh's shared connection does
            select.select([*self._open, *self._end], [], [], left if self._end else min(left, _SLICE))

    def end(self) -> None:
        """End it, and what it has started in its session; what it printed until then is kept."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in _session(self._process.pid) if self.poll() is None else ():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            self.poll(_PATIENCE)

    def _read(self) -> None:
        for number, into in list(self._open.items()):
            for _ in range(_LOOK // _CHUNK):
                try:
                    some = os.read(number, _CHUNK)
                except BlockingIOError:
                    break
                if not some:
                    del self._open[number]
                    break
                self._keep(into, some)

    def _keep(self, into: bytearray, some: bytes) -> None:
        if into is self.err and len(self.head) < _CHUNK:
            self.head += some[: _CHUNK - len(self.head)]
        into += some
        if into is self.out:
            self.over = self.over or len(into) > KEPT + _AROUND
            del into[KEPT + _AROUND :]
        elif len(into) > KEPT:
            del into[: len(into) - KEPT]

    def _closed(self, code: int) -> int:
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        for number in self._end:
            os.close(number)
        self._open, self._end = {}, ()
        self.code = code if code >= 0 else 128 - code
        return self.code


def _session(leader: int) -> list[int]:
    """The processes of a session: timeout(1) makes a process group of its own for what it watches."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if os.getsid(int(name)) == leader:
                    found.append(int(name))
    return found or [leader]


def _watched(pid: int) -> tuple[int, ...]:
    """A file that can be read when the process is over, where the system has such."""
    try:
        return (os.pidfd_open(pid),)
    except (AttributeError, OSError):
        return ()


def _started(argv: Sequence[str], stdin: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - an argument vector of ours; no shell
            list(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise HostUnreachable(f"{argv[0]} cannot be started: {why}", f"Install {argv[0]} on this machine.") from None
