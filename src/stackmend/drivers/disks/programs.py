# SPDX-License-Identifier: Apache-2.0
"""Runs programs on data written by a guest, with limits on time, memory and output."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import IO

from stackmend.model.errors import SourceError

#: seconds allowed for one program
LIMIT = 60.0
#: maximum output of a program in bytes
KEPT = 16 << 20
#: maximum memory of a program in bytes
_MEMORY = 1 << 30
_CHUNK = 1 << 16
#: where programs are looked for
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: the output to be parsed must not depend on the operator's language or time zone
_ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC0", "DEBUGFS_PAGER": "__none__",
                "E2FSCK_CONFIG": "/dev/null", "HOME": "/nonexistent"}  # fmt: skip


class TooSlowError(SourceError):
    """A program was ended because it took too long."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a program."""

    code: int
    out: bytes
    err: str  #: last line of stderr
    said: tuple[str, ...] = ()  #: the last lines of stderr


def _limited(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def started(
    argv: Sequence[str],
    *,
    stderr: int | IO[bytes] = subprocess.PIPE,
    keep: Sequence[int] = (),
    memory: int | None = _MEMORY,
    more: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Start a program; SourceError if it is not installed. ``memory``: its limit in bytes; ``more``: environment."""
    try:
        return subprocess.Popen(  # noqa: S603 - an argument vector of ours; no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stderr == subprocess.PIPE else stderr,
            stderr=stderr,
            env={**_ENVIRONMENT, **more},
            pass_fds=tuple(keep),
            start_new_session=True,
            preexec_fn=None if memory is None else partial(_limited, memory),
        )
    except FileNotFoundError:
        raise SourceError(
            f"{argv[0]} is not installed on this machine", "docs/how-to/guest-does-not-boot.md says what it takes."
        ) from None


def run(
    argv: Sequence[str],
    *,
    limit: float = LIMIT,
    memory: int = _MEMORY,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Run a program to its end; SourceError if it takes too long or prints too much. See :func:`started`."""
    out = bytearray()
    with _Stream(argv, limit, memory, more) as stream:
        for some in stream:
            out += some
            if len(out) > KEPT:
                raise SourceError(f"{argv[0]} prints more than {KEPT} bytes: the disk is damaged, or made to do so")
        code = stream.ended()
    return Ended(code, bytes(out), stream.why, stream.said)


def output(argv: Sequence[str], *, limit: float = LIMIT) -> Iterator[bytes]:
    """The output of a program as it arrives; closing the iterator ends the program."""
    with _Stream(argv, limit) as stream:
        yield from stream


class _Stream:
    """A program whose output is read as it arrives."""

    def __init__(
        self,
        argv: Sequence[str],
        limit: float,
        memory: int = _MEMORY,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._name, self._limit, self._end = argv[0], limit, time.monotonic() + limit
        self._process = started(argv, memory=memory, more=more)
        self._err = bytearray()

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            # with everything that it has started
            os.killpg(self._process.pid, signal.SIGKILL)
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
    def said(self) -> tuple[str, ...]:
        """The last lines printed on stderr."""
        lines = (line.strip() for line in self._err.decode("utf-8", "replace").splitlines())
        return tuple("".join(one if one.isprintable() else "?" for one in line) for line in lines if line)

    @property
    def why(self) -> str:
        """The last line printed on stderr."""
        return self.said[-1] if self.said else ""

    def _late(self) -> TooSlowError:
        return TooSlowError(f"{self._name} was ended after {self._limit:g} s: the disk is damaged, or made to do so")
