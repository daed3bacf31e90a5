# SPDX-License-Identifier: Apache-2.0
"""Whether an address answers a TCP connection from this machine."""

from __future__ import annotations

import errno
import socket
import time
from typing import NamedTuple

#: error of the kernel -> what it says about the address
_WORDS = {
    errno.ECONNREFUSED: ("refused", "the address is in use, but nothing listens on that port"),
    errno.EHOSTUNREACH: ("unreachable", "there is no route to it, or nothing answers for the address in its network"),
    errno.ENETUNREACH: ("unreachable", "this machine has no route to it"),
    errno.ECONNRESET: ("refused", "the connection was reset: the address is in use"),
    errno.EACCES: ("unreachable", "this machine is not allowed to connect to it"),
    errno.EPERM: ("unreachable", "a firewall on this machine blocks the connection"),
}


class Reached(NamedTuple):
    """The result of one attempt."""

    address: str
    port: int
    state: str  #: "open", "refused", "silent" or "unreachable"
    why: str
    seconds: float

    @property
    def is_there(self) -> bool:
        """Whether anything answered."""
        return self.state in ("open", "refused")


def connect(address: str, port: int, limit: float) -> Reached:
    """Connect once, within ``limit`` seconds, and close the connection; nothing is sent."""
    begun = time.monotonic()
    state, why = "open", "it answers"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as end:
            end.settimeout(limit)
            end.connect((address, port))
    except TimeoutError:
        state, why = "silent", f"no answer within {limit:g} s: the address is not in use, or a filter drops the packets"
    except OSError as problem:
        state, why = _WORDS.get(problem.errno or 0, ("unreachable", problem.strerror or str(problem)))
    return Reached(address, port, state, why, round(time.monotonic() - begun, 3))
