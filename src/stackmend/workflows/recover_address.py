# SPDX-License-Identifier: Apache-2.0
"""Recover an address whose server is gone: a port that holds it for the project that had it.

## What it does
Asks Neutron for the address by name, outside the allocation pool as well, which owners of the network and
administrators may. The MAC address that the records of the old server have is asked for, too, unless somebody has it
now. The port waits for a server: `openstack server create --port`.

Where the policy forbids that, `--max-ports` has Neutron give addresses of the subnet one after another, until the one
that is wanted is among them. It draws them at random from what is free, so that this may come to nothing: never more
ports are made than were allowed and the quota has room for. All but the one with the address are deleted at the end,
also when nothing was found, and by `run resume` when the program was killed.

## Guards
Nobody has the address now, it was no floating address, and no record of a server that is not deleted has it: the guest
of a server that has lost its port may use it still; every cell that is configured has to be read for that. It is no
gateway, network or broadcast address; the project is named, or known from the records of the server that had it. A port
that somebody has put on a server meanwhile is not deleted.

## Undo
The port is deleted, unless a server has it by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET

from stackmend.cloud import reservations
from stackmend.cloud.networks import ByApi
from stackmend.model.address import Subnet
from stackmend.model.finding import Row
from stackmend.model.operations.reserved_ports import DropReserved, HoldsAddress, ReservePort, TryPort
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: stages: ports are made, then those that are not wanted are deleted
_MAKE, _CLEAN = 1, 2


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane, or with ``tries`` one that makes ports and one that clears them away."""
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
            f"server {server} is not deleted, and its records still have {address}: its guest may use it. Repair that"
            f" first: 'stackmend audit --server {server}'"
        )
    for why in texts(arguments.get("unread")):
        raise CannotRepair(f"whether a server that is not deleted still has {address} cannot be told: {why}")
    if not project:
        raise CannotRepair(f"no record tells which project {address} was of: name it by --project")
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
        message=f"{address} for project {project}, by name",
        steps=(asked.call({"holder": None}, inverse=DropReserved(reservation=mark, network=of.network).made()),),
    )  # fmt: skip


def _mac(networks: ByApi, of: Subnet, mac: str) -> str:
    """The MAC address of the port that was, "" where somebody has that now: it is to be one in its network."""
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
        message=f"at most {len(marks)} ports of project {project}, until one has {address}",
    )  # fmt: skip
    yield LaneDraft(
        resource_type="port", resource_id=name, stage=_CLEAN, target=target, steps=(*clean, held),
        message=f"all of them are deleted but the one that has {address}",
    )  # fmt: skip


WORKFLOW = Workflow(name="recover-address", risk=Risk.SAFE, lanes=lanes)
