# SPDX-License-Identifier: Apache-2.0
"""Helpers for plants: damage to servers and ports, and properties of hosts."""

from __future__ import annotations

import json
import uuid
from typing import Any

from stackmend_lab.cloud import AbsentError, CloudRows, Server
from stackmend_lab.cloud.documents import build_request
from stackmend_lab.plants._hosts import inventory, map_host
from stackmend_lab.plants._networks import place_port, secure_port

#: seconds; longer than the age that any server check waits for
OLD = 6 * 3600


def new_build_request(cloud: CloudRows, server: str, age: float = OLD, project: str = "") -> str:
    """Have Nova wait for the server's cell; returns the server."""
    project = project or uuid.uuid4().hex
    document = build_request(project, uuid.uuid4().hex, 0, server)
    values = {"project_id": project, "instance_uuid": server, "created_at": cloud.ago(age)}
    cloud.insert("nova_api", "build_requests", **values, **document)
    return server


def cache(cloud: CloudRows, server: Server) -> list[dict[str, Any]]:
    """The VIFs of the server's network cache."""
    sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u"
    document = cloud.rows(server.database, sql, {"u": server.uuid})[0]["network_info"]
    found: list[dict[str, Any]] = json.loads(document)
    return found


def write_cache(cloud: CloudRows, server: Server, document: Any) -> None:
    """Replace the server's network cache by VIFs, or by any text."""
    text = document if document is None or isinstance(document, str) else json.dumps(document)
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info=text)


def touch(cloud: CloudRows, server: Server, seconds: float = OLD) -> None:
    """Make the server look changed that long ago."""
    cloud.update(server.database, "instances", {"uuid": server.uuid}, updated_at=cloud.ago(seconds))


def neighbour(cloud: CloudRows, server: Server) -> dict[str, Any]:
    """The compute node of another host in the server's cell."""
    sql = "SELECT * FROM compute_nodes WHERE host <> :h AND hypervisor_type <> 'ironic' AND deleted = 0 ORDER BY id"
    found: dict[str, Any] = cloud.rows(server.database, sql, {"h": server.host or ""})[0]
    return found


def hardly_told(cloud: CloudRows) -> Server:
    """An active server without volumes that never moved: neither Cinder nor a migration tells where it is."""
    while True:
        server = cloud.pick("active")
        moves = "SELECT id FROM migrations WHERE instance_uuid = :u"
        if not server.volumes and not cloud.rows(server.database, moves, {"u": server.uuid}):
            return server


def alone(cloud: CloudRows, server: Server, *, silent: bool = False) -> str:
    """Move a server with all its objects to a new host; returns its name. ``silent``: no heartbeat for three hours."""
    host, node, sql = (
        f"lonely-{server.uuid[:8]}",
        f"{server.uuid[:-4]}c0de",
        "SELECT * FROM {} WHERE host = :h AND deleted = 0",
    )
    numbers = {}
    for table, more in (
        ("services", {"uuid": f"{server.uuid[:-4]}5e12"}),
        ("compute_nodes", {"uuid": node, "hypervisor_hostname": host}),
    ):
        row = cloud.rows(server.database, sql.format(table), {"h": server.host})[0]
        own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in row.items() if k != "id"}
        numbers[table] = cloud.insert(server.database, table, **{**own, **more, "host": host})
    if silent:
        beat = cloud.ago(3 * 3600)
        cloud.update(server.database, "services", {"host": host}, last_seen_up=beat, updated_at=beat)
    number = cloud.insert("placement", "resource_providers", uuid=node, name=host, generation=1)
    cloud.update("placement", "resource_providers", {"id": number}, root_provider_id=number)
    for kind, total in ((1, 64), (2, 512000), (3, 20000)):
        inventory(cloud, int(number), kind, total)
    map_host(cloud, host, server.cell)
    cloud.update("placement", "allocations", {"consumer_id": server.uuid}, resource_provider_id=number)
    settle(cloud, server, host, host, numbers["compute_nodes"])
    left = (
        "UPDATE migrations SET source_compute = :h, source_node = :h WHERE instance_uuid = :u AND source_compute = :o"
    )
    cloud.execute(server.database, left, {"h": host, "u": server.uuid, "o": server.host})
    for port in server.ports:
        bind(cloud, port, host)
    return host


def settle(cloud: CloudRows, server: Server, host: str, node: str, compute: Any) -> None:
    """Make Nova's rows and Cinder's attachments name that host, as if the server had been built there."""
    cloud.update(
        server.database, "instances", {"uuid": server.uuid}, host=host, node=node, launched_on=host, compute_id=compute
    )
    events = "UPDATE instance_actions_events SET host = :h WHERE action_id IN"
    events += " (SELECT id FROM instance_actions WHERE instance_uuid = :u)"
    cloud.execute(server.database, events, {"h": host, "u": server.uuid})
    where = {"instance_uuid": server.uuid, "deleted": 0}
    cloud.update("cinder", "volume_attachment", where, attached_host=host)


def migrated(
    cloud: CloudRows, server: Server, node: dict[str, Any], status: str, source: str, age: float = 9000,
    kind: str = "live-migration",
) -> str:  # fmt: skip
    """Insert a migration to that compute node that has this status; returns its UUID."""
    move = server.migration[:-4] + "beef"
    cloud.insert(
        server.database, "migrations", uuid=move, instance_uuid=server.uuid, status=status,
        migration_type=kind, source_compute=source, source_node=source, dest_compute=node["host"],
        dest_node=node["hypervisor_hostname"], deleted=0, created_at=cloud.ago(age + 60), updated_at=cloud.ago(age),
    )  # fmt: skip
    return move


