# SPDX-License-Identifier: Apache-2.0
"""Helpers for plants: healthy ports, caches and NIC rows, and functions to break them."""

from __future__ import annotations

import ipaddress
import json
import uuid
from typing import Any

from stackmend.tables import neutron as tables
from stackmend_lab import schemas
from stackmend_lab.cloud import CloudRows, Server

#: seconds; longer than the age that any network check waits for
OLD = 3 * 3600
DETAILS = {"port_filter": True, "connectivity": "l2", "bridge_name": "br-int", "datapath_type": "system"}
#: tables whose rows belong to one port
CHILDREN = (
    "ipallocations",
    "ml2_port_binding_levels",
    "ml2_port_bindings",
    "portsecuritybindings",
    "securitygroupportbindings",
)


def cache(cloud: CloudRows, server: Server) -> dict[str, Any]:
    """The server's cache row."""
    sql = "SELECT id, network_info, deleted FROM instance_info_caches WHERE instance_uuid = :u"
    return cloud.rows(server.database, sql, {"u": server.uuid})[0]


def vifs(cloud: CloudRows, server: Server) -> list[dict[str, Any]]:
    """The VIFs of the server's cache."""
    found: list[dict[str, Any]] = json.loads(cache(cloud, server)["network_info"])
    return found


def listing(cloud: CloudRows, text: str) -> list[tuple[str, dict[str, Any]]]:
    """(server, VIF) of every cache with such a text between quotes, in the VIF."""
    sql = "SELECT instance_uuid, network_info FROM instance_info_caches WHERE deleted = 0 AND network_info LIKE :t"
    rows = [
        row
        for name in cloud.databases
        if name.startswith("cell:")
        for row in cloud.rows(name, sql, {"t": f'%"{text}"%'})
    ]
    return [
        (row["instance_uuid"], vif)
        for row in rows
        for vif in json.loads(row["network_info"])
        if f'"{text}"' in json.dumps(vif)
    ]


def drifted(cloud: CloudRows, address: str, network: str) -> list[tuple[str, dict[str, Any]]]:
    """The findings about caches that list an address of this network of which Neutron knows nothing any more.

    Either a fixed address in the network, or a floating one of it; other networks can have the same addresses.
    """
    return [
        ("info-cache-content-drift", {"server": server, "port": vif["id"]})
        for server, vif in listing(cloud, address)
        if vif["network"]["id"] == network
        or address in (f["address"] for s in vif["network"]["subnets"] for i in s["ips"] for f in i["floating_ips"])
    ]


def write(cloud: CloudRows, server: Server, document: str | None) -> None:
    """Write this text into the server's cache, long ago."""
    values = {"network_info": document, "updated_at": cloud.ago(OLD)}
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, **values)


def keep(cloud: CloudRows, server: Server, port: str, flag: bool) -> None:
    """Set ``preserve_on_delete`` of one VIF."""
    found = vifs(cloud, server)
    for vif in found:
        if vif["id"] == port:
            vif["preserve_on_delete"] = flag
    write(cloud, server, json.dumps(found))


def port_of(cloud: CloudRows, port: str) -> dict[str, Any]:
    """A port's row."""
    sql = (
        "SELECT id, project_id, network_id, mac_address, device_id, device_owner, status, standard_attr_id"
        " FROM ports WHERE id = :p"
    )
    return cloud.rows("neutron", sql, {"p": port})[0]


def attribute(cloud: CloudRows, port: str, **values: Any) -> None:
    """Set columns of the port's standardattributes row."""
    cloud.update("neutron", "standardattributes", {"id": port_of(cloud, port)["standard_attr_id"]}, **values)


def standard(cloud: CloudRows, kind: str, created: str) -> int:
    """Insert a row of standardattributes; returns its id."""
    values = {"resource_type": kind, "revision_number": 2, "created_at": created, "updated_at": created}
    return int(cloud.insert("neutron", "standardattributes", **values, description=""))


def new_subport(cloud: CloudRows, server: Server, host: str) -> str:
    """A subport of a new trunk on the server's port, bound to a host."""
    trunk, created = str(uuid.uuid4()), cloud.ago(OLD)
    cloud.insert(
        "neutron", "trunks", id=trunk, project_id=server.project_id, name="uplink", admin_state_up=1,
        port_id=server.ports[0], status="ACTIVE", standard_attr_id=standard(cloud, "trunks", created),
    )  # fmt: skip
    values = {"device_owner": "trunk:subport", "status": "ACTIVE"}
    port = new_port(cloud, server, trunk, created, host, **values)
    cloud.insert("neutron", "subports", port_id=port, trunk_id=trunk, segmentation_type="vlan", segmentation_id=200)
    return port


