# SPDX-License-Identifier: Apache-2.0
"""Reconstructs the rows of a port that Neutron has lost from Nova's records (services 1.3, 2.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Record, Value
from stackmend.model.values import members, objects
from stackmend.repairs.network_info import parsed

#: if this many servers of a host, and this share, lost all their ports, the cause is not a single server
_SEVERAL, _SHARE = 3, 0.05
#: number of standardattributes ids to search for a free one
_WINDOW = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRecord:
    """The rows of one port, by table."""

    row: Record  #: of ``ports``
    attribute: Record
    addresses: tuple[Record, ...]
    ipam: tuple[Record, ...]  #: those of the addresses that are missing in Neutron's IPAM
    binding: Record
    levels: tuple[Record, ...]
    secured: int
    groups: tuple[Value, ...]


def not_wholesale(live: Live, database: str, server: Record) -> None:
    """CannotRepair if this server and others of its host have lost all their ports."""
    where = (
        {"host": server["host"], "deleted": 0} if server["host"] else {"project_id": server["project_id"], "deleted": 0}
    )
    mates = [str(row["uuid"]) for row in live.rows(database, "instances", where)]
    cached = {}
    for cache in live.rows(database, "instance_info_caches", {"instance_uuid": mates, "deleted": 0}) if mates else ():
        if ids := [str(vif["id"]) for vif in parsed(cache["network_info"]) or [] if vif.get("id")]:
            cached[str(cache["instance_uuid"])] = ids
    every = sorted({port for ids in cached.values() for port in ids})
    known = {str(row["id"]) for row in live.rows("neutron", "ports", {"id": every})} if every else set()
    bare = sorted(uuid for uuid, ids in cached.items() if known.isdisjoint(ids))
    if server["uuid"] in bare and len(bare) >= max(_SEVERAL, _SHARE * len(cached)):
        place = f"on host {server['host']}" if server["host"] else f"of project {server['project_id']}"
        raise CannotRepair(
            f"{len(bare)} servers {place} have lost all their ports: Neutron's database looks older than Nova's. Find"
            " out whether it was restored from a dump, and restore a newer one, before re-creating or dropping any port"
        )


def remembered(live: Live, server: Record, vif: Mapping[str, object]) -> PortRecord:
    """The rows of the port of a VIF. CannotRepair if its resources are deleted or taken by now."""
    name, network = str(vif["id"]), _network(live, vif)
    others = live.rows("neutron", "ports", {"device_id": server["uuid"]})
    now = live.now()
    mac = str(vif.get("address"))
    for other in live.rows("neutron", "ports", {"network_id": network["id"], "mac_address": mac}):
        raise CannotRepair(f"port {other['id']} ({_owner(other)}) now has the MAC {mac} of port {name}")
    addresses, ipam = _addresses(live, name, str(network["id"]), vif)
    attribute: Record = {
        "id": _free_id(live, int(str(network["standard_attr_id"])), name),
        "resource_type": "ports",
        "revision_number": 1,
        "created_at": now,
        "updated_at": now,
        "description": "",
    }
    row: Record = {
        "id": name,
        "project_id": server["project_id"],
        "name": "",
        "network_id": network["id"],
        "mac_address": mac,
        "admin_state_up": 1,
        # the agent reports when it works
        "status": "DOWN",
        "device_id": server["uuid"],
        "device_owner": others[0]["device_owner"] if others else f"compute:{server['availability_zone'] or ''}",
        "standard_attr_id": attribute["id"],
        "ip_allocation": "immediate" if addresses else "none",
    }
    binding, levels = _bound(live, server, row, vif)
    secured = live.row("neutron", "networksecuritybindings", {"network_id": network["id"]})
    on = 1 if secured is None else int(str(secured["port_security_enabled"]))
    return PortRecord(
        row=row,
        attribute=attribute,
        addresses=addresses,
        ipam=ipam,
        binding=binding,
        levels=levels,
        secured=on,
        groups=_groups(live, server, [str(port["id"]) for port in others]) if on else (),
    )


def _network(live: Live, vif: Mapping[str, object]) -> Record:
    name = members(vif.get("network")).get("id")
    found = live.row("neutron", "networks", {"id": str(name)}) if name else None
    if found is None:
        raise CannotRepair(f"network {name} of port {vif['id']} is missing in Neutron too: its database looks older")
    return found


def _addresses(
    live: Live, port: str, network: str, vif: Mapping[str, object]
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """(rows of ``ipallocations``, rows of ``ipamallocations`` that are missing)."""
    subnets = {str(row["cidr"]): str(row["id"]) for row in live.rows("neutron", "subnets", {"network_id": network})}
    fixed: list[Record] = []
    ipam: list[Record] = []
    for subnet in objects(members(vif["network"]).get("subnets")):
        name = subnets.get(str(subnet.get("cidr")))
        if name is None:
            raise CannotRepair(f"network {network} no longer has subnet {subnet.get('cidr')}, which port {port} was in")
        for ip in objects(subnet.get("ips")):
            key: Record = {"ip_address": str(ip.get("address")), "subnet_id": name, "network_id": network}
            for row in live.rows("neutron", "ipallocations", key):
                raise CannotRepair(f"address {ip.get('address')} of port {port} now belongs to {_holder(live, row)}")
            fixed.append({**key, "port_id": port})
            for managed in live.rows("neutron", "ipamsubnets", {"neutron_subnet_id": name}):
                pair: Record = {"ip_address": str(ip.get("address")), "ipam_subnet_id": managed["id"]}
                if not live.rows("neutron", "ipamallocations", pair):
                    ipam.append({**pair, "status": "ALLOCATED"})
    return tuple(fixed), tuple(ipam)


def _holder(live: Live, row: Record) -> str:
    port = live.row("neutron", "ports", {"id": row["port_id"]})
    return f"port {row['port_id']} ({_owner(port)})" if port else f"port {row['port_id']}"


def _owner(port: Mapping[str, Value]) -> str:
    return f"{port['device_owner']} {port['device_id']}" if port["device_id"] else "no device"


def _bound(live: Live, server: Record, port: Record, vif: Mapping[str, object]) -> tuple[Record, tuple[Record, ...]]:
    """The binding to the server's host, from the VIF, and its levels."""
    details = dict(members(vif.get("details")))
    drivers = members(details.pop("bound_drivers", None))
    profile = {name: value for name, value in members(vif.get("profile")).items() if name != "trusted"}
    host, kind = server["host"] or "", str(vif.get("type") or "")
    binding: Record = {
        "port_id": port["id"],
        "host": host,
        "vif_type": kind if host else "unbound",
        "vnic_type": str(vif.get("vnic_type") or "normal"),
        "profile": json.dumps(profile) if profile else "",
        "vif_details": json.dumps(details) if host and details else "",
        "status": "ACTIVE",
    }
    if not host or not kind:
        return {**binding, "vif_type": "unbound", "vif_details": ""}, ()
    where = {"network_id": port["network_id"], "is_dynamic": 0}
    segments = live.rows("neutron", "networksegments", where)
    segment = segments[0]["id"] if len(segments) == 1 else None
    levels = tuple(
        {"port_id": port["id"], "host": host, "level": int(level), "driver": str(driver), "segment_id": segment}
        for level, driver in sorted(drivers.items())
    )
    return binding, levels


