# SPDX-License-Identifier: Apache-2.0
"""A pool of Ceph, by the program ``rbd``, which only lists: images with their snapshots and parents, and the trash.

``rbd ls -l`` leaves out an image that it cannot open, or whose parent it cannot, and ends well all the same. So the
plain list of names decides what is there. Who has images open is asked of a few only: two calls for each.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from stackmend.drivers.storage import names
from stackmend.drivers.storage.clients import ceph, opened
from stackmend.drivers.storage.commands import listed
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Listing, Stored
from stackmend.model.protocols import Hosts

_KEPT = ".deleted"  #: cinder/volume/drivers/rbd.py: delete_volume


def _list(hosts: Hosts, back_end: BackEnd) -> Listing:
    program, pool = back_end.program or ("rbd",), back_end.place
    cluster, cluster_unread = _cluster(hosts, back_end) if back_end.glance else ("", "")
    plain = listed(hosts, back_end, (*program, "ls", "--format", "json", pool))
    long = listed(hosts, back_end, (*program, "ls", "-l", "--format", "json", pool))
    trash = listed(hosts, back_end, (*program, "trash", "ls", "--all", "--format", "json", pool))
    try:
        images = {one["image"]: one for one in long if "snapshot" not in one}
        every = [_image(name, images.get(name, {}), back_end, cluster) for name in {*plain, *images}]
        every += [_snapshot(one, back_end) for one in long if "snapshot" in one]
        every += [_trashed(one, back_end) for one in trash]
        parents = tuple(name for one in long if (name := _parent(one, pool)))
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise SourceError(f"rbd answers what is not understood: {problem!r}") from None
    known = tuple(one for one in every if one is not None)
    return Listing(
        objects=known,
        others=len(every) - len(known),
        parents=parents,
        cluster=cluster,
        cluster_unread=cluster_unread,
    )


def _cluster(hosts: Hosts, back_end: BackEnd) -> tuple[str, str]:
    """(its id, why it is not known)."""
    try:
        return str(listed(hosts, back_end, (*ceph(back_end), "fsid", "--format", "json"))["fsid"]), ""
    except SourceError as problem:
        return "", problem.message
    except (KeyError, TypeError) as problem:
        return "", f"ceph fsid answers what is not understood: {problem!r}"


def _image(name: str, shown: dict[str, Any], back_end: BackEnd, cluster: str) -> Stored | None:
    kind, uuid, role, ref = "volume", "", "", ""
    if found := names.volume(name):
        uuid = found[0] if found[1] in ("", _KEPT) else ""
        role = "deleted" if found[1] else ""
    elif server := names.disk(name):
        kind, uuid = "disk", server
    elif back_end.glance and (image := names.image(name)):
        kind, uuid, ref = "image", image, _location(back_end, cluster, image)
    if not uuid:
        return None
    lock = shown.get("lock_type", "")
    return Stored(
        name=name,
        kind=kind,
        uuid=uuid,
        role=role,
        ref=ref,
        parent=_parent(shown, back_end.place),
        size=int(shown["size"]) if "size" in shown else None,
        locked=bool(lock),
        used=f"it is locked ({lock})" if lock else "",
    )


def _snapshot(shown: dict[str, Any], back_end: BackEnd) -> Stored | None:
    name, size = f"{shown['image']}@{shown['snapshot']}", int(shown["size"])
    if back_end.glance and (image := names.image(shown["image"])):
        return Stored(name=name, kind="image-snapshot", uuid=image, origin=image, size=size)
    uuid, of = names.snapshot(shown["snapshot"]), names.volume(shown["image"])
    if uuid is None or of is None:
        return None
    return Stored(
        name=name,
        kind="snapshot",
        uuid=uuid,
        origin="" if of[1] else of[0],
        parent=_parent(shown, back_end.place),
        size=size,
    )


def _location(back_end: BackEnd, cluster: str, image: str) -> str:
    """As glance_store writes it (_drivers/rbd.py: StoreLocation.get_uri), without the snapshot, which may be gone."""
    return f"rbd://{cluster}/{quote(back_end.place, '')}/{image}"


def _trashed(shown: dict[str, Any], back_end: BackEnd) -> Stored | None:
    name = shown["name"]
    found = names.volume(name)
    kind, uuid = ("volume", found[0]) if found and not found[1] else ("disk", names.disk(name))
    if not uuid and back_end.glance:
        kind, uuid = "image", names.image(name)
    return Stored(name=name, kind=kind, uuid=uuid, role="trash", ref=shown["id"]) if uuid else None


def _parent(shown: dict[str, Any], pool: str) -> str:
    """What it is based on, with the pool if that is another."""
    parent = shown.get("parent", {})
    if not parent or parent.get("pool_namespace"):
        return ""
    name = f"{parent['image']}@{parent['snapshot']}"
    return name if parent["pool"] == pool else f"{parent['pool']}/{name}"


LIST, OPENED = _list, opened
