# SPDX-License-Identifier: Apache-2.0
"""The conditions of a relocation through the databases: where a server can go, and what prevents it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from stackmend.cloud.states import EVACUATED, REMADE
from stackmend.model.protocols import Live, Where
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, ExpectRow, Record, Step, Value

#: Nova's zone name for hosts without a zone (default_availability_zone)
_DEFAULT_ZONE = "nova"
_TPM = ("hw:tpm_version", "hw_tpm_version")


def node_of(live: Live, database: str, host: str, name: object = None) -> Record:
    """The compute node of a host in its cell; CannotRepair unless it has exactly one there, and its service."""
    where: Record = {"host": host, "deleted": 0}
    if name:
        where["hypervisor_hostname"] = str(name)
    nodes = live.rows(database, "compute_nodes", where)
    if len(nodes) != 1:
        raise CannotRepair(without_node(live, database, host, len(nodes)))
    if not services(live, database, host):
        raise CannotRepair(f"host {host} has no nova-compute service in {database}")
    return nodes[0]


def without_node(live: Live, database: str, host: str, found: int) -> str:
    """Why a host does not have exactly one compute node in this cell, and the way out."""
    if found:
        return (
            f"host {host} has {found} compute nodes in {database}, as ironic hosts do, so its name alone does not show"
            " which one is the server's: name the node with --node NODE"
        )
    elsewhere = [
        cell
        for cell in live.cells()
        if cell_database(cell) != database
        and live.rows(cell_database(cell), "compute_nodes", {"host": host, "deleted": 0})
    ]
    if elsewhere:
        return (
            f"host {host} is in cell {elsewhere[0]}, the server's rows are in {database}, and rows cannot leave their"
            f" cell: name a host of that cell ('openstack compute service list')"
        )
    return f"there is no compute host {host} in {database}: see 'openstack compute service list'"


def services(live: Live, database: str, host: str) -> list[Record]:
    """The rows of nova-compute on a host."""
    return live.rows(database, "services", {"host": host, "binary": "nova-compute", "deleted": 0})


def silent(live: Live, database: str, host: str) -> Iterator[Step]:
    """Guards: nova-compute of the host has not reported since the plan, or has no service record."""
    found = services(live, database, host)
    for row in found:
        expect = {name: row[name] for name in ("host", "deleted", "report_count", "last_seen_up")}
        yield ExpectRow(database=database, table="services", pk={"id": row["id"]}, expect=expect)
    if not found:
        where: dict[str, Value] = {"host": host, "binary": "nova-compute", "deleted": 0}
        yield ExpectNone(database=database, table="services", where=where)


def zone(live: Live, server: Record, to: str) -> str | None:
    """The availability zone of the server on that host: its own if both hosts are in the same zone."""
    here, there = _zone(live, str(server["host"])), _zone(live, to)
    own = server["availability_zone"]
    return (None if own is None else str(own)) if here == there else there or _DEFAULT_ZONE


def _zone(live: Live, host: str) -> str | None:
    """The zone set by an aggregate of the host; None if there is none."""
    aggregates = [row["aggregate_id"] for row in live.rows("nova_api", "aggregate_hosts", {"host": host})]
    where: Where = {"aggregate_id": aggregates, "key": "availability_zone"}
    named = live.rows("nova_api", "aggregate_metadata", where) if aggregates else []
    return str(named[0]["value"]) if named else None


def movable(live: Live, database: str, server: Record, to: str, *, shared: bool) -> None:
    """CannotRepair if the server cannot be re-created on that host from its records.

    docs/how-to/relocate-by-database.md has the list of reasons.
    """
    name = server["uuid"]
    if server["vm_state"] not in REMADE:
        states = ", ".join(sorted(REMADE))
        raise CannotRepair(f"server {name} is {server['vm_state']}: only {states} servers can be relocated")
    if server["task_state"] is not None:
        raise CannotRepair(
            f"server {name} is busy ({server['task_state']}) and no service will finish that: reset its state first"
            f" with 'openstack server set --state error {name}'"
        )
    _no_device(live, database, server)
    _plain(live, database, server)
    _no_bomb(live, database, server, to)
    _apart(live, database, server, to)
    if not shared:
        _on_volumes(live, database, server)


def _no_device(live: Live, database: str, server: Record) -> None:
    for device in live.rows(database, "pci_devices", {"instance_uuid": server["uuid"], "deleted": 0}):
        raise CannotRepair(
            f"server {server['uuid']} has PCI device {device['address']}: a device of the new host must be claimed,"
            " which only Nova does"
        )
    if live.columns(database, "share_mapping") and live.rows(
        database, "share_mapping", {"instance_uuid": server["uuid"]}
    ):
        raise CannotRepair(f"server {server['uuid']} has shares, which only Nova can mount on another host")


def _plain(live: Live, database: str, server: Record) -> None:
    """CannotRepair if flavor or image tie the server to its host: pinned CPUs, persistent memory, a TPM."""
    name = server["uuid"]
    for extra in live.rows(database, "instance_extra", {"instance_uuid": name, "deleted": 0}):
        if extra.get("pci_requests") and _json(extra["pci_requests"]) not in ([], None):
            raise CannotRepair(f"server {name} needs PCI devices: they must be claimed, which only Nova does")
        if extra.get("vpmems"):
            raise CannotRepair(f"server {name} has persistent memory on its host")
        if extra.get("numa_topology") and pinned(extra["numa_topology"]):
            raise CannotRepair(
                f"server {name} has dedicated CPUs or memory pages (NUMA): those of the new host must be claimed,"
                " which only Nova does"
            )
        if any(word in str(extra.get("flavor") or "") for word in _TPM):
            raise CannotRepair(f"server {name} has a TPM, whose state is on its host, encrypted with its owner's key")
    for spec in live.rows("nova_api", "request_specs", {"instance_uuid": name}):
        if any(f'"{word}": "' in str(spec["spec"]) for word in _TPM):
            raise CannotRepair(f"server {name} has a TPM, whose state is on its host, encrypted with its owner's key")


def pinned(topology: object) -> bool:
    """Whether a NUMA topology (nova/objects/instance_numa.py) has resources dedicated on its host."""
    found = _json(topology)
    if not isinstance(found, dict):
        return True
    cells = found.get("nova_object.data", found).get("cells") or []
    data = [cell.get("nova_object.data", cell) for cell in cells if isinstance(cell, dict)]
    if len(data) != len(cells):
        return True
    return any(
        cell.get("pcpuset") or cell.get("cpu_pinning_raw") or cell.get("cpu_policy") in ("dedicated", "mixed")
        or cell.get("pagesize") or cell.get("pagesize_kb")
        for cell in data
    )  # fmt: skip


def _no_bomb(live: Live, database: str, server: Record, to: str) -> None:
    """CannotRepair if the server was evacuated from that host: nova-compute there would destroy its guest."""
    where: Where = {
        "instance_uuid": server["uuid"], "source_compute": to, "migration_type": "evacuation",
        "status": list(EVACUATED),
    }  # fmt: skip
    for move in live.rows(database, "migrations", where):
        raise CannotRepair(
            f"server {server['uuid']} was evacuated from {to} (migration {move['id']}, {move['status']}), and"
            " nova-compute there destroys it at its next start: restart that service first"
        )


def _apart(live: Live, database: str, server: Record, to: str) -> None:
    """CannotRepair if the move would break the anti-affinity of its server group."""
    for member in live.rows("nova_api", "instance_group_member", {"instance_uuid": server["uuid"]}):
        group = member["group_id"]
        policies = live.rows("nova_api", "instance_group_policy", {"group_id": group, "policy": "anti-affinity"})
        names = [row["instance_uuid"] for row in live.rows("nova_api", "instance_group_member", {"group_id": group})]
        here = live.rows(database, "instances", {"uuid": names, "host": to, "deleted": 0}) if policies else []
        if here:
            raise CannotRepair(
                f"server {server['uuid']} must not share a host with {here[0]['uuid']} (server group): name another"
            )


def _on_volumes(live: Live, database: str, server: Record) -> None:
    where: Record = {"instance_uuid": server["uuid"], "deleted": 0}
    disks = [row for row in live.rows(database, "block_device_mapping", where) if not row["no_device"]]
    local = [row for row in disks if row["destination_type"] != "volume"]
    if local or not disks:
        raise CannotRepair(
            f"server {server['uuid']} has a local disk ({local[0]['device_name'] if local else 'its root disk'}): use"
            " --shared if both hosts share the instances directory or the images (NFS, RBD); otherwise its data is"
            " lost: salvage it first"
        )


def _json(text: object) -> object:
    """The parsed document, or the text itself if it is not JSON."""
    try:
        return json.loads(str(text))
    except ValueError:
        return str(text)
