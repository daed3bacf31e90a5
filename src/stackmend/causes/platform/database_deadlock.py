# SPDX-License-Identifier: Apache-2.0
"""The database refused a transaction: a deadlock, a lock that was waited for too long, or Galera's certification.

## What happens

Two transactions want the same rows. On a single server, InnoDB aborts one of them; with several writers, Galera refuses
the later commit. Services retry most of these transactions, but not all, and they give up after a few attempts.

## How it shows

``DBDeadlock`` with error 1213 or 1205, "DB exceeded retry limit"; "WSREP" and "BF abort" in MariaDB's log.

## What speaks against it

The error was followed by success. Then the transaction was retried, and this is not why the operation failed.

## What to do

Let the services write to only one node of the cluster. Repeat the operation, and run an audit to find what the
interrupted operation left behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed, times
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_DEADLOCK = r"DBDeadlock|\(1213, ['\"]|\(1205, ['\"]|Deadlock found when trying to get lock|Lock wait timeout exceeded"
_GAVE_UP = r"DB exceeded retry limit|Exceeded maximum.*deadlock|RetryRequest"
_GALERA = r"BF[- ]abort|certification fail|WSREP: .*(?:conflict|abort)"


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if an operation on this object failed because of it."""
    found = [m for m in story.find(_DEADLOCK) if failed(story, m) and m.entry.level in ("ERROR", "CRITICAL")]
    if not found:
        return
    gave_up = [m for m in story.find(_GAVE_UP) if failed(story, m)]
    galera = story.find(_GALERA)
    who = listed(m.entry.service for m in found)
    repeated = not gave_up and any(
        e.request == found[-1].entry.request
        and not e.trouble
        and (e.at or 0) > (found[-1].entry.at or 0)
        and " 20" in e.text
        for e in story.entries
    )
    if repeated:
        return
    yield Verdict(
        statement=f"the database refused a transaction of {who} about {about(story)} {times(len(found))}: "
        + ("Galera's certification failed" if galera else "a deadlock or a lock that was not released in time"),
        evidence=evidence(found, gave_up, galera),
        confidence=Confidence.CERTAIN if gave_up else Confidence.LIKELY,
        confirm=(
            "SHOW ENGINE INNODB STATUS: LATEST DETECTED DEADLOCK",
            "SHOW STATUS LIKE 'wsrep_local_%_failures' on each node",
        ),
        remedies=("repeat the operation", "write to one node of the cluster at a time (proxy)", "stackmend audit"),
    )


CAUSE = Cause(
    name="database-deadlock",
    judge=judge,
    signs=(r"DBDeadlock", r"Deadlock found when trying to get lock"),
    words=("BF abort", "BF-abort", "certification fail"),
    explains=frozenset({"build-rescheduled", "no-valid-host", "service-down"}),
)
