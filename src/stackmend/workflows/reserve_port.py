# SPDX-License-Identifier: Apache-2.0
"""Reserve a port: one that no server has yet, and that outlives each server it is given to.

## What it does
Makes a port in a network, with the addresses that are asked for, else one of each kind that Neutron gives of itself. A
server gets it by `openstack server create --port`, and Nova keeps it when that server is deleted. Its description names
the reservation; it may be changed later, when undo does not find the port any more.

## Guards
The addresses are of subnets of the network and may be a server's: no gateway, network or broadcast address. Nobody has
them, and the project's quota leaves room for one more port. A DNS name is asked for only where Neutron has names of
ports; its first part has to be the hostname of the server that gets the port, or Nova refuses it.

## Undo
The port is deleted, unless a server has it by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET

from stackmend.cloud import network, reservations
from stackmend.cloud.networks import ByApi
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.reserved_ports import DropReserved, FixedIp, ReservePort
from stackmend.model.step import Risk
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane. CannotRepair for an address that cannot be had, UsageError for one that is of no subnet here."""
    where, project = str(arguments["network"]), str(arguments.get("project") or "")
    fixed = [_fixed(ByApi(sight.api), where, reservations.plain(one)) for one in texts(arguments.get("addresses"))]
    name = str(arguments.get("name") or "")
    label = reservations.label(name) if name and "." in name else ""
    if label and "dns-integration" not in network.extensions(sight.api):
        raise UsageError(
            f"Neutron here knows no DNS names of ports, and {name} is one",
            "Give the port a name without a dot, and the address its name in DNS.",
        )
    reservations.room(sight.api, project)
    reservation = reservations.mark(sight.now, where, name, *(one["ip_address"] for one in fixed))
    asked = ReservePort(
        reservation=reservation,
        network=where,
        name=name or "reserved",
        project=project or UNSET,
        fixed_ips=fixed,
        dns_name=label or UNSET,
    )
    back = DropReserved(reservation=reservation, network=where).made()
    addresses = ", ".join(one["ip_address"] for one in fixed) or "the addresses that Neutron gives"
    target: dict[str, Any] = {"network": where, "name": asked.name, "addresses": [one["ip_address"] for one in fixed]}
    yield LaneDraft(
        resource_type="port",
        resource_id=asked.name,
        message=f"a port in network {where} with {addresses}",
        steps=(asked.call({"holder": None} if asked.address else None, inverse=back),),
        target=target,
    )


def _fixed(networks: ByApi, where: str, address: str) -> FixedIp:
    place = reservations.place(networks, address, where)
    reservations.free(networks, address, place)
    return {"subnet_id": place.id, "ip_address": address}


WORKFLOW = Workflow(name="reserve-port", risk=Risk.SAFE, lanes=lanes)
