# SPDX-License-Identifier: Apache-2.0
"""Builds ``network_info`` from Neutron's rows, as Nova's own code does from Neutron's API (catalogue 2.1, 2.2).

Compared with Nova's builder, document by document, in tests/repairs/test_network_info.py.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Value
from stackmend.repairs.common import Record, made_by_owner

_TUNNELS = frozenset({"vxlan", "gre", "geneve"})
_OVS_PLUGGED = frozenset({"ovs", "agilio_ovs"})
_NIC = 14  #: Linux lets an interface's name have so many characters


def parsed(document: Value) -> list[dict[str, Any]] | None:
    """The VIFs of a document; None when it is none."""
    try:
        found = json.loads(str(document)) if document else None
    except ValueError:
        return None
    if not isinstance(found, list) or not all(isinstance(v, dict) for v in found):
        return None
    return found


def serialised(vifs: list[dict[str, Any]]) -> str:
    """The document as Nova writes it: default separators, ASCII escapes, keys in their order."""
    return json.dumps(vifs)


class Builder:
    """Builds the document of one server; ``rows`` are its live ``virtual_interfaces`` rows, by id."""

    def __init__(self, live: Live, server: Record, rows: list[Record], old: list[dict[str, Any]] | None) -> None:
        self._live, self._server, self._rows = live, server, rows
        self._kept = {v.get("id"): v.get("preserve_on_delete") for v in old or []}

    def ports(self) -> list[Record]:
        """The server's ports, in the order of its NICs: known rows first, then by age."""
        where = {"device_id": self._server["uuid"], "project_id": self._server["project_id"]}
        order = {row["uuid"]: n for n, row in enumerate(self._rows)}
        found = self._live.rows("neutron", "ports", where)
        ages = {
            row["id"]: (str(row["created_at"]), int(str(row["id"])))
            for row in self._live.rows("neutron", "standardattributes", {"id": [p["standard_attr_id"] for p in found]})
        }
        return sorted(
            found,
            key=lambda p: (order.get(p["id"], len(order)), ages.get(p["standard_attr_id"], ("", 0)), str(p["id"])),
        )

    def document(self) -> list[dict[str, Any]]:
        """The VIFs of all its ports."""
        return [self._vif(port) for port in self.ports()]

    def keep(self, port: Record) -> bool:
        """``preserve_on_delete``: what the old document said, else what can be deduced, in doubt True (2.3)."""
        known = self._kept.get(port["id"])
        if isinstance(known, bool):
            return known
        seen = next((row["created_at"] for row in self._rows if row["uuid"] == port["id"]), None)
        return made_by_owner(self._live, port, self._server, seen) is not False

    def _vif(self, port: Record) -> dict[str, Any]:
        binding = self._binding(port)
        kind = binding["vif_type"] if binding else None
        details = self._details(port, binding)
        profile = _json(binding["profile"]) if binding else {}
        trusted = self._one("porttrusted", {"port_id": port["id"]})
        if trusted is not None and trusted["trusted"] is not None:
            profile = {**profile, "trusted": bool(trusted["trusted"])}
        plugged = kind in _OVS_PLUGGED or (kind == "vhostuser" and details.get("vhostuser_ovs_plug"))
        return {
            "id": port["id"],
            "address": port["mac_address"],
            "network": self._network(port, str(kind), details, bool(plugged)),
            "type": kind,
            "details": details,
            "devname": f"tap{port['id']}"[:_NIC],
            "ovs_interfaceid": port["id"] if plugged else None,
            "qbh_params": None,
            "qbg_params": None,
            "active": not port["admin_state_up"] or port["status"] == "ACTIVE",
            "vnic_type": binding["vnic_type"] if binding else "normal",
            "profile": profile,
            "preserve_on_delete": self.keep(port),
            "delegate_create": True,
            "meta": {},
        }

    def _binding(self, port: Record) -> Record | None:
        found = self._live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"})
        return found[0] if found else None

    def _details(self, port: Record, binding: Record | None) -> dict[str, Any]:
        details = _json(binding["vif_details"]) if binding else {}
        levels = self._live.rows("neutron", "ml2_port_binding_levels", {"port_id": port["id"]})
        if binding and levels:
            details["bound_drivers"] = {str(level["level"]): level["driver"] for level in levels}
        return details

    def _network(self, port: Record, kind: str, details: Mapping[str, Any], plugged: bool) -> dict[str, Any]:
        network = self._one("networks", {"id": port["network_id"]})
        if network is None:
            raise CannotRepair(f"neutron has no network {port['network_id']} of port {port['id']}")
        physical, tunneled = self._segments(str(network["id"]))
        meta = {
            "injected": str(self._live.setting("DEFAULT.flat_injected")).lower() == "true",
            "tenant_id": network["project_id"],
            "mtu": network["mtu"],
            "physical_network": physical,
            "tunneled": tunneled,
        }
        return {
            "id": network["id"],
            "bridge": self._bridge(kind, details, str(network["id"]), plugged),
            "label": network["name"],
            "subnets": self._subnets(port),
            "meta": meta,
        }

    def _bridge(self, kind: str, details: Mapping[str, Any], network: str, plugged: bool) -> str | None:
        if kind == "dvs":
            return network
        if plugged:
            return str(details.get("bridge_name") or self._live.setting("neutron.ovs_bridge") or "br-int")[:_NIC]
        if kind == "vhostuser" and details.get("vhostuser_fp_plug"):
            return str(details.get("bridge_name") or f"brq{network}")[:_NIC]
        return None

    def _segments(self, network: str) -> tuple[Value, bool]:
        """(physical network, tunneled); with several segments as Nova chooses."""
        segments = self._live.rows("neutron", "networksegments", {"network_id": network, "is_dynamic": 0})
        segments.sort(key=lambda s: (int(str(s["segment_index"])), str(s["id"])))
        if len(segments) == 1:
            return segments[0]["physical_network"], segments[0]["network_type"] in _TUNNELS
        physical = [s["physical_network"] for s in segments if s["physical_network"]]
        if not physical:
            raise CannotRepair(
                f"network {network} has {len(segments)} segments and no physical network: Nova refuses it"
            )
        return physical[0], False

    def _subnets(self, port: Record) -> list[dict[str, Any]]:
        """The subnets the port has an address in, in the order of its addresses."""
        fixed = self._live.rows("neutron", "ipallocations", {"port_id": port["id"]})
        fixed.sort(key=lambda a: (str(a["ip_address"]), str(a["subnet_id"])))
        names = list(dict.fromkeys(a["subnet_id"] for a in fixed))
        if not names:
            return []
        found = {s["id"]: s for s in self._live.rows("neutron", "subnets", {"id": names})}
        floating = self._live.rows("neutron", "floatingips", {"fixed_port_id": port["id"]})
        return [self._subnet(found[name], port, fixed, floating) for name in sorted(found, key=names.index)]

    def _subnet(self, subnet: Record, port: Record, fixed: list[Record], floating: list[Record]) -> dict[str, Any]:
        version = int(str(subnet["ip_version"]))
        dns = self._live.rows("neutron", "dnsnameservers", {"subnet_id": subnet["id"]})
        routes = self._live.rows("neutron", "subnetroutes", {"subnet_id": subnet["id"]})
        meta: dict[str, Any] = {"enable_dhcp": bool(subnet["enable_dhcp"])}
        if subnet["ipv6_address_mode"]:
            meta["ipv6_address_mode"] = subnet["ipv6_address_mode"]
        server = self._dhcp_server(port, subnet)
        if server:
            meta["dhcp_server"] = server
        block = ipaddress.ip_network(str(subnet["cidr"]))
        return {
            "cidr": subnet["cidr"],
            "dns": [_ip(n["address"], "dns") for n in sorted(dns, key=lambda n: int(str(n["order"])))],
            "gateway": _ip(subnet["gateway_ip"], "gateway"),
            "ips": [
                {
                    **_ip(a["ip_address"], "fixed"),
                    "floating_ips": [
                        _ip(f["floating_ip_address"], "floating")
                        for f in floating
                        if f["fixed_ip_address"] == a["ip_address"]
                    ],
                }
                for a in fixed
                if ipaddress.ip_address(str(a["ip_address"])) in block
            ],
            "routes": [
                {"cidr": r["destination"], "gateway": _ip(r["nexthop"], "gateway"), "interface": None, "meta": {}}
                for r in routes
            ],
            "version": version,
            "meta": meta,
        }

    def _dhcp_server(self, port: Record, subnet: Record) -> Value:
        """The address of a DHCP port in that subnet; of several the last one, as Nova has it."""
        agents = self._live.rows("neutron", "ports", {"network_id": port["network_id"], "device_owner": "network:dhcp"})
        found: Value = None
        for agent in agents:
            for address in self._live.rows("neutron", "ipallocations", {"port_id": agent["id"]}):
                if address["subnet_id"] == subnet["id"]:
                    found = address["ip_address"]
        return found

    def _one(self, table: str, where: dict[str, Value]) -> Record | None:
        if not self._live.columns("neutron", table):
            return None
        return self._live.row("neutron", table, where)


def _json(text: Value) -> dict[str, Any]:
    try:
        found = json.loads(str(text)) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ip(address: Value, kind: str) -> dict[str, Any]:
    version = ipaddress.ip_address(str(address)).version if address else None
    return {"address": address, "type": kind, "version": version, "meta": {}}
