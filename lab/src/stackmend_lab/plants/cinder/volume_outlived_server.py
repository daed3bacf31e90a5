# SPDX-License-Identifier: Apache-2.0
"""Volumes that were to be deleted with their server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._volumes import attach, drop_attachment, drop_mapping, new_attachment, new_mapping, new_volume


def _left(cloud: CloudRows, source: str = "image", flag: int = 1, **values: Any) -> str:
    """A free volume of a deleted server, made from that source; returns its id."""
    server = cloud.pick("deleted")
    volume = new_volume(cloud, server.project_id, **values)
    mapping = new_mapping(
        cloud,
        server,
        volume,
        None,
        source_type=source,
        delete_on_termination=flag,
        boot_index=0,
        device_name="/dev/vda",
    )
    drop_mapping(cloud, server, mapping)
    return volume


def plant(cloud: CloudRows) -> dict[str, Any]:
    """Cinder did not answer while Nova deleted the server; its boot volume was detached since."""
    return {"volume": _left(cloud)}


def blank(cloud: CloudRows) -> dict[str, Any]:
    """An empty data disk that Nova had made, with the record of its attachment."""
    volume = _left(cloud, "blank")
    sql = "SELECT instance_uuid FROM block_device_mapping WHERE volume_id = :v"
    cells = (name for name in cloud.databases if name.startswith("cell:"))
    server = next(rows[0]["instance_uuid"] for cell in cells if (rows := cloud.rows(cell, sql, {"v": volume})))
    drop_attachment(cloud, new_attachment(cloud, volume, server))
    return {"volume": volume}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"blank": blank}
NOT_REPAIRED = dict.fromkeys(("plant", *VARIANTS), "openstack volume delete")


def to_be_kept(cloud: CloudRows) -> None:
    """A boot volume that was to survive its server."""
    _left(cloud, flag=0)


def made_by_its_owner(cloud: CloudRows) -> None:
    """A volume that the user had made before the server."""
    _left(cloud, "volume")


def used_again(cloud: CloudRows) -> None:
    """The owner rescued the volume and attached it to another server."""
    server = cloud.pick("active")
    attach(cloud, server, _left(cloud))


def used_and_put_aside(cloud: CloudRows) -> None:
    """The same, and it was detached from that server since."""
    server, volume = cloud.pick("active"), _left(cloud)
    drop_mapping(cloud, server, new_mapping(cloud, server, volume, None))


def being_deleted(cloud: CloudRows) -> None:
    """Cinder is deleting it."""
    _left(cloud, status="deleting", updated_at=cloud.ago(60))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "to_be_kept": to_be_kept,
    "made_by_its_owner": made_by_its_owner,
    "used_again": used_again,
    "used_and_put_aside": used_and_put_aside,
    "being_deleted": being_deleted,
}
