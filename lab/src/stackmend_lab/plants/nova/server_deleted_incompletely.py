# SPDX-License-Identifier: Apache-2.0
"""Deletions that stopped halfway, and deletions by SQL (catalogue B4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server


def plant(cloud: CloudRows) -> dict[str, Any]:
    """SQL from a blog post: deleted=1, with the times and the state of a live server."""
    server = cloud.pick("deleted")
    cloud.execute(
        server.database,
        "UPDATE instances SET deleted = CASE WHEN id = 1 THEN 2 ELSE 1 END, vm_state = 'active', terminated_at = NULL"
        " WHERE uuid = :u",
        {"u": server.uuid},
    )
    return _key(server)


def children(cloud: CloudRows) -> dict[str, Any]:
    """The deletion crashed before the children were marked."""
    server = cloud.pick("deleted")
    for table in ("block_device_mapping", "instance_extra", "instance_system_metadata"):
        where = {"instance_uuid": server.uuid}
        cloud.update(server.database, table, where, deleted=0, deleted_at=None)
    cloud.insert(server.database, "tags", resource_id=server.uuid, tag="left")
    return _key(server)


def fields(cloud: CloudRows) -> dict[str, Any]:
    """The row is marked deleted, but has the state of a running server that was never terminated."""
    server = cloud.pick("deleted")
    where = {"uuid": server.uuid}
    cloud.update(server.database, "instances", where, vm_state="active", task_state="deleting", terminated_at=None)
    return _key(server)


def mapping(cloud: CloudRows) -> dict[str, Any]:
    """The API database still counts the server."""
    server = cloud.pick("deleted")
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, queued_for_delete=0)
    return _key(server)


def pci(cloud: CloudRows) -> dict[str, Any]:
    """A PCI device is still allocated to the server, and a console token with its secret is left."""
    server = cloud.pick("deleted")
    node = cloud.rows(server.database, "SELECT id FROM compute_nodes ORDER BY id", {})[0]["id"]
    address = f"{server.uuid[:4]}:{server.uuid[4:6]}:{server.uuid[6:8]}.1"
    cloud.insert(
        server.database, "pci_devices", compute_node_id=node, address=address, product_id="1", vendor_id="2",
        dev_type="type-VF", label="l", status="allocated", instance_uuid=server.uuid, deleted=0, extra_info="{}",
    )  # fmt: skip
    cloud.insert(
        server.database, "console_auth_tokens", token_hash=f"secret-{server.uuid}", console_type="novnc", host="h",
        port=5900, instance_uuid=server.uuid, expires=1,
    )  # fmt: skip
    return _key(server)


def _key(server: Server) -> dict[str, Any]:
    return {"server": server.uuid, "cell": server.cell}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "children": children,
    "fields": fields,
    "mapping": mapping,
    "pci": pci,
}


def restorable(cloud: CloudRows) -> None:
    """A soft-deleted server is a live row that can be restored."""
    cloud.pick("soft_deleted")


def never_scheduled(cloud: CloudRows) -> None:
    """A server that never had a host: Nova deletes it without changing its state."""
    cloud.pick("deleted_hostless")


def late_fault(cloud: CloudRows) -> None:
    """A fault was written after the deletion."""
    server = cloud.pick("deleted")
    cloud.insert(
        server.database, "instance_faults", instance_uuid=server.uuid, code=500, message="late", deleted=0,
        created_at=cloud.ago(60),
    )  # fmt: skip


def files_tried(cloud: CloudRows) -> None:
    """nova-compute tried to remove the files, and counts that in a row that stays live (seen with real services)."""
    server = cloud.pick("deleted")
    cloud.insert(
        server.database, "instance_system_metadata", instance_uuid=server.uuid, key="clean_attempts", value="1",
        deleted=0, created_at=cloud.ago(3600),
    )  # fmt: skip


def just_now(cloud: CloudRows) -> None:
    """The deletion is in progress."""
    server = cloud.pick("deleted")
    where = {"uuid": server.uuid}
    cloud.update(server.database, "instances", where, deleted_at=cloud.ago(30), terminated_at=None)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "restorable": restorable,
    "never_scheduled": never_scheduled,
    "late_fault": late_fault,
    "files_tried": files_tried,
    "just_now": just_now,
}
