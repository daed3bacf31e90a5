# SPDX-License-Identifier: Apache-2.0
"""Make a server's row name the compute node that its host and node name.

## What it does
Sets `instances.compute_id` to the id of the live compute node with the server's host and node in its cell.

## Guards
The server is idle and still has that host and node; the compute node is live. Refused if any other record (port
bindings, allocation, attachments, migrations, actions) names another host: the id may be what is right.

## Undo
The old id is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs.common import change, idle, the_server
from stackmend.repairs.whereabouts import manual_instructions, place_of, weighed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the id is right."""
    database, server = the_server(target, live)
    where = {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    node = live.row(database, "compute_nodes", where)
    if node is None:
        raise CannotRepair(f"server {server['uuid']} is on no compute node: repair that first")
    if server["compute_id"] == node["id"]:
        return
    _agreed(live, database, server, node["id"])
    yield from idle(live, database, server)
    yield ExpectRow(database=database, table="compute_nodes", pk={"id": node["id"]}, expect=where)
    yield change(live, database, "instances", server, {"compute_id": node["id"]}, ("host", "node"))


def _agreed(live: Live, database: str, server: Record, node: object) -> None:
    """CannotRepair unless every record but the id itself says that the server is on that compute node."""
    _, verdict = weighed(live, database, server)
    place = place_of(server["uuid"], verdict)
    others = [witness for witness in verdict.against if witness.name != "compute_id"]
    if place.id != node or others:
        told = " ".join(f"{witness.says}." for witness in others)
        raise CannotRepair(
            f"server {server['uuid']}: not every record agrees that it is on {server['host']}. {told}"
            f" {manual_instructions(server['uuid'])}"
        )


REPAIR = Repair(
    name="correct-compute-id",
    risk=Risk.SAFE,
    removes={"instances.compute_id": "every other record says which compute node it is"},
    checks=("server-compute-id-wrong",),
    strategies={"db": db},
    no_api="no API shows or sets it; nova-compute corrects it while it runs",
)
