# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with locks of images in pools and with Glance's images there, and what only looks so.

As :mod:`.storage_plants`, whose depot has these pools as well.
"""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.cloud import Server

from .storage import Pool
from .storage_plants import CLUSTER, IMAGES, MAIN, VMS, Alike, Depot, Plant, new

_DAY = 86_400
DEAD, ALIVE, OTHER = "10.88.10.91:0/3853293677", "10.88.10.90:0/316670229", "10.88.10.92:0/3783311129"
UNTIL = "2026-05-06T08:59:47.102488+0000"


def _disk(server: Server, suffix: str = "") -> str:
    return f"{server.uuid}_disk{suffix}"


def _row(depot: Depot, server: Server, **values: Any) -> None:
    depot.cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)


def _attached(depot: Depot) -> tuple[str, str]:
    """A volume of one server that runs, and that server."""
    running = {
        row["uuid"]
        for cell in ("cell:cell1", "cell:cell2")
        for row in depot.cloud.rows(
            cell, "SELECT uuid FROM instances WHERE deleted = 0 AND vm_state = 'active' AND task_state IS NULL"
        )
    }
    for row in depot.cloud.rows(
        "cinder",
        "SELECT a.volume_id, a.instance_uuid FROM volume_attachment a JOIN volumes v ON v.id = a.volume_id"
        " WHERE a.deleted = 0 AND v.deleted = 0 AND v.multiattach = 0 ORDER BY a.volume_id",
    ):
        if row["instance_uuid"] in running:
            return str(row["volume_id"]), str(row["instance_uuid"])
    raise LookupError("no server that runs has a volume")


# -- rbd-lock-stale


def after_a_power_loss(depot: Depot) -> dict[str, Any]:
    """The guest was started again with an account that may not blocklist: it sits in its initramfs."""
    server = depot.cloud.pick("active")
    depot.vms.held(_disk(server), DEAD, ALIVE)
    return {"backend": VMS, "name": _disk(server), "server": server.uuid}


def expiry_refused(depot: Depot) -> dict[str, Any]:
    """The owner is blocklisted, and its lock stayed (Ceph 54613)."""
    server = depot.cloud.pick("active")
    depot.vms.held(_disk(server), DEAD, ALIVE)
    depot.vms.cluster(blocklist=[{"addr": DEAD, "until": UNTIL}])
    return {"backend": VMS, "name": _disk(server), "server": server.uuid}


def volume_after_a_power_loss(depot: Depot) -> dict[str, Any]:
    """Likewise, and the server boots from a volume."""
    volume, server = _attached(depot)
    assert isinstance(depot.main, Pool)
    depot.main.held(f"volume-{volume}", DEAD, ALIVE)
    return {"backend": MAIN, "name": f"volume-{volume}", "server": server}


def cut_off(depot: Depot) -> dict[str, Any]:
    """The guest runs, and its client was blocklisted."""
    server = depot.cloud.pick("active")
    depot.vms.held(_disk(server), DEAD)
    depot.vms.cluster(blocklist=[{"addr": DEAD, "until": UNTIL}])
    return {"backend": VMS, "name": _disk(server), "server": server.uuid}


def fenced(depot: Depot) -> dict[str, Any]:
    """Its whole machine was blocklisted to fence it, and is back."""
    server = depot.cloud.pick("active")
    depot.vms.held(_disk(server), DEAD)
    depot.vms.cluster(blocklist=[{"addr": "10.88.10.91:0/0", "until": UNTIL}])
    return {"backend": VMS, "name": _disk(server), "server": server.uuid}


def range_fenced(depot: Depot) -> dict[str, Any]:
    """A range of machines was."""
    server = depot.cloud.pick("active")
    depot.vms.held(_disk(server), DEAD)
    depot.vms.cluster(ranges=[{"range": "10.88.10.0:0/24", "until": UNTIL}])
    return {"backend": VMS, "name": _disk(server), "server": server.uuid}


def nobody(depot: Depot) -> dict[str, Any]:
    """Nova says that it runs, and nobody has its disk open; somebody else is blocklisted."""
    server = depot.cloud.pick("active")
    depot.vms.held(_disk(server), DEAD)
    depot.vms.cluster(blocklist=[{"addr": ALIVE, "until": UNTIL}], ranges=[{"range": "10.1.0.0:0/16", "until": UNTIL}])
    return {"backend": VMS, "name": _disk(server), "server": server.uuid}


def owned(depot: Depot) -> None:
    """The owner has it open; during a live migration, a mirror or a backup others do, too."""
    depot.vms.held(_disk(depot.cloud.pick("active")), ALIVE, ALIVE)
    depot.vms.held(_disk(depot.cloud.pick("active")), ALIVE, OTHER, ALIVE)


def other_form_of_address(depot: Depot) -> None:
    """Some releases write the protocol before an address."""
    depot.vms.held(_disk(depot.cloud.pick("active")), f"v1:{ALIVE}", ALIVE)


def unlocked(depot: Depot) -> None:
    """A guest that has written nothing yet; images without the feature."""
    depot.vms.held(_disk(depot.cloud.pick("active")), "", ALIVE)
    depot.vms.held(_disk(depot.cloud.pick("active")))


def by_hand(depot: Depot) -> None:
    """Somebody took a lock by hand, or several hold one together."""
    depot.vms.held(_disk(depot.cloud.pick("active")), DEAD, ALIVE, lock="maintenance 4711")
    locks = [{"id": "auto 1", "locker": f"client.{n}", "address": f"10.0.0.{n}:0/{n}"} for n in (7, 8)]
    depot.vms.held(_disk(depot.cloud.pick("active")), DEAD, ALIVE, locks=locks)


def being_moved(depot: Depot) -> None:
    """A live migration hands the lock over when the destination writes."""
    server, ago = depot.cloud.pick("active"), depot.cloud.ago(7200)
    depot.vms.held(_disk(server), DEAD, ALIVE)
    depot.cloud.insert(
        server.database, "migrations", instance_uuid=server.uuid, uuid=str(uuid.uuid4()), created_at=ago, deleted=0,
        updated_at=ago, migration_type="live-migration", status="running", source_compute=server.host,
        dest_compute="elsewhere",
    )  # fmt: skip


def not_to_run(depot: Depot) -> None:
    """Whoever starts it breaks the lock; one that changed a minute ago may be about to."""
    depot.vms.held(_disk(depot.cloud.pick("stopped")), DEAD)
    depot.vms.held(_disk(server := depot.cloud.pick("active")), DEAD)
    _row(depot, server, power_state=4)
    depot.vms.held(_disk(server := depot.cloud.pick("active")), DEAD)
    _row(depot, server, updated_at=depot.cloud.ago(60))


def host_is_down(depot: Depot) -> None:
    """The host that lost power is still off."""
    depot.vms.held(_disk(server := depot.cloud.pick("active")), DEAD)
    depot.cloud.update(server.database, "services", {"host": server.host}, updated_at=depot.cloud.ago(3600))


def config_disk(depot: Depot) -> None:
    """nova-compute died while it wrote it, and the guest only reads it."""
    depot.vms.held(_disk(depot.cloud.pick("active"), ".config"), DEAD, ALIVE)


def rescue_is_over(depot: Depot) -> None:
    """Its disks could not be removed, and the server runs on its own disk again."""
    server = depot.cloud.pick("active")
    for suffix in (".rescue", ".config.rescue"):
        depot.vms.held(_disk(server, suffix), DEAD)


def reserved(depot: Depot) -> None:
    """A volume of a server that has not got it yet."""
    _held_and_attached(depot, attach_status="reserved")


def read_only(depot: Depot) -> None:
    """A guest that only reads never takes the lock."""
    _held_and_attached(depot, attach_mode="ro")


def _held_and_attached(depot: Depot, **values: Any) -> None:
    volume, _ = _attached(depot)
    assert isinstance(depot.main, Pool)
    depot.main.held(f"volume-{volume}", DEAD)
    depot.cloud.update("cinder", "volume_attachment", {"volume_id": volume}, **values)


def of_several_servers(depot: Depot) -> None:
    """A volume that several servers have is none of this."""
    volume, _ = _attached(depot)
    assert isinstance(depot.main, Pool)
    depot.main.held(f"volume-{volume}", DEAD, ALIVE)
    depot.cloud.insert(
        "cinder", "volume_attachment", id=new(), volume_id=volume, instance_uuid=depot.cloud.pick("active").uuid,
        attach_status="attached", deleted=0,
    )  # fmt: skip


# -- image-backend-missing


def image_removed(depot: Depot) -> dict[str, Any]:
    """Somebody cleaned up the pool."""
    image = depot.image()
    depot.images.drop(image)
    return {"image": image, "name": f"{image}@snap", "backend": IMAGES}


def image_discarded(depot: Depot) -> dict[str, Any]:
    """It is in the trash."""
    image = depot.image()
    depot.images.discard(image)
    return {"image": image, "name": f"{image}@snap", "backend": IMAGES}


def snapshot_removed(depot: Depot) -> dict[str, Any]:
    """Somebody removed the snapshot to get rid of a clone."""
    image = depot.image()
    depot.images.put(image)
    return {"image": image, "name": f"{image}@snap", "backend": IMAGES}


def elsewhere_too(depot: Depot) -> dict[str, Any]:
    """One of two stores lost it."""
    image = depot.image()
    depot.images.drop(image)
    depot.location(image, f"file:///var/lib/glance/images/{image}")
    return {"image": image, "name": f"{image}@snap", "backend": IMAGES}


def other_places(depot: Depot) -> None:
    """Another cluster, another pool, another kind of store, a location without a pool, an object of another name."""
    for value in (
        f"rbd://{new()}/images/{{}}/snap", f"rbd://{CLUSTER}/other/{{}}/snap", "swift://x/{}", "rbd://{}",
        f"rbd://{CLUSTER}/images/golden/snap",
    ):  # fmt: skip
        image = depot.image()
        depot.images.drop(image)
        depot.cloud.update("glance", "image_locations", {"image_id": image}, value=value.format(image))


def being_imported(depot: Depot) -> None:
    """Its content is on its way, or about to be removed."""
    for status in ("queued", "saving", "importing", "uploading"):
        image = depot.image()
        depot.images.drop(image)
        depot.cloud.update("glance", "images", {"id": image}, status=status)
    image = depot.image()
    depot.images.drop(image)
    depot.cloud.update("glance", "image_locations", {"image_id": image}, status="pending_delete")


def just_imported(depot: Depot) -> None:
    """Its row changed a minute ago."""
    image = depot.image()
    depot.images.drop(image)
    depot.cloud.update("glance", "images", {"id": image}, updated_at=depot.cloud.ago(60))


def closed_image(depot: Depot) -> None:
    """One that rbd cannot open is there, with whatever snapshots."""
    depot.images.put(depot.image(), broken=True)
    depot.images.put(new(), broken=True)


# -- rbd-image-orphan


def content_of_nobody(depot: Depot) -> dict[str, Any]:
    """Every row of it was purged, and a volume is based on it."""
    image, volume = new(), depot.volume()
    depot.images.put(image, snapshots=["snap"])
    snap = {"pool": depot.images.place, "pool_namespace": "", "image": image, "snapshot": "snap"}
    assert isinstance(depot.main, Pool)
    depot.main.put(f"volume-{volume}", parent=snap)
    return {"backend": IMAGES, "name": image}


def upload_cut_off(depot: Depot) -> dict[str, Any]:
    """The upload ended before the snapshot was made, and its row was removed by SQL."""
    depot.images.put(image := new())
    return {"backend": IMAGES, "name": image}


def content_of_a_deleted_image(depot: Depot) -> dict[str, Any]:
    """The pool could not be reached when it was deleted."""
    image = depot.image()
    depot.cloud.update(
        "glance", "images", {"id": image}, status="deleted", deleted=1, deleted_at=depot.cloud.ago(3 * _DAY)
    )
    depot.cloud.update("glance", "image_locations", {"image_id": image}, status="deleted", deleted=1)
    return {"backend": IMAGES, "name": image}


def waits_for_the_scrubber(depot: Depot) -> None:
    """delayed_delete."""
    image = depot.image()
    depot.cloud.update(
        "glance", "images", {"id": image}, status="pending_delete", deleted=1, deleted_at=depot.cloud.ago(3 * _DAY)
    )
    depot.cloud.update("glance", "image_locations", {"image_id": image}, status="pending_delete", deleted=1)


def image_just_deleted(depot: Depot) -> None:
    """Its content goes a moment after its row."""
    image = depot.image()
    depot.cloud.update("glance", "images", {"id": image}, status="deleted", deleted=1, deleted_at=depot.cloud.ago(600))
    depot.cloud.update("glance", "image_locations", {"image_id": image}, status="deleted", deleted=1)


def led_to(depot: Depot) -> None:
    """A location that was added by hand leads to an object of another image's name and with another snapshot."""
    depot.images.put(image := new(), snapshots=["golden"])
    depot.location(depot.image(), f"rbd://{CLUSTER}/{IMAGES}/{image}/golden")


