# SPDX-License-Identifier: Apache-2.0
"""Rows of Cinder's database for the volumes of one server, and the resulting quota usages."""

from __future__ import annotations

from collections import Counter
from typing import Any

from stackmend_lab.cloud.kinds import identifier, text
from stackmend_lab.cloud.nova import SECRET
from stackmend_lab.cloud.things import Things, Volume
from stackmend_lab.cloud.world import ZONE, Emit, World

VOLUME = (
    "id", "project_id", "user_id", "host", "size", "availability_zone", "status", "attach_status", "display_name",
    "volume_type_id", "bootable", "multiattach", "use_quota", "shared_targets", "created_at", "updated_at",
    "launched_at", "deleted", "deleted_at", "service_uuid",
)  # fmt: skip
ATTACHMENT = (
    "id", "volume_id", "instance_uuid", "attached_host", "mountpoint", "attach_status", "attach_mode", "attach_time",
    "connector", "connection_info", "created_at", "updated_at", "deleted", "deleted_at",
)  # fmt: skip
META = ("id", "volume_id", "key", "value", "created_at", "deleted", "deleted_at")
_USAGE = ("id", "project_id", "resource", "in_use", "reserved", "created_at", "deleted", "race_preventer")
SIZE = 10
TYPE = "ssd"


class Quotas:
    """Counts the quota usages."""

    def __init__(self) -> None:
        self._volumes: Counter[str] = Counter()
        self._gigabytes: Counter[str] = Counter()

    def count(self, project: str, size: int) -> None:
        """One more volume."""
        self._volumes[project] += 1
        self._gigabytes[project] += size

    def write(self, emit: Emit, world: World) -> None:
        """The usage rows of every project."""
        for project, volumes in sorted(self._volumes.items()):
            size = self._gigabytes[project]
            for resource, used in (
                ("volumes", volumes),
                ("gigabytes", size),
                (f"volumes_{TYPE}", volumes),
                (f"gigabytes_{TYPE}", size),
            ):
                emit("cinder", "quota_usages", _USAGE,
                     (world.next("cinder", "quota_usages"), project, resource, used, 0, world.ago(days=300), 0, 1))  # fmt: skip


def server(emit: Emit, world: World, its: Things, quotas: Quotas) -> None:
    """Every row of the volumes of one server."""
    for volume in its.volumes:
        if volume.owner:
            _volume(emit, world, its, volume, quotas)
        _attach(emit, world, its, volume)
    if its.plan.kind == "deleted" and its.plan.number % 3 == 0:
        _deleted(emit, world, its)


def _volume(emit: Emit, world: World, its: Things, volume: Volume, quotas: Quotas) -> None:
    plan = its.plan
    status, attached = ("reserved", "reserved") if plan.kind == "shelved_offloaded" else ("in-use", "attached")
    row(emit, world, volume.uuid, plan.project, status, attached, created=text(plan.created), bootable=int(volume.boot),
        multiattach=int(volume.shared), name=f"daten-ü-{plan.number}")  # fmt: skip
    quotas.count(world.project(plan.project), SIZE)
    if plan.kind != "shelved_offloaded":
        meta(emit, world, "volume_admin_metadata", volume.uuid, "attached_mode", "rw")
    meta(emit, world, "volume_metadata", volume.uuid, "purpose", "data")
    if volume.boot:
        emit("cinder", "volume_glance_metadata", META,
             (world.next("cinder", "volume_glance_metadata"), volume.uuid, "image_id", world.image(plan.number),
              text(plan.created), 0, None))  # fmt: skip


def row(
    emit: Emit, world: World, volume: str, project: int, status: str, attached: str, *, created: str,
    deleted: str | None = None, bootable: int = 0, multiattach: int = 0, name: str = "",
) -> None:  # fmt: skip
    """One row of ``volumes``."""
    emit("cinder", "volumes", VOLUME, (
        volume, world.project(project), world.user(project), f"{cinder_host()}#{TYPE}", SIZE, ZONE, status, attached, name,
        world.volume_type, bootable, multiattach, 1, 0, created, created, created, int(deleted is not None), deleted,
        service(world),
    ))  # fmt: skip


def service(world: World) -> str:
    """The uuid of the one cinder-volume."""
    return identifier(0x71, 1, world.seed)


def meta(emit: Emit, world: World, table: str, volume: str, key: str, value: str, deleted: str | None = None) -> None:
    """One row of metadata of a volume."""
    number = world.next("cinder", table)
    emit("cinder", table, META, (number, volume, key, value, world.ago(days=200), int(deleted is not None), deleted))


def attachment(emit: Emit, world: World, **values: Any) -> None:
    """One row of ``volume_attachment``; columns by name."""
    emit("cinder", "volume_attachment", ATTACHMENT, tuple(values.get(column) for column in ATTACHMENT))


def _attach(emit: Emit, world: World, its: Things, volume: Volume) -> None:
    plan = its.plan
    common = {
        "volume_id": volume.uuid, "instance_uuid": plan.uuid, "created_at": text(plan.created),
        "updated_at": text(plan.updated), "deleted": 0, "mountpoint": volume.device, "attach_mode": "rw",
    }  # fmt: skip
    if plan.kind == "shelved_offloaded":
        attachment(emit, world, id=volume.attachment, attach_status="reserved", **{**common, "mountpoint": None})
        return
    attachment(emit, world, id=volume.attachment, attach_status="attached", attached_host=its.host,
               attach_time=text(plan.created), connector=_connector(its.host), connection_info=_info(), **common)  # fmt: skip
    if plan.kind == "live_migrating":
        target = world.host(plan.other)
        attachment(emit, world, id=identifier(0x53, int(volume.attachment[-12:], 16), world.seed),
                   attach_status="attached", attached_host=target, connector=_connector(target),
                   connection_info=_info(), **common)  # fmt: skip


def _deleted(emit: Emit, world: World, its: Things) -> None:
    """A volume that was deleted with its server: the volume and all its children are marked."""
    plan = its.plan
    volume = f"{plan.uuid[:9]}dead{plan.uuid[13:]}"
    gone = text(plan.updated)
    row(emit, world, volume, plan.project, "deleted", "detached", created=text(plan.created), deleted=gone)
    meta(emit, world, "volume_metadata", volume, "purpose", "data", deleted=gone)
    attachment(emit, world, id=f"{plan.uuid[:9]}dea1{plan.uuid[13:]}", volume_id=volume, instance_uuid=plan.uuid,
               attached_host=its.host, mountpoint="/dev/vdb", attach_status="detached", attach_mode="rw",
               created_at=text(plan.created), updated_at=gone, deleted=1, deleted_at=gone)  # fmt: skip


def cinder_host() -> str:
    """The back end of all volumes."""
    return "control@ceph"


def _connector(host: str | None) -> str:
    return f'{{"host": "{host}", "initiator": "iqn.2010-10.org.openstack:{host}", "multipath": false}}'


def _info() -> str:
    return f'{{"driver_volume_type": "iscsi", "auth_password": "{SECRET}"}}'
