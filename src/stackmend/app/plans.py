# SPDX-License-Identifier: Apache-2.0
"""Plans: made from an audit or an operator's request, written to a file, and read back without trusting the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from stackmend.app import apis, hosts
from stackmend.app.outside.hosts import watching
from stackmend.app.session import CloudSession, no_progress, utcnow
from stackmend.app.snapshots import services_of
from stackmend.config.settings import Config
from stackmend.drivers.api.operations import describe, waits
from stackmend.drivers.database.live import LiveDatabases
from stackmend.drivers.journal import signing
from stackmend.engine.planning.planner import Planner, PlanOptions
from stackmend.engine.planning.vetting import VettingContext, bounded, reworded, vetted
from stackmend.model.audit import Report
from stackmend.model.errors import PlanFileError
from stackmend.model.plan import Limits, Plan, load, loaded, save
from stackmend.model.protocols import Progress
from stackmend.model.sight import HostLook
from stackmend.report.words import listed
from stackmend.tables.outside.hosts import SERVICE

__all__ = ["Filed", "load", "read", "repair_plan", "request", "save", "write"]


@dataclass(frozen=True, slots=True)
class Filed:
    """A plan from a file, with everything derivable derived from its steps."""

    plan: Plan
    signer: str = ""  #: name of the trusted key that signed it
    notes: tuple[str, ...] = ()  #: what does not fit, of its signature and of its text


def write(config: Config, plan: Plan, path: str) -> str:
    """Write the plan file, signed if there is a key; the name of that key, or ""."""
    sign = signing.signer(config.signs) if config.signs else None
    save(plan, path, sign)
    return sign.name if sign else ""


def read(config: Config | None, path: str, *, signed: bool = False, max_rows: int | None = None) -> Filed:
    """Read a plan file, trusting only its steps; ``config``: None if there is none.

    Limits are those of the file, up to those of the configuration or ``max_rows``. PlanFileError for a plan that this
    version cannot have made, for a wrong signature, and for a missing one if ``signed`` or the configuration needs it.
    """
    plan, signed_text, signature = loaded(path)
    known = config or Config()
    signer = signing.signed_by(signed_text, signature, known.trusts, path) if config else ""
    claimed = str(signature.get("key", ""))
    if not signer and (signed or known.require_signature):
        raise PlanFileError(
            f"{path} is signed by key {claimed[:40]}, which is not trusted here"
            if claimed
            else f"{path} is not signed",
            "Name the public key: [plans] trusted."
            if claimed
            else "Create a key with 'stackmend config key', then a new plan: it is signed when it is written.",
        )
    judge = VettingContext(
        describe=describe,
        waits=waits,
        settings=hosts.settings(config) if config else None,
        vouched=bool(signer),
    )
    allowed = known.limits if max_rows is None else replace(known.limits, max_rows=max_rows)
    derived = vetted(replace(plan, limits=bounded(plan.limits, allowed)), judge, path)
    notes = [f"it is signed by key {claimed[:40]}, which is not trusted here"] if claimed and not signer else []
    if others := reworded(plan, derived):
        notes.append(
            f"the file describes {listed(others)} in other words than this stackmend: its words are not shown, what is"
            " shown is derived from the steps"
        )
    return Filed(derived, signer, tuple(notes))


def repair_plan(
    config: Config,
    report: Report,
    *,
    via: str = "auto",
    allow_db: bool = False,
    max_rows: int | None = None,
    repairs: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Plan:
    """Plan the repair of the findings of a live audit. LimitError if it would change too much.

    ``repairs``: the ones to use for findings that have several.
    """
    wishes = replace(_wishes(config, via, allow_db, max_rows), repairs=frozenset(repairs))
    session = CloudSession.of(config).without(report.manifest.failed())
    watched = SERVICE in services_of(report.manifest)
    with (
        watching(config, report.looks, wanted=watched) as watch,
        apis.reading(config, session, via) as (api, why),
        session.live(api, guests=watch.state if watched else None) as live,
    ):
        return _planner(session, live, wishes, why, report.looks).plan(
            report.findings,
            checks=tuple(report.checks),
            incomplete=report.incomplete,
            progress=_steps(progress),
        )


def request(
    config: Config,
    repair: str,
    arguments: Mapping[str, object],
    *,
    via: str = "auto",
    allow_db: bool = False,
    max_rows: int | None = None,
) -> Plan:
    """Plan an operator's request. UsageError for an unknown repair or a missing argument."""
    wishes = _wishes(config, via, allow_db, max_rows)
    session = CloudSession.of(config).believed()
    with apis.reading(config, session, via) as (api, why), session.live(api) as live:
        return _planner(session, live, wishes, why).request(repair, arguments)


def _wishes(config: Config, via: str, allow_db: bool, max_rows: int | None) -> PlanOptions:
    limits: Limits = config.limits if max_rows is None else replace(config.limits, max_rows=max_rows)
    return PlanOptions(via=via, allow_db=allow_db, limits=limits)


def _planner(
    session: CloudSession,
    live: LiveDatabases,
    wishes: PlanOptions,
    no_api: str,
    looks: Mapping[str, HostLook] = MappingProxyType({}),
) -> Planner:
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
        looks=looks,
    )


def _steps(progress: Progress) -> Callable[[int, int], None]:
    return lambda done, of: progress("planning", done, of)
