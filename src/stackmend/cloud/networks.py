# SPDX-License-Identifier: Apache-2.0
"""Ports, subnets and floating IP addresses in Neutron: from its database, or from its API if there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Any, Protocol
from urllib.parse import urlencode

from stackmend.model.objects.address import Floating, Port, Subnet
from stackmend.model.protocols import Api, Live, Where
from stackmend.model.step import Value
from stackmend.model.values import objects

_Row = Mapping[str, object]

#: the criteria for ports -> their names in Neutron's API; in the database they are columns of ``ports``
_ASKED = {
    "id": "id",
    "device_id": "device_id",
    "device_owner": "device_owner",
    "project_id": "project_id",
    "network_id": "network_id",
    "mac_address": "mac_address",
    "host": "binding:host_id",
    "address": "fixed_ips",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network in Neutron."""

    id: str
    name: str
    is_external: bool
    provider: str  #: "vlan 101 on physnet1"


class Networks(Protocol):
    """The queries to Neutron. SourceError if it does not answer."""

    def ports(self, **where: str | Sequence[str]) -> list[Port]:
        """The ports that match all criteria; a list means any of its values.

        Criteria: id, device_id, device_owner, project_id, network_id, mac_address, host, address.
        """
        ...

    def subnets(self) -> list[Subnet]: ...
    def pools(self, subnet: str) -> list[tuple[str, str]]:
        """(first, last) address of each allocation pool."""
        ...

    def networks(self, ids: Iterable[str]) -> dict[str, Network]: ...
    def routers(self, ids: Iterable[str]) -> dict[str, str]:
        """Id -> name."""
        ...

    def floating(self, **where: str | Sequence[str]) -> list[Floating]:
        """Those that match: ``floating_ip_address``, ``fixed_ip_address``, ``port_id``."""
        ...

    def allocated(self, address: str) -> list[str]:
        """Subnets where Neutron's own IPAM has the address as allocated; no API shows that."""
        ...


class InRows:
    """:class:`Networks` from Neutron's database."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def ports(self, **where: str | Sequence[str]) -> list[Port]:
        """The ports that match all criteria."""
        wanted: dict[str, Any] = dict(where)
        for name, table, column in (
            ("address", "ipallocations", "ip_address"),
            ("host", "ml2_port_bindings", "host"),
        ):
            if name in wanted:
                found = {str(row["port_id"]) for row in self._rows(table, {column: wanted.pop(name)}) if row["port_id"]}
                wanted["id"] = sorted(found & set(wanted["id"]) if "id" in wanted else found)
        if wanted.get("id") == []:
            return []
        rows = self._rows("ports", wanted)
        ids = [str(row["id"]) for row in rows]
        fixed: dict[str, list[tuple[str, str]]] = {}
        for row in self._rows("ipallocations", {"port_id": ids}) if ids else ():
            fixed.setdefault(str(row["port_id"]), []).append((str(row["ip_address"]), str(row["subnet_id"])))
        bound = {
            str(row["port_id"]): row
            for row in (self._rows("ml2_port_bindings", {"port_id": ids}) if ids else ())
            if row["status"] == "ACTIVE"
        }
        every = [_port_of(row, bound.get(str(row["id"]), {}), fixed.get(str(row["id"]), [])) for row in rows]
        # an inactive binding is for a host that the port is about to move to, or has left
        return [one for one in every if "host" not in where or one.host in _several(where["host"])]

    def subnets(self) -> list[Subnet]:
        """All of them."""
        return [_subnet(row) for row in self._rows("subnets", {})]

    def pools(self, subnet: str) -> list[tuple[str, str]]:
        """(first, last) address of each allocation pool."""
        rows = self._rows("ipallocationpools", {"subnet_id": subnet})
        return [(str(row["first_ip"]), str(row["last_ip"])) for row in rows]

    def networks(self, ids: Iterable[str]) -> dict[str, Network]:
        """Id -> network."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        external = {str(row["network_id"]) for row in self._rows("externalnetworks", {"network_id": wanted})}
        segments = {
            str(row["network_id"]): _provider(row["network_type"], row["segmentation_id"], row["physical_network"])
            for row in self._rows("networksegments", {"network_id": wanted})
        }
        return {
            str(row["id"]): Network(
                id=str(row["id"]),
                name=str(row["name"] or ""),
                is_external=str(row["id"]) in external,
                provider=segments.get(str(row["id"]), ""),
            )
            for row in self._rows("networks", {"id": wanted})
        }

    def routers(self, ids: Iterable[str]) -> dict[str, str]:
        """Id -> name."""
        wanted = sorted(set(ids))
        rows = self._rows("routers", {"id": wanted}) if wanted else []
        return {str(row["id"]): str(row["name"] or "") for row in rows}

    def floating(self, **where: str | Sequence[str]) -> list[Floating]:
        """Those that match."""
        wanted = {("fixed_port_id" if name == "port_id" else name): value for name, value in where.items()}
        return [_floating(row, "fixed_port_id") for row in self._rows("floatingips", wanted)]

    def allocated(self, address: str) -> list[str]:
        """Subnets where Neutron's own IPAM has the address as allocated; [] if another IPAM is in use."""
        if not self._live.columns("neutron", "ipamallocations"):
            return []
        given = self._rows("ipamallocations", {"ip_address": address})
        ids = [str(row["ipam_subnet_id"]) for row in given if str(row["status"]).upper() == "ALLOCATED"]
        return sorted(str(row["neutron_subnet_id"]) for row in self._rows("ipamsubnets", {"id": ids})) if ids else []

    def _rows(self, table: str, where: Where) -> list[dict[str, Value]]:
        return self._live.rows("neutron", table, where)


