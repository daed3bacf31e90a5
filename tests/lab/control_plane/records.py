# SPDX-License-Identifier: Apache-2.0
"""Damage in records of Nova's API, Cinder, Glance and Placement, and how the mended thing is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

from . import damage, sdk_errors, usual
from .using import Thing

Json = dict[str, Any]
Make = Callable[[Plane], Json]


# ---- damage ----


def attached_twice(plane: Plane) -> Json:
    """A move of a server was given up after Nova had reserved its volume for the other host through Cinder's API."""
    key = damage.plain_volume(plane)
    scene = Scene(plane, "way-attached-twice")
    body = {"attachment": {"volume_uuid": key["volume"], "instance_uuid": key["server"]}}
    answer = scene.cloud.block_storage.post("/attachments", json=body, microversion="3.27")
    assert answer.status_code == 200, answer.text
    scene.past(servers=key["server"], volumes=key["volume"])
    return key


def mapped_twice(plane: Plane) -> Json:
    """Two requests attach a volume at the same moment: one mapping was never completed."""
    key = damage.plain_volume(plane)
    scene = Scene(plane, "way-mapped-twice")
    kept = "created_at, updated_at, deleted, instance_uuid, volume_id, source_type, destination_type, volume_size"
    scene.sql(
        scene.cell,
        f"INSERT INTO block_device_mapping ({kept}, uuid, delete_on_termination, boot_index)"
        f" SELECT {kept}, UUID(), 0, NULL FROM block_device_mapping WHERE volume_id = %s AND deleted = 0",
        key["volume"],
    )
    scene.past(servers=key["server"], volumes=key["volume"])
    return key


def deletion_lost(plane: Plane) -> Json:
    """Cinder's API has marked a volume for deletion, and cinder-volume never heard of it."""
    scene = Scene(plane, "way-deletion-lost")
    volume = scene.volume()
    scene.sql("cinder", "UPDATE volumes SET status = 'deleting' WHERE id = %s", volume)
    scene.past(volumes=volume)
    return {"volume": volume}


def upload_forgotten(plane: Plane) -> Json:
    """cinder-volume died while it uploaded an attached volume as an image."""
    key = damage.plain_volume(plane)
    scene = Scene(plane, "way-upload")
    changed = "UPDATE volumes SET status = 'uploading', previous_status = 'in-use' WHERE id = %s"
    scene.sql("cinder", changed, key["volume"])
    scene.past(servers=key["server"], volumes=key["volume"])
    return key


def snapshot_lost(plane: Plane) -> Json:
    """Cinder's API has made the row of a snapshot, and cinder-volume never heard of it."""
    scene = Scene(plane, "way-snapshot")
    volume = scene.volume()
    snapshot = str(scene.cloud.block_storage.create_snapshot(volume_id=volume, name=scene.name()).id)
    scene.wait_row("cinder", "SELECT id FROM snapshots WHERE id = %s AND status = 'available'", snapshot)
    back = "created_at = created_at - INTERVAL 3 HOUR, updated_at = created_at"
    scene.sql("cinder", f"UPDATE snapshots SET status = 'creating', progress = '0%%', {back} WHERE id = %s", snapshot)
    scene.past(volumes=volume)
    return {"snapshot": snapshot, "volume": volume}


def member_of_nobody(plane: Plane) -> Json:
    """The compute service of a host was deleted by SQL, long ago, and the host is still in an aggregate."""
    scene = Scene(plane, "way-aggregate")
    number, host = scene.cloud.compute.create_aggregate(name=scene.name()).id, scene.name()
    row = "INSERT INTO aggregate_hosts (created_at, host, aggregate_id) VALUES (%s, %s, %s)"
    before = scene.sql("nova_api", "SELECT UTC_TIMESTAMP() - INTERVAL 3 HOUR AS t")[0]["t"]
    scene.sql("nova_api", row, before, host, number)
    return {"host": host, "aggregate_id": number}


# ---- what it does to users ----


def unmovable(thing: Thing) -> None:
    """Nova cannot move the server: the scheduler does not know what it needs."""
    with pytest.raises(sdk_errors.HttpException):
        thing.cloud.compute.live_migrate_server(thing.server, host=None, block_migration="auto")


