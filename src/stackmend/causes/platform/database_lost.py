# SPDX-License-Identifier: Apache-2.0
"""A service lost its database in the middle of an operation: gone away, refused, or no connection left.

## What happens

The database server restarted, a proxy cut idle connections, ``max_connections`` was reached, or the service's own
connection pool was exhausted. The current statement fails, but everything committed before it stays.

## How it shows

``DBConnectionError``, "MySQL server has gone away" (2006), "Lost connection" (2013), "Can't connect" (2003), "Too many
connections" (1040), or "QueuePool limit ... reached".

## What speaks against it

The errors are much earlier or later, and the service recovered from them.

## What to do

Read the database's log of that minute. Repeat the operation, and run an audit to find what it left behind.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, failed, listed
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story, near

_LOST = (
    r"DBConnectionError|MySQL server has gone away|Lost connection to (?:MySQL|MariaDB|server)"
    r"|Can't connect to (?:MySQL|MariaDB)"
    r"|\(1040, |Too many connections|QueuePool limit of size|\(2013, |\(2006, |\(2003, |WSREP has not yet prepared node"
)
_SERVER = (
    r"Shutdown|ready for connections|Aborted connection|mysqld got signal|Too many connections"
    r"|WSREP: .*(?:non-Primary|SYNCED|view\()"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it if an operation on this object failed because of it, or something failed within a minute of it."""
    lost = [m for m in story.find(_LOST) if m.entry.level in ("ERROR", "CRITICAL", "WARNING")]
    hit = [m for m in lost if failed(story, m) and m.entry.trouble]
    beside = [e for e in story.trouble() if any(near(e, m.entry, 60) and e.at is not None for m in lost)]
    mine = [e for e in beside if e.request in story.ids or story.id in e.ids]
    if not hit and not mine:
        return
    server = story.find(_SERVER, services=("mariadb", "mysqld"))
    yield Verdict(
        statement=f"{listed(m.entry.service for m in hit or lost)} lost the database while it worked on {about(story)}",
        evidence=evidence(hit or lost, server, mine),
        confidence=Confidence.CERTAIN if hit else Confidence.POSSIBLE,
        confirm=("the database's log of that minute: a restart, a lost quorum, or refused connections",),
        against=()
        if hit
        else ("the errors of the database do not name this object: they may only have been at the same time",),
        remedies=("repeat the operation", "stackmend audit  # what the interrupted operation left"),
    )


CAUSE = Cause(
    name="database-lost",
    judge=judge,
    signs=(r"DBConnectionError", r"MySQL server has gone away", r"Lost connection to", r"QueuePool limit of size"),
    words=("DBConnectionError", "has gone away", "Too many connections", "QueuePool limit", "got signal"),
    explains=frozenset({"build-rescheduled", "no-valid-host", "service-down"}),
)
