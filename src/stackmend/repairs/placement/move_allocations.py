# SPDX-License-Identifier: Apache-2.0
"""Charge a server's capacity to the host it is on.

## What it does
What the server holds of the other host is given back or moved, so that it holds of its own host what its flavor asks
for, no more and no less: a resize that failed may have left the amounts of the other flavor. An offloaded server, which
is on no host, holds nothing afterwards. The generations of the providers and of the consumer are counted on. By the API
it is one call that Placement does whole or not at all, guarded by the consumer's generation; what the right host has no
room for it refuses.

## Guards
The server is idle and on that host, by every record there is (`stackmend server where UUID`); the rows read as planned.
Refused where the amounts cannot be told from the flavor (`resources1:...`, pinned CPUs, PCI devices; or the server's
row and its flavor disagree), and for allocations of nested providers (VGPU, bandwidth, PCI): which child is the right
one only Nova knows (`nova-manage placement heal_allocations`). Of an offloaded server nothing is taken while its newest
action is an unshelve that succeeded, or has not ended.

## Undo
The rows, or the allocations by the API, are put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from stackmend.cloud.flavors import amounts
from stackmend.model.finding import Row
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import BumpRow, DeleteRow, InsertRow, Risk, Step, Values
from stackmend.model.values import whole
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of
from stackmend.repairs.common import Record, change, idle, the_server
from stackmend.repairs.placement.delete_allocations import counted, removed_allocations
from stackmend.repairs.whereabouts import at_home, evidence

#: classes that every host's own provider has: any other one is somebody's claim on something of a kind
_PLAIN = frozenset({"VCPU", "MEMORY_MB", "DISK_GB"})
_HEAL = "use nova-manage placement heal_allocations"
Amounts = Mapping[str, int]


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call of Placement; nothing where it holds nothing of the wrong provider any more."""
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
    """The call that takes the server's allocation off the tree of one provider, see :func:`moved`.

    ``host``: where Nova will show the server by then; default where it is. ``stuck``: the task state is gone by then.
    """
    # what rows tell of the trees decides what may be moved; what Placement shows is what is moved
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
        raise CannotRepair(f"Placement does not show what its rows say of {server['uuid']}: try again")
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
        raise CannotRepair(f"server {server['uuid']} is on no compute node: see to that first")
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
    """CannotRepair unless the server is offloaded, and no unshelve has brought it anywhere."""
    if server["vm_state"] != "shelved_offloaded":
        raise CannotRepair(f"server {server['uuid']} is {server['vm_state']} and on no host: see to that first")
    actions = live.rows(database, "instance_actions", {"instance_uuid": server["uuid"]})
    last = max(actions, key=lambda action: int(str(action["id"])), default=None)
    if last is None or last["action"] != "unshelve":
        return
    for event in live.rows(database, "instance_actions_events", {"action_id": last["id"]}):
        if str(event["event"]).startswith("compute_") and event["result"] != "Error":
            raise CannotRepair(
                f"the last unshelve of server {server['uuid']} {'succeeded' if event['result'] else 'has not ended'} on"
                f" {event.get('host') or 'a host'} ({event['event']}): look whether its guest runs there"
            )


def moved(live: Live, server: Record, right: str, wrong: str, wanted: Amounts) -> Iterator[Step]:
    """Steps that take the server's allocation off the tree of one provider, and leave it ``wanted`` of the other.

    Nothing where it holds nothing of the wrong tree.
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
        # what is nested on the right host stays as Nova made it
        yield from map(_gone, there)
    else:
        yield from _exact(live, server, here, there, roots[right], wanted)
    yield from counted([*(row["resource_provider_id"] for row in there), roots[right]["id"]])
    for consumer in live.rows("placement", "consumers", {"uuid": server["uuid"]}):
        yield BumpRow(database="placement", table="consumers", pk={"id": consumer["id"]}, column="generation")


def _exact(
    live: Live, server: Record, here: list[Record], there: list[Record], right: Record, wanted: Amounts
) -> Iterator[Step]:  # fmt: skip
    """Rows of the right provider for exactly these amounts: those it has, else the wrong one's, else new ones."""
    classes = {whole(row["id"]): str(row["name"]) for row in _classes(live, [*here, *there], wanted)}
    for row in (*here, *there):
        kind = classes[whole(row["resource_class_id"])]
        if kind not in wanted and kind not in _PLAIN:
            raise CannotRepair(f"server {server['uuid']} holds {kind}, for which its flavor does not ask: {_HEAL}")
    numbers = {name: number for number, name in classes.items()}
    used: set[int] = set()
    for kind, amount in wanted.items():
        fit = next((row for row in (*here, *there) if row["resource_class_id"] == numbers[kind]), None)
        if fit is None:
            yield _new(there[0], right, numbers[kind], amount, str(server["uuid"]))
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
        "allocations": "what the right provider has of it already, or what no server has a use for any more",
        "allocations.used": "the amounts of the flavor, which the server's row and its extra say",
        "consumers": "goes with its last allocation, as in Placement",
        "allocations.resource_provider_id": "the server's row names its host and node, which the provider follows from",
    },
    checks=("allocation-wrong-provider",),
    strategies={"api": api, "db": db},
    evidence=evidence,
)