def provider(cloud: CloudRows, node_uuid: str) -> int:
    """``resource_providers.id`` of a compute node."""
    return int(cloud.rows("placement", "SELECT id FROM resource_providers WHERE uuid = :u", {"u": node_uuid})[0]["id"])


def card(cloud: CloudRows, server: Server) -> tuple[str, int]:
    """Insert a provider below that of the server's host, such as a network card's: its (uuid, number)."""
    sql = "SELECT uuid FROM compute_nodes WHERE host = :h AND hypervisor_hostname = :n AND deleted = 0"
    (node,) = cloud.rows(server.database, sql, {"h": server.host, "n": server.node})
    host, name = provider(cloud, node["uuid"]), str(uuid.uuid4())
    number = cloud.insert(
        "placement", "resource_providers", uuid=name, name=f"{server.host}:{name}", generation=1,
        parent_provider_id=host, root_provider_id=host,
    )  # fmt: skip
    return name, int(number)


def bind(cloud: CloudRows, port: str, host: str) -> None:
    """Make the port's ACTIVE binding name that host."""
    cloud.execute(
        "neutron",
        "UPDATE ml2_port_bindings SET host = :h WHERE port_id = :p AND status = 'ACTIVE'",
        {"h": host, "p": port},
    )
    cloud.execute("neutron", "UPDATE ml2_port_binding_levels SET host = :h WHERE port_id = :p", {"h": host, "p": port})


def new_port(cloud: CloudRows, server: Server, *, host: str = "", age: float = OLD, **values: Any) -> str:
    """Insert a port in the server's network with address, binding and children; returns its id."""
    like = cloud.rows("neutron", "SELECT * FROM ports WHERE id = :p", {"p": server.ports[0]})[0]
    port = str(uuid.uuid4())
    attribute = cloud.insert(
        "neutron",
        "standardattributes",
        resource_type="ports",
        revision_number=2,
        created_at=cloud.ago(age),
        updated_at=cloud.ago(age),
        description="",
    )
    row = {**like, "id": port, "name": "", "status": "DOWN", "standard_attr_id": attribute}
    row["mac_address"] = f"fa:20:{port[0:2]}:{port[2:4]}:{port[4:6]}:{port[6:8]}"
    cloud.insert("neutron", "ports", **{**row, **values})
    kind = "ovs" if host else "unbound"
    details = '{"port_filter": true, "bridge_name": "br-int"}' if host else ""
    cloud.insert(
        "neutron", "ml2_port_bindings", port_id=port, host=host, vif_type=kind, vnic_type="normal", profile="{}",
        vif_details=details, status="ACTIVE",
    )  # fmt: skip
    if host:
        segments = cloud.rows(
            "neutron", "SELECT id FROM networksegments WHERE network_id = :n", {"n": like["network_id"]}
        )
        level = {"port_id": port, "host": host, "level": 0, "driver": "openvswitch", "segment_id": segments[0]["id"]}
        cloud.insert("neutron", "ml2_port_binding_levels", **level)
    place_port(cloud, port, like["network_id"])
    secure_port(cloud, port, server.ports[0])
    return port


def _consumer_type(cloud: CloudRows, name: str) -> int | None:
    """Placement creates the row of a type with its first consumer; before Xena it knew no types but Nova's two."""
    if name in ("INSTANCE", "MIGRATION") and not cloud.has("placement", "consumer_types"):
        return None
    if not cloud.has("placement", "consumer_types"):
        raise AbsentError("placement has no consumer_types: other consumers cannot be told from Nova's")
    known = cloud.rows("placement", "SELECT id FROM consumer_types WHERE name = :n", {"n": name})
    return int(known[0]["id"] if known else cloud.insert("placement", "consumer_types", name=name))


def new_consumer(
    cloud: CloudRows, consumer: str, provider_id: int, *, kind: str | None = "INSTANCE", age: float = OLD
) -> None:
    """Insert a consumer of that type (None: older than types) with allocations of every resource class of a server."""
    sql = "SELECT project_id FROM instance_mappings WHERE instance_uuid = :u"
    owner = 1
    for mapping in cloud.rows("nova_api", sql, {"u": consumer}):
        known = {"p": mapping["project_id"]}
        for project in cloud.rows("placement", "SELECT id FROM projects WHERE external_id = :p", known):
            owner = project["id"]
    cloud.insert(
        "placement", "consumers", uuid=consumer, project_id=owner, user_id=owner, generation=1,
        consumer_type_id=None if kind is None else _consumer_type(cloud, kind),
        created_at=cloud.ago(age), updated_at=cloud.ago(age),
    )  # fmt: skip
    classes = {row["name"]: row["id"] for row in cloud.rows("placement", "SELECT id, name FROM resource_classes")}
    for name, used in (("VCPU", 2), ("MEMORY_MB", 4096), ("DISK_GB", 40)):
        cloud.insert(
            "placement", "allocations", resource_provider_id=provider_id, consumer_id=consumer,
            resource_class_id=classes[name], used=used, created_at=cloud.ago(age), updated_at=cloud.ago(age),
        )  # fmt: skip
