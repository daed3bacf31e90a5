# SPDX-License-Identifier: Apache-2.0
"""Set on a server's own host what its flavor requires.

## What it does
Sets the amounts of the flavor in the server's allocation on its own host, and removes a second row of the same resource
class. Allocations on other providers, such as network cards below the host, stay. The generations of the provider and
of the consumer are incremented. Through the API this is one call, guarded by the consumer's generation; Placement
refuses it if the host lacks capacity.

## Guards
The server is idle and on that host according to every record (`stackmend server where UUID`); the rows are unchanged
since the plan. Refused if the amounts cannot be derived from the flavor (`resources1:...`, pinned CPUs, PCI devices, or
the server's row and its flavor disagree), or if the server has allocated something else on the host itself.

## Undo
The rows, or the allocations through the API, are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.flavors import amounts
from stackmend.model.finding import Row
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of
from stackmend.repairs.common import idle, the_server
from stackmend.repairs.placement.delete_allocations import counted
from stackmend.repairs.placement.move_allocations import exact
from stackmend.repairs.whereabouts import at_home, evidence


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Placement; none if the server has allocated what its flavor requires."""
    services = api_of(live, SetAllocations)
    database, server = the_server(target, live)
    # the rows decide whether they may be changed; the amounts come from Placement's API
    if not list(db(target, live)):
        return
    provider = str(_provider(live, database, server)["uuid"])
    found = calls.allocations(services, str(server["uuid"]))
    calls.idle(found, server["uuid"])
    kept = {**found["allocations"], provider: amounts(live, database, server)}
    if kept == found["allocations"]:
        raise CannotRepair(
            f"Placement's API already shows the amounts of the flavor of {server['uuid']}: only the rows are wrong"
        )
    yield calls.allocations_set(str(server["uuid"]), kept, found, ("server", "server.host", "server.task_state"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database; none if the server has allocated what its flavor requires."""
    database, server = the_server(target, live)
    provider = _provider(live, database, server)
    where = {"consumer_id": server["uuid"], "resource_provider_id": provider["id"]}
    here = list(live.rows("placement", "allocations", where))
    if not here:
        raise CannotRepair(f"server {server['uuid']} has allocated nothing on its host: repair that first")
    at_home(live, database, server)
    guards = list(idle(live, database, server))
    changes = list(exact(live, server, here, [], provider, amounts(live, database, server)))
    if not changes:
        return
    yield from guards
    yield from changes
    yield from counted([provider["id"]])
    for consumer in live.rows("placement", "consumers", {"uuid": server["uuid"]}):
        yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


def _provider(live: Live, database: str, server: Record) -> Record:
    """The provider of the server's compute node."""
    where = {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    node = live.row(database, "compute_nodes", where)
    provider = live.row("placement", "resource_providers", {"uuid": node["uuid"]}) if node else None
    if provider is None:
        raise CannotRepair(f"the compute node of server {server['uuid']} has no resource provider: repair that first")
    return provider


REPAIR = Repair(
    name="correct-allocation",
    risk=Risk.SAFE,
    removes={
        "allocations": "a second row of a resource class, or a class that the flavor does not request",
        "allocations.used": "set to the amounts of the flavor in the server's row and its instance_extra",
    },
    checks=("allocation-amount-mismatch",),
    strategies={"api": api, "db": db},
    evidence=evidence,
)
