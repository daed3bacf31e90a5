# SPDX-License-Identifier: Apache-2.0
"""The result of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from stackmend.model.errors import Exit
from stackmend.model.finding import Finding, State
from stackmend.model.sight import HostLook
from stackmend.model.snapshot import Manifest


class CheckOutcome(StrEnum):
    """Whether a check could be answered."""

    OK = "ok"
    INCOMPLETE = "incomplete"  #: a source it needs could not be read completely: no findings does not mean clean
    ERROR = "error"  #: its SQL could not be run


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check."""

    check: str
    outcome: CheckOutcome = CheckOutcome.OK
    reason: str = ""  #: why it is incomplete or failed, naming the source
    findings: int = 0  #: number listed
    explained: int = 0  #: number counted under a root cause instead of listed
    seconds: float = 0.0  #: duration of its SQL

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
    """The result of an audit."""

    findings: tuple[Finding, ...]
    checks: Mapping[str, CheckResult]
    manifest: Manifest
    exit: Exit
    notes: tuple[str, ...] = field(default=())  #: what else the operator should know
    young: tuple[Finding, ...] = ()  #: suspected but held back: too recent to be sure
    dropped: tuple[Finding, ...] = ()  #: confirmed by the databases, and contradicted by hypervisors
    looks: Mapping[str, HostLook] = field(default_factory=dict)  #: the hypervisors that were read about findings

    def with_young(self) -> Report:
        """The report with the held-back findings included as candidates."""
        open_ = self.exit is Exit.CLEAN and any(one.state is not State.WAIVED for one in self.young)
        found = (*self.findings, *self.young)
        return replace(self, findings=found, young=(), exit=Exit.FINDINGS if open_ else self.exit)

    @property
    def incomplete(self) -> dict[str, str]:
        """Each check without an answer, with the reason."""
        return {name: r.reason for name, r in self.checks.items() if r.outcome is not CheckOutcome.OK}