def new_port(cloud: CloudRows, beside: Server, device: str, created: str, host: str = "", **values: Any) -> str:
    """Insert a complete port in a server's network: addresses, binding, security; returns its id.

    It is bound to ``host`` and, unless ``values`` say otherwise, in that server's project and owned by Nova.
    """
    model = port_of(cloud, beside.ports[0])
    port, network = str(uuid.uuid4()), values.get("network_id", model["network_id"])
    mac = "fa:20:" + ":".join(port[n : n + 2] for n in (0, 2, 4, 6))
    defaults = {
        "id": port,
        "project_id": model["project_id"],
        "name": "",
        "network_id": model["network_id"],
        "mac_address": mac,
        "admin_state_up": 1,
        "status": "DOWN",
        "device_id": device,
        "device_owner": "compute:nova",
        "standard_attr_id": standard(cloud, "ports", created),
        "ip_allocation": "immediate",
    }
    cloud.insert("neutron", "ports", **{**defaults, **values})
    _bind(cloud, port, host, network)
    place_port(cloud, port, network)
    secure_port(cloud, port, beside.ports[0])
    return port


def sharing_target(cloud: CloudRows) -> str:
    """The column with the project that an entry shares something with."""
    return tables.sharing_target(schemas.columns("neutron", "networkrbacs", cloud.release))


def new_network(cloud: CloudRows) -> tuple[str, str]:
    """(network, subnet) of its own, with DHCP, in which nothing else is."""
    network, subnet = str(uuid.uuid4()), str(uuid.uuid4())
    cloud.insert(
        "neutron", "networks", id=network, project_id=uuid.uuid4().hex, name="apart", status="ACTIVE", admin_state_up=1,
        mtu=1450, standard_attr_id=standard(cloud, "networks", cloud.ago(OLD)),
    )  # fmt: skip
    cloud.insert(
        "neutron", "networksegments", id=str(uuid.uuid4()), network_id=network, network_type="local", is_dynamic=0,
        segment_index=0, standard_attr_id=standard(cloud, "networksegments", cloud.ago(OLD)),
    )  # fmt: skip
    cloud.insert(
        "neutron", "subnets", id=subnet, network_id=network, name="", ip_version=4, cidr="10.250.0.0/16",
        gateway_ip="10.250.0.1", enable_dhcp=1, standard_attr_id=standard(cloud, "subnets", cloud.ago(OLD)),
    )  # fmt: skip
    cloud.insert("neutron", "ipamsubnets", id=str(uuid.uuid4()), neutron_subnet_id=subnet)
    return network, subnet


def secure_port(cloud: CloudRows, port: str, like: str) -> None:
    """Let a port have port security, and the security groups of another one."""
    cloud.insert("neutron", "portsecuritybindings", port_id=port, port_security_enabled=1)
    groups = "SELECT security_group_id FROM securitygroupportbindings WHERE port_id = :p"
    for row in cloud.rows("neutron", groups, {"p": like}):
        cloud.insert("neutron", "securitygroupportbindings", port_id=port, security_group_id=row["security_group_id"])


def _bind(cloud: CloudRows, port: str, host: str, network: str) -> None:
    binding = {"port_id": port, "host": host, "vnic_type": "normal", "profile": "", "status": "ACTIVE"}
    if not host:
        cloud.insert("neutron", "ml2_port_bindings", **binding, vif_type="unbound", vif_details="")
        return
    cloud.insert("neutron", "ml2_port_bindings", **binding, vif_type="ovs", vif_details=json.dumps(DETAILS))
    segments = cloud.rows("neutron", "SELECT id FROM networksegments WHERE network_id = :n", {"n": network})
    level = {"port_id": port, "host": host, "level": 0, "driver": "openvswitch", "segment_id": segments[0]["id"]}
    cloud.insert("neutron", "ml2_port_binding_levels", **level)


