# SPDX-License-Identifier: Apache-2.0
"""Delete a DHCP port whose agent does not serve the network any more.

## What it does
Deletes the port with its child rows, and its address returns to the pool. Through the API, Neutron does it.

## Guards
The port still belongs to DHCP and is bound where it was; no DHCP agent that serves the network is on that host. Refused
if it is the network's last DHCP port and one of its subnets has DHCP enabled: then an agent must be scheduled first.

## Undo
Every row is restored; an address that was given to another port in the meantime is not taken back. Through the API, the
port stays deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import DeletePort
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.ports import delete

_OWNER = "network:dhcp"


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Neutron; none if the port is deleted or used."""
    port = _stale(target, live)
    if port is None:
        return
    made = DeletePort(port=str(port["id"]))
    found = api_of(live).look(made)
    shown(found, "port")
    if found["device_owner"] != _OWNER:
        raise CannotRepair(f"Neutron's API shows another owner of port {port['id']}: {found['device_owner']}")
    yield guarded(made, found, ("device_id", "device_owner", "binding:host_id"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port is deleted or used."""
    port = _stale(target, live)
    if port is None:
        return
    for other in _others(live, port):
        expect = {"device_owner": _OWNER, "network_id": port["network_id"]}
        yield ExpectRow(database="neutron", table="ports", pk={"id": other["id"]}, expect=expect)
    yield from delete(live, port)


def _stale(target: Row, live: Live) -> Record | None:
    """The port; None if it is deleted, no longer belongs to DHCP, or is on a host whose agent serves the network."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_owner": _OWNER})
    if port is None:
        return None
    hosts = [row["host"] for row in live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"]})]
    serving = live.rows("neutron", "networkdhcpagentbindings", {"network_id": port["network_id"]})
    agents = [row["dhcp_agent_id"] for row in serving]
    if hosts and agents and live.rows("neutron", "agents", {"id": agents, "host": hosts}):
        return None
    subnets = live.rows("neutron", "subnets", {"network_id": port["network_id"], "enable_dhcp": 1})
    if subnets and not _others(live, port):
        raise CannotRepair(
            f"it is the last DHCP port of network {port['network_id']}, which has DHCP. First schedule an agent:"
            f" openstack network agent add network --dhcp <agent> {port['network_id']}"
        )
    return port


def _others(live: Live, port: Record) -> list[Record]:
    """The network's other DHCP ports that an agent uses."""
    found = live.rows("neutron", "ports", {"network_id": port["network_id"], "device_owner": _OWNER})
    return [row for row in found if row["id"] != port["id"] and row["device_id"] != "reserved_dhcp_port"]


REPAIR = Repair(
    name="delete-stale-dhcp-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("dhcp-port-stale",),
    strategies={"api": api, "db": db},
    why="guests lose their DHCP server if an agent that Neutron does not know still serves the port",
)
