# SPDX-License-Identifier: Apache-2.0
"""What can be wrong between Cinder, Nova and their back ends, and what only looks so.

Each plant returns the key of the finding expected.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stackmend_lab.cloud import Cloud

from .storage import Folder, Pool, Shelf

MAIN, SPARE, VMS, IMAGES = "main", "spare", "vms", "images"
#: the id of the cluster of the pool of images
CLUSTER = "b87a628a-a12e-42fe-9017-17da2a07d837"
_DAY = 86_400


@dataclass(slots=True)
class Depot:
    """A cloud, the back end of its volumes, another one, and the pools with disks of servers and with images."""

    cloud: Cloud
    main: Shelf
    spare: Shelf
    vms: Pool
    images: Pool
    picked: int = 0
    pictured: int = 0

    def volume(self) -> str:
        """The id of an available volume that nobody picked, or of one in use."""
        rows = self.cloud.rows("cinder", "SELECT id FROM volumes WHERE deleted = 0 AND status = 'in-use' ORDER BY id")
        self.picked += 1
        return str(rows[self.picked]["id"])

    def image(self) -> str:
        """The id of an active image that nobody picked."""
        rows = self.cloud.rows("glance", "SELECT id FROM images ORDER BY id")
        self.pictured += 1
        return str(rows[self.pictured]["id"])

    def location(self, image: str, value: str) -> None:
        """One more location of it."""
        ago = self.cloud.ago(_DAY)
        row = {"image_id": image, "value": value, "meta_data": "{}", "status": "active", "deleted": 0}
        self.cloud.insert("glance", "image_locations", created_at=ago, updated_at=ago, **row)

    def row(self, volume: str, **values: Any) -> None:
        """Change the row of a volume."""
        self.cloud.update("cinder", "volumes", {"id": volume}, **values)

    def delete(self, volume: str, ago: float) -> None:
        """Mark its row deleted."""
        self.row(volume, deleted=1, status="deleted", deleted_at=self.cloud.ago(ago))

    def snapshot(self, volume: str, **values: Any) -> str:
        """A snapshot of it in Cinder's records."""
        name, ago = str(uuid.uuid4()), self.cloud.ago(_DAY)
        (of,) = self.cloud.rows("cinder", "SELECT id, volume_type_id FROM volumes WHERE id = :id", {"id": volume})
        row = {"id": name, "volume_id": of["id"], "volume_type_id": of["volume_type_id"], "status": "available"}
        self.cloud.insert(
            "cinder",
            "snapshots",
            created_at=ago,
            updated_at=ago,
            use_quota=1,
            deleted=0,
            volume_size=1,
            **row,
            **values,
        )
        return name


Plant = Callable[[Depot], dict[str, Any]]
Alike = Callable[[Depot], None]


def new() -> str:
    """An id that nobody has."""
    return str(uuid.uuid4())


# -- volume-backend-missing


def removed(depot: Depot) -> dict[str, Any]:
    """Somebody cleaned up by hand."""
    depot.main.drop(f"volume-{(volume := depot.volume())}")
    return {"volume": volume}


def removed_after_a_migration(depot: Depot) -> dict[str, Any]:
    """It was stored under another name, which a list of ids does not have."""
    volume = depot.volume()
    depot.main.drop(f"volume-{volume}")
    depot.row(volume, _name_id=new())
    return {"volume": volume}


def reset_from_error(depot: Depot) -> dict[str, Any]:
    """It failed after it was made, and its data is gone."""
    volume = depot.volume()
    depot.main.drop(f"volume-{volume}")
    depot.row(volume, status="error")
    return {"volume": volume}


def base_removed(depot: Depot) -> dict[str, Any]:
    """What was written since a snapshot is there, and what it is based on is not."""
    volume = depot.volume()
    assert isinstance(depot.main, Folder)
    depot.main.qcow2(f"volume-{volume}.{new()}", f"volume-{volume}")
    depot.main.drop(f"volume-{volume}")
    return {"volume": volume}


def renamed(depot: Depot) -> dict[str, Any]:
    """Cinder renamed it to delete it, and the row was set back."""
    volume = depot.volume()
    depot.main.rename(f"volume-{volume}", f"volume-{volume}.deleted")
    return {"volume": volume}


def discarded(depot: Depot) -> dict[str, Any]:
    """It is in the trash."""
    volume = depot.volume()
    assert isinstance(depot.main, Pool)
    depot.main.discard(f"volume-{volume}")
    return {"volume": volume}


def on_another(depot: Depot) -> dict[str, Any]:
    """update_host named the wrong back end."""
    volume = depot.volume()
    depot.main.drop(f"volume-{volume}")
    depot.spare.put(f"volume-{volume}")
    return {"volume": volume}


