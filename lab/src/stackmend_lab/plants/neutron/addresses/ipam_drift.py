# SPDX-License-Identifier: Apache-2.0
"""Addresses on which Neutron's two records disagree (catalogue I5)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import (
    OLD,
    changed,
    drifted,
    drop_port,
    free_address,
    ipam_of,
    new_network,
    new_port,
    vifs,
    write,
)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A port was deleted by SQL: its address was not released."""
    return _leak(cloud, cloud.pick("active"))


def missing(cloud: CloudRows) -> dict[str, Any]:
    """The address of a server's port is also offered to others."""
    fixed = _fixed(cloud, cloud.pick("active").ports[0])
    ipam = ipam_of(cloud, fixed["subnet_id"])
    cloud.delete("neutron", "ipamallocations", {"ip_address": fixed["ip_address"], "ipam_subnet_id": ipam})
    return {"ipam_subnet": ipam, "address": fixed["ip_address"]}


def subnet_gone(cloud: CloudRows) -> dict[str, Any]:
    """A subnet was deleted by SQL: its addresses and pools are still there."""
    ipam = str(uuid.uuid4())
    cloud.insert("neutron", "ipamsubnets", id=ipam, neutron_subnet_id=str(uuid.uuid4()))
    pool = {"id": str(uuid.uuid4()), "first_ip": "10.88.0.2", "last_ip": "10.88.255.254"}
    cloud.insert("neutron", "ipamallocationpools", ipam_subnet_id=ipam, **pool)
    for address in ("10.88.0.1", "10.88.0.2"):
        cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")
    return {"ipam_subnet": ipam, "address": ""}


def lost_lately(cloud: CloudRows) -> dict[str, Any]:
    """The port of a guest was deleted by SQL while Nova wrote its cache: that check still waits, this one does not."""
    return _lost_lately(cloud, cloud.pick("active"))


def restorable(cloud: CloudRows) -> dict[str, Any]:
    """The same of a server that was deleted and can be restored."""
    return _lost_lately(cloud, cloud.pick("soft_deleted"))


def virtual_address(cloud: CloudRows) -> dict[str, Any]:
    """The port of a virtual address was deleted by SQL: guests still may use it, by their allowed address pairs."""
    server = cloud.pick("premade_port")
    leak = _leak(cloud, server)
    pair = {"port_id": server.ports[0], "mac_address": "fa:16:3e:00:00:01", "ip_address": leak["address"]}
    cloud.insert("neutron", "allowedaddresspairs", **pair)
    return leak


def address_row_lost(cloud: CloudRows) -> dict[str, Any]:
    """Only the row of an address was deleted by SQL: the guest's port is there, and has no address."""
    reached = "SELECT id FROM floatingips WHERE fixed_port_id = :p"
    while cloud.rows("neutron", reached, {"p": (port := cloud.pick("active").ports[0])}):
        continue  # the floating IP of a lost address is a finding of its own
    fixed = _fixed(cloud, port)
    cloud.delete("neutron", "ipallocations", fixed)
    return {"ipam_subnet": ipam_of(cloud, fixed["subnet_id"]), "address": fixed["ip_address"]}


def load_balancer_bare(cloud: CloudRows) -> dict[str, Any]:
    """The same of a port that is not Nova's, so that no cache has its address."""
    network, _ = new_network(cloud)
    values = {"device_owner": "Octavia", "network_id": network}
    port = new_port(cloud, cloud.pick("active"), f"lb-{uuid.uuid4()}", cloud.ago(OLD), **values)
    fixed = _fixed(cloud, port)
    cloud.delete("neutron", "ipallocations", fixed)
    return {"ipam_subnet": ipam_of(cloud, fixed["subnet_id"]), "address": fixed["ip_address"]}


def of_a_deleted_server(cloud: CloudRows) -> dict[str, Any]:
    """The last cache of a server that Nova deleted lists the address: it is nobody's."""
    server, other = cloud.pick("deleted"), cloud.pick("active")
    leak = _leak(cloud, other)
    text = json.dumps(vifs(cloud, other)).replace(_first(vifs(cloud, other)), leak["address"])
    write(cloud, server, text)
    return leak


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "missing": missing,
    "subnet_gone": subnet_gone,
    "lost_lately": lost_lately,
    "restorable": restorable,
    "virtual_address": virtual_address,
    "address_row_lost": address_row_lost,
    "load_balancer_bare": load_balancer_bare,
    "of_a_deleted_server": of_a_deleted_server,
}
NOT_REPAIRED = {
    "lost_lately": "the network cache of server",
    "restorable": "the network cache of server",
    "virtual_address": "as an allowed address pair",
    "address_row_lost": "the network cache of server",
    "load_balancer_bare": "has no address",
}


