# SPDX-License-Identifier: Apache-2.0
"""Move a server of a dead host to another host by changing its rows, as part of `host relocate`.

This is for servers that cannot be evacuated.

## What it does
First its allocation is moved and its ports are bound to the new host, through the APIs of Placement and Neutron if they
are available and `--via db` does not forbid it. Ports of DHCP and routers are never touched.

Then, in one transaction in its cell: a completed evacuation is recorded; migrations in progress are set to error and
their context is cleared; the server gets the new host, node and compute node, is stopped, has no task state, and no
power state, since there is no guest; an action `relocate` records the move. A network cache that does not list the
ports as Neutron does is rewritten; otherwise it is left, because Nova reads the ports again before it creates a guest.
In this order Nova shows the server on its old host until everything else is in place, and no nova-compute rewrites the
cache in between.

The evacuation record makes nova-compute on the old host, should it ever start again, destroy its stale guest and
release its resources. Nova looks for such records among deleted rows too (`_destroy_evacuated_instances` reads deleted
rows as well), so a record that is no longer wanted must be in error or must not exist.

The power state shows that there is no guest: with any other value, nova-compute on the new host would update it within
minutes, and an untouched server could not be told from one that was started and stopped since.

## Guards
nova-compute on the old host has not reported since the plan, the server is where it was, and no operation is in
progress on it. Refused are servers that other records show on a host that is alive (a live migration ended and Nova was
not notified: re-created, the server would run twice), and servers whose move to a third host never ended, unless that
host is declared dead. Also refused are servers with PCI devices, pinned CPUs, large pages, persistent memory, a TPM,
shares or nested allocations, with an unsettled evacuation from the new host, or with another member of their
anti-affinity group there. For local disks the operator must confirm that both hosts see them.

## Undo
All rows are restored and the record is deleted, as long as the server is unchanged: not after the first start on the
new host, and not after nova-compute on the old host has settled the record. Through the API, Neutron gets the old host
again; while no agent runs there the binding fails, and it is made when the agent is back.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from stackmend.cloud.flavors import amounts
from stackmend.model.finding import Row
from stackmend.model.operations.network import CreateBinding, DeleteBinding, PortValues, ReturnPort, UpdatePort
from stackmend.model.operations.placement import SetAllocations
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, InsertRow, Record, Risk, Step, Value
from stackmend.repairs import calls, nics
from stackmend.repairs.calls import api_of, shown
from stackmend.repairs.common import change, the_server
from stackmend.repairs.network_info import Builder, compute_version, parsed
from stackmend.repairs.neutron.rebind_port import rebound
from stackmend.repairs.nova import rebuild_info_cache
from stackmend.repairs.nova._relocation import movable, node_of, services, silent, zone
from stackmend.repairs.placement.move_allocations import moved, moved_by_api
from stackmend.repairs.ports import alone
from stackmend.repairs.whereabouts import evidence, lives_elsewhere, still
from stackmend.tables.views import TERMINAL

#: VNIC types that need no device of their host
_PLAIN = frozenset({"normal"})
#: the power state of a server without a guest
_NO_GUEST = 0


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Placement, Neutron and the cell; none if the server is already there.

    ``target``: ``server``, ``to`` (the host), ``shared`` (both hosts see its local disks), ``via``.
    """
    database, server = the_server(target, live)
    right = node_of(live, database, str(target["to"]), target.get("to_node"))
    if server["host"] == right["host"]:
        return
    if not server["host"]:
        raise CannotRepair(f"server {server['uuid']} is on no host")
    lives_elsewhere(live, database, server, str(right["host"]))
    movable(live, database, server, str(right["host"]), shared=bool(target.get("shared")))
    by_rows = live.api is None or target.get("via") == "db"
    yield from _charged(live, database, server, right, by_rows=by_rows)
    yield from _bound(live, server, right, by_rows=by_rows)
    yield from _cached(target, live, database, server)
    yield from _placed(live, database, server, right)


def _charged(live: Live, database: str, server: Record, right: Record, *, by_rows: bool) -> Iterator[Step]:
    """Move the allocation to the new host."""
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    providers = live.rows("placement", "resource_providers", {"id": [row["resource_provider_id"] for row in held]})
    if nested := [p["name"] for p in providers if p["id"] != p["root_provider_id"]]:
        raise CannotRepair(f"server {server['uuid']} has an allocation on the nested provider {nested[0]}")
    if not held:
        raise CannotRepair(
            f"server {server['uuid']} has no allocation: 'nova-manage placement heal_allocations --instance"
            f" {server['uuid']}' first"
        )
    by_rows = by_rows or live.api is None or bool(live.api.lacks(SetAllocations))
    wanted = amounts(live, database, server)
    for wrong in (str(p["uuid"]) for p in providers if p["uuid"] != right["uuid"]):
        if by_rows:
            yield from still(database, server)
            yield from moved(live, server, str(right["uuid"]), wrong, wanted)
        else:
            yield from moved_by_api(live, server, str(right["uuid"]), wrong, wanted)


def _bound(live: Live, server: Record, right: Record, *, by_rows: bool) -> Iterator[Step]:
    """Bind the NICs of the server, and no other port, to the new host."""
    host = str(right["host"])
    moved_to = zone(live, server, host)
    owner = f"compute:{moved_to}" if moved_to != server["availability_zone"] else ""
    for port in live.rows("neutron", "ports", {"device_id": server["uuid"]}):
        if not str(port["device_owner"]).startswith("compute:"):
            continue
        if by_rows:
            bound: list[Step] = list(rebound(live, port, host))
        else:
            bound = list(_bound_by_api(live, str(port["id"]), server, host, owner))
        yield from bound or alone(live, port, host)


