# SPDX-License-Identifier: Apache-2.0
"""One command on a host: connect first, then start it, and follow it to its end; and how to classify failures."""

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

#: time limit for connecting, in seconds
CONNECT = 30.0
#: seconds in which timeout(1) must have ended a command that took too long
GRACE = 10.0
#: number of bytes searched for the last line
_TAIL = 4096
#: exit codes of timeout(1) for a command it had to end
_ENDED = (124, 137)

#: prints on stdout and stderr that the command has begun, and how it ended: so a failure of ssh, sudo or a container
#: runtime is never taken for one of the command, even with the same exit code, nor the output of a login shell for the
#: command's. $0 is the mark, by which the command can be found among the processes
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
#: maximum number of characters quoted from an unexpected output
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRoute:
    """How to run a command on a host."""

    host: str  #: "" is this machine
    connect: tuple[str, ...] = ()  #: run first, to prove that the host can be reached
    carry: tuple[str, ...] = ()  #: takes a shell command line to the host; () runs it here
    prefix: tuple[str, ...] = ()  #: precedes the command on the host: sudo, a container runtime
    hint: str = field(default="Run the same command by hand and check its output.")


class Running:
    """One command in progress."""

    def __init__(
        self, way: CommandRoute, argv: Sequence[str], *, limit: float, stdin: bytes = b"", mark: str = ""
    ) -> None:
        self.way = way
        self._argv, self._limit, self._stdin = tuple(argv), limit, stdin
        self._token = f"stackmend-{secrets.token_hex(8)}"
        self._reads = not mark
        self._line = _wrapped(way, self._argv, limit, mark or "stackmend", self._token)
        self._connecting = bool(way.connect)
        self._began = time.monotonic()
        self._child = Child(way.connect) if way.connect else Child(self._line, stdin)

    def poll(self, wait: float = 0.0) -> Completed | None:
        """Its result, None while it is running; waits at most ``wait`` seconds. Raises as ``Hosts.run`` does."""
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
    def last_output(self) -> str:
        """The last line printed on stderr so far: its progress."""
        return "" if self._connecting else last_line(_parsed(bytes(self._child.err[-_TAIL:]), b"", self._token)[2])

    @property
    def _until(self) -> float:
        """The deadline for connecting, or for its end."""
        if self._connecting:
            return self._began + CONNECT
        return self._began + self._limit + GRACE

    def end(self) -> None:
        """End its local part; on the host it ends at its limit."""
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
        """End a command with endless output if it only reads, or if that output comes before any command."""
        begun = f"{self._token} begun".encode() in self._child.out
        if begun and not self._reads:
            return  # it changes something: it runs to its end, and its probe decides
        self.end()
        if begun:
            raise SourceError(f"{named(self._argv)} on {self._where} {_MUCH}, and was ended", "Ask for less at a time.")
        # a shell whose reader is gone may continue, and start the command
        raise HostLost(
            f"{self._where} {_MUCH} before {named(self._argv)} was started: {shown(self._child.out)}",
            "The account's login shell and the command prefix ([hosts] prefix) must print nothing.",
        )

    def _over(self, code: int) -> Completed:
        begun, ended, err = _parsed(bytes(self._child.err), self._child.head, self._token)
        answer = _framed(bytes(self._child.out), self._token)
        if not begun and answer.begun:
            raise SourceError(
                f"{self._where} merges stdout and stderr of {named(self._argv)} (exit code {answer.code})",
                "[hosts] prefix and container must not allocate a terminal: docker exec -i, not -it.",
            )
        if not begun and not (self.way.carry and code == 255):
            # whatever precedes the command (sudo, a container runtime, a login shell) prevented its start
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
    """The contents of stdout."""

    begun: bool
    code: int | None  #: the exit code, if it ended
    output: bytes | None  #: of the command alone, None if incomplete
    around: bytes  #: what came before and after it


def _framed(out: bytes, token: str) -> _Framed:
    """The output of a command, without that of a login shell before it or of a background process after it."""
    begin = re.search(rb"%b begun\r?\n" % token.encode(), out)
    if begin is None:
        return _Framed(False, None, None, out)
    whole, end, after = out[begin.end() :].rpartition(f"{token} ended ".encode())
    number, line_end, rest = after.partition(b"\n")
    if not end or not line_end or not number.strip().isdigit():
        return _Framed(True, None, None, out[: begin.start()])
    if begin[0].endswith(b"\r\n"):  # a terminal on the way has changed every newline like this
        whole = whole.replace(b"\r\n", b"\n")
    return _Framed(True, int(number), whole, out[: begin.start()] + rest)


def shown(text: bytes | bytearray) -> str:
    """The beginning of a host's output, quoted and without control characters."""
    some = bytes(text[:_SHOWN]).decode("utf-8", "backslashreplace")
    return repr(some) + (" ..." if len(text) > _SHOWN else "") if text else ""


def _wrapped(way: CommandRoute, argv: tuple[str, ...], limit: float, mark: str, token: str) -> tuple[str, ...]:
    """The complete command line to run on this machine."""
    # runs on the host, so that the command ends even if this process or the connection is gone
    ending = ("timeout", "-k", "5", str(max(1, math.ceil(limit))))
    whole = (*way.prefix, "sh", "-c", _SCRIPT, mark, token, *ending, *argv)
    return (*way.carry, shlex.join(whole)) if way.carry else whole


def _parsed(err: bytes, head: bytes, token: str) -> tuple[bool, int | None, bytes]:
    """(whether it was begun, its exit code if it ended, its own output)."""
    begin, end = f"{token} begun\n".encode(), f"{token} ended ".encode()
    begun = begin in head or end in err
    before, found, after = err.rpartition(end)
    if not found:
        return begun, None, err.replace(begin, b"")
    number, _, rest = after.partition(b"\n")
    code = int(number) if number.isdigit() else None
    return begun, code, (before + rest).replace(begin, b"")
