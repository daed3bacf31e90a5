# SPDX-License-Identifier: Apache-2.0
"""Give a server a host and node that exist: the ones where it is according to every record.

## What it does
The records are compared (`stackmend server where UUID` lists them): if all except Nova's host, or all except its node,
name one compute node, the server gets that one, and the other records that differ are corrected as by set-server-host.
This repairs a typing error in an SQL statement. If the service or the compute node itself is only marked deleted, it is
revived; of several deleted records, the one that the other records name. A baremetal node that another server has is
never assigned to this one.

If the records disagree, nothing is planned. If the old host is dead and somebody has set `instances.host` to another
host, you decide whether the server may be there: `stackmend server set-host UUID --host HOST`.

## Guards
No operation is in progress on the server; rows are unchanged since the plan. Before consenting, check on the machine:
its file `compute_id` must hold the uuid of the compute node, and its nova-compute must use that host name.

## Undo
The rows are restored.
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
    """Steps on the server's cell, then on the records that depend on its host; none if all exist and agree."""
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
    no_api="no API sets host and node of a server, or revives a deleted record of its host",
    why="from now on operations go to that host; if the guest is elsewhere, it is started a second time",
)
