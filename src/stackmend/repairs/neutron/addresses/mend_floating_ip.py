# SPDX-License-Identifier: Apache-2.0
"""Let a floating IP name the address of its port and the router that joins them, or be DOWN without a port.

## What it does
Sets `fixed_ip_address` to the port's IPv4 address and `router_id` to the router that has an interface in the port's
network and a gateway in the external network, as Neutron chooses them when a floating IP is associated; the previous
router becomes `last_known_router_id`. A floating IP that leads to no port gets the status DOWN. The revision number is
incremented. Neutron's agents and OVN learn of the change with the next update through the API, which the plan shows.

Refused if the port has several IPv4 addresses or several routers would do, because no row says which one was meant.

## Guards
The floating IP, the port's address and the router's ports are unchanged since the plan; no other floating IP of the
external network leads to the address.

## Undo
The columns are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs.common import change, revised
from stackmend.repairs.ports import told_to_ovn

_GATEWAY = "network:router_gateway"
_INTERFACES = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if everything fits."""
    floating = live.row("neutron", "floatingips", {"id": str(target["floating_ip"])})
    if floating is None:
        return
    if target["code"] == "status":
        if floating["fixed_port_id"] is not None or floating["router_id"] is not None or floating["status"] == "DOWN":
            return
        yield change(live, "neutron", "floatingips", floating, {"status": "DOWN"}, ("fixed_port_id", "router_id"))
        yield revised(live, floating["standard_attr_id"])
        return
    port = live.row("neutron", "ports", {"id": floating["fixed_port_id"]}) if floating["fixed_port_id"] else None
    if port is not None:
        yield from _joined(live, floating, port)


def _joined(live: Live, floating: Record, port: Record) -> Iterator[Step]:
    """Let the floating IP name the port's address and the router between the two networks."""
    fixed = _address(live, floating, port)
    router, way = _router(live, floating, port)
    after: Record = {}
    if fixed["ip_address"] != floating["fixed_ip_address"]:
        after["fixed_ip_address"] = fixed["ip_address"]
    if router != floating["router_id"]:
        after |= {"router_id": router, "last_known_router_id": floating["router_id"], "status": "DOWN"}
    if not after:
        return
    same = {"floating_network_id": floating["floating_network_id"], "fixed_port_id": port["id"]}
    for other in live.rows("neutron", "floatingips", {**same, "fixed_ip_address": fixed["ip_address"]}):
        if other["id"] != floating["id"]:
            raise CannotRepair(
                f"floating IP {other['floating_ip_address']} leads to address {fixed['ip_address']} of port"
                f" {port['id']} already: openstack floating ip unset --port {floating['id']}"
            )
    key = {name: fixed[name] for name in ("ip_address", "subnet_id", "network_id")}
    yield ExpectRow(database="neutron", table="ipallocations", pk=key, expect={"port_id": port["id"]})
    for row in way:
        names = ("device_id", "device_owner", "network_id")
        yield ExpectRow(
            database="neutron", table="ports", pk={"id": row["id"]}, expect={name: row[name] for name in names}
        )
    guards = ("fixed_port_id", "fixed_ip_address", "router_id", "floating_network_id")
    yield change(live, "neutron", "floatingips", floating, after, guards)
    yield revised(live, floating["standard_attr_id"])
    yield Manual(
        text=f"Let Neutron tell its agents: openstack floating ip set --port {port['id']} --fixed-ip-address"
        f" {fixed['ip_address']} {floating['id']}"
    )
    yield from told_to_ovn(live, floating)


def _address(live: Live, floating: Record, port: Record) -> Record:
    """The port's IPv4 address to which the floating IP leads; CannotRepair if none or several could be meant."""
    found = live.rows("neutron", "ipallocations", {"port_id": port["id"]})
    addresses = [row for row in found if "." in str(row["ip_address"])]
    meant = [row for row in addresses if row["ip_address"] == floating["fixed_ip_address"]] or addresses
    if len(meant) != 1:
        raise CannotRepair(
            f"port {port['id']} has {len(meant)} IPv4 addresses. Choose one: openstack floating ip unset --port"
            f" {floating['id']}, then openstack floating ip set --port {port['id']} --fixed-ip-address <address>"
            f" {floating['id']}"
        )
    return meant[0]


def _router(live: Live, floating: Record, port: Record) -> tuple[str, list[Record]]:
    """(the router that joins the two networks, its two ports); CannotRepair if none or several do."""
    inside = {"network_id": port["network_id"], "device_owner": list(_INTERFACES)}
    outside = {"network_id": floating["floating_network_id"], "device_owner": _GATEWAY}
    gateways = {str(row["device_id"]): row for row in live.rows("neutron", "ports", outside)}
    known = {str(row["port_id"]) for row in _known(live, list(gateways))}
    ways = {
        str(row["device_id"]): [row, gateways[str(row["device_id"])]]
        for row in live.rows("neutron", "ports", inside)
        if str(row["device_id"]) in gateways and {row["id"], gateways[str(row["device_id"])]["id"]} <= known
    }
    if floating["router_id"] in ways:
        return str(floating["router_id"]), ways[str(floating["router_id"])]
    if len(ways) != 1:
        raise CannotRepair(
            f"{len(ways)} routers join network {port['network_id']} to external network"
            f" {floating['floating_network_id']}. If the association is no longer wanted: openstack floating ip unset"
            f" --port {floating['id']}"
        )
    return next(iter(ways.items()))


def _known(live: Live, routers: list[str]) -> list[Record]:
    """The rows of ``routerports`` of these routers."""
    return live.rows("neutron", "routerports", {"router_id": routers}) if routers else []


REPAIR = Repair(
    name="mend-floating-ip",
    risk=Risk.UNSAFE,
    resource="floating-ip",
    checks=("floating-ip-inconsistent",),
    strategies={"db": db},
    no_api=(
        "the API associates a floating IP anew only after it was taken off its port: openstack floating ip unset"
        " --port, then openstack floating ip set --port; nothing in between says what it belonged to"
    ),
    why="the public address does not work until Neutron has told its agents, and leads to the port's only address then",
)
