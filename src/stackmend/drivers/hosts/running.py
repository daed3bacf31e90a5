# SPDX-License-Identifier: Apache-2.0
"""One command on its way: connected first, then begun, seen to its end; and what is known when it is not."""

from __future__ import annotations

import math
import secrets
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from stackmend.drivers.hosts.child import KEPT, Child
from stackmend.drivers.hosts.words import last_line, named
from stackmend.model.errors import HostLost, HostUnreachable, SourceError
from stackmend.model.ports import Completed

#: seconds for signing in
CONNECT = 30.0
#: seconds in which timeout(1) must have ended a command that took too long
GRACE = 10.0
#: bytes in which the last line is looked for
_TAIL = 4096
#: of timeout(1), for what it had to end
_ENDED = (124, 137)

#: says on stderr when the command begins and how it ended: a failure of ssh, of sudo or of a container runtime is then
#: never taken for one of the command, whose exit code may well be the same. $0 is the mark, by which it can be found
#: among the processes while it runs
_SCRIPT = """PATH=$PATH:/usr/sbin:/sbin
t=$1
shift
echo "$t begun" >&2
"$@"
c=$?
echo "$t ended $c" >&2
exit "$c\""""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a command gets to its host."""

    host: str  #: "" is this machine
    connect: tuple[str, ...] = ()  #: what is run first, and proves that the host can be reached
    carry: tuple[str, ...] = ()  #: what takes one line for a shell there; () runs it here
    prefix: tuple[str, ...] = ()  #: before the command, on the host: sudo, a container runtime
    hint: str = field(default="See what is printed by the same command by hand.")


class Running:
    """One command under way."""

    def __init__(self, way: Way, argv: Sequence[str], *, limit: float, stdin: bytes = b"", mark: str = "") -> None:
        self.way = way
        self._argv, self._limit, self._stdin = tuple(argv), limit, stdin
        self._token = f"stackmend-{secrets.token_hex(4)}"
        self._line = _wrapped(way, self._argv, limit, mark or "stackmend", self._token)
        self._connecting = bool(way.connect)
        self._began = time.monotonic()
        self._child = Child(way.connect) if way.connect else Child(self._line, stdin)

    def poll(self, wait: float = 0.0) -> Completed | None:
        """What came of it, None while it goes on; waits at most ``wait`` seconds. Raises as ``Hosts.run`` does."""
        wait = max(0.0, min(wait, self._until - time.monotonic()))
        end = time.monotonic() + wait
        if self._connecting and not self._connected(wait):
            return None
        code = self._child.poll(max(0.0, end - time.monotonic()))
        if code is not None:
            return self._over(code)
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
            raise HostUnreachable(f"{self.way.host} did not answer within {CONNECT:.0f} s", self.way.hint)
        if code is None:
            return False
        if code != 0:
            why = last_line(self._child.err) or f"exit code {code}"
            raise HostUnreachable(f"{self.way.host} cannot be reached: {why}", self.way.hint)
        self._connecting, self._began = False, time.monotonic()
        self._child = Child(self._line, self._stdin)
        return True

    def _over(self, code: int) -> Completed:
        begun, ended, err = _told(bytes(self._child.err), self._child.head, self._token)
        if not begun and not (self.way.carry and code == 255):
            # whatever comes before the command (sudo, a container runtime, a login shell) would not let it begin
            why = last_line(err) or f"exit code {code}"
            raise HostUnreachable(f"nothing was run on {self._where}: {why}", self.way.hint)
        if ended is None:
            why = last_line(err)
            raise HostLost(
                f"lost {self._where} while it ran {named(self._argv)}{f': {why}' if why else ''}",
                "Look there whether it was done.",
            )
        if ended in _ENDED and time.monotonic() - self._began >= self._limit:
            raise self._late()
        if self._child.over:
            raise SourceError(
                f"{named(self._argv)} on {self._where} printed more than {KEPT >> 20} MiB (exit code {ended})",
                "Ask for less at a time.",
            )
        return Completed(ended, bytes(self._child.out), err)

    def _late(self) -> HostLost:
        return HostLost(
            f"{named(self._argv)} on {self._where} took longer than {self._limit:g} s and was ended",
            "Look there how far it came.",
        )

    @property
    def _where(self) -> str:
        return self.way.host or "this machine"


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
