# SPDX-License-Identifier: Apache-2.0
"""A cloud, and the means to repair it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackmend.app import audits, plans, runs
from stackmend.config.settings import Config
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend_lab.cloud import Cloud

from .planning import plan_for


@dataclass(frozen=True, slots=True)
class Stage:
    """A cloud and its configuration."""

    cloud: Cloud
    config: Config

    def plan(self, check: str, *repairs: str) -> Plan:
        """A plan for this check's findings; ``repairs`` are those named by the operator."""
        return plan_for(self.config, checks=(check,), allow_db=True, settle=0, repairs=repairs)

    def request(self, repair: str, **arguments: Any) -> Plan:
        """The plan for an operator's request."""
        return plans.request(self.config, repair, arguments, allow_db=True)

    def apply(self, plan: Plan) -> None:
        """Apply it; everything must succeed."""
        assert runs.apply(self.config, plan, accept=("all",)).exit is Exit.REPAIRED

    def found(self, *checks: str) -> set[tuple[str, str]]:
        """(check, resource) of these checks' findings."""
        report = audits.audit(self.config, checks=checks, settle=0)
        return {(finding.check, finding.resource_id) for finding in report.findings}

    def rows(self, table: str, **where: Any) -> list[dict[str, Any]]:
        """Rows of Neutron selected by one column, in a fixed order."""
        ((column, value),) = where.items()
        found = self.cloud.rows("neutron", f"SELECT * FROM {table} WHERE {column} = :v", {"v": value})
        return sorted(found, key=repr)


def reasons(plan: Plan) -> str:
    """The reasons why findings are not repaired."""
    return " ".join(left.reason for left in plan.not_repaired)
