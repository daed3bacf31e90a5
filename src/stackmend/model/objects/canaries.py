# SPDX-License-Identifier: Apache-2.0
"""The results of a batch of canaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stackmend.model.errors import Exit


class Phase(StrEnum):
    """How far a canary got, or in which phase it failed."""

    WAITING = "waiting"  #: it has not been begun
    BUILD = "build"
    PROVE = "prove"
    CLEAN = "clean"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One host's attempt to build a canary."""

    host: str
    seconds: float | None  #: None if it has not ended
    failed: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A cause of a failure, from logs."""

    cause: str
    confidence: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The result of one canary."""

    name: str
    server: str = ""  #: "" if Nova has no record of it
    phase: Phase = Phase.WAITING
    failed: bool = False
    host: str = ""  #: the last host that tried to build it
    why: str = ""
    #: durations in seconds. As seen by stackmend: "build" (from the request to active), "prove", "clean".
    #: As recorded by Nova: "wait" (until a host began the build), "host" (the time the last host took)
    seconds: Mapping[str, float] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()
    causes: Sequence[Explained] = ()  #: if it was diagnosed: only some of those that fail alike are

    @property
    def again(self) -> bool:
        """Whether more than one host had to try."""
        return len(self.attempts) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The results of all canaries of a batch."""

    run: str
    batch: str
    asked: Mapping[str, object]  #: count, image, flavor, networks, ...
    canaries: Sequence[Canary]
    left: Sequence[str] = ()  #: what still exists: "server <id>", "port <id>"
    in_doubt: bool = False
    notes: Sequence[str] = ()  #: what could not be diagnosed, and why

    @property
    def proved(self) -> int:
        """The number of canaries that got exactly what was requested, and are deleted."""
        return sum(one.phase is Phase.DONE for one in self.canaries)

    @property
    def bad(self) -> Sequence[Canary]:
        """The canaries that failed, in any phase."""
        return [one for one in self.canaries if one.failed]

    @property
    def exit(self) -> Exit:
        """6 if the outcome of a step is unknown, 5 if anything is left or was not begun, 3 for failures, else 0."""
        if self.in_doubt and self.left:
            return Exit.IN_DOUBT
        if self.left or any(not one.failed and one.phase is not Phase.DONE for one in self.canaries):
            return Exit.STOPPED
        return Exit.FINDINGS if self.bad else Exit.CLEAN
