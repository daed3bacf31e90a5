# SPDX-License-Identifier: Apache-2.0
"""One command on its way: connected first, then begun, seen to its end; and what is known when it is not."""

from __future__ import annotations

import math
import re
import secrets
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stackmend.drivers.hosts.child import KEPT, Child
from stackmend.drivers.hosts.words import last_line, named
from stackmend.model.errors import HostLost, HostUnreachable, SourceError
from stackmend.model.events import Events
from stackmend.model.protocols import Completed

_EVENTS = Events(__name__)

#: seconds for signing in
CONNECT = 30.0
#: seconds in which timeout(1) must have ended a command that took too long
GRACE = 10.0
#: bytes in which the last line is looked for
_TAIL = 4096
#: of timeout(1), for what it had to end
_ENDED = (124, 137)

#: says on stdout and stderr when the command begins and how it ended: a failure of ssh, of sudo or of a container
#: runtime is then never taken for one of the command, whose exit code may well be the same, nor what a login shell
#: prints for its output. $0 is the mark, by which it can be found among the processes while it runs
_SCRIPT = """PATH=$PATH:/usr/sbin:/sbin
t=$1
shift
echo "$t begun" >&2
echo "$t begun"
"$@"
c=$?
echo "$t ended $c"
echo "$t ended $c" >&2
exit "$c\""""
#: characters of what was printed instead of an answer that an error shows
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a command gets to its host."""

    host: str  #: "" is this machine
    connect: tuple[str, ...] = ()  #: what is run first, and proves that the host can be reached
    carry: tuple[str, ...] = ()  #: what takes one line for a shell there; () runs it here
    prefix: tuple[str, ...] = ()  #: before the command, on the host: sudo, a container runtime
    hint: str = field(default="Run the same command by hand and check its output.")


class Running:
    """One command under way."""

    def __init__(self, way: Way, argv: Sequence[str], *, limit: float, stdin: bytes = b"", mark: str = "") -> None:
        self.way = way
        self._argv, self._limit, self._stdin = tuple(argv), limit, stdin
        self._token = f"stackmend-{secrets.token_hex(8)}"
        self._reads = not mark
        self._line = _wrapped(way, self._argv, limit, mark or "stackmend", self._token)
        self._connecting = bool(way.connect)
        self._began = time.monotonic()
        self._child = Child(way.connect) if way.connect else Child(self._line, stdin)

    def poll(self, wait: float = 0.0) -> Completed | None:
        """Its result, None while it is in progress; waits at most ``wait`` seconds. Raises as ``Hosts.run`` does."""
        wait = max(0.0, min(wait, self._until - time.monotonic()))
        end = time.monotonic() + wait
        if self._connecting and not self._connected(wait):
            return None
        code = self._child.poll(max(0.0, end - time.monotonic()))
        if code is not None:
            return self._over(code)
        if self._child.over:
            self._cut()
        if time.monotonic() >= self._until:
            self.end()
            raise self._late()
        return None

    @property
    def said(self) -> str:
        """The last line that it printed on stderr so far: how far it is."""
        return "" if self._connecting else last_line(_told(bytes(self._child.err[-_TAIL:]), b"", self._token)[2])

    @property
    def _until(self) -> float:
        """When it must be over, or connected."""
        if self._connecting:
            return self._began + CONNECT
        return self._began + self._limit + GRACE

    def end(self) -> None:
        """End what of it is on this machine; elsewhere it ends at its limit."""
        self._child.end()

    def _connected(self, wait: float) -> bool:
        code = self._child.poll(wait)
        if code is None and time.monotonic() >= self._until:
            self.end()
            what = f"; it printed {shown(self._child.out)}" if self._child.out else ""
            raise HostUnreachable(f"{self.way.host} did not answer within {CONNECT:.0f} s{what}", self.way.hint)
        if code is None:
            return False
        if code != 0:
            why = last_line(self._child.err) or f"exit code {code}"
            raise HostUnreachable(f"{self.way.host} cannot be reached: {why}", self.way.hint)
        self._connecting, self._began = False, time.monotonic()
        self._child = Child(self._line, self._stdin)
        return True

    def _cut(self) -> None:
        """End what prints without end: a command that only reads, or whatever comes before any command."""
        begun = f"{self._token} begun".encode() in self._child.out
        if begun and not self._reads:
            return  # it changes something: it goes on to its end, and its probe tells
        self.end()
        if begun:
            raise SourceError(f"{named(self._argv)} on {self._where} {_MUCH}, and was ended", "Ask for less at a time.")
        # a shell whose reader has gone may well go on, and begin it
        raise HostLost(
            f"{self._where} {_MUCH} before {named(self._argv)} was started: {shown(self._child.out)}",
            "The account's login shell and the command prefix ([hosts] prefix) must print nothing.",
        )

    def _over(self, code: int) -> Completed:
        begun, ended, err = _told(bytes(self._child.err), self._child.head, self._token)
        answer = _framed(bytes(self._child.out), self._token)
        if not begun and answer.begun:
            raise SourceError(
                f"{self._where} merges stdout and stderr of {named(self._argv)} (exit code {answer.code})",
                "[hosts] prefix and container must not allocate a terminal: docker exec -i, not -it.",
            )
        if not begun and not (self.way.carry and code == 255):
            # whatever comes before the command (sudo, a container runtime, a login shell) would not let it begin
            why = last_line(err) or f"exit code {code}"
            more = f"; it printed {shown(self._child.out)}" if self._child.out else ""
            raise HostUnreachable(f"nothing was run on {self._where}: {why}{more}", self.way.hint)
        if ended is None:
            why = last_line(err)
            raise HostLost(
                f"lost {self._where} while it ran {named(self._argv)}{f': {why}' if why else ''}",
                "Check on the host whether it was done.",
            )
        if ended in _ENDED and time.monotonic() - self._began >= self._limit:
            raise self._late()
        if self._child.over or len(answer.output or b"") > KEPT:
            raise SourceError(
                f"{named(self._argv)} on {self._where} {_MUCH} (exit code {ended})",
                "Ask for less at a time.",
            )
        if answer.output is None:
            raise SourceError(
                f"the answer of {self._where} to {named(self._argv)} is incomplete (exit code {ended}); it printed"
                f" {shown(self._child.out) or 'nothing'}",
                "Something between that command and this machine changes output: check [hosts] prefix and container.",
            )
        if answer.around:
            _EVENTS.milestone(
                "printed around a command", host=self._where, command=named(self._argv), text=shown(answer.around)
            )
        seconds = round(time.monotonic() - self._began, 3)
        _EVENTS.detail("command", host=self._where, command=named(self._argv), exit=ended, seconds=seconds)
        return Completed(ended, answer.output, err)

    def _late(self) -> HostLost:
        return HostLost(
            f"{named(self._argv)} on {self._where} took longer than {self._limit:g} s and was ended",
            "Check on the host how far it got.",
        )

    @property
    def _where(self) -> str:
        return self.way.host or "this machine"


_MUCH = f"printed more than {KEPT >> 20} MiB"


class _Framed(NamedTuple):
    """What stdout says."""

    begun: bool
    code: int | None  #: the exit code, where it ended
    output: bytes | None  #: of the command alone, None if it is not whole
    around: bytes  #: what came before and after it


def _framed(out: bytes, token: str) -> _Framed:
    """The output of a command without what a login shell prints before it, or a process that it leaves after it."""
    begin = re.search(rb"%b begun\r?\n" % token.encode(), out)
    if begin is None:
        return _Framed(False, None, None, out)
    whole, end, after = out[begin.end() :].rpartition(f"{token} ended ".encode())
    number, line_end, rest = after.partition(b"\n")
    if not end or not line_end or not number.strip().isdigit():
        return _Framed(True, None, None, out[: begin.start()])
    if begin[0].endswith(b"\r\n"):  # a terminal on the way has made it so of every newline
        whole = whole.replace(b"\r\n", b"\n")
    return _Framed(True, int(number), whole, out[: begin.start()] + rest)


def shown(text: bytes | bytearray) -> str:
    """The beginning of what a host printed, in quotes and without anything that a terminal would obey."""
    some = bytes(text[:_SHOWN]).decode("utf-8", "backslashreplace")
    return repr(some) + (" ..." if len(text) > _SHOWN else "") if text else ""


def _wrapped(way: Way, argv: tuple[str, ...], limit: float, mark: str, token: str) -> tuple[str, ...]:
    """The whole command line, as it is run on this machine."""
    # there, so that it ends also when this process or the connection is gone
    ending = ("timeout", "-k", "5", str(max(1, math.ceil(limit))))
    whole = (*way.prefix, "sh", "-c", _SCRIPT, mark, token, *ending, *argv)
    return (*way.carry, shlex.join(whole)) if way.carry else whole


def _told(err: bytes, head: bytes, token: str) -> tuple[bool, int | None, bytes]:
    """(whether it was begun, its exit code where it ended, what it printed itself)."""
    begin, end = f"{token} begun\n".encode(), f"{token} ended ".encode()
    begun = begin in head or end in err
    before, found, after = err.rpartition(end)
    if not found:
        return begun, None, err.replace(begin, b"")
    number, _, rest = after.partition(b"\n")
    code = int(number) if number.isdigit() else None
    return begun, code, (before + rest).replace(begin, b"")
