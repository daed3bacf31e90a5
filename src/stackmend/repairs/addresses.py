# SPDX-License-Identifier: Apache-2.0
"""Who may use an address that no port has: everything in Nova and Neutron that names it, or may have lost it.

A guest whose port was deleted by SQL still uses its addresses. They must not be given to anybody else before a human
has looked, so whatever may be such a trace is a reason to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from os.path import commonprefix

from stackmend.cloud.evidence import caches
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import Record, Value

#: so many caches that name an address are read
_MOST = 200
#: so many addresses of a subnet that is gone are looked for
_SAMPLE = 50


def unused(live: Live, network: Value, address: str) -> None:
    """CannotRepair if anybody may use this address of the network, although no port has it."""
    _named_by_port(live, network, address)
    for server, port in _cached(live, network, address):
        raise CannotRepair(
            f"the network cache of server {server} lists address {address} for its port {port}: its guest may use it."
            f" If Neutron has lost the port, 'stackmend plan create --allow-db --repair restore-port' restores it with"
            " its address; once the cache does not list it any more, plan again"
        )
    _without_address(live, network, address)
    _unknown_nics(live, network, address)


def floating(live: Live, address: str) -> str:
    """A server that may still be alive and whose cache lists this floating IP address; "" if there is none."""
    return next((server for server, vif in _listing(live, [f'"{address}"']) if address in caches.floating(vif)), "")


def of_lost_subnet(live: Live, addresses: list[str]) -> None:
    """CannotRepair if a guest may use one of these addresses of a subnet that is gone.

    What they begin with is looked for at once; if many caches contain that, some of the addresses, one by one.
    """
    lost = set(addresses)
    for vifs in _searches(live, addresses):
        for server, vif in vifs:
            for address in lost.intersection(caches.fixed(vif)):
                if not live.rows("neutron", "ipallocations", {"port_id": str(vif["id"]), "ip_address": address}):
                    raise CannotRepair(
                        f"the network cache of server {server} lists address {address}: the subnet may have been lost,"
                        " not deleted. Find out what became of it; Neutron's IPAM is the last that knows its addresses"
                    )


def _searches(live: Live, addresses: list[str]) -> Iterator[Iterator[tuple[str, caches.Vif]]]:
    """Scans of the caches for the addresses: one for what they begin with, or one for each of a sample of them."""
    if not addresses:
        return
    start = f'"{commonprefix(addresses)}'  # noqa: RUF071 - character by character is what it is for
    if all(len(keys) < _MOST for _, keys in _keys(live, [start])):
        yield _listing(live, [start])
    else:
        for address in addresses[:: max(1, len(addresses) // _SAMPLE)]:
            yield _listing(live, [f'"{address}"'])


def number(address: str) -> int | None:
    """An address as a number, however it is written; None if it is not one."""
    try:
        return int(ip_address(address))
    except ValueError:
        return None


def _named_by_port(live: Live, network: Value, address: str) -> None:
    """CannotRepair if a port or a floating IP of the network names the address in whatever way."""
    for row in live.rows("neutron", "ipallocations", {"network_id": network}):
        if row["port_id"] is not None and (
            row["ip_address"] == address or number(str(row["ip_address"])) == number(address)
        ):
            raise CannotRepair(
                f"port {row['port_id']} has address {row['ip_address']}, in subnet {row['subnet_id']}: it is {address},"
                " perhaps written in another way. Let one of the two be written as Neutron does"
            )
    for row in live.rows("neutron", "floatingips", {"floating_ip_address": address, "floating_network_id": network}):
        raise CannotRepair(
            f"{address} is the address of floating IP {row['id']}, whose port {row['floating_port_id']} lacks it"
        )
    pairs = live.rows("neutron", "allowedaddresspairs", {"ip_address": [address, f"{address}/32", f"{address}/128"]})
    ports = [row["port_id"] for row in pairs]
    for port in live.rows("neutron", "ports", {"id": ports, "network_id": network}) if ports else ():
        raise CannotRepair(
            f"port {port['id']} of {port['device_id'] or 'no device'} has {address} as an allowed address pair: its"
            " guest may use it as a virtual address, whose own port is lost"
        )


def _cached(live: Live, network: Value, address: str) -> Iterator[tuple[str, Value]]:
    """(server, port) of every cache of a server that may be alive and that lists this address of the network."""
    external = bool(live.rows("neutron", "externalnetworks", {"network_id": network}))
    texts = [f'"{address}"'] if external else [f'"{network}"']
    if not external and any(len(keys) == _MOST for _, keys in _keys(live, texts)):
        texts = [f'"{address}"', *texts]
    # else the same rows serve for all addresses of a network
    for server, vif in _listing(live, texts, address):
        if caches.network(vif).get("id") == network and address in caches.fixed(vif):
            yield server, str(vif["id"])
        if external and address in caches.floating(vif):
            yield server, str(vif["id"])


def _keys(live: Live, texts: list[str]) -> Iterator[tuple[str, list[tuple[Value, ...]]]]:
    """(cell, keys of the caches that contain the texts), at most ``_MOST`` of each cell."""
    for cell in live.cells():
        yield cell, live.holding(cell_database(cell), "instance_info_caches", "network_info", texts, _MOST)


def _listing(live: Live, texts: list[str], address: str = "") -> Iterator[tuple[str, caches.Vif]]:
    """(server, VIF) of every cache that contains the texts, and the address, of servers that may be alive."""
    for cell, keys in _keys(live, texts):
        if len(keys) == _MOST:
            raise CannotRepair(f"{_MOST} or more network caches of cell {cell} contain {' and '.join(texts)}")
        database = cell_database(cell)
        rows = live.rows(database, "instance_info_caches", {"id": [key[0] for key in keys]}) if keys else []
        for row in rows:
            if address and f'"{address}"'.lower() not in str(row["network_info"]).lower():
                continue
            if not _may_live(live, database, str(row["instance_uuid"])):
                continue
            try:
                found = caches.vifs(row["network_info"])
            except ValueError:
                raise CannotRepair(
                    f"the network cache of server {row['instance_uuid']} contains {' and '.join(texts)} and cannot be"
                    " read: repair it first (rebuild-info-cache)"
                ) from None
            for vif in found:
                yield str(row["instance_uuid"]), vif


def _may_live(live: Live, database: str, server: str) -> bool:
    """Whether the server is alive, its row is lost, or its row is marked deleted but nova_api does not know of that."""
    rows = live.rows(database, "instances", {"uuid": server})
    if not rows or any(row["deleted"] == 0 for row in rows):
        return True
    mapped = live.rows("nova_api", "instance_mappings", {"instance_uuid": server})
    return any(not row["queued_for_delete"] for row in mapped)


def _without_address(live: Live, network: Value, address: str) -> None:
    """CannotRepair if a device's port in the network has lost its address: this may be the one."""
    every = live.rows("neutron", "ports", {"network_id": network, "ip_allocation": "immediate"})
    has = {row["port_id"] for row in live.rows("neutron", "ipallocations", {"network_id": network})}
    bare = [row["id"] for row in every if row["id"] not in has and row["device_id"]]
    has = {row["port_id"] for row in live.rows("neutron", "ipallocations", {"port_id": bare})} if bare else set()
    for port in every:
        if port["id"] in bare and port["id"] not in has:
            raise CannotRepair(
                f"port {port['id']} ({port['device_owner']} {port['device_id']}) is in the network and has no address:"
                f" {address} may be the one it has lost. Find out what its guest uses"
            )


