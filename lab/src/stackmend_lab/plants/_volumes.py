# SPDX-License-Identifier: Apache-2.0
"""Helpers for plants: healthy volumes to break, newly created so that no two plants share one."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.cloud import CloudRows, Server

#: seconds; longer than the age that any volume check waits for
OLD = 3 * 3600


def back_end(cloud: CloudRows) -> str:
    """``host@backend`` of the cloud's first cinder-volume."""
    sql = "SELECT host FROM services WHERE topic = 'cinder-volume' AND deleted = 0 ORDER BY id"
    return str(cloud.rows("cinder", sql)[0]["host"])


def _service_uuid(cloud: CloudRows) -> str | None:
    sql = "SELECT uuid FROM services WHERE topic = 'cinder-volume' AND deleted = 0 ORDER BY id"
    return cloud.rows("cinder", sql)[0]["uuid"] or None


def first_project(cloud: CloudRows) -> str:
    """A project of the cloud."""
    sql = "SELECT id FROM project WHERE is_domain = 0 ORDER BY id"
    return str(cloud.rows("keystone", sql)[0]["id"])


def new_project(cloud: CloudRows) -> str:
    """Insert a project without quota usages; returns its id."""
    project = uuid.uuid4().hex
    values = {"name": f"rehearsal-{project[:8]}", "domain_id": "default", "parent_id": "default", "extra": "{}"}
    cloud.insert("keystone", "project", id=project, enabled=1, is_domain=0, **values)
    return project


def new_volume(cloud: CloudRows, project: str = "", **values: Any) -> str:
    """Insert an available volume with a row of metadata; returns its id."""
    volume = str(uuid.uuid4())
    kinds = cloud.rows("cinder", "SELECT id FROM volume_types WHERE deleted = 0 ORDER BY name", {})
    defaults = {
        "id": volume,
        "project_id": project or new_project(cloud),
        "user_id": uuid.uuid4().hex,
        "host": f"{back_end(cloud)}#rbd",
        "service_uuid": _service_uuid(cloud),
        "size": 8,
        "availability_zone": "nova",
        "status": "available",
        "attach_status": "detached",
        "volume_type_id": kinds[0]["id"] if kinds else str(uuid.uuid4()),
        "bootable": 0,
        "multiattach": 0,
        "use_quota": 1,
        "shared_targets": 0,
        "created_at": cloud.ago(2 * OLD),
        "updated_at": cloud.ago(OLD),
        "deleted": 0,
    }
    row = {**defaults, **values}
    cloud.insert("cinder", "volumes", **row)
    if row["use_quota"] and not row["deleted"]:
        charge(cloud, volume)
    child(cloud, "volume_metadata", volume, key="purpose", value="rehearsal")
    return volume


def charge(cloud: CloudRows, volume: str, times: int = 1) -> None:
    """Count the volume in the quota usages of its project, so many times; Cinder makes usages when it needs them."""
    sql = (
        "SELECT v.project_id, v.size, t.name FROM volumes v LEFT JOIN volume_types t ON t.id = v.volume_type_id"
        " WHERE v.id = :v"
    )
    row = cloud.rows("cinder", sql, {"v": volume})[0]
    update = "UPDATE quota_usages SET in_use = in_use + :n WHERE project_id = :p AND resource = :r AND deleted = 0"
    for resource, amount in (("volumes", times), ("gigabytes", times * row["size"])):
        for name in (resource, f"{resource}_{row['name']}"):
            cloud.execute("cinder", update, {"n": amount, "p": row["project_id"], "r": name})


def child(cloud: CloudRows, table: str, volume: str, **values: Any) -> Any:
    """Insert a live row that belongs to the volume; returns its primary key."""
    defaults = {"volume_id": volume, "created_at": cloud.ago(OLD), "deleted": 0}
    return cloud.insert("cinder", table, **{**defaults, **values})


def new_attachment(cloud: CloudRows, volume: str, server: str | None, host: str | None = "c1", **values: Any) -> str:
    """Insert a live attachment of the volume; returns its id. Without a server it is attached to a host."""
    attachment = str(uuid.uuid4())
    defaults = {
        "id": attachment,
        "instance_uuid": server,
        "attached_host": host,
        "mountpoint": "/dev/vdz",
        "attach_status": "attached",
        "attach_mode": "rw",
        "attach_time": cloud.ago(OLD),
        "updated_at": cloud.ago(OLD),
        "connector": f'{{"host": "{host}"}}',
        "connection_info": f'{{"driver_volume_type": "rbd", "name": "volumes/volume-{volume}"}}',
    }
    child(cloud, "volume_attachment", volume, **{**defaults, **values})
    return attachment


def new_mapping(cloud: CloudRows, server: Server, volume: str, attachment: str | None, **values: Any) -> int:
    """Insert the block device mapping of a data disk into the server's cell; returns its id."""
    defaults = {
        "uuid": str(uuid.uuid4()),
        "instance_uuid": server.uuid,
        "source_type": "volume",
        "destination_type": "volume",
        "device_type": "disk",
        "disk_bus": "virtio",
        "device_name": "/dev/vdz",
        "volume_id": volume,
        "volume_size": 8,
        "attachment_id": attachment,
        "delete_on_termination": 0,
        "connection_info": f'{{"driver_volume_type": "rbd", "serial": "{volume}"}}',
        "created_at": cloud.ago(OLD),
        "updated_at": cloud.ago(OLD),
        "deleted": 0,
    }
    return int(cloud.insert(server.database, "block_device_mapping", **{**defaults, **values}))


