# SPDX-License-Identifier: Apache-2.0
"""A child process that is polled: no threads, no blocking waits, and bounded memory for its output."""

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

#: bytes of output to keep
KEPT = 8 * 1024 * 1024
_CHUNK = 65_536
#: additional bytes for what surrounds the output of a command
_AROUND = 2 * _CHUNK
#: bytes read per poll, so that one child with endless output does not delay the others
_LOOK = 4 * 1024 * 1024
#: seconds between polls for the end of a child on systems without pidfd (before Linux 5.3, and others)
_SLICE = 0.1
#: seconds between asking a child to end and killing it
_PATIENCE = 0.5


class Child:
    """One process in its own session: signals to this process do not reach it, and it is ended with its children."""

    def __init__(self, argv: Sequence[str], stdin: bytes = b"") -> None:
        self.out = bytearray()  #: the first :data:`KEPT` bytes, and some more
        self.err = bytearray()  #: the last :data:`KEPT` bytes
        self.head = b""  #: the first bytes of ``err``
        self.over = False  #: output was discarded
        self.code: int | None = None  #: 128 + n if signal n ended it
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
        """Process id."""
        return self._process.pid

    def poll(self, wait: float = 0.0) -> int | None:
        """Read the available output; return the exit code, or None if it still runs after ``wait`` seconds."""
        if self.code is not None:
            return self.code
        end = time.monotonic() + wait
        while True:
            # checked before reading, so that its last output is read
            code = self._process.poll()
            self._read()
            if code is not None:
                return self._closed(code)
            left = end - time.monotonic()
            if left <= 0:
                return None
            # end of output alone proves nothing: another process may hold it open, as ssh's shared connection does
            select.select([*self._open, *self._end], [], [], left if self._end else min(left, _SLICE))

    def end(self) -> None:
        """End it with everything in its session; output up to then is kept."""
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
    """The processes of a session: timeout(1) creates a process group of its own for its command."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                if os.getsid(int(name)) == leader:
                    found.append(int(name))
    return found or [leader]


def _watched(pid: int) -> tuple[int, ...]:
    """A file descriptor that becomes readable when the process ends, if the system supports it."""
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
