# SPDX-License-Identifier: Apache-2.0
"""What the last audits found, and its waivers."""

from __future__ import annotations

import getpass
import json
import os
import secrets
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stackmend.app.session import CloudSession, utcnow
from stackmend.config.settings import Config
from stackmend.engine.auditing import catalogue, history
from stackmend.model.check import Severity, Visiting
from stackmend.model.errors import JournalError, UsageError
from stackmend.model.finding import Finding, State, host_witness_of, witness_of
from stackmend.model.journal import Waiver

_LAST = "last-audit.json"


def keep_last(config: Config, findings: list[Finding], checks: Collection[str]) -> None:
    """Save the findings of an audit for ``finding list``, readable only by their owner.

    ``checks`` are those that had an answer: what an earlier audit found by others is kept.
    """
    target, new = config.state / _LAST, {finding.fingerprint for finding in findings}
    kept = [old for old in _kept(target) if old.check not in checks and old.fingerprint not in new]
    temporary = target.with_name(f".{_LAST}.{os.getpid()}")
    try:
        config.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump([finding.as_dict() for finding in (*kept, *findings)], stream, indent=1)
        temporary.replace(target)
    except OSError as problem:
        raise JournalError(
            f"the findings cannot be saved in {target}: {problem.strerror}", "See [state] directory."
        ) from None


def _kept(file: Path) -> list[Finding]:
    """The findings saved before; none if they cannot be read: the audit that replaces them is worth more."""
    try:
        return [_finding(document) for document in json.loads(file.read_text())]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def list_findings(config: Config) -> tuple[Finding, ...]:
    """The findings of the last audits, with the waivers in force now; UsageError before the first one."""
    try:
        documents = json.loads((config.state / _LAST).read_text())
        found = [_finding(document) for document in documents]
    except FileNotFoundError:
        raise UsageError("there has been no audit yet", "Run 'stackmend audit' first.") from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise JournalError(
            f"{config.state / _LAST} cannot be read: {type(problem).__name__}", "Run 'stackmend audit' again."
        ) from None
    session = CloudSession.looking(config)
    with session.journal() as journal:
        waivers = journal.waivers(session.databases.identity)
    plain = [replace(f, state=State.CONFIRMED, waiver=None) if f.state is State.WAIVED else f for f in found]
    return tuple(history.waived(plain, waivers, utcnow()))


def show(config: Config, fingerprint: str) -> Finding:
    """One finding of the last audit, by its fingerprint or a unique beginning of it."""
    found = [f for f in list_findings(config) if f.fingerprint.startswith(fingerprint)]
    if len(found) != 1:
        what = "is not a finding of the last audit" if not found else f"matches {len(found)} findings"
        raise UsageError(f"{fingerprint!r} {what}", "See 'stackmend finding list'.")
    return found[0]


def reported(config: Config, fingerprints: Iterable[str]) -> dict[str, str]:
    """Fingerprint -> check of findings that an audit has reported, given by unique beginnings of their fingerprints.

    The history in the journal is asked: it is shared by all who use that journal, and a partial audit does not replace
    it. UsageError for one that it does not have, or whose check needs visits to hosts.
    """
    session = CloudSession.looking(config)
    with session.journal() as journal:
        known = journal.remembered(session.databases.identity)
    found = {}
    for text in fingerprints:
        fit = [mark for mark in known if text and mark.startswith(text.lower())]
        if len(fit) != 1:
            what = f"matches {len(fit)} findings" if fit else "is not a finding of any audit"
            raise UsageError(f"{text!r} {what}", "See 'stackmend finding list', or run 'stackmend audit' first.")
        check = found[fit[0]] = known[fit[0]].check
        if isinstance(catalogue.chosen(catalogue.every_check(), (check,))[check], Visiting):
            raise UsageError(
                f"finding {fit[0]} is one of {check}, which visits hosts", f"Run 'stackmend audit --check {check}'."
            )
    return found


def waive(
    config: Config,
    *,
    reason: str,
    fingerprint: str = "",
    check: str = "",
    resource: str = "",
    expires: str = "",
    owner: str = "",
) -> Waiver:
    """Accept a finding, or a check on a resource (empty: any), until ``expires`` (ISO 8601 with zone; empty: for ever).

    UsageError without a reason, for both or neither of finding and check, for an unknown one, for an invalid time.
    """
    if fingerprint:
        fingerprint = show(config, fingerprint).fingerprint
    elif check:
        catalogue.chosen(catalogue.every_check(), (check,))
    waiver = Waiver(
        id=secrets.token_hex(4),
        reason=reason,
        owner=owner or getpass.getuser(),
        created_at=utcnow(),
        expires=expires,
        fingerprint=fingerprint,
        check=check,
        resource=resource,
    )
    history.validate(waiver)
    session = CloudSession.looking(config)
    with session.journal() as journal:
        journal.waive(session.databases.identity, waiver)
    return waiver


def waivers(config: Config) -> list[Waiver]:
    """All waivers of this cloud, expired ones too."""
    session = CloudSession.looking(config)
    with session.journal() as journal:
        return journal.waivers(session.databases.identity)


def unwaive(config: Config, named: str) -> None:
    """Remove a waiver, given the beginning of its id or of its finding's fingerprint; UsageError unless one matches."""
    session = CloudSession.looking(config)
    cloud = session.databases.identity
    with session.journal() as journal:
        known = journal.waivers(cloud)
        exact = [w.id for w in known if named in (w.id, w.fingerprint)]
        begun = [w.id for w in known if named and (w.id.startswith(named) or w.fingerprint.startswith(named))]
        fit = exact or begun
        if len(fit) != 1:
            what = f"{len(fit)} waivers match" if fit else "there is no waiver"
            many = f"Name one of {', '.join(fit)}: see 'stackmend finding waivers'."
            raise UsageError(f"{what} {named!r}", many if fit else "See 'stackmend finding waivers'.")
        journal.unwaive(cloud, fit[0])


def _finding(document: dict[str, Any]) -> Finding:
    return Finding(
        check=document["check"],
        severity=Severity(document["severity"]),
        state=State(document["state"]),
        key=document["key"],
        resource_type=document["resource"]["type"],
        resource_id=document["resource"]["id"],
        message=document["message"],
        evidence=document["evidence"],
        fingerprint=document["fingerprint"],
        explains=document["explains"],
        first_seen=document["first_seen"],
        waiver=document["waiver"],
        api=witness_of(document.get("api")),
        hosts=host_witness_of(document.get("hosts")),
        unsure=document.get("unsure", ""),
        young=document.get("young", False),
    )
