# SPDX-License-Identifier: Apache-2.0
"""An address, IP or MAC: which port has it, which servers had it, and which subnet it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

#: ``device_owner`` of container ports, whose ``device_id`` is not a server (G-OWNER)
_CONTAINERS = ("compute:kuryr", "compute:zun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port as Neutron shows it."""

    id: str
    name: str = ""
    project: str = ""
    network: str = ""
    mac: str = ""
    status: str = ""
    owner: str = ""  #: ``device_owner``
    device: str = ""  #: ``device_id``
    host: str = ""  #: of its ACTIVE binding
    vif_type: str = ""
    fixed: tuple[tuple[str, str], ...] = ()  #: (address, subnet)

    @property
    def is_of_server(self) -> bool:
        """True for a port that Nova, or Ironic through Nova, has attached to a server."""
        nova = self.owner.startswith("compute:") and self.owner not in _CONTAINERS
        return nova or self.owner == "baremetal:none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet as Neutron shows it."""

    id: str
    name: str
    network: str
    cidr: str
    gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floating:
    """A floating IP address and the port it is associated with."""

    id: str
    address: str
    project: str = ""
    port: str = ""  #: the associated port, "" if none
    fixed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One port that has the address now."""

    port: Port
    server: str = ""  #: name of the server, or what else uses the port
    floating: tuple[str, ...] = ()  #: floating IP addresses associated with it


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerHolder:
    """A server whose records still list the address, although the port named there is not one that has it now."""

    server: str
    name: str
    project: str
    host: str
    deleted_at: str | None  #: None for an existing server, and if its row is gone
    alive: bool = False  #: its row exists and is not marked deleted
    port: str
    mac: str
    addresses: tuple[str, ...]
    witness: str  #: the table that lists the address
    network: str = ""  #: of the NIC, "" if the table does not name it
    is_floating: bool = False  #: the address was a floating IP address of the NIC, not a fixed one
    #: the last action by which the server may have lost it: "delete at 2026-11-29 09:34:36 (req-...)", or ""
    lost_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressScope:
    """A subnet that contains the address, and from where it can be reached."""

    subnet: Subnet
    network_name: str
    role: str = ""  #: "gateway", "network address", "broadcast address", "" for an address that a port may have
    in_pool: bool | None = None  #: None if no allocation pool is known
    routers: tuple[str, ...] = ()  #: routers attached to the subnet
    external: tuple[str, ...] = ()  #: external networks that those routers lead to
    dhcp_hosts: tuple[str, ...] = ()  #: hosts with a namespace qdhcp-<network>, from which the address can be tried
    provider: str = ""  #: "vlan 101 on physnet1"
    is_external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressInfo:
    """Everything known about one address."""

    address: str
    kind: str  #: "ip" or "mac"
    holders: tuple[Holder, ...]
    former: tuple[FormerHolder, ...]
    places: tuple[AddressScope, ...]
    floating: tuple[Floating, ...] = ()  #: if it is a floating IP address itself
    leaked: tuple[str, ...] = ()  #: subnets whose IPAM has allocated it although no port there has it
    unread: Mapping[str, str] = field(default_factory=dict)  #: source -> why it could not be read

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/address.json)."""
        found = asdict(self)
        for holder in found["holders"]:
            port = holder.pop("port")
            port["fixed"] = [{"address": address, "subnet": subnet} for address, subnet in port["fixed"]]
            holder["port"] = port
        return found