def _groups(live: Live, server: Record, others: list[str]) -> tuple[Value, ...]:
    """The security groups of the server's other ports, or else the default one of its project."""
    rows = live.rows("neutron", "securitygroupportbindings", {"port_id": others}) if others else []
    if not rows:
        rows = live.rows("neutron", "default_security_group", {"project_id": server["project_id"]})
    return tuple(sorted({str(row["security_group_id"]) for row in rows}))


def _free_id(live: Live, near: int, port: str) -> int:
    """An id of ``standardattributes`` that no row has: preferably below ``near``, as Neutron never assigns those again.

    Otherwise an id well above, where Neutron's counter arrives late and skips used ids. The choice among the free ids
    depends on the port, so that several repairs in one plan do not choose the same one.
    """
    windows = [range(max(1, near - _WINDOW), near)]
    windows += [range(near + _WINDOW * 2**n, near + _WINDOW * (2**n + 1)) for n in range(24)]
    for window in windows:
        wanted = list(window)
        taken = live.rows("neutron", "standardattributes", {"id": wanted}) if wanted else []
        free = sorted(set(wanted) - {int(str(row["id"])) for row in taken})
        if free:
            return free[crc32(port.encode()) % len(free)]
    raise CannotRepair(f"no id near {near} is free in neutron.standardattributes for port {port}")
