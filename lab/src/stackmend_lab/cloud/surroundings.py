# SPDX-License-Identifier: Apache-2.0
"""The contents of a cloud before its first server: cells, hosts, projects, networks, images, providers, oddities."""

from __future__ import annotations

import json
from uuid import NAMESPACE_DNS, uuid5

from stackmend_lab.cloud import cinder, neutron, placement
from stackmend_lab.cloud.documents import DETAILS, cidr, label
from stackmend_lab.cloud.kinds import identifier
from stackmend_lab.cloud.nova import CELL_IDS
from stackmend_lab.cloud.world import CELLS, CLASSES, FLAVORS, PROJECT_NAMES, SERVICE_VERSIONS, Emit, World

MARKER = "00000000-0000-0000-0000-000000000000"


def surroundings(emit: Emit, world: World, urls: dict[str, str], quotas: cinder.Quotas) -> None:
    """Everything except the servers. ``urls``: the URL of each cell in nova_api.cell_mappings, by name."""
    _keystone_glance(emit, world)
    _cells(emit, world, urls)
    _hosts(emit, world)
    _networks(emit, world)
    _providers(emit, world)
    _cinder(emit, world)
    _oddities(emit, world)
    quotas.count(world.project(0), cinder.SIZE)  # the volume attached to a host


def _keystone_glance(emit: Emit, world: World) -> None:
    root = "<<keystone.domain.root>>"
    for domain, above in ((root, root), ("default", root)):
        emit("keystone", "project", ("id", "name", "domain_id", "enabled", "is_domain", "parent_id", "extra"),
             (domain, domain, above, 1, 1, None, "{}"))  # fmt: skip
    for number in range(world.projects):
        name = f"{PROJECT_NAMES[number % len(PROJECT_NAMES)]}-{number}"
        emit("keystone", "project", ("id", "name", "domain_id", "enabled", "is_domain", "parent_id", "extra"),
             (world.project(number), name, "default", 1, 0, "default", "{}"))  # fmt: skip
        emit("keystone", "user", ("id", "domain_id", "enabled", "extra"), (world.user(number), "default", 1, "{}"))
    for number in range(4):
        emit("glance", "images",
             ("id", "name", "status", "visibility", "size", "min_disk", "min_ram", "created_at", "updated_at", "deleted",
              "disk_format", "container_format", "owner", "protected", "os_hidden"),
             (world.image(number), f"debian-{number + 10}", "active", "public", 1 << 29, 0, 0, world.ago(days=500),
              world.ago(days=499), 0, "qcow2", "bare", world.project(0), 0, 0))  # fmt: skip
        emit("glance", "image_locations", ("id", "image_id", "value", "created_at", "deleted", "status"),
             (number + 1, world.image(number), f"rbd://pool/{world.image(number)}", world.ago(days=499), 0, "active"))  # fmt: skip


def _cells(emit: Emit, world: World, urls: dict[str, str]) -> None:
    for name, number in CELL_IDS.items():
        uuid = MARKER if name == "cell0" else identifier(0xF0, number, world.seed)
        transport = "none:///" if name == "cell0" else f"rabbit://openstack:rabbit-secret@mq:5672/{name}"
        emit("nova_api", "cell_mappings", ("id", "uuid", "name", "transport_url", "database_connection", "disabled"),
             (number, uuid, name, transport, urls[name], 0))  # fmt: skip
    for number, (name, vcpus, memory, root, ephemeral, swap) in enumerate(FLAVORS):
        emit("nova_api", "flavors",
             ("id", "name", "flavorid", "vcpus", "memory_mb", "root_gb", "ephemeral_gb", "swap", "is_public", "disabled"),
             (number + 1, name, str(number + 1), vcpus, memory, root, ephemeral, swap, 1, 0))  # fmt: skip


_SERVICE = ("id", "uuid", "host", "binary", "topic", "report_count", "disabled", "forced_down", "last_seen_up",
            "version", "created_at", "updated_at", "deleted")  # fmt: skip
