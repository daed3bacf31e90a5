# SPDX-License-Identifier: Apache-2.0
"""An audit and a plan in one, as in ``plan create``."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stackmend.app import audits, plans
from stackmend.config.settings import Config
from stackmend.model.plan import Plan


def plan_for(
    config: Config,
    *,
    checks: Sequence[str] = (),
    about: Collection[str] = (),
    via: str = "auto",
    allow_db: bool = False,
    max_rows: int | None = None,
    settle: float | None = None,
    repairs: Sequence[str] = (),
) -> Plan:
    """The plan to repair what these checks find; all checks by default."""
    report = audits.audit(config, checks=checks, about=about, settle=settle, use_api=via != "db")
    return plans.repair_plan(config, report, via=via, allow_db=allow_db, max_rows=max_rows, repairs=repairs)
