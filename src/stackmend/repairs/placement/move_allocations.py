# SPDX-License-Identifier: Apache-2.0
"""Charge a server's capacity to the host it is on.

## What it does
Where the server holds capacity of its own host as well, what it holds of the other one is given back. Where it holds
capacity of the wrong host alone, each row is moved to the right provider. The generations of the providers and of the
consumer are counted on. By the API it is one call that Placement does whole or not at all, guarded by the consumer's
generation; what the right host has no room for it refuses.

## Guards
The server is idle and on that host; the rows read as planned. Trees with nested providers (VGPU, bandwidth, PCI) are
left alone: which child is the right one only Nova knows (`nova-manage placement heal_allocations`).

## Undo
The rows, or the allocations by the API, are put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, DeleteRow, Risk, Step, Values
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of, call
from stackmend.repairs.common import Record, change, idle, the_server
from stackmend.repairs.placement.delete_allocations import counted


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call of Placement; nothing where it holds nothing of the wrong provider any more."""
    api_of(live, ("placement", "set-allocations"))
    database, server = the_server(target, live)
    node = _node(live, database, server)
    list(idle(live, database, server))
    yield from moved_by_api(live, server, str(node["uuid"]), str(target["wrong_provider"]))


def moved_by_api(live: Live, server: Record, right: str, wrong: str, host: str = "") -> Iterator[Step]:
    """The call that takes the server's allocation off the tree of one provider, see :func:`moved`.

    ``host``: where Nova will show the server by then; default where it is.
    """
    # what rows tell of the trees decides what may be moved; what Placement shows is what is moved
    if not list(moved(live, server, right, wrong)):
        return
    found = api_of(live).look(call("placement", "set-allocations", consumer=str(server["uuid"])))
    calls.idle(found, server["uuid"])
    held, tree = found["allocations"], _tree(live, wrong)
    wanted = {provider: amounts for provider, amounts in held.items() if provider not in tree}
    if wrong in held and not _tree(live, right) & set(wanted):
        wanted[right] = held[wrong]
    if not wanted or wanted == held:
        raise CannotRepair(f"Placement does not show what its rows say of {server['uuid']}: try again")
    made = calls.allocations_set(str(server["uuid"]), wanted, found, ("server", "server.task_state"))
    yield replace(made, expect={**made.expect, "server.host": host or server["host"]})


def _tree(live: Live, root: str) -> set[str]:
    """uuids of the providers of a tree."""
    top = live.row("placement", "resource_providers", {"uuid": root})
    members = live.rows("placement", "resource_providers", {"root_provider_id": top["id"]}) if top else []
    return {str(member["uuid"]) for member in members}


def _node(live: Live, database: str, server: Record) -> Record:
    where = {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    node = live.row(database, "compute_nodes", where)
    if node is None:
        raise CannotRepair(f"server {server['uuid']} is on no compute node: see to that first")
    return node


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database."""
    database, server = the_server(target, live)
    node = _node(live, database, server)
    yield from idle(live, database, server)
    yield from moved(live, server, str(node["uuid"]), str(target["wrong_provider"]))


def moved(live: Live, server: Record, right: str, wrong: str) -> Iterator[Step]:
    """Steps that take the server's allocation off the tree of one provider; onto another where it has none there."""
    roots = {p["uuid"]: p for p in live.rows("placement", "resource_providers", {"uuid": [right, wrong]})}
    if right not in roots or wrong not in roots:
        raise CannotRepair(f"placement has no provider {right if right not in roots else wrong}")
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    there = _of_tree(live, held, roots[wrong])
    if not there:
        return
    if _of_tree(live, held, roots[right]):
        for row in there:
            yield DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)
        yield from counted(row["resource_provider_id"] for row in there)
    else:
        if any(row["resource_provider_id"] != roots[wrong]["id"] for row in there):
            raise CannotRepair(
                f"the allocation of {server['uuid']} is nested: use nova-manage placement heal_allocations"
            )
        for row in there:
            after: Values = {"resource_provider_id": roots[right]["id"]}
            yield change(live, "placement", "allocations", row, after, ("used",))
        yield from counted([roots[wrong]["id"], roots[right]["id"]])
    for consumer in live.rows("placement", "consumers", {"uuid": server["uuid"]}):
        yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


def _of_tree(live: Live, held: list[Record], root: Record) -> list[Record]:
    members = {p["id"] for p in live.rows("placement", "resource_providers", {"root_provider_id": root["id"]})}
    return [row for row in held if row["resource_provider_id"] in members]


REPAIR = Repair(
    name="move-allocations",
    risk=Risk.SAFE,
    checks=("allocation-wrong-provider",),
    strategies={"api": api, "db": db},
)