_NODE = (
    "id", "uuid", "host", "hypervisor_hostname", "hypervisor_type", "hypervisor_version", "vcpus", "memory_mb",
    "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used", "cpu_info", "mapped", "created_at", "updated_at",
    "deleted", "ram_allocation_ratio", "cpu_allocation_ratio", "disk_allocation_ratio",
)  # fmt: skip


def _hosts(emit: Emit, world: World) -> None:
    for cell in CELLS:
        _service(emit, world, cell, f"control-{cell}", "nova-conductor")
    for number in range(world.hosts):
        cell = world.cell_of(number)
        _service(emit, world, cell, world.host(number), "nova-compute")
        _node(emit, world, cell, world.compute_id(number), world.node_uuid(number), world.host(number),
              world.host(number), "QEMU")  # fmt: skip
        _map_host(emit, world, world.host(number), cell)
        _agent(emit, world, number, "Open vSwitch agent", world.host(number))
    _agent(emit, world, world.hosts, "DHCP agent", "control")
    _service(emit, world, "cell1", "ir0001", "nova-compute")
    _map_host(emit, world, "ir0001", "cell1")


def ironic_node(emit: Emit, world: World, ordinal: int, node: str) -> None:
    """One baremetal node of the ironic service host, with its provider (G-IRONIC)."""
    _node(emit, world, "cell1", world.hosts // 2 + 2 + ordinal, node, "ir0001", node, "ironic")
    _provider(emit, world, placement.ironic_provider(world, ordinal), node, node)
    _inventory(emit, world, placement.ironic_provider(world, ordinal), CLASSES.index("CUSTOM_BAREMETAL") + 1, 1)


def _map_host(emit: Emit, world: World, host: str, cell: str) -> None:
    number = world.next("nova_api", "host_mappings")
    emit("nova_api", "host_mappings", ("id", "cell_id", "host"), (number, CELL_IDS[cell], host))


def _service(emit: Emit, world: World, cell: str, host: str, binary: str) -> None:
    number = world.next(f"cell:{cell}", "services")
    uuid = identifier(0xC1 + CELLS.index(cell), number, world.seed)
    emit(f"cell:{cell}", "services", _SERVICE, (
        number, uuid, host, binary, binary.removeprefix("nova-"), 1000, 0, 0, world.ago(seconds=5),
        SERVICE_VERSIONS[world.release],
        world.ago(days=500), world.ago(seconds=5), 0,
    ))  # fmt: skip


def _node(emit: Emit, world: World, cell: str, number: int, uuid: str, host: str, name: str, kind: str) -> None:
    emit(f"cell:{cell}", "compute_nodes", _NODE, (
        number, uuid, host, name, kind, 9000000, 64, 512000, 20000, 0, 0, 0, "{}", 1, world.ago(days=500),
        world.ago(seconds=30), 0, 1.5, 16.0, 1.0,
    ))  # fmt: skip


def _agent(emit: Emit, world: World, number: int, kind: str, host: str) -> None:
    binary, topic = (
        ("neutron-dhcp-agent", "dhcp_agent") if kind == "DHCP agent" else ("neutron-openvswitch-agent", "N/A")
    )
    emit("neutron", "agents",
         ("id", "agent_type", "binary", "topic", "host", "admin_state_up", "created_at", "started_at",
          "heartbeat_timestamp", "configurations", "load"),
         (identifier(0x3A, number, world.seed), kind, binary, topic, host, 1, world.ago(days=500), world.ago(days=30),
          world.ago(seconds=5), "{}", 0))  # fmt: skip


def _networks(emit: Emit, world: World) -> None:
    for number in range(world.projects):
        _network(emit, world, number)
    _segments(emit, world)
    old = world.ago(days=500)
    public = neutron.public(world)
    emit("neutron", "networks", _NET, (public, world.project(0), "public", "ACTIVE", 1, 1500,
                                       neutron.standard(emit, world, "networks", old, old)))  # fmt: skip
    emit("neutron", "networksegments", _SEGMENT, (identifier(0x3B, 1, world.seed), public, "flat", "physnet1", None, 0, 0,
                                                  neutron.standard(emit, world, "networksegments", old, old)))  # fmt: skip
    emit("neutron", "externalnetworks", ("network_id", "is_default"), (public, 0))
    _subnet(emit, world, neutron.public_subnet(world), public, 0, 4, "198.0.0.0/7", "198.0.0.1", old)
    _router(emit, world, old)


def _segments(emit: Emit, world: World) -> None:
    """The ids that Neutron gives to networks: VXLAN of the projects' networks and some free ones, and free VLANs."""
    for number in range(1, world.projects + 51):
        emit("neutron", "ml2_vxlan_allocations", ("vxlan_vni", "allocated"), (number, int(number <= world.projects)))
    for number in range(100, 150):
        emit("neutron", "ml2_vlan_allocations", ("physical_network", "vlan_id", "allocated"), ("physnet1", number, 0))


def _router(emit: Emit, world: World, old: str) -> None:
    """The router to the public network, with its gateway."""
    public, port = neutron.public(world), identifier(0x42, 1, world.seed)
    emit("neutron", "routers",
         ("id", "project_id", "name", "status", "admin_state_up", "enable_snat", "gw_port_id", "standard_attr_id"),
         (neutron.router(world), world.project(0), "edge", "ACTIVE", 1, 1, port,
          neutron.standard(emit, world, "routers", old, old)))  # fmt: skip
    emit("neutron", "ports", neutron.PORT, (
        port, "", "", public, "fa:1b:00:00:00:01", 1, "ACTIVE", neutron.router(world), "network:router_gateway",
        neutron.standard(emit, world, "ports", old, old), "immediate",
    ))  # fmt: skip
    emit("neutron", "ml2_port_bindings", neutron.BINDING,
         (port, "control", "ovs", "normal", "{}", json.dumps(DETAILS), "ACTIVE"))  # fmt: skip
    emit("neutron", "ml2_port_binding_levels", neutron.LEVEL,
         (port, "control", 0, "openvswitch", identifier(0x3B, 1, world.seed)))  # fmt: skip
    emit("neutron", "ipallocations", neutron.ALLOCATION, (port, "198.0.0.2", neutron.public_subnet(world), public))
    emit("neutron", "ipamallocations", neutron.IPAM, ("198.0.0.2", neutron.public_subnet(world), "ALLOCATED"))
    emit("neutron", "routerports", ("router_id", "port_id", "port_type"),
         (neutron.router(world), port, "network:router_gateway"))  # fmt: skip


_NET = ("id", "project_id", "name", "status", "admin_state_up", "mtu", "standard_attr_id")
_SEGMENT = ("id", "network_id", "network_type", "physical_network", "segmentation_id", "is_dynamic", "segment_index",
            "standard_attr_id")  # fmt: skip


def _network(emit: Emit, world: World, number: int) -> None:
    old, project, network = world.ago(days=500), world.project(number), world.network(number)
    emit("neutron", "networks", _NET, (network, project, label(number), "ACTIVE", 1, 1450,
                                       neutron.standard(emit, world, "networks", old, old)))  # fmt: skip
    emit("neutron", "networksegments", _SEGMENT,
         (neutron.segment(world, number), network, "vxlan", None, number + 1, 0, 0,
          neutron.standard(emit, world, "networksegments", old, old)))  # fmt: skip
    emit("neutron", "securitygroups", ("id", "project_id", "name", "stateful", "standard_attr_id"),
         (neutron.group(world, number), project, "default", 1,
          neutron.standard(emit, world, "securitygroups", old, old)))  # fmt: skip
    _subnet(emit, world, world.subnet(number, 4), network, number, 4, cidr(number, 4), world.address(number, 1), old)
    if world.dual(number):
        _subnet(emit, world, world.subnet(number, 6), network, number, 6, cidr(number, 6), None, old)
    device = f"dhcp{uuid5(NAMESPACE_DNS, 'control')}-{network}"
    _service_port(emit, world, number, "network:dhcp", device, 2, 0x3C)
    emit("neutron", "networkdhcpagentbindings", ("network_id", "dhcp_agent_id", "binding_index"),
         (network, identifier(0x3A, world.hosts, world.seed), 1))  # fmt: skip
    _service_port(emit, world, number, "network:router_interface", neutron.router(world), 1, 0x3D)
    emit("neutron", "routerports", ("router_id", "port_id", "port_type"),
         (neutron.router(world), identifier(0x3D, number, world.seed), "network:router_interface"))  # fmt: skip


def _subnet(
    emit: Emit, world: World, subnet: str, network: str, project: int, version: int, prefix: str, gateway: str | None,
    old: str,
) -> None:  # fmt: skip
    emit("neutron", "subnets",
         ("id", "network_id", "project_id", "name", "ip_version", "cidr", "gateway_ip", "enable_dhcp",
          "ipv6_address_mode", "ipv6_ra_mode", "standard_attr_id"),
         (subnet, network, world.project(project), "", version, prefix, gateway, int(version == 4),
          "slaac" if version == 6 else None, "slaac" if version == 6 else None,
          neutron.standard(emit, world, "subnets", old, old)))  # fmt: skip
    if version == 4 and gateway != "198.0.0.1":
        emit("neutron", "dnsnameservers", ("address", "subnet_id", "order"), ("8.8.8.8", subnet, 0))
    emit("neutron", "ipamsubnets", ("id", "neutron_subnet_id"), (subnet, subnet))


def _service_port(emit: Emit, world: World, number: int, owner: str, device: str, address: int, sort: int) -> None:
    """A port of Neutron's own: DHCP or router."""
    old, port = world.ago(days=500), identifier(sort, number, world.seed)
    mac = f"fa:{sort:02x}:{number >> 24 & 255:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    attribute = neutron.standard(emit, world, "ports", old, old)
    network = world.network(number)
    emit("neutron", "ports", neutron.PORT, (port, world.project(number), "", network, mac, 1, "ACTIVE", device, owner,
                                            attribute, "immediate"))  # fmt: skip
    emit("neutron", "ml2_port_bindings", neutron.BINDING,
         (port, "control", "ovs", "normal", "{}", json.dumps(DETAILS), "ACTIVE"))  # fmt: skip
    emit("neutron", "ml2_port_binding_levels", neutron.LEVEL,
         (port, "control", 0, "openvswitch", neutron.segment(world, number)))  # fmt: skip
    subnet = world.subnet(number, 4)
    emit("neutron", "ipallocations", neutron.ALLOCATION, (port, world.address(number, address), subnet, network))
    emit("neutron", "ipamallocations", neutron.IPAM, (world.address(number, address), subnet, "ALLOCATED"))


def _providers(emit: Emit, world: World) -> None:
    for number, name in enumerate(CLASSES):
        emit("placement", "resource_classes", ("id", "name"), (number + 1, name))
    for number, name in ((1, "INSTANCE"), (2, "MIGRATION"), (3, "LICENSE_SERVER")):
        emit("placement", "consumer_types", ("id", "name"), (number, name))
    for number in range(world.projects):
        emit("placement", "projects", ("id", "external_id"), (number + 1, world.project(number)))
        emit("placement", "users", ("id", "external_id"), (number + 1, world.user(number)))
    for number in range(world.hosts):
        provider = world.provider_id(number)
        _provider(emit, world, provider, world.node_uuid(number), world.host(number))
        for kind, total in ((1, 64 * 1024), (2, 512000 * 1024), (3, 20000 * 1024)):
            _inventory(emit, world, provider, kind, total)


def _provider(emit: Emit, world: World, number: int, uuid: str, name: str) -> None:
    emit("placement", "resource_providers", ("id", "uuid", "name", "generation", "root_provider_id", "created_at"),
         (number, uuid, name, 7, number, world.ago(days=500)))  # fmt: skip


def _inventory(emit: Emit, world: World, provider: int, kind: int, total: int) -> None:
    emit("placement", "inventories",
         ("id", "resource_provider_id", "resource_class_id", "total", "reserved", "min_unit", "max_unit", "step_size",
          "allocation_ratio"),
         (world.next("placement", "inventories"), provider, kind, total, 0, 1, total, 1, 1.0))  # fmt: skip


def _cinder(emit: Emit, world: World) -> None:
    emit("cinder", "volume_types", ("id", "name", "is_public", "created_at", "deleted"),
         (world.volume_type, cinder.TYPE, 1, world.ago(days=500), 0))  # fmt: skip
    emit("cinder", "volume_type_extra_specs", ("id", "volume_type_id", "key", "value", "created_at", "deleted"),
         (1, world.volume_type, "multiattach", "<is> True", world.ago(days=500), 0))  # fmt: skip
    emit("cinder", "services",
         ("id", "uuid", "host", "binary", "topic", "report_count", "disabled", "created_at", "updated_at", "deleted"),
         (1, cinder.service(world), cinder.cinder_host(), "cinder-volume", "cinder-volume", 1, 0,
          world.ago(days=500), world.ago(seconds=5), 0))  # fmt: skip


def _oddities(emit: Emit, world: World) -> None:
    """Rows that look like damage but are not (R4, G-OWNER, host attachments, foreign consumers)."""
    database = "cell:cell1"
    number = world.next(database, "instances")
    emit(database, "instances", ("id", "uuid", "deleted", "deleted_at", "created_at", "vm_state"),
         (number, MARKER, number, world.ago(days=400), world.ago(days=400), None))  # fmt: skip
    emit(database, "virtual_interfaces", ("id", "uuid", "address", "instance_uuid", "deleted", "created_at"),
         (world.next(database, "virtual_interfaces"), identifier(0x46, 1, world.seed),
          f"ff:ff:ff:ff:ff:ff/{identifier(0x46, 1, world.seed)}", MARKER, 0, world.ago(days=400)))  # fmt: skip
    emit("nova_api", "instance_mappings", ("id", "instance_uuid", "cell_id", "project_id", "created_at"),
         (world.next("nova_api", "instance_mappings"), identifier(0x47, 1, world.seed).replace("-", " "), None,
          "INSTANCE_MIGRATION_MARKER", world.ago(days=400)))  # fmt: skip
    old = world.ago(days=100)
    attribute = neutron.standard(emit, world, "ports", old, old)
    kuryr = identifier(0x3E, 1, world.seed)
    emit("neutron", "ports", neutron.PORT, (kuryr, world.project(0), "pod", world.network(0), "fa:19:00:00:00:01", 1,
                                            "ACTIVE", identifier(0x3F, 1, world.seed), "compute:kuryr", attribute,
                                            "none"))  # fmt: skip
    emit("neutron", "ml2_port_bindings", neutron.BINDING,
         (kuryr, world.host(0), "ovs", "normal", "{}", json.dumps(DETAILS), "ACTIVE"))  # fmt: skip
    emit("neutron", "ml2_port_binding_levels", neutron.LEVEL,
         (kuryr, world.host(0), 0, "openvswitch", neutron.segment(world, 0)))  # fmt: skip
    foreign = identifier(0x72, 1, world.seed)
    _inventory(emit, world, 1, CLASSES.index("CUSTOM_LICENSE") + 1, 10)
    placement.consumer(emit, world, foreign, 0, 3, old)
    emit("placement", "allocations", placement.ALLOCATION,
         (world.next("placement", "allocations"), 1, foreign, CLASSES.index("CUSTOM_LICENSE") + 1, 1, old, old))  # fmt: skip
    volume = identifier(0x73, 1, world.seed)
    cinder.row(emit, world, volume, 0, "in-use", "attached", created=old, name="image cache")
    cinder.attachment(emit, world, id=identifier(0x74, 1, world.seed), volume_id=volume, attached_host="control",
                      attach_status="attached", attach_mode="rw", created_at=old, updated_at=old, deleted=0)  # fmt: skip
