# SPDX-License-Identifier: Apache-2.0
"""The history of findings: when each was first seen, and which the operator accepts for a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from stackmend.model.errors import UsageError
from stackmend.model.finding import Finding, State
from stackmend.model.journal import FindingHistory, Waiver


def recall(findings: Iterable[Finding], known: Mapping[str, FindingHistory], now: str) -> list[Finding]:
    """The findings with ``first_seen``: from the history, or now."""
    return [replace(f, first_seen=known[f.fingerprint].first_seen if f.fingerprint in known else now) for f in findings]


def ripe(
    findings: Iterable[Finding], patience: Mapping[str, int], known: Mapping[str, FindingHistory], now: str
) -> tuple[list[Finding], list[Finding]]:
    """(the findings seen for long enough, the others as suspicions); ``patience``: seconds by check."""
    old: list[Finding] = []
    young: list[Finding] = []
    for one in findings:
        seconds = patience.get(one.check, 0)
        if not seconds or old_enough(one.fingerprint, known, now, seconds):
            old.append(one)
        else:
            unsure = f"too young to tell: audits have not seen it for {seconds / 60:g} min"
            young.append(replace(one, state=State.CANDIDATE, young=True, unsure=unsure))
    return old, young


def waived(findings: Iterable[Finding], waivers: Sequence[Waiver], now: str) -> list[Finding]:
    """The findings, with those covered by a valid waiver marked as waived, with its reason."""
    valid = [waiver for waiver in waivers if in_force(waiver, now)]
    return [_with(finding, next((w for w in valid if covers(w, finding)), None)) for finding in findings]


def _with(finding: Finding, waiver: Waiver | None) -> Finding:
    return finding if waiver is None else replace(finding, state=State.WAIVED, waiver=waiver.reason)


def in_force(waiver: Waiver, now: str) -> bool:
    """Whether it has not expired."""
    return not waiver.expires or datetime.fromisoformat(waiver.expires) > datetime.fromisoformat(now)


def covers(waiver: Waiver, finding: Finding) -> bool:
    """By fingerprint, or by check and resource (empty: any resource)."""
    if waiver.fingerprint:
        return waiver.fingerprint == finding.fingerprint
    return waiver.check == finding.check and waiver.resource in ("", finding.resource_id)


def validate(waiver: Waiver) -> None:
    """UsageError for a waiver without a reason, or one that covers nothing."""
    if not waiver.reason.strip():
        raise UsageError("a waiver needs a reason", "Say why the finding is accepted.")
    if bool(waiver.fingerprint) == bool(waiver.check):
        raise UsageError("a waiver is for a fingerprint or for a check", "Give one of them.")
    if waiver.expires:
        try:
            aware = datetime.fromisoformat(waiver.expires).tzinfo is not None
        except ValueError:
            aware = False
        if not aware:
            raise UsageError(f"{waiver.expires!r} is not a time", "Write it as 2027-01-31T00:00:00+00:00.")


def old_enough(fingerprint: str, known: Mapping[str, FindingHistory], now: str, settle: float) -> bool:
    """Whether earlier audits have found it without interruption for at least ``settle`` seconds (R1)."""
    found = known.get(fingerprint)
    if found is None or found.gone:
        return False
    return (datetime.fromisoformat(now) - datetime.fromisoformat(found.since)).total_seconds() >= settle
