# SPDX-License-Identifier: Apache-2.0
"""Give a server a host and node that exist: those where it is, by every record there is.

## What it does
The witnesses are weighed (`stackmend server where UUID` lists them): where all but Nova's host, or all but its node,
name one compute node, the server gets that one, and whatever else says another host follows as with set-server-host. A
typing error in a statement is mended so. Where the service or the compute node itself is only marked deleted, it is
revived; of several deleted records the one that the others name. A baremetal machine that another server has is never
given to this one.

Where the records are divided nothing is planned. If the old host is dead and somebody has set `instances.host` to
another one, whether the server may be there is yours to say: `stackmend server set-host UUID --host HOST`.

## Guards
Nothing is being done with the server; rows read as planned. Before consenting, look on the machine: its file
`compute_id` must hold the uuid of the compute node, and nova-compute must be that host's.

## Undo
The rows are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.common import the_server
from stackmend.repairs.nova._brought import brought, revived
from stackmend.repairs.whereabouts import evidence, place_of, still, weighed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell, then on what follows its host; nothing where all of it exists and agrees."""
    database, server = the_server(target, live)
    seen, verdict = weighed(live, database, server)
    try:
        place = place_of(server["uuid"], verdict)
    except CannotRepair as answer:
        raise CannotRepair(f"{answer}. If its host is gone for good, evacuate or relocate it") from None
    back = list(revived(live, database, place))
    rest = list(brought(live, database, server, seen, place))
    if back and not rest:
        yield from still(database, server)
    yield from back
    yield from rest


REPAIR = Repair(
    name="restore-host",
    risk=Risk.UNSAFE,
    checks=("server-on-nonexistent-host",),
    strategies={"db": db},
    evidence=evidence,
    no_api="no API sets host and node of a server, or brings back a record of its host that is marked deleted",
    why="operations go to that host from now on; if the guest is elsewhere it is started a second time",
)