class ByApi:
    """:class:`Networks` from Neutron's API."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def ports(self, **where: str | Sequence[str]) -> list[Port]:
        """The ports that match all criteria."""
        pairs = [
            (_ASKED[name], f"ip_address={one}" if name == "address" else one)
            for name, value in where.items()
            for one in _several(value)
        ]
        found = []
        for body in self._every("ports", pairs):
            fixed = [(str(one["ip_address"]), str(one["subnet_id"])) for one in objects(body.get("fixed_ips"))]
            binding = {"host": body.get("binding:host_id"), "vif_type": body.get("binding:vif_type")}
            found.append(_port_of(body, binding, fixed))
        return found

    def subnets(self) -> list[Subnet]:
        """All of them."""
        return [_subnet(body) for body in self._every("subnets", [])]

    def pools(self, subnet: str) -> list[tuple[str, str]]:
        """(first, last) address of each allocation pool."""
        body = (self.api.get("network", f"/subnets/{subnet}") or {}).get("subnet") or {}
        return [(str(pool["start"]), str(pool["end"])) for pool in body.get("allocation_pools") or ()]

    def networks(self, ids: Iterable[str]) -> dict[str, Network]:
        """Id -> network."""
        return {
            str(body["id"]): Network(
                id=str(body["id"]),
                name=str(body.get("name") or ""),
                is_external=bool(body.get("router:external")),
                provider=_provider(
                    body.get("provider:network_type"),
                    body.get("provider:segmentation_id"),
                    body.get("provider:physical_network"),
                ),
            )
            for body in self._by_ids("networks", ids)
        }

    def routers(self, ids: Iterable[str]) -> dict[str, str]:
        """Id -> name."""
        return {str(body["id"]): str(body.get("name") or "") for body in self._by_ids("routers", ids)}

    def floating(self, **where: str | Sequence[str]) -> list[Floating]:
        """Those that match."""
        pairs = [(name, one) for name, value in where.items() for one in _several(value)]
        return [_floating(body, "port_id") for body in self._every("floatingips", pairs)]

    def allocated(self, address: str) -> list[str]:
        """Empty: no API shows it."""
        del address
        return []

    def _by_ids(self, key: str, ids: Iterable[str]) -> Iterator[_Row]:
        wanted = sorted(set(ids))
        return self._every(key, [("id", one) for one in wanted]) if wanted else iter(())

    def _every(self, key: str, pairs: Sequence[tuple[str, str]]) -> Iterator[_Row]:
        return self.api.every("network", f"/{key}{'?' + urlencode(pairs) if pairs else ''}", key)


def within(address: str, pools: Iterable[tuple[str, str]]) -> bool:
    """Whether an address is in one of these ranges."""
    asked = ip_address(address)
    return any(
        int(ip_address(first)) <= int(asked) <= int(ip_address(last))
        for first, last in pools
        if ip_address(first).version == asked.version
    )


def role(address: str, subnet: Subnet) -> str:
    """The role of an address that a server may not have in the subnet, else ""."""
    of = ip_network(subnet.cidr, strict=False)
    if subnet.gateway and ip_address(subnet.gateway) == ip_address(address):
        return "gateway"
    if isinstance(of, IPv4Network) and of.prefixlen < 31:
        if ip_address(address) == of.network_address:
            return "network address"
        if ip_address(address) == of.broadcast_address:
            return "broadcast address"
    return ""


def _port_of(row: _Row, binding: _Row, fixed: Iterable[tuple[str, str]]) -> Port:
    def text(name: str, of: _Row = row) -> str:
        return str(of.get(name) or "")

    return Port(
        id=text("id"),
        name=text("name"),
        project=text("project_id"),
        network=text("network_id"),
        mac=text("mac_address"),
        status=text("status"),
        owner=text("device_owner"),
        device=text("device_id"),
        host=text("host", binding),
        vif_type=text("vif_type", binding),
        fixed=tuple(sorted(fixed)),
    )


def _subnet(row: _Row) -> Subnet:
    return Subnet(
        id=str(row["id"]),
        name=str(row.get("name") or ""),
        network=str(row["network_id"]),
        cidr=str(row["cidr"]),
        gateway=str(row.get("gateway_ip") or ""),
    )


def _floating(row: _Row, port: str) -> Floating:
    return Floating(
        id=str(row["id"]),
        address=str(row["floating_ip_address"]),
        project=str(row.get("project_id") or ""),
        port=str(row.get(port) or ""),
        fixed=str(row.get("fixed_ip_address") or ""),
    )


def _provider(kind: object, number: object, physical: object) -> str:
    words = f"{kind or ''} {'' if number is None else number}".strip()
    return f"{words} on {physical}" if physical else words


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
