# SPDX-License-Identifier: Apache-2.0
"""Makes all records of a server's location agree on one place."""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence.whereabouts import Evidence, Node
from stackmend.cloud.flavors import amounts
from stackmend.cloud.states import UNSETTLED
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Record, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of
from stackmend.repairs.common import change
from stackmend.repairs.deletion import removed
from stackmend.repairs.neutron.rebind_port import rebound, rebound_by_api
from stackmend.repairs.placement.delete_allocations import removed_allocations
from stackmend.repairs.placement.move_allocations import moved, moved_by_api
from stackmend.repairs.ports import alone
from stackmend.repairs.whereabouts import still
from stackmend.tables.views import TERMINAL


def brought(live: Live, database: str, server: Record, seen: Evidence, place: Node) -> Iterator[Step]:
    """Steps on the server's row and its moves, then Placement, then Neutron; none if all of them agree."""
    first = list(_row(live, database, server, seen, place)) + list(_settled(live, database, server, place))
    rest = [*_allocation(live, database, server, place, bool(seen.stuck)), *_ports(live, server, seen, place)]
    if not first and not rest:
        return
    yield from still(database, server, *(("updated_at",) if seen.stuck else ()))
    yield from first
    yield from rest
    if seen["guest"].places != frozenset({place.id}):
        # if hypervisors showed it, the plan is bound to that
        yield Manual(text=f"Check that the guest runs on {place.host} and nowhere else: virsh list --all --uuid")


def _row(live: Live, database: str, server: Record, seen: Evidence, place: Node) -> Iterator[Step]:
    """Host, node and compute node, and the task state left by its move."""
    after: Record = {"host": place.host, "node": place.node}
    if "compute_id" in server:
        after["compute_id"] = place.id
    after = {name: value for name, value in after.items() if server[name] != value}
    if seen.stuck:
        after["task_state"] = None
    if not after:
        return
    if server.get("progress"):
        after["progress"] = 0
    yield change(live, database, "instances", server, after)


def _settled(live: Live, database: str, server: Record, place: Node) -> Iterator[Step]:
    """Settle the newest migration (completed or error); clear its context, and ``old_vm_state``."""
    moves = live.rows(database, "migrations", {"instance_uuid": server["uuid"], "deleted": 0})
    last = max(moves, key=lambda move: int(str(move["id"])), default=None)
    left = last is not None and last["status"] not in TERMINAL
    arrived = last is not None and last["dest_compute"] == place.host
    if last is not None and (left or (arrived and last["status"] in UNSETTLED)):
        yield change(live, database, "migrations", last, {"status": "completed" if arrived else "error"})
        for extra in live.rows(database, "instance_extra", {"instance_uuid": server["uuid"], "deleted": 0}):
            if extra["migration_context"]:
                yield change(live, database, "instance_extra", extra, {"migration_context": None})
    if last is not None and left:
        # for a migration that has ended, allocation-orphan finds it
        yield from _given_back(live, str(last["uuid"]))
    if server["host"] != place.host:
        where = {"instance_uuid": server["uuid"], "key": "old_vm_state", "deleted": 0}
        for note in live.rows(database, "instance_system_metadata", where):
            yield removed(live, database, "instance_system_metadata", note)


def _given_back(live: Live, move: str) -> Iterator[Step]:
    """The allocation that a move holds on its source host."""
    if not live.rows("placement", "allocations", {"consumer_id": move}):
        return
    if _by_rows(live):
        yield from removed_allocations(live, move)
        return
    found = calls.allocations(api_of(live), move)
    if found["allocations"]:
        yield calls.allocations_set(move, {}, found, ())


def _allocation(live: Live, database: str, server: Record, place: Node, stuck: bool) -> Iterator[Step]:
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    providers = live.rows("placement", "resource_providers", {"id": [a["resource_provider_id"] for a in held]})
    roots = live.rows("placement", "resource_providers", {"id": [p["root_provider_id"] for p in providers]})
    for wrong in (str(root["uuid"]) for root in roots if root["uuid"] != place.uuid):
        try:
            wanted = amounts(live, database, server)
            if _by_rows(live):
                steps = list(moved(live, server, place.uuid, wrong, wanted))
            else:
                steps = list(moved_by_api(live, server, place.uuid, wrong, wanted, place.host, stuck=stuck))
        except CannotRepair as answer:
            yield Manual(text=f"its allocation is left unchanged: {answer}")
            return
        yield from steps


def _ports(live: Live, server: Record, seen: Evidence, place: Node) -> Iterator[Step]:
    for port in live.rows("neutron", "ports", {"device_id": server["uuid"]}):
        if not str(port["device_owner"]).startswith("compute:"):
            continue
        if live.api is None:
            bound: list[Step] = list(rebound(live, port, place.host))
        else:
            believed, stuck = str(server["host"]), bool(seen.stuck)
            bound = list(rebound_by_api(live, str(port["id"]), place.host, believed, stuck=stuck))
        yield from bound or alone(live, port, place.host)


def _by_rows(live: Live) -> bool:
    return live.api is None or bool(live.api.lacks(SetAllocations))


def revived(live: Live, database: str, place: Node) -> Iterator[Step]:
    """Revive the records of the host and its node if marked deleted; CannotRepair if one does not exist."""
    services = live.rows(database, "services", {"host": place.host, "binary": "nova-compute"})
    if not any(row["deleted"] == 0 for row in services):
        if len(services) != 1:
            raise CannotRepair(
                f"nova-compute of {place.host} has {len(services)} records, all marked deleted: start it there, and it"
                " creates a new one; if the host is gone for good, evacuate or relocate the server"
            )
        yield change(live, database, "services", services[0], {"deleted": 0, "deleted_at": None})
    if place.deleted:
        row = live.row(database, "compute_nodes", {"id": place.id})
        if row is not None:
            guards = ("uuid", "host", "hypervisor_hostname")
            yield change(live, database, "compute_nodes", row, {"deleted": 0, "deleted_at": None}, guards)
