# SPDX-License-Identifier: Apache-2.0
"""Delete a port that holds a public address for a floating IP that does not exist.

## What it does
Deletes the port with its child rows, and its address returns to the pool. Through the API, Neutron does it: it refuses
to delete such a port only while the floating IP named by its `device_id` exists (read in the source of Neutron 29).

## Guards
The port still has the owner `network:floatingip` and the same `device_id`, and no floating IP uses it. A port that any
other resource uses is refused. Also refused if the network cache of a server that may be alive lists the address as its
floating IP: then the floating IP was lost, and the plan has the commands that give it back.

## Undo
Every row is restored; an address that was given to another port in the meantime is not taken back. Through the API, the
port stays deleted.
"""

from __future__ import annotations

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, Record, Risk
from stackmend.repairs.addresses import floating
from stackmend.repairs.neutron._unused_ports import Unused, strategies

_OWNER = "network:floatingip"


def _found(target: Row, live: Live) -> Unused | None:
    """The port; None if it is deleted, has another owner or is used by a floating IP."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_owner": _OWNER})
    if port is None or live.rows("neutron", "floatingips", {"floating_port_id": port["id"]}):
        return None
    _not_lost(live, port)
    other = live.row("neutron", "floatingips", {"id": port["device_id"]})
    refused = other and (
        f"Neutron refuses to delete port {port['id']}: floating IP {other['id']} exists and uses port"
        f" {other['floating_port_id']}"
    )
    guard = ExpectNone(database="neutron", table="floatingips", where={"floating_port_id": port["id"]})
    return Unused(port, (guard,), refused or "")


def _not_lost(live: Live, port: Record) -> None:
    """CannotRepair if a server that may be alive still has the floating IP in its cache: it was lost, not deleted."""
    for fixed in live.rows("neutron", "ipallocations", {"port_id": port["id"]}):
        address = fixed["ip_address"]
        if server := floating(live, str(address)):
            raise CannotRepair(
                f"the network cache of server {server} lists floating IP {address}: it may have been lost, and a router"
                " may still lead to the server. To give it back to its project: openstack port delete"
                f" {port['id']}, then at once openstack floating ip create --project <project>"
                f" --floating-ip-address {address} {port['network_id']}, and openstack floating ip set --port <port>"
                f" {address}. If the cache is only out of date, rebuild it (rebuild-info-cache), then plan again"
            )


REPAIR = Repair(
    name="delete-floating-ip-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("floating-ip-port-orphan",),
    strategies=strategies(_found),
    why="the public address returns to the pool and may be given to somebody else",
)
