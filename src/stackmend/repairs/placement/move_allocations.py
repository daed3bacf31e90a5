# SPDX-License-Identifier: Apache-2.0
"""Move a server's allocation to the host it is on.

## What it does
Removes or moves the server's allocation on the other host, so that it has on its own host exactly what its flavor
requires: a failed resize may have left the amounts of the other flavor. An offloaded server, which is on no host, has
no allocation afterwards. The generations of the providers and of the consumer are incremented. Through the API this is
one call that Placement executes completely or not at all, guarded by the consumer's generation; Placement refuses it if
the right host lacks capacity.

## Guards
The server is idle and on that host according to every record (`stackmend server where UUID`); the rows are unchanged
since the plan. Refused if the amounts cannot be derived from the flavor (`resources1:...`, pinned CPUs, PCI devices, or
the server's row and its flavor disagree), and for allocations on nested providers (VGPU, bandwidth, PCI), because only
Nova knows the right child (`nova-manage placement heal_allocations`). The allocation of an offloaded server is kept
while its newest action is an unshelve that succeeded or has not ended.

## Undo
The rows, or the allocations through the API, are restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from stackmend.cloud.flavors import amounts
from stackmend.model.finding import Row
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, DeleteRow, InsertRow, Record, Risk, Step, Values
from stackmend.model.values import whole
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of
from stackmend.repairs.common import change, idle, the_server
from stackmend.repairs.placement.delete_allocations import counted, removed_allocations
from stackmend.repairs.whereabouts import at_home, evidence

#: classes that every host's own provider has: any other class is a claim on a special resource
_PLAIN = frozenset({"VCPU", "MEMORY_MB", "DISK_GB"})
_HEAL = "use nova-manage placement heal_allocations"
Amounts = Mapping[str, int]


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Placement; none if nothing is allocated on the wrong provider any more."""
    api_of(live, SetAllocations)
    database, server = the_server(target, live)
    list(idle(live, database, server))
    if server["host"] is None:
        _offloaded(live, database, server)
        found = calls.allocations(api_of(live), str(server["uuid"]))
        calls.idle(found, server["uuid"])
        if found["allocations"]:
            yield calls.allocations_set(str(server["uuid"]), {}, found, ("server", "server.host", "server.task_state"))
        return
    node = _node(live, database, server)
    at_home(live, database, server)
    wanted = amounts(live, database, server)
    yield from moved_by_api(live, server, str(node["uuid"]), str(target["wrong_provider"]), wanted)


def moved_by_api(
    live: Live, server: Record, right: str, wrong: str, wanted: Amounts, host: str = "", *, stuck: bool = False
) -> Iterator[Step]:  # fmt: skip
    """The call that removes the server's allocation from the tree of one provider, see :func:`moved`.

    ``host``: where Nova will show the server by then (default: now). ``stuck``: the task state is cleared by then.
    """
    # the rows of the trees decide which allocations may be moved; the amounts come from Placement's API
    if not list(moved(live, server, right, wrong, wanted)):
        return
    found = calls.allocations(api_of(live), str(server["uuid"]))
    if not stuck:
        calls.idle(found, server["uuid"])
    held, tree = found["allocations"], _tree(live, wrong)
    kept = {provider: some for provider, some in held.items() if provider not in tree}
    if not (_tree(live, right) - {right}) & set(kept):
        kept[right] = dict(wanted)
    if kept == held:
        raise CannotRepair(f"Placement's API and its rows differ for {server['uuid']}: try again")
    made = calls.allocations_set(str(server["uuid"]), kept, found, ("server", "server.task_state"))
    by_then = {"server.host": host or server["host"]} | ({"server.task_state": None} if stuck else {})
    yield replace(made, expect={**made.expect, **by_then})


def _tree(live: Live, root: str) -> set[str]:
    """uuids of the providers of a tree."""
    top = live.row("placement", "resource_providers", {"uuid": root})
    members = live.rows("placement", "resource_providers", {"root_provider_id": top["id"]}) if top else []
    return {str(member["uuid"]) for member in members}


def _node(live: Live, database: str, server: Record) -> Record:
    where = {"host": server["host"], "hypervisor_hostname": server["node"], "deleted": 0}
    node = live.row(database, "compute_nodes", where)
    if node is None:
        raise CannotRepair(f"server {server['uuid']} is on no compute node: repair that first")
    return node


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement's database."""
    database, server = the_server(target, live)
    if server["host"] is None:
        _offloaded(live, database, server)
        yield from idle(live, database, server)
        yield from removed_allocations(live, str(server["uuid"]))
        return
    node = _node(live, database, server)
    at_home(live, database, server)
    wanted = amounts(live, database, server)
    yield from idle(live, database, server)
    yield from moved(live, server, str(node["uuid"]), str(target["wrong_provider"]), wanted)


