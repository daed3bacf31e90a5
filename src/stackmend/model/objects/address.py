# SPDX-License-Identifier: Apache-2.0
"""An address, IP or MAC: who has it, who had it, and where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

#: ``device_owner`` of ports of containers, whose ``device_id`` is no server (G-OWNER)
_CONTAINERS = ("compute:kuryr", "compute:zun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port as Neutron has it."""

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
        """True for a port that Nova, or Ironic through it, has put on a server."""
        nova = self.owner.startswith("compute:") and self.owner not in _CONTAINERS
        return nova or self.owner == "baremetal:none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """A subnet as Neutron has it."""

    id: str
    name: str
    network: str
    cidr: str
    gateway: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floating:
    """A floating address and what it leads to."""

    id: str
    address: str
    project: str = ""
    port: str = ""  #: the port that it leads to, "" while it is free
    fixed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One port that has the address now."""

    port: Port
    server: str = ""  #: name of the server, or what else it is for
    floating: tuple[str, ...] = ()  #: floating addresses that lead to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """One server whose records still have the address, though the port there is none of those that have it now."""

    server: str
    name: str
    project: str
    host: str
    deleted_at: str | None  #: None for a living one, and where its row is gone
    alive: bool = False  #: its row is there, and not marked deleted
    port: str
    mac: str
    addresses: tuple[str, ...]
    witness: str  #: the table that says so
    network: str = ""  #: of the NIC, "" where the table does not say
    is_floating: bool = False  #: the address led to the NIC, and was not its own


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressScope:
    """A subnet that the address is of, and from where it can be reached."""

    subnet: Subnet
    network_name: str
    role: str = ""  #: "gateway", "network address", "broadcast address", "" for one that a port may have
    in_pool: bool | None = None  #: None where no pool is known
    routers: tuple[str, ...] = ()  #: by which the subnet is reached
    external: tuple[str, ...] = ()  #: networks that those routers lead to
    dhcp_hosts: tuple[str, ...] = ()  #: with a namespace qdhcp-<network>, from which it can be tried
    provider: str = ""  #: "vlan 101 on physnet1"
    is_external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """All that is known of one address."""

    address: str
    kind: str  #: "ip" or "mac"
    holders: tuple[Holder, ...]
    former: tuple[Former, ...]
    places: tuple[AddressScope, ...]
    floating: tuple[Floating, ...] = ()  #: where it is a floating address itself
    unread: Mapping[str, str] = field(default_factory=dict)  #: source -> why it says nothing

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/address.json)."""
        found = asdict(self)
        for holder in found["holders"]:
            port = holder.pop("port")
            port["fixed"] = [{"address": address, "subnet": subnet} for address, subnet in port["fixed"]]
            holder["port"] = port
        return found
