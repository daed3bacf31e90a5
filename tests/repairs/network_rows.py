# SPDX-License-Identifier: Apache-2.0
"""Networks and ports out of the ordinary, for test_network_info.py; and what Neutron's API says of the rows."""

from __future__ import annotations

import json
import uuid
from typing import Any

from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants._networks import port_of, standard, write

Row = dict[str, Any]


def bind(cloud: Cloud, server: Server, **values: Any) -> str:
    """Change the binding of the server's first port; documents are given as such. The port."""
    port = server.ports[0]
    texts = {name: json.dumps(v) if isinstance(v, dict) else v for name, v in values.items()}
    cloud.update("neutron", "ml2_port_bindings", {"port_id": port, "status": "ACTIVE"}, **texts)
    return port


def lost(cloud: Cloud, kind: str = "active") -> Server:
    """A server whose cache is empty, the commonest damage, in a network of its own."""
    server = cloud.pick(kind)
    own_network(cloud, server)
    write(cloud, server, "[]")
    return server


def own_network(cloud: Cloud, server: Server, **values: Any) -> str:
    """Move the server's ports into a network that no other server has; the network."""
    network, segment = str(uuid.uuid4()), str(uuid.uuid4())
    defaults = {"project_id": "operators", "name": "Büro-Netz", "status": "ACTIVE", "admin_state_up": 1, "mtu": 1450}
    attr = standard(cloud, "networks", cloud.ago(9999))
    cloud.insert("neutron", "networks", id=network, standard_attr_id=attr, **{**defaults, **values})
    add_segment(cloud, network, segment, 0, network_type="vxlan", physical_network=None)
    for number, port in enumerate(server.ports):
        cloud.delete("neutron", "ipallocations", {"port_id": port})
        cloud.delete("neutron", "floatingips", {"fixed_port_id": port})
        cloud.update("neutron", "ports", {"id": port}, network_id=network)
        cloud.update("neutron", "ml2_port_binding_levels", {"port_id": port}, segment_id=segment)
        if number == 0:
            subnet = add_subnet(cloud, network, "10.1.0.0/24", gateway_ip="10.1.0.1")
            add_address(cloud, port, subnet, "10.1.0.9")
        else:
            add_address(cloud, port, subnet, f"10.1.0.{9 + number}")
    return network


def add_segment(cloud: Cloud, network: str, segment: str, index: int, **values: Any) -> None:
    """A segment of a network."""
    attr = standard(cloud, "networksegments", cloud.ago(9999))
    fixed = {"id": segment, "network_id": network, "segmentation_id": 7 + index, "segment_index": index}
    cloud.insert("neutron", "networksegments", standard_attr_id=attr, **{**fixed, "is_dynamic": 0, **values})


def add_subnet(cloud: Cloud, network: str, cidr: str, **values: Any) -> str:
    """A subnet of a network; its id."""
    subnet = str(values.pop("id", uuid.uuid4()))
    attr = standard(cloud, "subnets", cloud.ago(9999))
    fixed = {"id": subnet, "network_id": network, "cidr": cidr, "ip_version": 6 if ":" in cidr else 4, "name": ""}
    cloud.insert("neutron", "subnets", standard_attr_id=attr, **{**fixed, "enable_dhcp": 0, **values})
    cloud.insert("neutron", "ipamsubnets", id=subnet, neutron_subnet_id=subnet)
    return subnet


def add_address(cloud: Cloud, port: str, subnet: str, address: str) -> None:
    """A fixed IP of a port."""
    network = port_of(cloud, port)["network_id"]
    cloud.insert("neutron", "ipallocations", port_id=port, subnet_id=subnet, ip_address=address, network_id=network)


def add_floating(cloud: Cloud, port: str, fixed: str, address: str) -> None:
    """A floating IP of a fixed one, of a public network of its own."""
    attr = standard(cloud, "floatingips", cloud.ago(9999))
    names = ("id", "floating_network_id", "floating_port_id", "project_id")
    values = {name: str(uuid.uuid4()) for name in names}
    cloud.insert(
        "neutron", "floatingips", **values, standard_attr_id=attr, fixed_port_id=port, fixed_ip_address=fixed,
        floating_ip_address=address, status="ACTIVE",
    )  # fmt: skip


def dhcp_port(cloud: Cloud, network: str, subnet: str, address: str, port: str) -> None:
    """A port of a DHCP agent."""
    attr = standard(cloud, "ports", cloud.ago(9999))
    cloud.insert(
        "neutron", "ports", id=port, network_id=network, standard_attr_id=attr, project_id="operators", name="",
        mac_address=f"fa:30:00:00:{address[-2:].zfill(2).replace('.', '0')}:{port[:2]}", admin_state_up=1,
        status="ACTIVE", device_id="dhcp", device_owner="network:dhcp",
    )  # fmt: skip
    add_address(cloud, port, subnet, address)


