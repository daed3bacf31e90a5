# SPDX-License-Identifier: Apache-2.0
"""Allocate on its own host what a server's flavor requires.

## What it does
Creates the consumer with the server's project and user, and an allocation of each resource class of the flavor on the
provider of the server's compute node, and increments that provider's generation. Through the API this is one call,
which Placement refuses if the host lacks capacity.

## Guards
The server is idle and on that host according to every record (`stackmend server where UUID`), and still has no
allocation. Refused if the amounts cannot be derived from the flavor (`resources1:...`, pinned CPUs, PCI devices, or the
server's row and its flavor disagree).

## Undo
The allocation is deleted again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.flavors import amounts
from stackmend.model.finding import Row
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import InsertRow, Record, Risk, Step, Values
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of, guarded
from stackmend.repairs.common import idle, the_server
from stackmend.repairs.placement.delete_allocations import counted
from stackmend.repairs.whereabouts import at_home, evidence


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Placement; none if the server has an allocation."""
    services = api_of(live, SetAllocations)
    database, server = the_server(target, live)
    name = str(server["uuid"])
    if live.rows("placement", "allocations", {"consumer_id": name}):
        return
    list(idle(live, database, server))
    provider = _provider(live, database, server)
    at_home(live, database, server)
    wanted = {str(provider["uuid"]): amounts(live, database, server)}
    found = calls.allocations(services, name)
    calls.idle(found, name)
    if found["allocations"]:
        raise CannotRepair(f"Placement's API and its rows differ for {name}: try again")
    project, user = str(server["project_id"]), str(server["user_id"])
    made = SetAllocations(consumer=name, allocations=wanted, generation=None, project=project, user=user)
    back = SetAllocations(consumer=name, allocations={}, generation=1, project=project, user=user)
    names = ("allocations", "generation", "server", "server.host", "server.task_state")
    yield guarded(made, found, names, back.call({"allocations": wanted}))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if the server has an allocation."""
    database, server = the_server(target, live)
    name = str(server["uuid"])
    if live.rows("placement", "allocations", {"consumer_id": name}):
        return
    provider = _provider(live, database, server)
    at_home(live, database, server)
    wanted = amounts(live, database, server)
    yield from idle(live, database, server)
    now = live.now()
    if not live.rows("placement", "consumers", {"uuid": name}):
        yield consumer_row(live, server, now)
    classes = {
        str(row["name"]): row["id"] for row in live.rows("placement", "resource_classes", {"name": list(wanted)})
    }
    for kind, amount in wanted.items():
        if kind not in classes:
            raise CannotRepair(f"Placement has no resource class {kind}")
        key: Values = {
            "consumer_id": name, "resource_provider_id": provider["id"], "resource_class_id": classes[kind],
        }  # fmt: skip
        values: Values = {**key, "used": amount, "created_at": now, "updated_at": now}
        yield InsertRow(database="placement", table="allocations", key=key, values=values)
    yield from counted([provider["id"]])


def consumer_row(live: Live, server: Record, now: str) -> InsertRow:
    """The consumer of a server; CannotRepair if Placement does not know its project or user yet."""
    name = str(server["uuid"])
    values: Record = {"uuid": name, "generation": 1, "created_at": now, "updated_at": now, **owner(live, server)}
    if live.columns("placement", "consumer_types"):
        for kind in live.rows("placement", "consumer_types", {"name": "INSTANCE"}):
            values["consumer_type_id"] = kind["id"]
    return InsertRow(database="placement", table="consumers", key={"uuid": name}, values=values)


def owner(live: Live, server: Record) -> Record:
    """``project_id`` and ``user_id`` of the server's consumer; CannotRepair if Placement does not know one."""
    found: Record = {}
    for column, table in (("project_id", "projects"), ("user_id", "users")):
        row = live.row("placement", table, {"external_id": str(server[column])})
        if row is None:
            raise CannotRepair(
                f"Placement does not know {column.removesuffix('_id')} {server[column]} yet: use 'nova-manage placement"
                f" heal_allocations --instance {server['uuid']}'"
            )
        found[column] = row["id"]
    return found


def _provider(live: Live, database: str, server: Record) -> Record:
    """The provider of the server's compute node."""
    where = {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    node = live.row(database, "compute_nodes", where)
    provider = live.row("placement", "resource_providers", {"uuid": node["uuid"]}) if node else None
    if provider is None:
        raise CannotRepair(f"the compute node of server {server['uuid']} has no resource provider: repair that first")
    return provider


REPAIR = Repair(
    name="create-allocation",
    risk=Risk.UNSAFE,
    checks=("allocation-missing",),
    strategies={"api": api, "db": db},
    evidence=evidence,
    why="in the database nothing checks whether the host has room: it may be overcommitted, as its guests are already",
)
