# SPDX-License-Identifier: Apache-2.0
"""An audit of the real services by their APIs alone, and what the APIs say about what the databases showed.

It is made while everything that test_proofs mends is broken.
"""

from __future__ import annotations

import pytest

from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import Exit
from stackmend.model.finding import Says, State
from stackmend_lab import breaks

from ...support import by_account
from .proofs import Proof, Rehearsal, Sight, same
from .repairs import ALL, LEFT, of_break

#: break -> the check that finds it by APIs alone. An empty network cache and one without a row look alike there
SHOWN = {
    "allocation-orphan": "allocation-orphan",
    "allocation-wrong-provider": "allocation-wrong-provider",
    "cinder-attached-nova-not": "cinder-attached-nova-not",
    "info-cache-empty": "info-cache-empty",
    "info-cache-row-missing": "info-cache-empty",
    "port-without-server": "port-without-server",
    "server-on-nonexistent-host": "server-on-nonexistent-host",
    "server-wrong-host": "server-wrong-host",
    "soft-deleted-server-cache-empty": "soft-deleted-server-cache-empty",
    "volume-in-use-server-gone": "volume-in-use-server-gone",
    "volume-stuck-detaching": "volume-stuck-detaching",
    "volume-stuck-error-deleting": "volume-stuck-error-deleting",
}
#: for these, no API shows that nothing is lost: the row in a cell may be missing, or marked deleted by SQL
UNTOLD = {"allocation-orphan", "port-without-server", "volume-in-use-server-gone"}


def marks(report: Report, names: set[str]) -> set[str]:
    """The fingerprints of the findings of these checks."""
    return {finding.fingerprint for finding in report.findings if finding.check in names}


@pytest.fixture(scope="module")
def seen(rehearsal: Rehearsal) -> Sight:
    """What the audits saw of the damage."""
    assert rehearsal.seen is not None
    return rehearsal.seen


def test_a_lab_in_use(seen: Sight) -> None:
    """Where the APIs have an answer, it is that of the databases; the rest is named.

    For the APIs, a server that SQL has marked deleted is gone. What it had belongs to nobody; that is reported as
    unsure.
    """
    theirs, ours = seen.by_api, seen.by_rows
    whole = {name for name, result in theirs.checks.items() if result.outcome is CheckOutcome.OK}
    assert whole == by_account.whole(), {name: result.reason for name, result in theirs.checks.items()}
    assert theirs.exit is Exit.INCOMPLETE
    assert theirs.manifest.failed() == dict.fromkeys(("glance", "keystone"), "not configured")  # no account is asked
    rows = {f.key["server"] for f in ours.findings if f.check == "info-cache-row-missing-or-deleted"}
    alike = {f.fingerprint for f in theirs.findings if f.check == "info-cache-empty" and f.key["server"] in rows}
    marked = {f.key["server"] for f in ours.findings if f.check == "server-deleted-incompletely"}
    unsure = {
        f.fingerprint
        for f in theirs.findings
        if f.state is State.CANDIDATE and marked & {str(value) for value in f.evidence.values()}
    }
    assert marks(theirs, whole) - alike - unsure == marks(ours, whole)


@pytest.mark.parametrize(
    "broken",
    [pytest.param(name, marks=pytest.mark.long) if of_break(name).name in LEFT else name for name in sorted(SHOWN)],
)
def test_a_break(rehearsal: Rehearsal, seen: Sight, broken: str) -> None:
    """A break that APIs can show is found by APIs alone, and the services confirm what the databases showed."""
    proof: Proof = of_break(broken)
    answer = rehearsal.answers[proof.name]
    if answer.problem is not None and answer.thing is None:
        raise answer.problem
    found = [f for f in seen.by_api.findings if f.check == SHOWN[broken] and answer.key.items() >= f.key.items()]
    state = State.CANDIDATE if broken in UNTOLD else State.CONFIRMED
    assert [(f.state, f.fingerprint in seen.before) for f in found] == [(state, False)]
    own = [f for f in seen.by_both.values() if f["check"] == proof.check and same(answer.key, f["key"])]
    assert [(f["state"], f["api"]["says"]) for f in own] == [(State.CONFIRMED, Says.SUPPORTS)]


def test_nothing_else_is_found(rehearsal: Rehearsal, seen: Sight) -> None:
    """APIs alone show only what was broken: through the check of the break, or one that finds the same damage."""
    new = [f for f in seen.by_api.findings if f.fingerprint not in seen.before]
    things = [answer.thing for answer in rehearsal.answers.values() if answer.thing is not None]
    strange = [f for f in new if not any(thing.concerns({"evidence": {**f.evidence, **f.key}}) for thing in things)]
    assert strange == []
    expected = {*SHOWN.values()} | {also for entry in breaks.breaks() for also in entry.also}
    expected |= {proof.check for proof in ALL}
    assert {f.check for f in new} <= expected
