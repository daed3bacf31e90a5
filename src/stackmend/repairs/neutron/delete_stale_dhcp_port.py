# SPDX-License-Identifier: Apache-2.0
"""Delete a DHCP port whose agent does not serve the network any more.

## What it does
Deletes the port with its child rows, and its address returns to the pool. Through the API, Neutron does it.

## Guards
The port still belongs to DHCP and is bound where it was; no DHCP agent that serves the network is on that host. Refused
unless another DHCP port of the network is on the host of an agent that serves it, if one of its subnets has DHCP
enabled: otherwise an agent must be scheduled first. So of two stale ports the last one is never deleted along with the
other.

## Undo
Every row is restored; an address that was given to another port in the meantime is not taken back. Through the API, the
port stays deleted.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs.neutron._unused_ports import Unused, strategies

_OWNER = "network:dhcp"


def _found(target: Row, live: Live) -> Unused | None:
    """The port; None if it is deleted, no longer belongs to DHCP, or is on a host whose agent serves the network."""
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_owner": _OWNER})
    if port is None:
        return None
    serving = _serving(live, port["network_id"])
    if any(binding["host"] in serving for binding in _bindings(live, port)):
        return None
    if not live.rows("neutron", "subnets", {"network_id": port["network_id"], "enable_dhcp": 1}):
        return Unused(port)
    guards = tuple(_served(live, port, serving))
    if not guards:
        raise CannotRepair(
            f"no other DHCP port of network {port['network_id']}, which has DHCP, is used by an agent: this is the last"
            " one that can be. First let an agent serve the network: openstack network agent add network --dhcp"
            f" <agent> {port['network_id']}"
        )
    return Unused(port, guards)


def _serving(live: Live, network: object) -> dict[object, Record]:
    """Host -> the row that schedules the network to its DHCP agent."""
    rows = live.rows("neutron", "networkdhcpagentbindings", {"network_id": str(network)})
    ids = [row["dhcp_agent_id"] for row in rows]
    hosts = {row["id"]: row["host"] for row in live.rows("neutron", "agents", {"id": ids})} if ids else {}
    return {hosts[row["dhcp_agent_id"]]: row for row in rows if row["dhcp_agent_id"] in hosts}


def _bindings(live: Live, port: Record) -> list[Record]:
    return list(live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"], "status": "ACTIVE"}))


def _served(live: Live, port: Record, serving: dict[object, Record]) -> Iterator[Step]:
    """Guards: another DHCP port of the network, on the host of an agent that serves it; none without such a port."""
    others = live.rows("neutron", "ports", {"network_id": port["network_id"], "device_owner": _OWNER})
    for other in others:
        if other["id"] == port["id"] or other["device_id"] == "reserved_dhcp_port":
            continue
        for binding in _bindings(live, other):
            if (row := serving.get(binding["host"])) is None:
                continue
            names = ("device_owner", "device_id", "network_id")
            yield ExpectRow(
                database="neutron", table="ports", pk={"id": other["id"]}, expect={name: other[name] for name in names}
            )
            pk = {name: binding[name] for name in ("port_id", "host")}
            yield ExpectRow(database="neutron", table="ml2_port_bindings", pk=pk, expect={"status": "ACTIVE"})
            pk = {name: row[name] for name in ("network_id", "dhcp_agent_id")}
            expect = {"dhcp_agent_id": row["dhcp_agent_id"]}
            yield ExpectRow(database="neutron", table="networkdhcpagentbindings", pk=pk, expect=expect)
            return


REPAIR = Repair(
    name="delete-stale-dhcp-port",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("dhcp-port-stale",),
    strategies=strategies(_found),
    why="guests lose their DHCP server if an agent that Neutron does not know still serves the port",
)
