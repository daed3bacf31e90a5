# SPDX-License-Identifier: Apache-2.0
"""Recover the address of a deleted server by creating a port that holds it for its former project.

## What it does
Requests the address from Neutron explicitly, which network owners and administrators may do even outside the allocation
pool. The MAC address recorded for the old server is requested as well, unless another port has it now. The port waits
for a server: `openstack server create --port`.

If the policy forbids requesting an address, `--max-ports` lets Neutron allocate addresses of the subnet one after
another until the wanted one is among them. Neutron picks them at random from the free addresses, so this may fail: it
never creates more ports than allowed and the quota permits. All ports except the one with the address are deleted at
the end, even if the address was not obtained, and by `run resume` if the program was killed.

## Guards
Nobody has the address now, it was no floating address, and no record of a live server has it: the guest of a server
that lost its port may still use the address. Every configured cell must be read for this. The address is not a
gateway, network or broadcast address. Where Neutron's database is configured, its IPAM has not kept the address without
a port. The project is named, or known from the records of the server that had it. A port that was attached to a server
in the meantime is not deleted.

## Undo
The port is deleted, unless it belongs to a server by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET

from stackmend.cloud import reservations
from stackmend.cloud.networks import ByApi
from stackmend.model.finding import Row
from stackmend.model.objects.address import Subnet
from stackmend.model.operations.reserved_ports import DropReserved, HoldsAddress, ReservePort, TryPort
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: stages: create ports, then delete those that are not wanted
_MAKE, _CLEAN = 1, 2


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane, or with ``tries`` one lane that creates ports and one that deletes them."""
    networks = ByApi(sight.api)
    address, project = reservations.plain(str(arguments["address"])), str(arguments.get("project") or "")
    of = reservations.place(networks, address, str(arguments.get("network") or ""), str(arguments.get("subnet") or ""))
    reservations.free(networks, address, of)
    if (whose := arguments.get("floating")) is not None:
        raise CannotRepair(
            f"{address} was a floating address: a port of a server is not what had it. 'openstack floating ip create"
            f" --floating-ip-address {address} --project {whose or project or 'PROJECT'} {of.network}'; for a server's"
            f" NIC: 'stackmend port reserve --network {of.network} --fixed-ip {address}'"
        )
    for server in texts(arguments.get("living")):
        raise CannotRepair(
            f"server {server} is not deleted and its records still have {address}: its guest may use it. Repair that"
            f" first: 'stackmend audit --server {server}'"
        )
    for why in texts(arguments.get("unread")):
        raise CannotRepair(f"cannot determine whether a live server still has {address}: {why}")
    if of.id in texts(arguments.get("leaked")):
        raise CannotRepair(
            f"no port has {address}, but Neutron's own IPAM says that it is given away (ipamallocations of subnet"
            f" {of.id}): Neutron refuses it until that row is gone"
        )
    if not project:
        raise CannotRepair(f"no record shows which project had {address}: name it with --project")
    tries = int(str(arguments.get("tries") or 0))
    room = reservations.room(sight.api, project, max(tries, 1))
    name = str(arguments.get("name") or f"recovered-{address}")
    mark = reservations.mark(sight.now, of.network, address)
    target: dict[str, Any] = {"address": address, "subnet": of.id, "network": of.network, "project": project}
    if tries:
        yield from _drawn(of, address, project, name, [f"{mark}, {n}" for n in range(1, room + 1)], target)
        return
    asked = ReservePort(
        reservation=mark,
        network=of.network,
        name=name,
        project=project,
        fixed_ips=[{"subnet_id": of.id, "ip_address": address}],
        mac_address=_mac(networks, of, str(arguments.get("mac") or "")) or UNSET,
    )
    yield LaneDraft(
        resource_type="port", resource_id=name, stage=_MAKE, target=target,
        message=f"{address} for project {project}, requested explicitly",
        steps=(asked.call({"holder": None}, inverse=DropReserved(reservation=mark, network=of.network).made()),),
    )  # fmt: skip


def _mac(networks: ByApi, of: Subnet, mac: str) -> str:
    """The MAC address of the former port; "" if another port has it, since it must be unique in the network."""
    return "" if not mac or networks.ports(mac_address=mac, network_id=of.network) else mac


def _drawn(of: Subnet, address: str, project: str, name: str, marks: Sequence[str], target: Row) -> Iterator[LaneDraft]:
    tries: list[Step] = [
        TryPort(
            reservation=mark, network=of.network, name=name, project=project, subnet=of.id, address=address,
            before=list(marks[:n]),
        ).call({"holder": None}, inverse=DropReserved(reservation=mark, network=of.network).made())
        for n, mark in enumerate(marks)
    ]  # fmt: skip
    clean: list[Step] = [
        DropReserved(reservation=mark, network=of.network, unless=address).made() for mark in reversed(marks)
    ]
    held = HoldsAddress(address=address, network=of.network, reservations=list(marks)).call()
    yield LaneDraft(
        resource_type="port", resource_id=name, stage=_MAKE, target=target, steps=tuple(tries),
        message=f"at most {len(marks)} ports for project {project}, until one has {address}",
    )  # fmt: skip
    yield LaneDraft(
        resource_type="port", resource_id=name, stage=_CLEAN, target=target, steps=(*clean, held),
        message=f"all of these ports except the one with {address} are deleted",
    )  # fmt: skip


WORKFLOW = Workflow(name="recover-address", risk=Risk.SAFE, lanes=lanes)
