# SPDX-License-Identifier: Apache-2.0
"""Rows of Neutron's database for the ports of one server."""

from __future__ import annotations

import json

from stackmend_lab.cloud.documents import DETAILS
from stackmend_lab.cloud.kinds import identifier, text
from stackmend_lab.cloud.things import Port, Things
from stackmend_lab.cloud.world import ZONE, Emit, World

STANDARD = ("id", "resource_type", "revision_number", "created_at", "updated_at", "description")
PORT = (
    "id", "project_id", "name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner",
    "standard_attr_id", "ip_allocation",
)  # fmt: skip
BINDING = ("port_id", "host", "vif_type", "vnic_type", "profile", "vif_details", "status")
LEVEL = ("port_id", "host", "level", "driver", "segment_id")
ALLOCATION = ("port_id", "ip_address", "subnet_id", "network_id")
IPAM = ("ip_address", "ipam_subnet_id", "status")
_SECURITY = ("port_id", "port_security_enabled")
_GROUP = ("port_id", "security_group_id")
_FLOATING = (
    "id", "project_id", "floating_ip_address", "floating_network_id", "floating_port_id", "fixed_port_id",
    "fixed_ip_address", "router_id", "status", "standard_attr_id",
)  # fmt: skip
_TRUNK = ("id", "project_id", "name", "admin_state_up", "port_id", "status", "standard_attr_id")
_SUBPORT = ("port_id", "trunk_id", "segmentation_type", "segmentation_id")
DETAILS_TEXT = json.dumps(DETAILS)


def server(emit: Emit, world: World, its: Things) -> None:
    """Every row of the ports of one server."""
    for port in its.ports:
        _port(emit, world, its, port)
    if its.plan.kind == "trunk" and its.ports:
        _trunk(emit, world, its)


def standard(emit: Emit, world: World, kind: str, created: str, updated: str, description: str = "") -> int:
    """Write a row of standardattributes; returns its id."""
    number = world.next("neutron", "standardattributes")
    emit("neutron", "standardattributes", STANDARD, (number, kind, 3, created, updated, description))
    return number


def _port(emit: Emit, world: World, its: Things, port: Port) -> None:
    plan = its.plan
    created, updated = text(plan.created), text(plan.updated)
    if port.keep:
        created = world.ago(days=500)
    bound = plan.kind != "shelved_offloaded"
    running = plan.state[1] in (1, 3, 4) and plan.kind not in ("soft_deleted", "building")
    status = "ACTIVE" if bound and running else "DOWN"
    owner = "baremetal:none" if plan.kind == "ironic" else f"compute:{ZONE}"
    attribute = standard(emit, world, "ports", created, updated)
    name = f"adresse-für-vm-{plan.number}" if port.keep else ""
    emit("neutron", "ports", PORT, (
        port.uuid, world.project(plan.project), name, world.network(plan.project), port.mac, 1, status, plan.uuid,
        owner, attribute, "immediate",
    ))  # fmt: skip
    host = (its.node if plan.kind == "ironic" else its.host) or ""
    if not bound:
        emit("neutron", "ml2_port_bindings", BINDING, (port.uuid, "", "unbound", "normal", "{}", "", "ACTIVE"))
    else:
        _bind(emit, world, its, port, host, "ACTIVE")
    if plan.kind == "live_migrating":
        _bind(emit, world, its, port, world.host(plan.other), "INACTIVE")
    for version in (4, 6) if world.dual(plan.project) else (4,):
        subnet = world.subnet(plan.project, version)
        address = world.address(plan.project, port.address, version)
        emit("neutron", "ipallocations", ALLOCATION, (port.uuid, address, subnet, world.network(plan.project)))
        emit("neutron", "ipamallocations", IPAM, (address, _ipam(world, plan.project, version), "ALLOCATED"))
    emit("neutron", "portsecuritybindings", _SECURITY, (port.uuid, 1))
    emit("neutron", "securitygroupportbindings", _GROUP, (port.uuid, group(world, plan.project)))
    if port.floating:
        _floating(emit, world, its, port)


