# SPDX-License-Identifier: Apache-2.0
"""What became of a batch of canaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stackmend.model.errors import Exit


class Phase(StrEnum):
    """How far a canary came; where one failed, in what."""

    WAITING = "waiting"  #: it was not begun
    BUILD = "build"
    PROVE = "prove"
    CLEAN = "clean"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A host that tried to build one."""

    host: str
    seconds: float | None  #: None: it has not ended
    failed: bool
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One of them."""

    name: str
    server: str = ""  #: "" where Nova has no record of it
    phase: Phase = Phase.WAITING
    failed: bool = False
    host: str = ""  #: the last that tried it
    why: str = ""
    #: seconds: "build" from the request to active, "prove", "clean", as seen from here; "wait" until a host began it,
    #: "host" that the last one took, as Nova tells
    seconds: Mapping[str, float] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()

    @property
    def again(self) -> bool:
        """Whether more than one host had to try."""
        return len(self.attempts) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """All of them."""

    run: str
    batch: str
    asked: Mapping[str, object]  #: count, image, flavor, networks, ...
    canaries: Sequence[Canary]
    left: Sequence[str] = ()  #: what is still there: "server <id>", "port <id>"
    in_doubt: bool = False

    @property
    def proved(self) -> int:
        """How many got exactly what they were asked for, and are gone."""
        return sum(one.phase is Phase.DONE for one in self.canaries)

    @property
    def bad(self) -> Sequence[Canary]:
        """Those that failed, in whatever."""
        return [one for one in self.canaries if one.failed]

    @property
    def exit(self) -> Exit:
        """6 where the outcome of a step is not known, 5 where something is left or was not begun, 3 for failures."""
        if self.in_doubt and self.left:
            return Exit.IN_DOUBT
        if self.left or any(not one.failed and one.phase is not Phase.DONE for one in self.canaries):
            return Exit.STOPPED
        return Exit.FINDINGS if self.bad else Exit.CLEAN