def _offloaded(live: Live, database: str, server: Record) -> None:
    """CannotRepair unless the server is offloaded, and no unshelve has put it on a host."""
    if server["vm_state"] != "shelved_offloaded":
        raise CannotRepair(f"server {server['uuid']} is {server['vm_state']} and on no host: repair that first")
    actions = live.rows(database, "instance_actions", {"instance_uuid": server["uuid"]})
    last = max(actions, key=lambda action: int(str(action["id"])), default=None)
    if last is None or last["action"] != "unshelve":
        return
    for event in live.rows(database, "instance_actions_events", {"action_id": last["id"]}):
        if str(event["event"]).startswith("compute_") and event["result"] != "Error":
            raise CannotRepair(
                f"the last unshelve of server {server['uuid']} {'succeeded' if event['result'] else 'has not ended'} on"
                f" {event.get('host') or 'a host'} ({event['event']}): check whether its guest runs there"
            )


def moved(live: Live, server: Record, right: str, wrong: str, wanted: Amounts) -> Iterator[Step]:
    """Steps that remove the server's allocation from the tree of one provider, and set ``wanted`` on the other.

    None if nothing is allocated on the wrong tree.
    """
    roots = {p["uuid"]: p for p in live.rows("placement", "resource_providers", {"uuid": [right, wrong]})}
    if right not in roots or wrong not in roots:
        raise CannotRepair(f"placement has no provider {right if right not in roots else wrong}")
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    here, there = _of_tree(live, held, roots[right]), _of_tree(live, held, roots[wrong])
    if not there:
        return
    nested = any(row["resource_provider_id"] != roots[wrong]["id"] for row in there)
    if nested and not here:
        raise CannotRepair(f"the allocation of {server['uuid']} is nested: {_HEAL}")
    if any(row["resource_provider_id"] != roots[right]["id"] for row in here):
        # nested allocations on the right host stay as Nova made them
        yield from map(_gone, there)
    else:
        yield from exact(live, server, here, there, roots[right], wanted)
    yield from counted([*(row["resource_provider_id"] for row in there), roots[right]["id"]])
    for consumer in live.rows("placement", "consumers", {"uuid": server["uuid"]}):
        yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


def exact(
    live: Live, server: Record, here: list[Record], there: list[Record], right: Record, wanted: Amounts
) -> Iterator[Step]:  # fmt: skip
    """Set exactly these amounts on the right provider: in its rows, else the wrong one's, else in new ones."""
    classes = {whole(row["id"]): str(row["name"]) for row in _classes(live, [*here, *there], wanted)}
    for row in (*here, *there):
        kind = classes[whole(row["resource_class_id"])]
        if kind not in wanted and kind not in _PLAIN:
            raise CannotRepair(
                f"server {server['uuid']} has allocated {kind}, which its flavor does not request: {_HEAL}"
            )
    numbers = {name: number for number, name in classes.items()}
    used: set[int] = set()
    for kind, amount in wanted.items():
        fit = next((row for row in (*here, *there) if row["resource_class_id"] == numbers[kind]), None)
        if fit is None:
            yield _new((*there, *here)[0], right, numbers[kind], amount, str(server["uuid"]))
            continue
        used.add(whole(fit["id"]))
        after: Values = {"resource_provider_id": right["id"], "used": amount}
        after = {name: value for name, value in after.items() if fit[name] != value}
        if after:
            yield change(live, "placement", "allocations", fit, after, ("resource_provider_id", "used"))
    yield from (_gone(row) for row in (*here, *there) if whole(row["id"]) not in used)


def _classes(live: Live, held: list[Record], wanted: Amounts) -> list[Record]:
    found: list[Record] = list(live.rows("placement", "resource_classes", {"name": list(wanted)}))
    if lacking := set(wanted) - {str(row["name"]) for row in found}:
        raise CannotRepair(f"Placement has no resource class {min(lacking)}")
    found += live.rows("placement", "resource_classes", {"id": [row["resource_class_id"] for row in held]})
    return found


def _new(like: Record, right: Record, kind: int, amount: int, consumer: str) -> InsertRow:
    key: Values = {"consumer_id": consumer, "resource_provider_id": right["id"], "resource_class_id": kind}
    times: Values = {name: like[name] for name in ("created_at", "updated_at") if name in like}
    return InsertRow(database="placement", table="allocations", key=key, values={**key, "used": amount, **times})


def _gone(row: Record) -> DeleteRow:
    return DeleteRow(database="placement", table="allocations", pk={"id": row["id"]}, before=row)


def _of_tree(live: Live, held: list[Record], root: Record) -> list[Record]:
    members = {p["id"] for p in live.rows("placement", "resource_providers", {"root_provider_id": root["id"]})}
    return [row for row in held if row["resource_provider_id"] in members]


REPAIR = Repair(
    name="move-allocations",
    risk=Risk.SAFE,
    removes={
        "allocations": "amounts that the right provider already has, or that no server needs any more",
        "allocations.used": "set to the amounts of the flavor in the server's row and its instance_extra",
        "consumers": "deleted with its last allocation, as in Placement",
        "allocations.resource_provider_id": "follows from the host and node in the server's row",
    },
    checks=("allocation-wrong-provider",),
    strategies={"api": api, "db": db},
    evidence=evidence,
)
