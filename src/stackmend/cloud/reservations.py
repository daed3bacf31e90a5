# SPDX-License-Identifier: Apache-2.0
"""What must be known before a port is reserved: an address's subnet and owner, and the remaining quota."""

from __future__ import annotations

import uuid
from ipaddress import ip_address, ip_network

from stackmend.cloud import network
from stackmend.cloud.networks import Networks, role
from stackmend.model.errors import UsageError
from stackmend.model.objects.address import Port, Subnet
from stackmend.model.protocols import Api
from stackmend.model.repair import CannotRepair

#: ``device_owner`` -> the holder of the address, if it is part of the network itself
_OF_NETWORK = {
    "network:dhcp": "a DHCP server of the network",
    "network:router_interface": "a router's interface",
    "network:router_interface_distributed": "a distributed router's interface",
    "network:router_gateway": "the gateway of a router",
    "network:router_ha_interface": "an HA router's own address",
    "network:ha_router_replicated_interface": "an HA router's interface",
    "network:floatingip": "a floating address",
    "network:floatingip_agent_gateway": "the gateway of floating addresses on a host",
    "network:router_centralized_snat": "a router's SNAT address",
    "network:distributed": "the metadata server of OVN",
}


def mark(now: str, *about: object) -> str:
    """A description unique among ports: the same for the same plan."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, " ".join(("stackmend", now, *map(str, about))))
    return f"reserved by stackmend, {name}"


def plain(address: str) -> str:
    """The address in Neutron's notation; UsageError for an invalid one."""
    try:
        return str(ip_address(address.strip()))
    except ValueError:
        raise UsageError(f"{address!r} is not an address", "Use an IPv4 or IPv6 address.") from None


def place(networks: Networks, address: str, within: str = "", subnet: str = "") -> Subnet:
    """The one subnet that contains an address: in network ``within``, or ``subnet`` itself, if these are given.

    UsageError if there is none or several, CannotRepair for an address that a server may not have there.
    """
    asked = ip_address(plain(address))
    found = [
        one
        for one in networks.subnets()
        if asked in ip_network(one.cidr, strict=False)
        and (not within or one.network == within)
        and (not subnet or one.id == subnet)
    ]
    if len(found) > 1:
        lines = "".join(f"\n  {one.id}  {one.cidr}  {one.name} of network {one.network}" for one in found[:12])
        raise UsageError(f"{len(found)} subnets have {address}", f"Name one with --subnet, or its network:{lines}")
    if not found:
        where = f"subnet {subnet}" if subnet else f"a subnet of network {within}" if within else "any subnet"
        raise UsageError(f"{address} is not in {where}", "See 'openstack subnet list'.")
    if what := role(address, found[0]):
        raise CannotRepair(f"{address} is the {what} of subnet {found[0].id}: no server may have it")
    return found[0]


def free(networks: Networks, address: str, of: Subnet) -> None:
    """CannotRepair, naming the holder, unless the address is free in the network of this subnet."""
    for port in networks.ports(address=address, network_id=of.network):
        raise CannotRepair(f"{address} is taken: {holder(port)}")


def holder(port: Port) -> str:
    """Who has an address, and what can be done about it."""
    if what := _OF_NETWORK.get(port.owner):
        return f"it is {what} (port {port.id}), and cannot be given away"
    if port.is_of_server and port.device:
        return f"port {port.id} of server {port.device} has it ('stackmend port show {port.id}')"
    if port.owner or port.device:
        return f"port {port.id} has it, for {port.owner or 'a device'} {port.device}"
    return (
        f"port {port.id} ({port.name or 'without a name'}) of project {port.project or 'none'} has it, and no server:"
        f" give it to one with 'openstack server create --port {port.id}'"
    )


def room(api: Api, project: str, wanted: int = 1) -> int:
    """How many more ports the project may have, at most ``wanted``; CannotRepair if none."""
    left = network.ports_left(api, project)
    if left is not None and left < 1:
        raise CannotRepair(
            f"the quota of project {project} leaves no room for one more port:"
            f" 'openstack quota show {project}', then 'openstack quota set --ports N {project}'"
        )
    return wanted if left is None else min(wanted, left)
