# SPDX-License-Identifier: Apache-2.0
"""Builds ``network_info`` from Neutron's rows, as Nova's own code does from Neutron's API (services 2.1, services 2.2).

Compared with Nova's builder, document by document, in tests/repairs/test_network_info.py.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Record, Value, Values
from stackmend.repairs.common import made_by_owner

_TUNNELS = frozenset({"vxlan", "gre", "geneve"})
_OVS_PLUGGED = frozenset({"ovs", "agilio_ovs"})
_NIC = 14  #: Nova truncates names of interfaces and bridges to this length
#: ``services.version`` of nova-compute, by release (nova/objects/service.py, SERVICE_VERSION_ALIASES)
_ROCKY, _XENA, _YOGA, _ANTELOPE, _HIBISCUS = 35, 57, 61, 66, 74


def parsed(document: Value) -> list[dict[str, object]] | None:
    """The VIFs of a document; None if it cannot be read."""
    try:
        found = json.loads(str(document)) if document else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(v, dict) for v in found):
        return None
    return found


def serialised(vifs: list[dict[str, object]]) -> str:
    """The document as Nova writes it: default separators, ASCII escapes, keys in order."""
    return json.dumps(vifs)


def compute_version(live: Live, database: str, server: Record) -> int:
    """``services.version`` of the nova-compute that reads the server's cache: its host's, else the cell's newest.

    Nova's newest known version if the rows do not show it.
    """
    found = live.rows(database, "services", {"binary": "nova-compute", "deleted": 0})
    mine = [row for row in found if row["host"] == server["host"]] or found
    versions = [int(str(row["version"])) for row in mine if row.get("version")]
    version = max(versions, default=0)
    return version if version >= _ROCKY else _HIBISCUS


class Builder:
    """Builds the document of one server.

    ``rows`` are its live ``virtual_interfaces`` rows, by id; ``old`` is its last document if readable; ``version`` is
    that of nova-compute, see :func:`compute_version`; ``without`` are ports to leave out, which only carry its id.
    """

    def __init__(
        self,
        live: Live,
        server: Record,
        rows: list[Record],
        old: list[dict[str, object]] | None,
        version: int = _HIBISCUS,
        without: Iterable[str] = (),
    ) -> None:
        self._live, self._server, self._rows, self._version = live, server, rows, version
        self._without = frozenset(without)
        self._old = {vif.get("id"): (place, vif) for place, vif in enumerate(old or [])}

    def ports(self) -> list[Record]:
        """The ports that Nova considers the server's (its id and its project), in NIC order."""
        where = {"device_id": self._server["uuid"], "project_id": self._server["project_id"]}
        found = self._live.rows("neutron", "ports", where)
        return self.ordered(port for port in found if port["id"] not in self._without)

    def ordered(self, ports: Iterable[Record]) -> list[Record]:
        """Ports in NIC order: by the ids of their rows, then as in the old document, then by age."""
        found = list(ports)
        numbers = sorted({int(str(port["standard_attr_id"])) for port in found})
        ages = {
            row["id"]: str(row["created_at"])
            for row in (self._live.rows("neutron", "standardattributes", {"id": numbers}) if numbers else ())
        }
        places = {row["uuid"]: place for place, row in reversed(list(enumerate(self._rows)))}

        def rank(port: Record) -> tuple[Value, ...]:
            place, _ = self._old.get(port["id"], (len(self._old), {}))
            number = port["standard_attr_id"]
            return places.get(port["id"], len(places)), place, ages.get(number, ""), number, port["id"]

        return sorted(found, key=rank)

    def document(self) -> list[dict[str, object]]:
        """The VIFs of all its ports. CannotRepair if Nova's own builder would raise."""
        try:
            return [self._vif(port) for port in self.ports()]
        except ValueError as problem:
            raise CannotRepair(f"server {self._server['uuid']} has an invalid address or prefix: {problem}") from None

    def keep(self, port: Record) -> bool:
        """``preserve_on_delete``: from the old document, else deduced, and True if in doubt (services 2.3)."""
        _, old = self._old.get(port["id"], (0, {}))
        if isinstance(old.get("preserve_on_delete"), bool):
            return bool(old["preserve_on_delete"])
        seen = next((row["created_at"] for row in self._rows if row["uuid"] == port["id"]), None)
        return made_by_owner(self._live, port, self._server, seen) is not False

    def _vif(self, port: Record) -> dict[str, object]:
        binding = self._binding(port)
        kind = binding["vif_type"] if binding else None
        details = self._details(port, binding)
        plugged = kind in _OVS_PLUGGED or (kind == "vhostuser" and bool(details.get("vhostuser_ovs_plug")))
        vif: dict[str, object] = {
            "id": port["id"],
            "address": port["mac_address"],
            "network": self._network(port, kind, details, plugged),
            "type": kind,
            "details": details,
            "devname": f"tap{port['id']}"[:_NIC],
            "ovs_interfaceid": port["id"] if plugged else None,
            "qbh_params": None,
            "qbg_params": None,
            "active": not port["admin_state_up"] or port["status"] == "ACTIVE",
            "vnic_type": binding["vnic_type"] if binding else "normal",
            "profile": self._profile(port, binding),
            "preserve_on_delete": self.keep(port),
        }
        if self._version >= _XENA:
            vif["delegate_create"] = True
        return {**vif, "meta": {}}

    def _binding(self, port: Record) -> Record | None:
        found = self._live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"})
        return found[0] if found else None

    def _details(self, port: Record, binding: Record | None) -> dict[str, object]:
        """``binding:vif_details``; if several hosts have levels, the last one shows the bound driver, as in Neutron."""
        if binding is None:
            return {}
        details = _json(binding["vif_details"])
        levels = self._live.rows("neutron", "ml2_port_binding_levels", {"port_id": port["id"]})
        if levels and self._version >= _YOGA:
            details["bound_drivers"] = {str(level["level"]): level["driver"] for level in levels}
        return details

    def _profile(self, port: Record, binding: Record | None) -> dict[str, object]:
        if binding is None:
            return {}
        profile = _json(binding["profile"])
        trusted = self._one("porttrusted", {"port_id": port["id"]})
        if trusted is not None and trusted["trusted"] is not None:
            profile["trusted"] = bool(trusted["trusted"])
        return profile

    def _network(self, port: Record, kind: Value, details: Mapping[str, object], plugged: bool) -> dict[str, object]:
        network = self._one("networks", {"id": port["network_id"]})
        if network is None:
            raise CannotRepair(f"neutron has no network {port['network_id']} of port {port['id']}")
        physical, tunneled = self._segments(str(network["id"]))
        found: dict[str, object] = {
            "id": network["id"],
            "bridge": self._bridge(port, kind, details, plugged),
            "label": network["name"],
            "subnets": self._subnets(port),
            "meta": {
                "injected": str(self._live.setting("DEFAULT.flat_injected")).lower() == "true",
                "tenant_id": network["project_id"],
                "mtu": network["mtu"],
                "physical_network": physical,
                "tunneled": tunneled,
            },
        }
        return {**found, "should_create_bridge": True} if kind == "bridge" else found

    def _bridge(self, port: Record, kind: Value, details: Mapping[str, object], plugged: bool) -> str | None:
        network = str(port["network_id"])
        if kind == "dvs":
            return network
        if plugged:
            return str(details.get("bridge_name", self._live.setting("neutron.ovs_bridge") or "br-int"))[:_NIC]
        if kind == "bridge" and self._version >= _HIBISCUS:
            raise CannotRepair(f"port {port['id']} is bound to a Linux bridge, which this Nova refuses: bind it again")
        if kind == "bridge" or (kind == "vhostuser" and details.get("vhostuser_fp_plug")):
            return str(details.get("bridge_name", f"brq{network}"))[:_NIC]
        return None

    def _segments(self, network: str) -> tuple[Value, bool]:
        """(physical network, tunneled); if there are several segments, chosen as Nova chooses."""
        segments = self._live.rows("neutron", "networksegments", {"network_id": network, "is_dynamic": 0})
        segments.sort(key=lambda s: (int(str(s.get("segment_index") or 0)), str(s["id"])))
        if not segments:
            return None, False
        if len(segments) == 1:
            return segments[0]["physical_network"], segments[0]["network_type"] in _TUNNELS
        physical = [s["physical_network"] for s in segments if s["physical_network"]]
        if not physical:
            raise CannotRepair(
                f"network {network} has {len(segments)} segments and no physical network: Nova refuses it"
            )
        return physical[0], False

    def _subnets(self, port: Record) -> list[dict[str, object]]:
        """The subnets the port has an address in, by id: the order in which Neutron lists them."""
        fixed = self._live.rows("neutron", "ipallocations", {"port_id": port["id"]})
        fixed.sort(key=lambda a: (str(a["ip_address"]), str(a["subnet_id"])))
        floating = self._live.rows("neutron", "floatingips", {"fixed_port_id": port["id"]})
        found = []
        for name in sorted({str(a["subnet_id"]) for a in fixed}):
            subnet = self._one("subnets", {"id": name})
            if subnet is not None:
                found.append(self._subnet(subnet, port, fixed, floating))
        return found

    def _subnet(self, subnet: Record, port: Record, fixed: list[Record], floating: list[Record]) -> dict[str, object]:
        block = ipaddress.ip_network(str(subnet["cidr"]), strict=False)
        dns = self._live.rows("neutron", "dnsnameservers", {"subnet_id": subnet["id"]})
        routes = self._live.rows("neutron", "subnetroutes", {"subnet_id": subnet["id"]})
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
            "version": block.version,
            "meta": self._subnet_meta(subnet, port),
        }

    def _subnet_meta(self, subnet: Record, port: Record) -> dict[str, object]:
        """Nova's DHCP server: until Zed the gateway, if the DHCP server has no port (bug 2055245)."""
        meta: dict[str, object] = {}
        if self._version >= _ANTELOPE:
            meta["enable_dhcp"] = bool(subnet["enable_dhcp"])
        if subnet["ipv6_address_mode"]:
            meta["ipv6_address_mode"] = subnet["ipv6_address_mode"]
        server = self._dhcp_server(port, subnet)
        if server is None and self._version < _ANTELOPE and subnet["enable_dhcp"]:
            server = subnet["gateway_ip"]
        if server is not None:
            meta["dhcp_server"] = server
        return meta

    def _dhcp_server(self, port: Record, subnet: Record) -> Value:
        """The address of a DHCP port in that subnet; if there are several, the last one, as in Nova."""
        agents = self._live.rows("neutron", "ports", {"network_id": port["network_id"], "device_owner": "network:dhcp"})
        found: Value = None
        for agent in agents:
            fixed = self._live.rows("neutron", "ipallocations", {"port_id": agent["id"]})
            mine = sorted(str(a["ip_address"]) for a in fixed if a["subnet_id"] == subnet["id"])
            found = mine[0] if mine else found
        return found

    def _one(self, table: str, where: Values) -> Record | None:
        if not self._live.columns("neutron", table):
            return None
        return self._live.row("neutron", table, where)


def _json(text: Value) -> dict[str, object]:
    """A binding's JSON document; {} if it is invalid, as in Neutron."""
    try:
        found = json.loads(str(text)) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ip(address: Value, kind: str) -> dict[str, object]:
    version = ipaddress.ip_address(str(address)).version if address else None
    return {"address": address, "type": kind, "version": version, "meta": {}}
