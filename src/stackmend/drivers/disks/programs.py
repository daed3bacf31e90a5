# SPDX-License-Identifier: Apache-2.0
"""Programs run on what a guest has written: with a limit of time, of memory and of what they print."""

from __future__ import annotations

import os
import resource
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from stackmend.model.errors import SourceError

#: seconds that one program has
LIMIT = 60.0
#: bytes that are kept of what one prints
KEPT = 16 << 20
#: bytes of memory that one may have
_MEMORY = 1 << 30
_CHUNK = 1 << 16
#: nothing of the language or the time zone of whoever runs this gets into what is parsed
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC0", "DEBUGFS_PAGER": "__none__",
                "E2FSCK_CONFIG": "/dev/null", "HOME": "/nonexistent"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    out: bytes
    err: str  #: its last line


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def started(
    argv: Sequence[str],
    *,
    stderr: int | IO[bytes] = subprocess.PIPE,
    keep: Sequence[int] = (),
    limited: bool = True,
) -> subprocess.Popen[bytes]:
    """Begin one; SourceError where it is not installed. ``limited``: in memory, as whatever parses a disk is."""
    try:
        return subprocess.Popen(  # noqa: S603 - an argument vector of ours; no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stderr == subprocess.PIPE else stderr,
            stderr=stderr,
            env=_ENVIRONMENT,
            pass_fds=tuple(keep),
            preexec_fn=_limited if limited else None,
        )
    except FileNotFoundError:
        raise SourceError(
            f"{argv[0]} is not installed on this machine", "docs/how-to/guest-does-not-boot.md says what it takes."
        ) from None


def run(argv: Sequence[str], *, limit: float = LIMIT) -> Ended:
    """One to its end; SourceError where it takes too long or prints too much."""
    out = bytearray()
    with _Stream(argv, limit) as stream:
        for some in stream:
            out += some
            if len(out) > KEPT:
                raise SourceError(f"{argv[0]} prints more than {KEPT} bytes: the disk is damaged, or made to do so")
        code = stream.ended()
    return Ended(code, bytes(out), stream.why)


def output(argv: Sequence[str], *, limit: float = LIMIT) -> Iterator[bytes]:
    """What one prints, as it comes; whoever has enough closes it, which ends the program."""
    with _Stream(argv, limit) as stream:
        yield from stream


class _Stream:
    """A program whose output is read as it comes."""

    def __init__(self, argv: Sequence[str], limit: float) -> None:
        self._name, self._limit, self._end = argv[0], limit, time.monotonic() + limit
        self._process = started(argv)
        self._err = bytearray()

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def __iter__(self) -> Iterator[bytes]:
        assert self._process.stdout is not None and self._process.stderr is not None  # noqa: S101, PT018 - pipes
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        open_ = {out, err}
        while open_:
            ready, _, _ = select.select(list(open_), [], [], max(0.0, self._end - time.monotonic()))
            if not ready:
                raise self._late()
            for number in ready:
                some = os.read(number, _CHUNK)
                if not some:
                    open_.discard(number)
                elif number == out:
                    yield some
                else:
                    self._err = (self._err + some)[-_CHUNK:]

    def ended(self) -> int:
        """Its exit code."""
        try:
            return self._process.wait(max(0.0, self._end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._late() from None

    @property
    def why(self) -> str:
        """The last line that it printed on stderr."""
        lines = [line for line in self._err.decode("utf-8", "replace").splitlines() if line.strip()]
        return "".join(one if one.isprintable() else "?" for one in lines[-1].strip()) if lines else ""

    def _late(self) -> SourceError:
        return SourceError(f"{self._name} was ended after {self._limit:g} s: the disk is damaged, or made to do so")
