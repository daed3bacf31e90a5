# SPDX-License-Identifier: Apache-2.0
"""The part of an audit that concerns hosts: each host is visited once, and once more if anything was found there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from stackmend.app import hosts, image_visiting
from stackmend.app.image_visiting import Visited
from stackmend.app.session import CloudSession
from stackmend.drivers.hosts.transport import Transport
from stackmend.hosts.owners import by_rows
from stackmend.hosts.visits import visited
from stackmend.model.audit import CheckOutcome, CheckResult
from stackmend.model.check import HostCheck, StoreCheck, Visiting
from stackmend.model.errors import ConfigError, SourceError, UsageError
from stackmend.model.events import Events
from stackmend.model.finding import State, finding_of, fingerprint
from stackmend.model.objects.disks import Inventory, Visit
from stackmend.model.protocols import Progress
from stackmend.model.snapshot import cell_database

_EVENTS = Events(__name__)

#: number of hosts visited at a time
_AT_ONCE = 16
#: number of reasons shown per check: if a thousand hosts are down, the first few say enough
_REASONS_SHOWN = 3

FoundRows = dict[str, dict[str, dict[str, Any]]]  #: check -> fingerprint -> row


@dataclass(slots=True)
class _Answers:
    rows: FoundRows
    silent: dict[str, list[str]]  #: check -> why it has no result for some hosts

    @classmethod
    def none(cls, checks: Iterable[str]) -> _Answers:
        names = list(checks)
        return cls({name: {} for name in names}, {name: [] for name in names})


def visit(
    session: CloudSession, checks: Mapping[str, Visiting], about: Collection[str], progress: Progress, *, named: bool
) -> Visited:
    """Run these checks on compute hosts and on Glance's stores; errors as in :func:`ask` and :func:`ask_stores`.

    ``named``: the operator named the checks; otherwise checks of stores are skipped if no stores are configured.
    """
    of_hosts = {name: check for name, check in checks.items() if isinstance(check, HostCheck)}
    of_stores = {name: check for name, check in checks.items() if isinstance(check, StoreCheck)}
    found = ask(session, of_hosts, about, progress) if of_hosts else Visited()
    if of_stores and (named or session.config.image_stores):
        more = image_visiting.ask_stores(session, of_stores, about, progress)
        found = Visited([*found.findings, *more.findings], {**found.results, **more.results})
    return found


def ask(session: CloudSession, checks: Mapping[str, HostCheck], about: Collection[str], progress: Progress) -> Visited:
    """Run these checks on every compute host, or on those named in ``about``, and confirm findings with a second look.

    A host that cannot be read completely makes the checks incomplete; the other hosts are judged all the same. Only all
    cells together show to whom a directory belongs (R2): if one is missing, no check has a result. ConfigError if no
    access to hosts is configured, UsageError if ``about`` names no compute host.
    """
    transport = hosts.reach(session.config)
    if transport is None:
        raise ConfigError("no access to hosts is configured", 'Write [hosts] and transport = "ssh".')
    with closing(transport):
        try:
            if not session.databases.addresses:
                raise SourceError("whose a directory is is known by Nova's databases alone, and none is configured")
            session = session.believed()
            wanted = _wanted(session, about)
            first = _look(session, transport, checks, wanted, progress)
            again = sorted({str(row["host"]) for rows in first.rows.values() for row in rows.values()})
            second = _look(session, transport, checks, again, progress)
        except SourceError as problem:
            silent = CheckOutcome.INCOMPLETE
            return Visited(results={n: CheckResult(check=n, outcome=silent, reason=problem.message) for n in checks})
    found = Visited()
    for name, check in checks.items():
        confirmed = [row for mark, row in second.rows[name].items() if mark in first.rows[name]]
        found.findings += [finding_of(check, row, State.CONFIRMED) for row in confirmed]
        why = list(dict.fromkeys((*first.silent[name], *second.silent[name])))
        outcome = CheckOutcome.INCOMPLETE if why else CheckOutcome.OK
        found.results[name] = CheckResult(check=name, outcome=outcome, reason=_shortened(why), findings=len(confirmed))
    _EVENTS.milestone("hosts visited", hosts=len(wanted), findings=len(found.findings))
    return found


def _wanted(session: CloudSession, about: Collection[str]) -> list[str]:
    """The hosts of every cell with a nova-compute that is not deleted; SourceError if a cell cannot be read."""
    with session.live() as live:
        rows = [
            row
            for cell in live.cells()
            for row in live.rows(cell_database(cell), "services", {"binary": "nova-compute", "deleted": 0})
        ]
    known = {str(row["host"]) for row in rows if row["host"]}
    chosen = known & set(about) if about else known
    if about and not chosen:
        raise UsageError("none of these is a compute host that could be visited", "Name hosts: --host.")
    return sorted(chosen)


def _look(
    session: CloudSession, transport: Transport, checks: Mapping[str, HostCheck], wanted: list[str], progress: Progress
) -> _Answers:
    """Visit each host once, then read the rows of its servers anew."""
    answers = _Answers.none(checks)
    if not wanted:
        return answers
    config = session.config
    now = datetime.now(UTC).timestamp()

    def see(host: str) -> Inventory | SourceError:
        try:
            return visited(transport, host, config.instances_path, prefix=config.routes.container, now=now)
        except SourceError as problem:
            return problem

    inventories: list[Inventory | SourceError] = []
    with ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
        for number, seen in enumerate(pool.map(see, wanted)):
            progress("visiting hosts", number, len(wanted))
            inventories.append(seen)
    # opened only now: a connection keeps what it has read, and servers may have been created or moved meanwhile
    with session.live() as live:
        for host, found in zip(wanted, inventories, strict=True):
            if isinstance(found, SourceError):
                for reasons in answers.silent.values():
                    reasons.append(found.message)
                continue
            visit = Visit(inventory=replace(found, host=host), owners=by_rows(found, live), now=now)
            for name, check in checks.items():
                own = replace(visit, ages={**check.ages, **config.ages.get(name, {})})
                try:
                    rows = list(check.find(own))
                except SourceError as problem:
                    answers.silent[name].append(problem.message)
                else:
                    answers.rows[name] |= {fingerprint(check, row): dict(row) for row in rows}
    return answers


def _shortened(reasons: list[str]) -> str:
    more = f"; and {len(reasons) - _REASONS_SHOWN} more" if len(reasons) > _REASONS_SHOWN else ""
    return "; ".join(reasons[:_REASONS_SHOWN]) + more