def _bound_by_api(live: Live, port: str, server: Record, host: str, owner: str) -> Iterator[Step]:
    services_ = api_of(live, ReturnPort)
    found = services_.look(UpdatePort(port=port, values={}))
    shown(found, "port")
    calls.idle(found, server["uuid"])
    if found["binding:vnic_type"] not in _PLAIN:
        raise CannotRepair(f"port {port} is {found['binding:vnic_type']}: only Nova can claim a device for it")
    where: Record = {"port_id": port, "host": host, "status": "INACTIVE"}
    if live.rows("neutron", "ml2_port_bindings", where):
        back = CreateBinding(port=port, host=host).call({"binding": None})
        yield DeleteBinding(port=port, host=host).call({"binding": "INACTIVE"}, back)
    values: PortValues = {"binding:host_id": host}
    if owner:
        values["device_owner"] = owner
    if calls.chosen(found, values) == values:
        return
    guards = ("device_id", "binding:host_id", "server", "server.host", "server.vm_state", "server.task_state")
    # the old host is dead: Neutron records the host, and the binding is made when an agent is back there
    yield calls.port_updated(port, values, found, calls.chosen(found, guards), ReturnPort)


def _cached(target: Row, live: Live, database: str, server: Record) -> Iterator[Step]:
    """Make the cache list Neutron's ports: a hard reboot gives the guest the NICs in the cache."""
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"]})
    old = parsed(cache["network_info"]) if cache else None
    rows = nics.alive(nics.rows(live, database, server))
    builder = Builder(live, server, rows, old, compute_version(live, database, server))
    listed = [vif.get("id") for vif in old] if old is not None and cache and cache["deleted"] == 0 else None
    if listed != [port["id"] for port in builder.ports()]:
        yield from rebuild_info_cache.db(target, live)


def _placed(live: Live, database: str, server: Record, right: Record) -> Iterator[Step]:
    """The changes in its cell, with the guards for all of them."""
    yield from silent(live, database, str(server["host"]))
    for row in services(live, database, str(right["host"])):
        expect = {name: row[name] for name in ("host", "binary", "deleted")}
        yield ExpectRow(database=database, table="services", pk={"id": row["id"]}, expect=expect)
    now = live.now()
    yield _record(live, database, server, right, now)
    yield from _settled(live, database, server, now)
    place = zone(live, server, str(right["host"]))
    after: dict[str, Value] = {
        "host": right["host"], "node": right["hypervisor_hostname"], "compute_id": right["id"],
        "availability_zone": place, "vm_state": "stopped", "task_state": None, "power_state": _NO_GUEST, "progress": 0,
    }  # fmt: skip
    after = {name: value for name, value in after.items() if name in server}
    yield change(live, database, "instances", server, after, ("uuid", "deleted"))
    yield _instance_action(live, database, server, right, now)


def _record(live: Live, database: str, server: Record, right: Record, now: str) -> InsertRow:
    """The evacuation record that nova-compute on the old host finds and acts on when it starts."""
    values: dict[str, Value] = {
        "uuid": _name(server, right, now, "evacuation"), "instance_uuid": server["uuid"],
        "migration_type": "evacuation", "status": "done", "source_compute": server["host"],
        "source_node": server["node"], "dest_compute": right["host"], "dest_node": right["hypervisor_hostname"],
        "dest_host": right.get("host_ip"), "dest_compute_id": right["id"],
        "old_instance_type_id": server["instance_type_id"], "new_instance_type_id": server["instance_type_id"],
        "hidden": 0, "cross_cell_move": 0, "project_id": server["project_id"], "user_id": server["user_id"],
        "created_at": now, "updated_at": now, "deleted_at": None, "deleted": 0,
    }  # fmt: skip
    return _new(live, database, "migrations", values, "uuid")


def _settled(live: Live, database: str, server: Record, now: str) -> Iterator[Step]:
    """Set unfinished migrations to error: no service is left to end them."""
    for move in live.rows(database, "migrations", {"instance_uuid": server["uuid"], "deleted": 0}):
        if move["status"] not in TERMINAL:
            yield change(live, database, "migrations", move, {"status": "error", "updated_at": now})
    for extra in live.rows(database, "instance_extra", {"instance_uuid": server["uuid"], "deleted": 0}):
        if extra["migration_context"]:
            yield change(live, database, "instance_extra", extra, {"migration_context": None})


def _instance_action(live: Live, database: str, server: Record, right: Record, now: str) -> InsertRow:
    """The instance action that Nova's API then lists for the server."""
    values: dict[str, Value] = {
        "action": "relocate", "instance_uuid": server["uuid"],
        "request_id": f"req-{_name(server, right, now, 'action')}", "user_id": server["user_id"],
        "project_id": server["project_id"], "start_time": now, "finish_time": now,
        "message": f"through the databases, from {server['host']} to {right['host']}"[:255], "created_at": now,
        "updated_at": now, "deleted_at": None, "deleted": 0,
    }  # fmt: skip
    return _new(live, database, "instance_actions", values, "request_id")


def _new(live: Live, database: str, table: str, values: dict[str, Value], key: str) -> InsertRow:
    known = live.columns(database, table)
    return InsertRow(
        database=database,
        table=table,
        key={key: values[key]},
        values={name: value for name, value in values.items() if name in known},
    )


def _name(server: Record, right: Record, now: str, what: str) -> str:
    """A UUID that is always the same for the same plan."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"stackmend:{what}:{server['uuid']}:{right['uuid']}:{now}"))


REPAIR = Repair(
    name="relocate-server",
    risk=Risk.UNSAFE,
    strategies={"db": db},
    evidence=evidence,
    no_api="the API can only evacuate the server, and this repair is for servers that cannot be evacuated",
    why="unless the old host is certainly dead, the server runs twice on the same disk",
)