def being_made(depot: Depot) -> None:
    """Its row is there before its data."""
    for status in ("creating", "downloading", "error", "deleting", "managing", "error_managing", "restoring-backup"):
        volume = depot.volume()
        depot.main.drop(f"volume-{volume}")
        depot.row(volume, status=status, launched_at=None)


def being_migrated(depot: Depot) -> None:
    """While it is moved, source and destination change names."""
    for status in ("migrating", "completing", f"target:{new()}"):
        volume = depot.volume()
        depot.main.drop(f"volume-{volume}")
        depot.row(volume, migration_status=status)


def migrated(depot: Depot) -> None:
    """After a migration its object has another id in its name."""
    volume, stored = depot.volume(), new()
    depot.main.rename(f"volume-{volume}", f"volume-{stored}")
    depot.row(volume, _name_id=stored, migration_status="success")


def just_changed(depot: Depot) -> None:
    """Its row changed a minute ago."""
    volume = depot.volume()
    depot.main.drop(f"volume-{volume}")
    depot.row(volume, updated_at=depot.cloud.ago(60))


def failed_over(depot: Depot) -> None:
    """It is used on the replica; one that was not replicated, or could not be promoted, is where it was."""
    for values in (
        {"replication_status": "failed-over"},
        {"replication_status": "failover-error", "status": "error", "previous_status": "in-use"},
        {"replication_status": "not-capable", "status": "error", "previous_status": "in-use"},
    ):
        volume = depot.volume()
        depot.main.drop(f"volume-{volume}")
        depot.row(volume, **values)


def on_a_back_end_that_is_not_configured(depot: Depot) -> None:
    """Nobody listed that one."""
    volume = depot.volume()
    depot.main.drop(f"volume-{volume}")
    depot.row(volume, host="control@other#pool")


def encrypted_and_cached(depot: Depot) -> None:
    """Encrypted volumes and those of the image cache have names like any other."""
    volume = depot.volume()
    depot.row(volume, encryption_key_id=new(), display_name=f"image-{new()}")


def merged_into_an_overlay(depot: Depot) -> None:
    """Its oldest snapshot was deleted while it was in use: the snapshot's file has all of it, and the base is gone."""
    volume = depot.volume()
    assert isinstance(depot.main, Folder)
    depot.main.qcow2(f"volume-{volume}.{new()}")
    depot.main.drop(f"volume-{volume}")


def unreadable(depot: Depot) -> None:
    """An image that rbd ls -l cannot open, and leaves out."""
    volume = depot.volume()
    assert isinstance(depot.main, Pool)
    depot.main.put(f"volume-{volume}", broken=True)


# -- backend-object-orphan


def nobodys(depot: Depot) -> dict[str, Any]:
    """Every row of it was purged."""
    depot.main.put(name := f"volume-{new()}")
    return {"backend": MAIN, "name": name}


def row_deleted(depot: Depot) -> dict[str, Any]:
    """Its row was deleted by SQL."""
    volume = depot.volume()
    depot.delete(volume, _DAY)
    return {"backend": MAIN, "name": f"volume-{volume}"}


def source_of_a_migration(depot: Depot) -> dict[str, Any]:
    """The destination is used, and the source could not be removed."""
    volume, stored = depot.volume(), new()
    depot.main.put(f"volume-{stored}")
    depot.row(volume, _name_id=stored)
    return {"backend": MAIN, "name": f"volume-{volume}"}


def snapshot_left(depot: Depot) -> dict[str, Any]:
    """Its row is gone, and the volume lives."""
    volume, snapshot = depot.volume(), new()
    assert isinstance(depot.main, Pool)
    depot.main.put(f"volume-{volume}", snapshots=[f"snapshot-{snapshot}"])
    return {"backend": MAIN, "name": f"volume-{volume}@snapshot-{snapshot}"}


def base_of_others(depot: Depot) -> dict[str, Any]:
    """A volume of this cloud is based on it."""
    volume, name = depot.volume(), f"volume-{new()}"
    assert isinstance(depot.main, Pool)
    snap = {"pool": depot.main.place, "pool_namespace": "", "image": name, "snapshot": f"snapshot-{new()}"}
    depot.main.put(name, snapshots=[snap["snapshot"]])
    depot.main.put(f"volume-{volume}", parent=snap)
    return {"backend": MAIN, "name": name}


def just_deleted(depot: Depot) -> None:
    """The row is marked; a list that was made before still has it."""
    depot.delete(depot.volume(), 60)