def place_port(cloud: CloudRows, port: str, network: str) -> None:
    """Give a port an address of the network's IPv4 subnet that nobody has."""
    sql = "SELECT id FROM subnets WHERE network_id = :n AND ip_version = 4 ORDER BY cidr"
    subnet = str(cloud.rows("neutron", sql, {"n": network})[0]["id"])
    address = free_address(cloud, subnet)
    values = {"ip_address": address, "subnet_id": subnet, "network_id": network}
    cloud.insert("neutron", "ipallocations", port_id=port, **values)
    ipam = ipam_of(cloud, subnet)
    cloud.insert("neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam, status="ALLOCATED")


def free_address(cloud: CloudRows, subnet: str) -> str:
    """An address of an IPv4 subnet that no port has and that IPAM does not have as taken."""
    block = ipaddress.ip_network(
        cloud.rows("neutron", "SELECT cidr FROM subnets WHERE id = :s", {"s": subnet})[0]["cidr"]
    )
    fixed = "SELECT ip_address FROM ipallocations WHERE subnet_id = :s"
    taken = "SELECT ip_address FROM ipamallocations WHERE ipam_subnet_id = :i"
    used = {row["ip_address"] for row in cloud.rows("neutron", fixed, {"s": subnet})}
    used |= {row["ip_address"] for row in cloud.rows("neutron", taken, {"i": ipam_of(cloud, subnet)})}
    return next(str(block[-n]) for n in range(3, 60_000) if str(block[-n]) not in used)


def give_address(cloud: CloudRows, port: str, address: str) -> None:
    """Let a port with one address have that one of its subnet instead, which nobody has."""
    sql = "SELECT ip_address, subnet_id FROM ipallocations WHERE port_id = :p"
    old = cloud.rows("neutron", sql, {"p": port})[0]
    where = {"ip_address": old["ip_address"], "ipam_subnet_id": ipam_of(cloud, old["subnet_id"])}
    cloud.update("neutron", "ipallocations", {"port_id": port}, ip_address=address)
    cloud.update("neutron", "ipamallocations", where, ip_address=address)


def ipam_of(cloud: CloudRows, subnet: str) -> str:
    """IPAM's own id of a subnet."""
    sql = "SELECT id FROM ipamsubnets WHERE neutron_subnet_id = :s"
    return str(cloud.rows("neutron", sql, {"s": subnet})[0]["id"])


def drop_port(cloud: CloudRows, port: str, *, by_sql: bool = False) -> None:
    """Delete a port as Neutron does: floating IPs are disassociated, its addresses are released.

    ``by_sql``: as people do in the database. Neutron's IPAM keeps the addresses.
    """
    number = port_of(cloud, port)["standard_attr_id"]
    loose = {"fixed_port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
    cloud.update("neutron", "floatingips", {"fixed_port_id": port}, **loose)
    fixed = "SELECT ip_address, subnet_id FROM ipallocations WHERE port_id = :p"
    for row in () if by_sql else cloud.rows("neutron", fixed, {"p": port}):
        ipam = "SELECT id FROM ipamsubnets WHERE neutron_subnet_id = :s"
        for subnet in cloud.rows("neutron", ipam, {"s": row["subnet_id"]}):
            where = {"ipam_subnet_id": subnet["id"], "ip_address": row["ip_address"]}
            cloud.delete("neutron", "ipamallocations", where)
    for table in CHILDREN:
        cloud.delete("neutron", table, {"port_id": port})
    cloud.delete("neutron", "ports", {"id": port})
    cloud.delete("neutron", "standardattributes", {"id": number})


def free_port(cloud: CloudRows, port: str) -> None:
    """Free a port as Neutron does when it is unbound and its device is removed."""
    cloud.delete("neutron", "ml2_port_binding_levels", {"port_id": port})
    unbound = {"host": "", "vif_type": "unbound", "vif_details": ""}
    cloud.update("neutron", "ml2_port_bindings", {"port_id": port}, **unbound)
    cloud.update("neutron", "ports", {"id": port}, device_id="", device_owner="", status="DOWN")


def move_binding(cloud: CloudRows, port: str, host: str) -> None:
    """Bind the port to another host, with its binding levels."""
    for table in ("ml2_port_bindings", "ml2_port_binding_levels"):
        cloud.update("neutron", table, {"port_id": port}, host=host)


def other_host(cloud: CloudRows, server: Server) -> str:
    """Another compute host of the server's cell."""
    sql = "SELECT host FROM compute_nodes WHERE host <> :h AND hypervisor_type <> 'ironic' ORDER BY host"
    return str(cloud.rows(server.database, sql, {"h": server.host or ""})[0]["host"])


def nic_rows(cloud: CloudRows, server: Server) -> list[dict[str, Any]]:
    """The server's live ``virtual_interfaces`` rows, in the order of its NICs."""
    sql = "SELECT id, uuid, address, tag FROM virtual_interfaces WHERE instance_uuid = :u AND deleted = 0 ORDER BY id"
    return cloud.rows(server.database, sql, {"u": server.uuid})


def new_nic_row(cloud: CloudRows, server: Server, port: str, **values: Any) -> int:
    """Insert a row of ``virtual_interfaces`` for a port that need not exist; returns its id."""
    mac = "fa:21:" + ":".join(port[n : n + 2] for n in (0, 2, 4, 6))
    defaults = {
        "uuid": port,
        "address": f"{mac}/{port}",
        "instance_uuid": server.uuid,
        "created_at": cloud.ago(2 * OLD),
        "deleted": 0,
    }
    return int(cloud.insert(server.database, "virtual_interfaces", **{**defaults, **values}))


def changed(cloud: CloudRows, server: Server, seconds: int = 60) -> None:
    """Make the server look changed by Nova so many seconds ago."""
    cloud.update(server.database, "instances", {"uuid": server.uuid}, updated_at=cloud.ago(seconds))


def busy(cloud: CloudRows, server: Server, task_state: str = "rebooting_hard") -> None:
    """Make the server look busy since a minute ago."""
    values = {"task_state": task_state, "updated_at": cloud.ago(60)}
    cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)


def moment(cloud: CloudRows, server: Server, column: str = "created_at") -> str:
    """A time of the server's row."""
    sql = "SELECT created_at, launched_at FROM instances WHERE uuid = :u"
    return str(cloud.rows(server.database, sql, {"u": server.uuid})[0][column])
