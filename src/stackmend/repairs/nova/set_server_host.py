# SPDX-License-Identifier: Apache-2.0
"""Tell Nova on which host a server really is.

## What it does
For a guest that runs elsewhere than Nova believes, after a migration that failed half way: host, node and compute
node of the server; the migration settled, the migration's context and note removed; the allocation in Placement
moved; the ports bound to that host. The last two are done by the API where there is one. A binding that the move has
left inactive on another host is removed: Neutron would refuse the next move there.

## Guards
The server is idle; the host has exactly one compute node (or the one named) in the server's cell; rows read as
planned.

## Undo
All rows are put back. After the next start of the guest do not undo.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Manual, Risk, Step
from stackmend.repairs.common import Record, change, idle, the_server
from stackmend.repairs.deletion import removed
from stackmend.repairs.neutron.rebind_port import rebound, rebound_by_api
from stackmend.repairs.placement.move_allocations import moved, moved_by_api
from stackmend.repairs.ports import alone

#: a move that ended without saying where the guest is
_UNSETTLED = frozenset({"error", "failed"})


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, then Placement, then Neutron; nothing where the server is there already."""
    database, server = the_server(target, live)
    host = target.get("found_host") or target["host"]
    node = _node(live, database, str(host), target.get("found_node") or target.get("node"))
    if server["host"] == node["host"] and server["node"] == node["hypervisor_hostname"]:
        return
    yield from idle(live, database, server)
    after: Record = {"host": node["host"], "node": node["hypervisor_hostname"]}
    if "compute_id" in server:
        after["compute_id"] = node["id"]
    if server.get("progress"):
        after["progress"] = 0
    yield change(live, database, "instances", server, after)
    yield from _settled(live, database, server, str(node["host"]))
    yield from _allocation(live, server, node)
    for port in live.rows("neutron", "ports", {"device_id": server["uuid"]}):
        if not str(port["device_owner"]).startswith("compute:"):
            continue
        right = str(node["host"])
        if live.api is None:
            bound = list(rebound(live, port, right))
        else:
            bound = list(rebound_by_api(live, str(port["id"]), right, str(server["host"])))
        yield from bound or alone(live, port, right)
    yield Manual(text=f"See that the guest runs on {node['host']} and nowhere else: virsh list --all --uuid")


def _node(live: Live, database: str, host: str, name: object) -> Record:
    where: Record = {"host": host, "deleted": 0}
    if name:
        where["hypervisor_hostname"] = name
    nodes = live.rows(database, "compute_nodes", where)
    if len(nodes) != 1:
        raise CannotRepair(f"host {host} has {len(nodes)} compute nodes in {database}: name one that exists")
    if not live.rows(database, "services", {"host": host, "binary": "nova-compute", "deleted": 0}):
        raise CannotRepair(f"host {host} has no nova-compute service in {database}")
    return nodes[0]


def _settled(live: Live, database: str, server: Record, host: str) -> Iterator[Step]:
    """The migration that brought the guest there is completed; its context and the note of it go."""
    moves = live.rows(database, "migrations", {"instance_uuid": server["uuid"], "deleted": 0})
    last = max(moves, key=lambda m: int(str(m["id"])), default=None)
    if last and last["status"] in _UNSETTLED and last["dest_compute"] == host:
        yield change(live, database, "migrations", last, {"status": "completed"})
        for extra in live.rows(database, "instance_extra", {"instance_uuid": server["uuid"], "deleted": 0}):
            if extra["migration_context"]:
                yield change(live, database, "instance_extra", extra, {"migration_context": None})
    where = {"instance_uuid": server["uuid"], "key": "old_vm_state", "deleted": 0}
    for note in live.rows(database, "instance_system_metadata", where):
        yield removed(live, database, "instance_system_metadata", note)


def _allocation(live: Live, server: Record, node: Record) -> Iterator[Step]:
    right, host = str(node["uuid"]), str(node["host"])
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    providers = live.rows("placement", "resource_providers", {"id": [a["resource_provider_id"] for a in held]})
    roots = live.rows("placement", "resource_providers", {"id": [p["root_provider_id"] for p in providers]})
    for root in roots:
        if root["uuid"] != right:
            wrong = str(root["uuid"])
            by_rows = live.api is None or bool(live.api.lacks("placement", "set-allocations"))
            yield from (
                moved(live, server, right, wrong) if by_rows else moved_by_api(live, server, right, wrong, host)
            )


REPAIR = Repair(
    name="set-server-host",
    risk=Risk.UNSAFE,
    checks=("server-wrong-host",),
    strategies={"db": db},
    no_api="no API says where a guest is that Nova has lost",
    why="if the guest does not run on that host, its next start runs it twice on the same disk",
)