def led_to_without_snapshot(depot: Depot) -> dict[str, Any]:
    """Likewise, and its snapshot was removed: it is lost to Glance, and all there is of that image."""
    return _led_to_without(depot, "snap")


def led_to_without_one_by_hand(depot: Depot) -> dict[str, Any]:
    """Likewise, of a snapshot that was not made by Glance, while the one that it makes is there."""
    return _led_to_without(depot, "golden", "snap")


def _led_to_without(depot: Depot, snapshot: str, *there: str) -> dict[str, Any]:
    depot.images.put(image := new(), snapshots=list(there))
    picture = depot.image()
    depot.location(picture, f"rbd://{CLUSTER}/{IMAGES}/{image}/{snapshot}")
    return {"image": picture, "name": f"{image}@{snapshot}", "backend": IMAGES}


def trash_and_others(depot: Depot) -> None:
    """A deleted image that others are based on, images of other names, and one that is being uploaded."""
    depot.images.put(image := new(), snapshots=["snap"])
    depot.images.discard(image)
    depot.images.put("golden", snapshots=["snap"])
    depot.images.put(f"{new()}_disk")
    image = depot.image()
    depot.images.put(image)
    depot.cloud.update("glance", "images", {"id": image}, status="saving")


PLANTS: dict[str, dict[str, tuple[Plant, ...]]] = {
    "rbd-lock-stale": {
        "barred": (after_a_power_loss, expiry_refused, volume_after_a_power_loss),
        "blocklisted": (cut_off, fenced, range_fenced),
        "unopened": (nobody,),
    },
    "image-backend-missing": {
        "gone": (image_removed, elsewhere_too), "trash": (image_discarded,),
        "snapshot": (snapshot_removed, led_to_without_snapshot, led_to_without_one_by_hand),
    },
    "rbd-image-orphan": {
        "unknown": (content_of_nobody, upload_cut_off), "deleted": (content_of_a_deleted_image,),
    },
}  # fmt: skip
LOOK_ALIKES: dict[str, tuple[Alike, ...]] = {
    "rbd-lock-stale": (
        owned, other_form_of_address, unlocked, by_hand, being_moved, not_to_run, host_is_down, config_disk,
        rescue_is_over, reserved, read_only, of_several_servers,
    ),
    "image-backend-missing": (other_places, being_imported, just_imported, closed_image),
    "rbd-image-orphan": (waits_for_the_scrubber, image_just_deleted, led_to, trash_and_others),
}  # fmt: skip
#: those whose volumes must be in a pool
POOLED = frozenset({volume_after_a_power_loss, reserved, read_only, of_several_servers, content_of_nobody})
#: those that change what others plant
ALONE = frozenset({host_is_down, reserved, read_only, of_several_servers})
