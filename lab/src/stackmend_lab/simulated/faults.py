# SPDX-License-Identifier: Apache-2.0
"""The faults of a simulated cloud, with their frequencies."""

from __future__ import annotations

from dataclasses import dataclass

#: possible faults of a call: the service fails before or after accepting it, is busy, cannot be reached, or the
#: connection breaks before or after
KINDS = ("500", "500 taken", "503", "unsent", "lost", "lost taken")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares are fractions of one; the random numbers are those of the cloud's seed."""

    every: int = 0  #: each n-th call fails
    kinds: tuple[str, ...] = KINDS  #: in one of these ways
    no_valid_host: float = 0.0  #: share of moves for which the scheduler finds no host
    slow: float = 0.0  #: share of live migrations that take twenty times as long
    stalled: float = 0.0  #: share of live migrations that never end by themselves
    rolled_back: float = 0.0  #: share of moves that fail halfway, and leave the server where it was
    broken: float = 0.0  #: share of moves that fail halfway, and leave the server in ERROR where it was
    unfinished: float = 0.0  #: share of cold migrations that fail on the other host, before the guest is defined there
    stranded: float = 0.0  #: share of live migrations that fail at the end: in ERROR on the other host, with leftovers
    deaths: int = 0  #: hosts that die
    restarts: int = 0  #: hosts whose nova-compute restarts
    span: float = 300.0  #: period in seconds in which hosts die and restart
    spared: tuple[str, ...] = ()  #: hosts that neither die nor restart