def _unknown_nics(live: Live, network: Value, address: str) -> None:
    """CannotRepair if a server of the network's project has a NIC of which only Nova's row is left, not its address."""
    owner = live.row("neutron", "networks", {"id": network})
    if owner is None or not owner["project_id"]:
        return
    for cell in live.cells():
        database = cell_database(cell)
        mates = [
            row["uuid"] for row in live.rows(database, "instances", {"project_id": owner["project_id"], "deleted": 0})
        ]
        nics = live.rows(database, "virtual_interfaces", {"instance_uuid": mates, "deleted": 0}) if mates else []
        nics = [nic for nic in nics if nic["uuid"]]
        known = (
            {row["id"] for row in live.rows("neutron", "ports", {"id": [nic["uuid"] for nic in nics]})}
            if nics
            else set()
        )
        for nic in nics:
            if nic["uuid"] in known or _addresses_known(live, database, nic):
                continue
            raise CannotRepair(
                f"server {nic['instance_uuid']} of the network's project has a NIC whose port {nic['uuid']} Neutron has"
                f" lost, and no record has its address: it may be {address}. Find out what its guest uses"
            )


def _addresses_known(live: Live, database: str, nic: Record) -> bool:
    """Whether the server's cache lists the NIC with its addresses."""
    for row in live.rows(database, "instance_info_caches", {"instance_uuid": nic["instance_uuid"], "deleted": 0}):
        try:
            return any(vif["id"] == nic["uuid"] and caches.fixed(vif) for vif in caches.vifs(row["network_info"]))
        except ValueError:
            return False
    return False
