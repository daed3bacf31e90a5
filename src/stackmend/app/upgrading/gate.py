# SPDX-License-Identifier: Apache-2.0
"""What stands in the way of an upgrade: the services' own programs, and those of our checks that it trips over."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from stackmend.app.audits import audit
from stackmend.app.session import no_progress
from stackmend.config.settings import Config
from stackmend.drivers.hosts.status_programs import ask
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.check import Check, Visiting
from stackmend.model.errors import Exit
from stackmend.model.finding import State
from stackmend.model.objects.upgrade import Hindrance, Outcome, StatusAnswer, Verdict
from stackmend.model.protocols import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeGate:
    """The whole answer."""

    programs: tuple[StatusAnswer, ...]
    report: Report
    hindrances: tuple[Hindrance, ...]
    strict: bool = False

    @property
    def unanswered(self) -> tuple[StatusAnswer, ...]:
        """The programs without an answer that there should have been."""
        wanted = (Outcome.FAILED, Outcome.ABSENT) if self.strict else (Outcome.FAILED,)
        return tuple(one for one in self.programs if one.outcome in wanted)

    @property
    def blockers(self) -> int:
        """How much an upgrade must not be begun with; with ``strict``, warnings as well."""
        found = sum(len(one.of(Verdict.FAILURE)) for one in self.programs)
        found += sum(one.obstacle.blocks for one in self._open)
        return found + (self.warnings if self.strict else 0)

    @property
    def warnings(self) -> int:
        """How much should be looked at before."""
        found = sum(len(one.of(Verdict.WARNING)) for one in self.programs)
        return found + sum(not one.obstacle.blocks for one in self._open)

    @property
    def exit(self) -> Exit:
        """7 if anything has no answer, else 3 if something blocks, else 0."""
        if self.unanswered or self.report.incomplete:
            return Exit.INCOMPLETE
        return Exit.FINDINGS if self.blockers else Exit.CLEAN

    @property
    def _open(self) -> list[Hindrance]:
        return [one for one in self.hindrances if one.finding.state is not State.WAIVED]


def concerned(config: Config) -> dict[str, Check]:
    """The checks of which an upgrade trips over some finding."""
    every = catalogue.of_site(config.severities)
    return {name: one for name, one in every.items() if one.obstacles and not isinstance(one, Visiting)}


def check(
    config: Config,
    *,
    strict: bool = False,
    settle: float | None = None,
    use_api: bool = True,
    progress: Progress = no_progress,
) -> UpgradeGate:
    """Ask every program, one after the other, and audit the cloud by the checks that concern an upgrade.

    With ``strict``, warnings block, and a program that is not installed here is missed. For the others see
    :func:`stackmend.app.audits.audit`.
    """
    checks = concerned(config)
    programs = []
    for number, (service, words) in enumerate(config.status_programs.items()):
        progress(f"{service}-status", number, len(config.status_programs))
        programs.append(_asked(service, words, config.status_timeout))
    report = audit(config, checks=tuple(checks), settle=settle, use_api=use_api, progress=progress)
    found = [
        Hindrance(finding, obstacle)
        for finding in report.findings
        if (obstacle := checks[finding.check].obstacle(finding.evidence.get("code")))
    ]
    found.sort(key=lambda one: (not one.obstacle.blocks, one.finding.check, one.finding.resource_id))
    return UpgradeGate(programs=tuple(programs), report=report, hindrances=tuple(found), strict=strict)


def _asked(service: str, words: Sequence[str], limit: float) -> StatusAnswer:
    """``words``: as configured; none: the program is looked for in PATH."""
    name = f"{service}-status"
    found = "" if words else shutil.which(name)
    if found is None:
        return StatusAnswer(
            service=service,
            program=name,
            outcome=Outcome.ABSENT,
            reason=f"{name} is not in PATH: [upgrade] {service} in the configuration says how to run it",
        )
    return ask(service, words or (found,), limit)
