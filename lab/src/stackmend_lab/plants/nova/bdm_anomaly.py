# SPDX-License-Identifier: Apache-2.0
"""Block device mappings that contradict each other (catalogue H28)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import attach, attached, busy, drop_mapping, new_mapping, new_volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Two attach requests at the same moment: one mapping was never completed."""
    server, volume, _, _ = attached(cloud)
    new_mapping(cloud, server, volume, None, device_name=None)
    return {"server": server.uuid, "volume": volume}


def revived(cloud: CloudRows) -> dict[str, Any]:
    """A mapping was revived by SQL although Nova had attached the volume anew: its attachment is gone."""
    server, volume, _, _ = attached(cloud, "stopped")
    new_mapping(cloud, server, volume, "00000000-1111-4222-8333-444444444444")
    return {"server": server.uuid, "volume": volume}


def inserted_twice(cloud: CloudRows) -> dict[str, Any]:
    """A mapping was inserted by SQL with the attachment of the one that is there."""
    server, volume, attachment, _ = attached(cloud)
    new_mapping(cloud, server, volume, attachment)
    return {"server": server.uuid, "volume": volume}


def two_boot_disks(cloud: CloudRows) -> dict[str, Any]:
    """A data disk was given the boot index of the boot disk."""
    server = cloud.pick("volume_backed")
    volume = new_volume(cloud, server.project_id)
    _, mapping = attach(cloud, server, volume)
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, boot_index=0)
    return {"server": server.uuid, "volume": ""}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "revived": revived,
    "inserted_twice": inserted_twice,
    "two_boot_disks": two_boot_disks,
}
NOT_REPAIRED = {"inserted_twice": "virsh dumpxml", "two_boot_disks": "virsh dumpxml"}


def attached_again(cloud: CloudRows) -> None:
    """A volume that was detached and attached again: the old mapping is marked deleted."""
    server, volume, _, _ = attached(cloud)
    drop_mapping(cloud, server, new_mapping(cloud, server, volume, None))


def attach_in_progress(cloud: CloudRows) -> None:
    """Nova is just replacing a mapping."""
    server, volume, _, _ = attached(cloud)
    new_mapping(cloud, server, volume, None, created_at=cloud.ago(30), updated_at=cloud.ago(30))
    busy(cloud, server, "rebuilding")


def shared(cloud: CloudRows) -> None:
    """Two servers have one multi-attach volume."""
    _, volume, _, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)
    other = cloud.pick("active")
    attach(cloud, other, volume)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "attached_again": attached_again,
    "attach_in_progress": attach_in_progress,
    "shared": shared,
}
