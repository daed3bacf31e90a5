# SPDX-License-Identifier: Apache-2.0
"""Reserve a port that belongs to no server yet and that outlives every server it is given to.

## What it does
Creates a port in a network, with the requested addresses or, without any, with those Neutron allocates by default. A
server gets the port with `openstack server create --port`, and Nova keeps the port when that server is deleted. The
port's description names the reservation. It may be changed later, but undo then no longer finds the port.

## Guards
The addresses belong to subnets of the network and can be used by a server: no gateway, network or broadcast address.
They are free, and the project's quota allows one more port. A DNS name is set only if Neutron has the DNS extension
and names ports of this network in that domain; afterwards the port is looked at, because a Neutron without a domain of
its own drops names. The first part must be the hostname of the server that gets the port, or Nova refuses it.

## Undo
The port is deleted, unless it belongs to a server by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from stackmend.cloud import dns, reservations
from stackmend.cloud.dns import Named
from stackmend.cloud.networks import ByApi
from stackmend.model.finding import Row
from stackmend.model.operations.reserved_ports import DropReserved, FixedIp, HasDnsName, ReservePort
from stackmend.model.step import Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane. CannotRepair for an address that is taken, UsageError for one outside the subnets of the network."""
    where, project = str(arguments["network"]), str(arguments.get("project") or "")
    fixed = [_fixed(ByApi(sight.api), where, reservations.plain(one)) for one in texts(arguments.get("addresses"))]
    name = str(arguments.get("name") or "")
    named = dns.named(sight.api, where, name) if "." in name else None
    reservations.room(sight.api, project)
    reservation = reservations.mark(sight.now, where, name, *(one["ip_address"] for one in fixed))
    asked = ReservePort(
        reservation=reservation,
        network=where,
        name=name or "reserved",
        project=project or UNSET,
        fixed_ips=fixed,
        dns_name=named.label if named else UNSET,
    )
    back = DropReserved(reservation=reservation, network=where).made()
    addresses = ", ".join(one["ip_address"] for one in fixed) or "addresses that Neutron allocates"
    target: dict[str, Any] = {"network": where, "name": asked.name, "addresses": [one["ip_address"] for one in fixed]}
    steps: list[Step] = [asked.call({"holder": None} if asked.address else None, inverse=back)]
    if named:
        seen = HasDnsName(reservation=reservation, network=where, dns_name=named.label, fqdn=named.fqdn)
        steps.append(seen.call())
    yield LaneDraft(
        resource_type="port",
        resource_id=asked.name,
        message=f"a port in network {where} with {addresses}",
        steps=tuple(steps),
        target=target,
        evidence=_in_dns(named, name) if named else (),
    )


def _in_dns(named: Named, name: str) -> tuple[str, ...]:
    """The DNS records of a name before the port is created."""
    told = [f"in DNS it is {name.rstrip('.')}: the server that gets it must have the hostname {named.label}"]
    if named.others:
        told.append(f"port {', '.join(named.others[:3])} has this name as well: DNS then gives the addresses of all")
    return tuple(told)


def _fixed(networks: ByApi, where: str, address: str) -> FixedIp:
    place = reservations.place(networks, address, where)
    reservations.free(networks, address, place)
    return {"subnet_id": place.id, "ip_address": address}


WORKFLOW = Workflow(name="reserve-port", risk=Risk.SAFE, lanes=lanes)