def undeletable_snapshot(thing: Thing) -> None:
    """Cinder deletes neither the snapshot nor its volume."""
    for path in (f"/snapshots/{thing.key['snapshot']}", f"/volumes/{thing.volume}"):
        assert thing.cloud.block_storage.delete(path).status_code == 400


def unreadable(thing: Thing) -> None:
    """Glance gives nobody the content of the image."""
    assert thing.cloud.image.get(f"/images/{thing.key['image']}/file").status_code == 204


def undeletable_aggregate(thing: Thing) -> None:
    """Nova does not delete an aggregate with hosts, and removes no host that it does not know."""
    name = thing.key["aggregate_id"]
    with pytest.raises(sdk_errors.HttpException):
        thing.cloud.compute.delete_aggregate(name, ignore_missing=False)
    with pytest.raises(sdk_errors.NotFoundException):
        thing.cloud.compute.remove_host_from_aggregate(name, thing.key["host"])


# ---- how it is used afterwards ----


def server(thing: Thing) -> None:
    """A server whose guest was never touched: Nova knows it, reboots it, and deletes all of it."""
    thing.reboot()
    thing.whole()
    thing.delete(thing.own)


def deletable_volume(thing: Thing) -> None:
    """The volume is deleted again, and this time to the end."""
    thing.remove_volume()


def deletable_snapshot(thing: Thing) -> None:
    """Cinder deletes the snapshot, and then its volume."""
    snapshot = thing.key["snapshot"]
    thing.cloud.block_storage.delete_snapshot(snapshot, ignore_missing=False)
    wait(lambda: thing.cloud.block_storage.find_snapshot(snapshot) is None, f"snapshot {snapshot} to go", 60)
    thing.remove_volume()


def deletable_aggregate(thing: Thing) -> None:
    """Nova deletes the aggregate."""
    thing.cloud.compute.delete_aggregate(thing.key["aggregate_id"], ignore_missing=False)


def purgeable_image(thing: Thing) -> None:
    """Glance's own purge takes an image that was deleted days ago, with all that belongs to it."""
    image = thing.key["image"]
    children = ("image_properties", "image_locations", "image_members", "image_tags")
    for table, column in (("images", "id"), *((child, "image_id") for child in children)):
        back = f"UPDATE {table} SET deleted_at = deleted_at - INTERVAL 3 DAY WHERE {column} = %s AND deleted = 1"
        thing.sql("glance", back, image)
    for purge in ("purge", "purge_images_table"):
        thing.plane.manage("glance-manage", "db", purge, "1", file="glance-api")
    assert thing.sql("glance", "SELECT id FROM images WHERE id = %s", image) == []


def forgotten_device(thing: Thing) -> None:
    """A device that counts as free: nova-compute, whose machine does not have it, would give it to nobody."""
    sql = "SELECT status, instance_uuid FROM pci_devices WHERE id = %s"
    assert thing.sql("cell:cell1", sql, thing.key["device"]) == [{"status": "available", "instance_uuid": None}]
    server(thing)


def host_that_builds(thing: Thing) -> None:
    """Nova builds a server on the host, and deletes it."""
    scene = Scene(thing.plane, "way-mapped")
    made = Thing(thing.plane, {"server": scene.server(host=thing.key["host"])})
    made.whole()
    made.delete()


def counted_quota(thing: Thing) -> None:
    """Cinder says that the project uses what it has."""
    project, resource = thing.key["project"], thing.key["what"]
    shown = thing.cloud.block_storage.get(f"/os-quota-sets/{project}?usage=True").json()["quota_set"]
    have = "SELECT COUNT(*) AS n FROM volumes WHERE project_id = %s AND deleted = 0 AND use_quota = 1"
    assert resource == "volumes"
    assert shown[resource]["in_use"] == thing.sql("cinder", have, project)[0]["n"]


def reserved_image(thing: Thing) -> None:
    """Glance gives the id of the image to no other, and shows no content under it."""
    usual.refused_image(thing)
    found = thing.cloud.image.find_image(thing.key["image"])
    assert found is None or (found.status, found.size) == ("queued", None)


def readable_image(thing: Thing) -> None:
    """Glance gives the content of the image, and deletes it."""
    image = thing.key["image"]
    assert thing.cloud.image.get(f"/images/{image}/file").content == b"content"
    thing.cloud.image.delete_image(image, ignore_missing=False)
    assert thing.cloud.image.find_image(image) is None