def network_of(cloud: Cloud, server: Server) -> str:
    """The network of the server's first port."""
    return str(port_of(cloud, server.ports[0])["network_id"])


def neutron_api(cloud: Cloud) -> dict[str, list[Row]]:
    """What Neutron's API says of the rows (neutron/db/db_base_plugin_common.py, neutron/plugins/ml2/plugin.py)."""
    rows = {
        table: cloud.rows("neutron", f"SELECT * FROM {table}{order}")
        for table, order in (
            ("ports", ""),
            ("ml2_port_bindings", ""),
            ("ml2_port_binding_levels", " ORDER BY port_id, host, level"),
            ("porttrusted", ""),
            ("ipallocations", " ORDER BY ip_address, subnet_id"),
            ("networks", ""),
            ("networksegments", " ORDER BY network_id, segment_index"),
            ("subnets", ""),
            ("dnsnameservers", ' ORDER BY "order"'),
            ("subnetroutes", " ORDER BY destination, nexthop"),
            ("floatingips", ""),
        )
    }
    return {
        "ports": [_port(row, rows) for row in rows["ports"]],
        "networks": [_network(row, rows) for row in rows["networks"]],
        "subnets": [_subnet(row, rows) for row in rows["subnets"]],
        "floatingips": [{**row, "port_id": row["fixed_port_id"]} for row in rows["floatingips"]],
    }


def _port(row: Row, rows: dict[str, list[Row]]) -> Row:
    fixed = [a for a in rows["ipallocations"] if a["port_id"] == row["id"]]
    found = {name: row[name] for name in ("id", "name", "network_id", "mac_address", "status", "device_id")}
    found |= {"device_owner": row["device_owner"], "project_id": row["project_id"], "tenant_id": row["project_id"]}
    found |= {"admin_state_up": bool(row["admin_state_up"])}
    found["fixed_ips"] = [{"subnet_id": a["subnet_id"], "ip_address": a["ip_address"]} for a in fixed]
    for binding in rows["ml2_port_bindings"]:
        if binding["port_id"] == row["id"] and binding["status"] == "ACTIVE":
            levels = [level for level in rows["ml2_port_binding_levels"] if level["port_id"] == row["id"]]
            trusted = [t["trusted"] for t in rows["porttrusted"] if t["port_id"] == row["id"]]
            details, profile = _loads(binding["vif_details"]), _loads(binding["profile"])
            if trusted and trusted[0] is not None:
                profile["trusted"] = bool(trusted[0])
            if levels:
                details["bound_drivers"] = {str(level["level"]): level["driver"] for level in levels}
            found |= {"binding:vnic_type": binding["vnic_type"], "binding:vif_type": binding["vif_type"]}
            found |= {"binding:vif_details": details, "binding:profile": profile, "binding:host_id": binding["host"]}
    return found


def _loads(text: str) -> Row:
    try:
        return dict(json.loads(text)) if text else {}
    except ValueError:
        return {}


def _network(row: Row, rows: dict[str, list[Row]]) -> Row:
    segments = [
        {"provider:network_type": s["network_type"], "provider:physical_network": s["physical_network"]}
        for s in rows["networksegments"]
        if s["network_id"] == row["id"] and not s["is_dynamic"]
    ]
    found = {"id": row["id"], "name": row["name"], "tenant_id": row["project_id"], "mtu": row["mtu"]}
    if len(segments) > 1:
        return {**found, "segments": segments}
    nothing = {"provider:network_type": None, "provider:physical_network": None}
    return {**found, **(segments[0] if segments else nothing)}


def _subnet(row: Row, rows: dict[str, list[Row]]) -> Row:
    names = ("id", "network_id", "cidr", "gateway_ip", "ip_version", "ipv6_address_mode", "ipv6_ra_mode")
    mine = {
        table: [r for r in rows[table] if r["subnet_id"] == row["id"]] for table in ("dnsnameservers", "subnetroutes")
    }
    return {
        **{name: row[name] for name in names},
        "enable_dhcp": bool(row["enable_dhcp"]),
        "dns_nameservers": [r["address"] for r in mine["dnsnameservers"]],
        "host_routes": [{"destination": r["destination"], "nexthop": r["nexthop"]} for r in mine["subnetroutes"]],
    }
