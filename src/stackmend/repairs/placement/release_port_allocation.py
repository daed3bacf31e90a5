# SPDX-License-Identifier: Apache-2.0
"""Release the bandwidth that a server holds for a port it no longer has.

## What it does
Removes the classes for ports (`NET_BW_...`, `NET_PACKET_RATE_...`) from the server's allocation on one provider. All
its other allocations stay. The generations of the provider and of the consumer are incremented. Through the API this is
one call, guarded by the consumer's generation.

## Guards
The server is idle and where it was, its ports are the same, and none of them names the provider. Refused if the flavor
requests such classes itself.

## Undo
The allocation is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, DeleteRow, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of
from stackmend.repairs.common import idle, still_of, the_server
from stackmend.repairs.placement.delete_allocations import counted

#: how the names of resource classes for ports begin
_FOR_PORTS = ("NET_BW_", "NET_PACKET_RATE_")


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Placement; none if nothing is held for ports on that provider any more."""
    services = api_of(live, SetAllocations)
    database, server = the_server(target, live)
    provider = str(target["provider"])
    if not _held(live, server, provider):
        return
    list(idle(live, database, server))
    _unnamed(live, database, server, provider)
    found = calls.allocations(services, str(server["uuid"]))
    calls.idle(found, server["uuid"])
    kept = {one: dict(some) for one, some in found["allocations"].items()}
    left = {kind: amount for kind, amount in kept.pop(provider, {}).items() if not kind.startswith(_FOR_PORTS)}
    if left:
        kept[provider] = left
    if kept == found["allocations"]:
        raise CannotRepair(f"Placement's API and its rows differ for {server['uuid']}: try again")
    yield calls.allocations_set(str(server["uuid"]), kept, found, ("server", "server.host", "server.task_state"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if nothing is held for ports on that provider any more."""
    database, server = the_server(target, live)
    provider = str(target["provider"])
    held = _held(live, server, provider)
    if not held:
        return
    ports = _unnamed(live, database, server, provider)
    yield from idle(live, database, server)
    yield from still_of(ports)
    for row in held:
        yield DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)
    yield from counted(row["resource_provider_id"] for row in held)
    for consumer in live.rows("placement", "consumers", {"uuid": server["uuid"]}):
        yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


def _held(live: Live, server: Record, provider: str) -> list[Record]:
    """The server's allocations for ports on the provider; CannotRepair if it has no others at all."""
    there = live.row("placement", "resource_providers", {"uuid": provider})
    every = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    numbers = [row["resource_class_id"] for row in every]
    kinds = live.rows("placement", "resource_classes", {"id": numbers}) if numbers else []
    mine = {kind["id"] for kind in kinds if str(kind["name"]).startswith(_FOR_PORTS)}
    held = [
        row
        for row in every
        if there and row["resource_provider_id"] == there["id"] and row["resource_class_id"] in mine
    ]
    if held and len(held) == len(every):
        raise CannotRepair(f"server {server['uuid']} has allocated nothing else: repair that first")
    return held


def _unnamed(live: Live, database: str, server: Record, provider: str) -> list[Record]:
    """The server's ports; CannotRepair if one of them, or the flavor, claims the allocation."""
    ports = list(live.rows("neutron", "ports", {"device_id": server["uuid"]}))
    numbers = [port["id"] for port in ports]
    for binding in live.rows("neutron", "ml2_port_bindings", {"port_id": numbers}) if numbers else []:
        if provider in str(binding["profile"]):
            raise CannotRepair(f"port {binding['port_id']} of server {server['uuid']} names provider {provider}")
    for extra in live.rows(database, "instance_extra", {"instance_uuid": server["uuid"], "deleted": 0}):
        if any(kind in str(extra["flavor"]) for kind in _FOR_PORTS):
            raise CannotRepair(f"the flavor of server {server['uuid']} requests such resources itself")
    return ports


REPAIR = Repair(
    name="release-port-allocation",
    risk=Risk.UNSAFE,
    checks=("port-allocation-leak",),
    codes=frozenset({"leaked"}),
    strategies={"api": api, "db": db},
    why="if the guest still has the NIC of a port that Neutron lost, the bandwidth it uses may be promised to another",
)
