# SPDX-License-Identifier: Apache-2.0
"""Give a server a host and node that exist.

## What it does
Where the host is there and has exactly one compute node, the server gets that node. Where its service or compute node
is only marked deleted, and exactly one fits, it is revived. Anything else is refused: evacuate or relocate the
server.

## Guards
The server is idle; rows read as planned. Before consenting, look on the machine: its file `compute_id` must hold the
uuid of the compute node, and nova-compute must be that host's.

## Undo
The rows are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.common import Record, change, idle, the_server


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; nothing where host and node exist."""
    database, server = the_server(target, live)
    host = server["host"]
    if host is None:
        raise CannotRepair(f"server {server['uuid']} has no host: find its guest on the hypervisors, then set its host")
    services = live.rows(database, "services", {"host": host, "binary": "nova-compute"})
    nodes = live.rows(database, "compute_nodes", {"host": host})
    revived = []
    if not _alive(services):
        revived.append(("services", _only(services, f"nova-compute service of {host}")))
    if not _alive(nodes):
        fitting = [n for n in nodes if n["hypervisor_hostname"] == server["node"]]
        revived.append(("compute_nodes", _only(fitting, f"compute node {server['node']} of {host}")))
    yield from idle(live, database, server)
    for table, row in revived:
        yield change(live, database, table, row, {"deleted": 0, "deleted_at": None})
    here = _alive(nodes)
    if here and server["node"] not in {n["hypervisor_hostname"] for n in here}:
        node = _only(here, f"compute node of {host}")
        after = {"node": node["hypervisor_hostname"]}
        if "compute_id" in server:
            after["compute_id"] = node["id"]
        yield change(live, database, "instances", server, after)


def _alive(rows: list[Record]) -> list[Record]:
    return [row for row in rows if row["deleted"] == 0]


def _only(rows: list[Record], what: str) -> Record:
    if len(rows) != 1:
        raise CannotRepair(f"there are {len(rows)} records of the {what}: evacuate or relocate the server instead")
    return rows[0]


REPAIR = Repair(
    name="restore-host",
    risk=Risk.UNSAFE,
    checks=("server-on-nonexistent-host",),
    strategies={"db": db},
    no_api="no API brings back the record of a host",
    why="operations go to that host from now on; if the guest is elsewhere it is started a second time",
)
