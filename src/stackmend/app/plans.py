# SPDX-License-Identifier: Apache-2.0
"""Plans: made from an audit or from an operator's request, written to a file, read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stackmend.app import apis
from stackmend.app.audits import audit
from stackmend.app.config import Config
from stackmend.app.session import Session, silent, utcnow
from stackmend.drivers.api.operations import describe, waits
from stackmend.drivers.live import LiveDatabases
from stackmend.engine.planner import Planner, Wishes
from stackmend.model.plan import Limits, Plan, load, save
from stackmend.model.ports import Progress

__all__ = ["create", "load", "request", "save"]


def create(
    config: Config,
    *,
    checks: Sequence[str] = (),
    servers: Sequence[str] = (),
    via: str = "auto",
    allow_db: bool = False,
    max_rows: int | None = None,
    settle: float | None = None,
    repairs: Sequence[str] = (),
    progress: Progress = silent,
) -> Plan:
    """Audit, confirm, and plan the repair of what is found. LimitError where it would change too much.

    ``repairs`` are those to use where a finding could be mended in several ways.
    """
    wishes = replace(_wishes(config, via, allow_db, max_rows), repairs=frozenset(repairs))
    session = Session.of(config)
    report = audit(config, checks=checks, servers=servers, settle=settle, use_api=via != "db", progress=progress)
    session = session.without(report.manifest.failed())
    with apis.reading(config, session, via) as (api, why), session.live(api) as live:
        return _planner(session, live, wishes, why).plan(
            report.findings,
            checks=tuple(report.checks),
            incomplete=report.incomplete,
            progress=_steps(progress),
        )


def request(
    config: Config,
    repair: str,
    arguments: Mapping[str, Any],
    *,
    via: str = "auto",
    allow_db: bool = False,
    max_rows: int | None = None,
) -> Plan:
    """Plan what an operator asks for. UsageError for an unknown repair or a missing argument."""
    wishes = _wishes(config, via, allow_db, max_rows)
    session = Session.of(config).believed()
    with apis.reading(config, session, via) as (api, why), session.live(api) as live:
        return _planner(session, live, wishes, why).request(repair, arguments)


def _wishes(config: Config, via: str, allow_db: bool, max_rows: int | None) -> Wishes:
    limits: Limits = config.limits if max_rows is None else replace(config.limits, max_rows=max_rows)
    return Wishes(via=via, allow_db=allow_db, limits=limits)


def _planner(session: Session, live: LiveDatabases, wishes: Wishes, no_api: str) -> Planner:
    return Planner(
        live,
        wishes,
        cloud=session.databases.identity,
        now=utcnow(),
        absent={"api": no_api} if no_api else {},
        describe=describe,
        waits=waits,
        count=live.count,
        foresee=live.expect,
    )


def _steps(progress: Progress) -> Callable[[int, int], None]:
    return lambda done, of: progress("planning", done, of)