def _bind(emit: Emit, world: World, its: Things, port: Port, host: str, status: str) -> None:
    details = DETAILS_TEXT if port.kind == "ovs" else "{}"
    emit("neutron", "ml2_port_bindings", BINDING, (port.uuid, host, port.kind, "normal", "{}", details, status))
    driver = "openvswitch" if port.kind == "ovs" else "baremetal"
    emit("neutron", "ml2_port_binding_levels", LEVEL, (port.uuid, host, 0, driver, segment(world, its.plan.project)))


def _floating(emit: Emit, world: World, its: Things, port: Port) -> None:
    """A floating IP, with the port that holds its address in the public network."""
    created = text(its.plan.created)
    attribute = standard(emit, world, "ports", created, created)
    mac = f"fa:17:{port.mac[6:]}"
    emit("neutron", "ports", PORT, (
        port.floating_port, "", "", public(world), mac, 1, "N/A", port.floating_uuid, "network:floatingip", attribute,
        "immediate",
    ))  # fmt: skip
    emit("neutron", "ml2_port_bindings", BINDING, (port.floating_port, "", "unbound", "normal", "{}", "", "ACTIVE"))
    emit(
        "neutron", "ipallocations", ALLOCATION, (port.floating_port, port.floating, public_subnet(world), public(world))
    )
    emit("neutron", "ipamallocations", IPAM, (port.floating, public_subnet(world), "ALLOCATED"))
    plan = its.plan
    emit("neutron", "floatingips", _FLOATING, (
        port.floating_uuid, world.project(plan.project), port.floating, public(world), port.floating_port, port.uuid,
        world.address(plan.project, port.address), router(world), "ACTIVE",
        standard(emit, world, "floatingips", created, created),
    ))  # fmt: skip


def _trunk(emit: Emit, world: World, its: Things) -> None:
    """The server's first port is the parent of a trunk with one subport."""
    plan, parent = its.plan, its.ports[0]
    created = text(plan.created)
    trunk = identifier(0x33, plan.number, world.seed)
    child = identifier(0x34, plan.number, world.seed)
    project = world.project(plan.project)
    emit("neutron", "trunks", _TRUNK, (trunk, project, "uplink", 1, parent.uuid, "ACTIVE",
                                       standard(emit, world, "trunks", created, created)))  # fmt: skip
    attribute = standard(emit, world, "ports", created, created)
    mac = f"fa:18:{parent.mac[6:]}"
    emit("neutron", "ports", PORT, (child, project, "", world.network(plan.project), mac, 1, "ACTIVE", trunk,
                                    "trunk:subport", attribute, "none"))  # fmt: skip
    emit("neutron", "ml2_port_bindings", BINDING,
         (child, its.host or "", "ovs", "normal", "{}", DETAILS_TEXT, "ACTIVE"))  # fmt: skip
    emit("neutron", "ml2_port_binding_levels", LEVEL,
         (child, its.host or "", 0, "openvswitch", segment(world, plan.project)))  # fmt: skip
    emit("neutron", "subports", _SUBPORT, (child, trunk, "vlan", 101))


def segment(world: World, project: int) -> str:
    """Id of the segment of a project's network."""
    return identifier(0x35, project, world.seed)


def group(world: World, project: int) -> str:
    """Id of a project's default security group."""
    return identifier(0x36, project, world.seed)


def _ipam(world: World, project: int, version: int) -> str:
    return world.subnet(project, version)


def public(world: World) -> str:
    """Id of the public network."""
    return identifier(0x37, 1, world.seed)


def public_subnet(world: World) -> str:
    """Id of its subnet."""
    return identifier(0x38, 1, world.seed)


def router(world: World) -> str:
    """Id of the router to it."""
    return identifier(0x39, 1, world.seed)