def kept_for_clones(depot: Depot) -> None:
    """What Cinder keeps until the last clone is gone; its own snapshots; a backup's."""
    volume = depot.volume()
    assert isinstance(depot.main, Pool)
    own = [f"volume-{new()}.clone_snap", f"backup.{new()}.snap.1700000000.12"]
    depot.main.put(f"volume-{volume}", snapshots=[*own, f"snapshot-{depot.snapshot(volume)}"])
    depot.main.put(f"volume-{new()}.deleted", snapshots=own)


def thrown_away(depot: Depot) -> None:
    """The trash is where deleted volumes wait."""
    assert isinstance(depot.main, Pool)
    depot.main.put(name := f"volume-{new()}")
    depot.main.discard(name)


def other_names(depot: Depot) -> None:
    """Names that are not of the template are somebody else's."""
    for name in ("golden", f"image-{new()}", f"vol-{new()}", f"tmp-volume-{new()}", f"volume-{new()[:8]}"):
        depot.main.put(name)


def overlays(depot: Depot) -> None:
    """Files of a snapshot, and Cinder's note about them."""
    volume = depot.volume()
    assert isinstance(depot.main, Folder)
    depot.main.qcow2(f"volume-{volume}.{new()}", f"volume-{volume}")
    depot.main.put(f"volume-{volume}.info", size=200)


def young(depot: Depot) -> None:
    """It was written to an hour ago."""
    depot.main.put(f"volume-{new()}", age=3600)


def put_aside(depot: Depot) -> None:
    """Somebody moved it aside."""
    depot.main.put(f"aside/volume-{new()}")


# -- rbd-server-disk-orphan


def disk_of_nobody(depot: Depot) -> dict[str, Any]:
    """Every row of the server was purged."""
    depot.vms.put(name := f"{new()}_disk")
    return {"backend": VMS, "name": name}


def disk_of_a_deleted_server(depot: Depot) -> dict[str, Any]:
    """Its removal failed while the hypervisor was down."""
    server = depot.cloud.pick("deleted")
    depot.cloud.update(server.database, "instances", {"uuid": server.uuid}, deleted_at=depot.cloud.ago(3 * _DAY))
    depot.vms.put(name := f"{server.uuid}_disk.config")
    return {"backend": VMS, "name": name}


def disks_of_servers(depot: Depot) -> None:
    """Whatever their state is, they exist; a resize has a snapshot, a rescue a disk."""
    for kind in ("active", "stopped", "resized", "shelved_offloaded", "building"):
        server = depot.cloud.pick(kind).uuid
        depot.vms.put(f"{server}_disk", snapshots=["nova-resize"])
        for more in ("config", "swap", "eph0", "rescue", "config.rescue", "local"):
            depot.vms.put(f"{server}_disk.{more}")


def disk_just_deleted(depot: Depot) -> None:
    """Nova tries again for a while."""
    server = depot.cloud.pick("deleted")
    depot.cloud.update(server.database, "instances", {"uuid": server.uuid}, deleted_at=depot.cloud.ago(3600))
    depot.vms.put(f"{server.uuid}_disk")


def no_disks(depot: Depot) -> None:
    """Other images of the pool, and the trash."""
    depot.vms.put("golden")
    depot.vms.put(new())
    depot.vms.put(name := f"{new()}_disk")
    depot.vms.discard(name)


#: check -> code -> plants; those in POOLED need a pool
PLANTS: dict[str, dict[str, tuple[Plant, ...]]] = {
    "volume-backend-missing": {
        "gone": (removed, removed_after_a_migration, reset_from_error, base_removed),
        "renamed": (renamed,),
        "trash": (discarded,),
        "elsewhere": (on_another,),
    },
    "backend-object-orphan": {
        "unknown": (nobodys, base_of_others),
        "deleted": (row_deleted,),
        "migrated": (source_of_a_migration,),
        "snapshot": (snapshot_left,),
    },
    "rbd-server-disk-orphan": {"unknown": (disk_of_nobody,), "deleted": (disk_of_a_deleted_server,)},
}
LOOK_ALIKES: dict[str, tuple[Alike, ...]] = {
    "volume-backend-missing": (
        being_made, being_migrated, migrated, just_changed, failed_over, on_a_back_end_that_is_not_configured,
        encrypted_and_cached, unreadable, merged_into_an_overlay,
    ),
    "backend-object-orphan": (
        just_deleted, kept_for_clones, thrown_away, other_names, overlays, young, put_aside, being_migrated,
    ),
    "rbd-server-disk-orphan": (disks_of_servers, disk_just_deleted, no_disks),
}  # fmt: skip
POOLED = frozenset({renamed, discarded, snapshot_left, base_of_others, kept_for_clones, thrown_away, unreadable})
FOLDERS = frozenset({overlays, young, put_aside, base_removed, merged_into_an_overlay})