def _listed(cloud: CloudRows, key: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    sql = "SELECT network_id FROM subnets s JOIN ipamsubnets i ON i.neutron_subnet_id = s.id WHERE i.id = :i"
    return drifted(cloud, key["address"], cloud.rows("neutron", sql, {"i": key["ipam_subnet"]})[0]["network_id"])


BESIDE = {"address_row_lost": _listed}


def _leak(cloud: CloudRows, server: Server) -> dict[str, Any]:
    """An address of the server's network that IPAM alone has."""
    fixed = _fixed(cloud, new_port(cloud, server, "", cloud.ago(OLD), device_owner=""))
    drop_port(cloud, fixed["port_id"], by_sql=True)
    return {"ipam_subnet": ipam_of(cloud, fixed["subnet_id"]), "address": fixed["ip_address"]}


def _lost_lately(cloud: CloudRows, server: Server) -> dict[str, Any]:
    while len(fixed := _all_fixed(cloud, server.ports[0])) > 1:
        server = cloud.pick(server.kind)
    drop_port(cloud, server.ports[0], by_sql=True)
    changed(cloud, server)
    return {"ipam_subnet": ipam_of(cloud, fixed[0]["subnet_id"]), "address": fixed[0]["ip_address"]}


def _first(found: list[dict[str, Any]]) -> str:
    """The first address of the first VIF of a cache."""
    return str(found[0]["network"]["subnets"][0]["ips"][0]["address"])


def _all_fixed(cloud: CloudRows, port: str) -> list[dict[str, Any]]:
    sql = "SELECT port_id, ip_address, subnet_id FROM ipallocations WHERE port_id = :p ORDER BY ip_address"
    return cloud.rows("neutron", sql, {"p": port})


def _fixed(cloud: CloudRows, port: str) -> dict[str, Any]:
    return _all_fixed(cloud, port)[0]


def empty_subnet(cloud: CloudRows) -> None:
    """A subnet in which nobody has an address yet."""
    network = cloud.rows("neutron", "SELECT network_id FROM ports WHERE id = :p", {"p": cloud.pick("active").ports[0]})
    number = cloud.insert(
        "neutron", "standardattributes", resource_type="subnets", revision_number=0, created_at=cloud.ago(OLD),
        updated_at=cloud.ago(OLD), description="",
    )  # fmt: skip
    subnet = str(uuid.uuid4())
    cloud.insert(
        "neutron", "subnets", id=subnet, network_id=network[0]["network_id"], name="", ip_version=4,
        cidr="10.251.0.0/24", gateway_ip="10.251.0.1", enable_dhcp=0, standard_attr_id=number,
    )  # fmt: skip
    cloud.insert("neutron", "ipamsubnets", id=str(uuid.uuid4()), neutron_subnet_id=subnet)


def several_addresses(cloud: CloudRows) -> None:
    """A port with two addresses from one subnet, both of them marked as taken."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="")
    fixed = cloud.rows("neutron", "SELECT subnet_id, network_id FROM ipallocations WHERE port_id = :p", {"p": port})[0]
    address = free_address(cloud, fixed["subnet_id"])
    cloud.insert("neutron", "ipallocations", port_id=port, ip_address=address, **fixed)
    ipam = ipam_of(cloud, fixed["subnet_id"])
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")


def paired(cloud: CloudRows) -> None:
    """A virtual address of two guests (VRRP, Octavia): a port without a device has it, and both allow it."""
    server = cloud.pick("premade_port")
    port = new_port(cloud, server, "", cloud.ago(OLD), device_owner="")
    for one in (port, server.ports[0]):
        pair = {"mac_address": "fa:16:3e:00:00:02", "ip_address": _fixed(cloud, port)["ip_address"]}
        cloud.insert("neutron", "allowedaddresspairs", port_id=one, **pair)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "empty_subnet": empty_subnet,
    "several_addresses": several_addresses,
    "paired": paired,
}
