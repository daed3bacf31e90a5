# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of an upgrade: answers of the services' own programs, and findings that an upgrade trips over.

The programs are ``nova-status upgrade check`` and its likes, all made with oslo.upgradecheck.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from stackmend.model.check import Obstacle
from stackmend.model.finding import Finding


class Verdict(IntEnum):
    """The outcome of one check of a program; the highest one is its exit code."""

    SUCCESS = 0
    WARNING = 1  #: worth a look; the upgrade may work
    FAILURE = 2  #: to be put right before the upgrade


class Outcome(StrEnum):
    """Whether a program answered."""

    ANSWERED = "answered"
    FAILED = "failed"  #: it was run, and what it says is no answer: neither "nothing found" nor "something found"
    ABSENT = "absent"  #: it is not installed here


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCheck:
    """One check of a program."""

    name: str
    verdict: Verdict
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """What one program said."""

    service: str
    program: str  #: as it was run
    outcome: Outcome
    code: int | None = None  #: its exit code; None if it was not run, or did not end
    checks: tuple[StatusCheck, ...] = ()
    reason: str = ""  #: why there is no answer

    def of(self, verdict: Verdict) -> tuple[StatusCheck, ...]:
        """Its checks with that verdict."""
        return tuple(check for check in self.checks if check.verdict is verdict)


@dataclass(frozen=True, slots=True)
class Hindrance:
    """A finding, and what an upgrade makes of it."""

    finding: Finding
    obstacle: Obstacle