def attach(cloud: CloudRows, server: Server, volume: str, **values: Any) -> tuple[str, int]:
    """Attach the volume to the server in both services, as Nova does; returns (attachment, id of the mapping)."""
    # other damage may have moved it since it was picked
    rows = cloud.rows(server.database, "SELECT host FROM instances WHERE uuid = :u AND deleted = 0", {"u": server.uuid})
    attachment = new_attachment(cloud, volume, server.uuid, rows[0]["host"] if rows else server.host, **values)
    mapping = new_mapping(cloud, server, volume, attachment)
    mode = {"volume_id": volume, "key": "attached_mode", "deleted": 0}
    if not cloud.rows(
        "cinder", "SELECT id FROM volume_admin_metadata WHERE volume_id = :v AND deleted = 0", {"v": volume}
    ):
        child(cloud, "volume_admin_metadata", volume, key=mode["key"], value="rw")
    word = values.get("attach_status", "attached")
    status = "in-use" if word == "attached" else word
    cloud.update("cinder", "volumes", {"id": volume}, status=status, attach_status=word)
    return attachment, mapping


def attached(cloud: CloudRows, kind: str = "active") -> tuple[Server, str, str, int]:
    """A server of that kind with a data disk attached: (server, volume, attachment, id of the mapping)."""
    server = cloud.pick(kind)
    volume = new_volume(cloud, server.project_id)
    return server, volume, *attach(cloud, server, volume)


def boot_from(cloud: CloudRows, server: Server, mapping: int) -> None:
    """Make the mapping that of the disk that the server boots from, and no other."""
    where = {"instance_uuid": server.uuid, "boot_index": 0, "deleted": 0}
    cloud.update(server.database, "block_device_mapping", where, boot_index=None)
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, boot_index=0)


def drop_mapping(cloud: CloudRows, server: Server, mapping: int) -> None:
    """Mark the mapping deleted as Nova does."""
    values = {"deleted": mapping, "deleted_at": cloud.ago(OLD)}
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, **values)


def drop_attachment(cloud: CloudRows, attachment: str) -> None:
    """Mark the attachment deleted as Cinder does; the volume is not changed."""
    values = {"deleted": 1, "deleted_at": cloud.ago(OLD), "detach_time": cloud.ago(OLD), "attach_status": "detached"}
    cloud.update("cinder", "volume_attachment", {"id": attachment}, **values)


def free(cloud: CloudRows, volume: str) -> None:
    """Set the volume to available."""
    cloud.update("cinder", "volumes", {"id": volume}, status="available", attach_status="detached")


def act(cloud: CloudRows, server: Server, action: str) -> None:
    """Give the server an action that has been running for half an hour."""
    row = cloud.insert(
        server.database,
        "instance_actions",
        action=action,
        instance_uuid=server.uuid,
        request_id=f"req-{uuid.uuid4()}",
        project_id=server.project_id,
        start_time=cloud.ago(1800),
        created_at=cloud.ago(1800),
        deleted=0,
    )
    cloud.insert(
        server.database,
        "instance_actions_events",
        action_id=row,
        event=f"compute_{action}",
        start_time=cloud.ago(1800),
        created_at=cloud.ago(1800),
        deleted=0,
    )


def busy(cloud: CloudRows, server: Server, task_state: str) -> None:
    """Make the server look busy since a minute ago."""
    values = {"task_state": task_state, "updated_at": cloud.ago(60)}
    cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)


def worker(cloud: CloudRows, resource: str, status: str, kind: str = "Volume", **values: Any) -> int:
    """Insert Cinder's record that a service works on a volume or snapshot; returns its id."""
    defaults = {
        "resource_type": kind,
        "resource_id": resource,
        "status": status,
        "race_preventer": 0,
        "created_at": cloud.ago(OLD),
        "updated_at": cloud.ago(OLD),
        "deleted": 0,
    }
    return int(cloud.insert("cinder", "workers", **{**defaults, **values}))


def cinder_service(cloud: CloudRows, host: str, binary: str = "cinder-backup", silent: float = 5) -> int:
    """Insert a service of Cinder that sent its last heartbeat so many seconds ago; returns its id."""
    now = cloud.ago(silent)
    return int(
        cloud.insert(
            "cinder",
            "services",
            uuid=str(uuid.uuid4()),
            host=host,
            binary=binary,
            topic=binary,
            report_count=1,
            disabled=0,
            created_at=cloud.ago(30 * OLD),
            updated_at=now,
            deleted=0,
        )
    )


def new_backup(cloud: CloudRows, volume: str, **values: Any) -> str:
    """Insert a backup of the volume; returns its id."""
    backup = str(uuid.uuid4())
    defaults = {
        "id": backup,
        "volume_id": volume,
        "project_id": cloud.rows("cinder", "SELECT project_id FROM volumes WHERE id = :v", {"v": volume})[0][
            "project_id"
        ],
        "user_id": uuid.uuid4().hex,
        "host": "control",
        "status": "available",
        "service": "cinder.backup.drivers.ceph.CephBackupDriver",
        "container": "backups",
        "size": 8,
        "num_dependent_backups": 0,
        "created_at": cloud.ago(2 * OLD),
        "updated_at": cloud.ago(OLD),
        "deleted": 0,
    }
    cloud.insert("cinder", "backups", **{**defaults, **values})
    return backup
