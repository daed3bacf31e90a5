# SPDX-License-Identifier: Apache-2.0
"""What an audit answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from stackmend.model.errors import Exit
from stackmend.model.finding import Finding, State
from stackmend.model.snapshot import Manifest


class Outcome(StrEnum):
    """Whether a check has an answer."""

    OK = "ok"
    INCOMPLETE = "incomplete"  #: a source it needs was not read whole: no finding does not mean clean
    ERROR = "error"  #: its SQL could not be run


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What became of one check."""

    check: str
    outcome: Outcome = Outcome.OK
    reason: str = ""  #: why it has no answer, naming the source
    findings: int = 0  #: listed
    explained: int = 0  #: counted with a root cause, not listed
    seconds: float = 0.0  #: its SQL took

    def as_dict(self) -> dict[str, object]:
        """JSON values."""
        return {
            "check": self.check,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "findings": self.findings,
            "explained": self.explained,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer of an audit."""

    findings: tuple[Finding, ...]
    checks: Mapping[str, CheckResult]
    manifest: Manifest
    exit: Exit
    notes: tuple[str, ...] = field(default=())  #: what the operator should know besides
    young: tuple[Finding, ...] = ()  #: suspected, and held back: too young to tell

    def with_young(self) -> Report:
        """With what was held back among the findings, as candidates."""
        open_ = self.exit is Exit.CLEAN and any(one.state is not State.WAIVED for one in self.young)
        found = (*self.findings, *self.young)
        return replace(self, findings=found, young=(), exit=Exit.FINDINGS if open_ else self.exit)

    @property
    def incomplete(self) -> dict[str, str]:
        """Check -> why it has no answer."""
        return {name: r.reason for name, r in self.checks.items() if r.outcome is not Outcome.OK}
