# SPDX-License-Identifier: Apache-2.0
"""Volumes in a transitional status that nothing ends (catalogue H16)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import OLD, attached, child, new_attachment, new_backup, new_volume, worker

_LONG = 9 * 3600


def _attached(cloud: CloudRows, status: str, **values: Any) -> dict[str, Any]:
    """A volume that a server has, in that status."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, **{"updated_at": cloud.ago(OLD), **values, "status": status})
    return {"volume": volume}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A backup of a volume that a server has was deleted while it was created: the volume still says backing-up."""
    return _attached(cloud, "backing-up", previous_status="in-use")


def uploading(cloud: CloudRows) -> dict[str, Any]:
    """The service died while it uploaded the volume to an image, and has a record of its work."""
    volume = new_volume(cloud, status="uploading", updated_at=cloud.ago(_LONG))
    worker(cloud, volume, "uploading")
    return {"volume": volume}


def extending(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute died before it reported that the guest sees the new size."""
    return _attached(cloud, "extending")


def retyping(cloud: CloudRows) -> dict[str, Any]:
    """The service died while its driver changed the type of the volume."""
    return _attached(cloud, "retyping", previous_status="in-use", updated_at=cloud.ago(_LONG))


def extend_failed(cloud: CloudRows) -> dict[str, Any]:
    """The back end refused to extend the volume."""
    return {"volume": new_volume(cloud, status="error_extending")}


def backup_failed(cloud: CloudRows) -> dict[str, Any]:
    """The backup of the volume failed."""
    volume = new_volume(cloud, status="error_backing-up", previous_status="available")
    new_backup(cloud, volume, status="error")
    return {"volume": volume}


def restore_over(cloud: CloudRows) -> dict[str, Any]:
    """The status of a backup was reset while it was restored into the volume."""
    volume = new_volume(cloud, status="restoring-backup")
    new_backup(cloud, new_volume(cloud), restore_volume_id=volume)
    return {"volume": volume}


def no_transfer(cloud: CloudRows) -> dict[str, Any]:
    """cinder-api died before it had written the transfer."""
    return {"volume": new_volume(cloud, status="awaiting-transfer")}


def on_a_host(cloud: CloudRows) -> dict[str, Any]:
    """cinder-backup has the volume attached to its host, though its backup is over."""
    volume = new_volume(cloud, status="backing-up", previous_status="available")
    new_attachment(cloud, volume, None, "control")
    return {"volume": volume}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "uploading": uploading,
    "extending": extending,
    "retyping": retyping,
    "extend_failed": extend_failed,
    "backup_failed": backup_failed,
    "restore_over": restore_over,
    "no_transfer": no_transfer,
    "on_a_host": on_a_host,
}
NOT_REPAIRED = {"on_a_host": "which may be working on it"}


def slow_upload(cloud: CloudRows) -> None:
    """A large volume, uploaded for three hours."""
    new_volume(cloud, status="uploading")


def just_extended(cloud: CloudRows) -> None:
    """A volume that is extended for a minute by now."""
    _attached(cloud, "extending", updated_at=cloud.ago(60))


def backing_up(cloud: CloudRows) -> None:
    """A backup of a large volume is in progress, and reports how far it is."""
    volume = new_volume(cloud, status="backing-up", previous_status="available")
    new_backup(cloud, volume, status="creating", updated_at=cloud.ago(60))


def restoring(cloud: CloudRows) -> None:
    """A backup is being restored into the volume, and reports how far it is."""
    volume = new_volume(cloud, status="restoring-backup")
    new_backup(cloud, new_volume(cloud), status="restoring", restore_volume_id=volume, updated_at=cloud.ago(60))


def offered(cloud: CloudRows) -> None:
    """A volume that its owner offers to another project, and that nobody accepted in three hours."""
    volume = new_volume(cloud, status="awaiting-transfer")
    child(cloud, "transfers", volume, id=str(uuid.uuid4()), display_name="gift", crypt_hash="x", salt="y")


def kept_closed(cloud: CloudRows) -> None:
    """An administrator has set maintenance, so that nobody uses the volume."""
    new_volume(cloud, status="maintenance")


def retyped(cloud: CloudRows) -> None:
    """A volume that is migrated for hours because of its new type."""
    new_volume(cloud, status="extending", migration_status="migrating")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "slow_upload": slow_upload,
    "just_extended": just_extended,
    "backing_up": backing_up,
    "restoring": restoring,
    "offered": offered,
    "kept_closed": kept_closed,
    "retyped": retyped,
}
