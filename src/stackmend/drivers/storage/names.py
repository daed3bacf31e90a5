# SPDX-License-Identifier: Apache-2.0
"""The names that Cinder, Nova and Glance give to objects, with Cinder's default templates. Others are nobody's."""

from __future__ import annotations

import hashlib
import re

_UUID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
#: volume_name_template; the rest: Cinder's own additions
_VOLUME = re.compile(rf"volume-{_UUID}(.*)")
#: snapshot_name_template; LVM reserves names that begin with "snapshot"
_SNAPSHOT = re.compile(rf"_?snapshot-{_UUID}")
#: glance_store/_drivers/rbd.py: add
_IMAGE = re.compile(_UUID)
#: nova/virt/libvirt/imagebackend.py: <uuid>_disk, _disk.config, _disk.swap, _disk.eph0, _disk.rescue, ...
_DISK = re.compile(rf"{_UUID}_disk(?:\.[a-z0-9._]+)?")


def volume(name: str) -> tuple[str, str] | None:
    """(uuid, what follows it) of the name of a volume."""
    found = _VOLUME.fullmatch(name)
    return (found[1], found[2]) if found else None


def snapshot(name: str) -> str | None:
    """The uuid in the name of a snapshot."""
    found = _SNAPSHOT.fullmatch(name)
    return found[1] if found else None


def disk(name: str) -> str | None:
    """The server in the name of a disk."""
    found = _DISK.fullmatch(name)
    return found[1] if found else None


def image(name: str) -> str | None:
    """The image whose content has this name."""
    return name if _IMAGE.fullmatch(name) else None


def folder_of(share: str) -> str:
    """The folder on which Cinder mounts a share (cinder/volume/drivers/remotefs.py: _get_hash_str)."""
    return hashlib.md5(share.encode(), usedforsecurity=False).hexdigest()
