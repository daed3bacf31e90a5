# SPDX-License-Identifier: Apache-2.0
"""Bring the network cache of a server up to date with its ports' addresses and bindings in Neutron.

## What it does
Rebuilds the document as `rebuild-info-cache` does, which is also what Nova does at a hard reboot. Flags of ports to
keep are preserved.

## Guards
Those of `rebuild-info-cache`. Also refused:

* if a NIC would get another MAC or type than the cache says: the guest has what was plugged in;
* if an address would be dropped that no port has, but that is still taken in Neutron's IPAM, or a floating address
  whose port is still there without its floating IP. It was deleted by SQL, the guest may still use it, and the cache is
  the last record of whose it was.

## Undo
The old document is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import caches
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Record, Risk, Step, Value
from stackmend.repairs.common import the_server
from stackmend.repairs.network_info import parsed
from stackmend.repairs.nova import rebuild_info_cache


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if the document is already right."""
    database, server = the_server(target, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vifs = parsed(cache["network_info"]) if cache else None
    if vifs is None:
        raise CannotRepair(
            f"the network cache of server {server['uuid']} is gone or cannot be read: see info-cache-empty"
        )
    for vif in vifs:
        port = live.row("neutron", "ports", {"id": str(vif.get("id")), "device_id": server["uuid"]})
        if port is not None:  # else rebuild_info_cache refuses
            _same_nic(live, server, vif, port)
            _nothing_lost(live, vif, port)
    yield from rebuild_info_cache.db(target, live)


def _same_nic(live: Live, server: Record, vif: caches.Vif, port: Record) -> None:
    """CannotRepair if the NIC would get another MAC or type."""
    known: list[tuple[str, str, object]] = [("MAC", "address", port["mac_address"])]
    bindings = live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"})
    known += [("vNIC type", "vnic_type", binding["vnic_type"]) for binding in bindings]
    for what, name, value in known:
        said = vif.get(name)
        if said is not None and str(said).lower() != str(value).lower():
            raise CannotRepair(
                f"the {what} of port {port['id']} is {said} in the cache of server {server['uuid']}, and {value} in"
                f" Neutron. See what its guest has ('virsh dumpxml' on {server['host']}) before the cache is rebuilt"
            )


def _nothing_lost(live: Live, vif: caches.Vif, port: Record) -> None:
    """CannotRepair if an address would be dropped that was deleted by SQL: the guest may still use it."""
    fixed = {row["ip_address"] for row in live.rows("neutron", "ipallocations", {"port_id": port["id"]})}
    for address in sorted({*caches.fixed(vif)} - fixed):
        _released(live, port, address, [port["network_id"]])
    ours = {row["floating_ip_address"] for row in live.rows("neutron", "floatingips", {"fixed_port_id": port["id"]})}
    if gone := sorted({*caches.floating(vif)} - ours):
        external = [row["network_id"] for row in live.rows("neutron", "externalnetworks", {})]
        for address in gone:
            _released(live, port, address, external)


def _released(live: Live, port: Record, address: str, networks: list[Value]) -> None:
    """CannotRepair if Neutron still has the address in these networks as taken, but nobody who has it."""
    fixed = live.rows("neutron", "ipallocations", {"ip_address": address, "network_id": networks}) if networks else []
    for row in fixed:
        holder = live.row("neutron", "ports", {"id": row["port_id"], "device_owner": "network:floatingip"})
        if holder is not None and not live.rows("neutron", "floatingips", {"floating_port_id": holder["id"]}):
            raise CannotRepair(
                f"{address} of port {port['id']} is a floating IP that Neutron does not have, but its port"
                f" {holder['id']} is still there: settle floating-ip-port-orphan first"
            )
    subnets = live.rows("neutron", "subnets", {"network_id": networks}) if networks and not fixed else []
    for subnet in subnets:
        for ipam in live.rows("neutron", "ipamsubnets", {"neutron_subnet_id": subnet["id"]}):
            if live.rows("neutron", "ipamallocations", {"ip_address": address, "ipam_subnet_id": ipam["id"]}):
                raise CannotRepair(
                    f"no port has {address} of port {port['id']}, but Neutron's IPAM has it as taken: it was lost, not"
                    " removed, and the network cache is the last record of it. Settle ipam-drift first"
                )


REPAIR = Repair(
    name="refresh-info-cache",
    risk=Risk.SAFE,
    removes={
        "instance_info_caches.network_info": "rebuilt from Neutron's ports; refused if an address would be dropped that"
        " somebody may have lost",
    },
    checks=("info-cache-content-drift",),
    codes=frozenset({"vif-type", "ip", "fip"}),
    strategies={"db": db},
    no_api="Nova reads a port again only when Neutron announces a change of it, for example after 'openstack port set"
    " --name <its name> <port>'",
)
