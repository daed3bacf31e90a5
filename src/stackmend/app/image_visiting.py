# SPDX-License-Identifier: Apache-2.0
"""The part of an audit that concerns Glance's stores. They are listed, twice if anything is found; no image is read."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from stackmend.app import hosts
from stackmend.app.image_records import recorded
from stackmend.app.session import CloudSession
from stackmend.hosts import image_stores
from stackmend.hosts.image_stores import StoreSpec
from stackmend.model.audit import CheckOutcome, CheckResult
from stackmend.model.check import StoreCheck
from stackmend.model.errors import ConfigError, SourceError
from stackmend.model.finding import Finding, State, finding_of, fingerprint
from stackmend.model.objects.images import StoreVisit
from stackmend.model.protocols import Hosts, Progress

_Rows = dict[str, dict[str, Mapping[str, object]]]  #: check -> fingerprint -> row


@dataclass(slots=True)
class Visited:
    """What the checks found, and which of them have no complete result."""

    findings: list[Finding] = field(default_factory=list)
    results: dict[str, CheckResult] = field(default_factory=dict)


def ask_stores(
    session: CloudSession, checks: Mapping[str, StoreCheck], about: Collection[str], progress: Progress
) -> Visited:
    """Run these checks on all configured stores together, and confirm what they find with a second look.

    If one store cannot be listed, no check has a result, because what a store lacks is known only from the others.
    ConfigError if no stores, or no access to hosts, are configured.
    """
    stores = [StoreSpec.of(one) for one in session.config.image_stores]
    if not stores:
        raise ConfigError("no stores of Glance are configured", 'Write [images] and stores = ["glance-01", ...].')
    transport = hosts.reach(session.config)
    if transport is None:
        raise ConfigError("no access to hosts is configured", 'Write [hosts] and transport = "ssh".')
    found = Visited()
    with closing(transport):
        try:
            first, silent = _look(session, transport, checks, stores, progress)
            again, more = _look(session, transport, checks, stores, progress) if any(first.values()) else (first, {})
        except SourceError as problem:
            return Visited(results={name: _no_answer(name, problem.message) for name in checks})
    for name, check in checks.items():
        rows = [row for mark, row in again[name].items() if mark in first[name]]
        rows = [row for row in rows if not about or {str(value) for value in row.values()} & set(about)]
        found.findings += [finding_of(check, row, State.CONFIRMED) for row in rows]
        why = silent.get(name) or more.get(name)
        found.results[name] = _no_answer(name, why) if why else CheckResult(check=name, findings=len(rows))
    return found


def _no_answer(name: str, why: str) -> CheckResult:
    return CheckResult(check=name, outcome=CheckOutcome.INCOMPLETE, reason=why)


def _look(
    session: CloudSession,
    transport: Hosts,
    checks: Mapping[str, StoreCheck],
    stores: list[StoreSpec],
    progress: Progress,
) -> tuple[_Rows, dict[str, str]]:
    """(rows of each check, why some have no result). The files are listed first, then Glance's records are read."""
    nodes = []
    for number, store in enumerate(stores):
        progress("listing stores of images", number, len(stores))
        nodes.append(image_stores.listed(transport, store))
    images = recorded(session)
    sized = tuple(image_stores.by_size(node, images.images) for node in nodes)
    visit = StoreVisit(nodes=sized, images=images.images, known=images.known, now=time.time())
    rows: _Rows = {name: {} for name in checks}
    silent: dict[str, str] = {}
    for name, check in checks.items():
        own = replace(visit, ages={**check.ages, **session.config.ages.get(name, {})})
        try:
            rows[name] = {fingerprint(check, row): row for row in check.find(own)}
        except SourceError as problem:
            silent[name] = problem.message
    return rows, silent
