# SPDX-License-Identifier: Apache-2.0
"""Volumes of a server: a copy, made from a snapshot, is attached read-only to a helper and read on the helper's host.

In this way every back end whose volumes appear on a host as a device or a file is read alike: LVM, iSCSI and NFS. A
volume that QEMU opens by itself (RBD) is not a device on the host; it can be read inside the helper.
"""

from __future__ import annotations

from xml.etree import ElementTree

from stackmend.cloud import block_storage, servers
from stackmend.cloud.inspections import OFF, RUNNING, Inspection
from stackmend.cloud.servers import Server
from stackmend.hosts.inspection.inspecting import Method, Prepared, Released
from stackmend.model.errors import SourceError
from stackmend.model.finding import Row
from stackmend.model.operations.volume_copies import (
    NAME,
    AttachCopy,
    CopySnapshot,
    DetachCopy,
    DropCopy,
    DropVolumeSnapshot,
    SetCopyReadOnly,
    SnapshotVolume,
)
from stackmend.model.protocols import Api, Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Step
from stackmend.model.values import whole
from stackmend.model.workflow import Sight

_XML = ("virsh", "--quiet", "--connect", "qemu:///system", "dumpxml")


def name_of(server: str) -> str:
    """The name of the snapshot, and of the copy, made for a server."""
    return f"{NAME}{server}"


def prepare(server: Server, arguments: Row, sight: Sight) -> Prepared:
    """Attach a copy of one volume to the helper; CannotRepair if that is not possible."""
    volume, size = _volume(server, str(arguments.get("of") or ""), sight.api)
    helper = _helper(server, str(arguments.get("helper") or ""), sight.api)
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    name = name_of(server.id)
    if block_storage.named(sight.api, "volumes", name) or block_storage.named(sight.api, "snapshots", name):
        raise CannotRepair(f"Cinder has a snapshot or volume {name} already: delete what an earlier inspection left")
    steps: tuple[Step, ...] = (
        SnapshotVolume(volume=volume, name=name).call(
            {"snapshot": "absent", "copy": "absent"}, DropVolumeSnapshot(volume=volume, name=name).call()
        ),
        CopySnapshot(volume=volume, name=name, size=size).call(
            {"snapshot": "available", "copy": "absent"}, DropCopy(volume=volume, name=name).call()
        ),
        SetCopyReadOnly(volume=volume, name=name).call(
            {"copy": "available"}, SetCopyReadOnly(volume=volume, name=name).call()
        ),
        AttachCopy(server=helper.id, name=name).call(
            {"copy": "available", "readonly": True}, DetachCopy(server=helper.id, name=name).call()
        ),
    )
    return Prepared(
        does=f"its guest goes on; a copy of volume {volume} is attached read-only to {helper.name} on {helper.host}",
        steps=steps,
        evidence=(
            f"volume {volume}, {size} GiB: a snapshot and a volume of it are made, in the project of the account, and"
            " deleted when it is released",
            "of the moment of the snapshot, as after a loss of power",
        ),
        why="nothing of the guest; snapshot and copy take room in the back end and count in the account's quota",
    )


def release(server: Server, _: Inspection, sight: Sight) -> Released:
    """Detach and delete whatever exists of copy and snapshot, found by their name."""
    name = name_of(server.id)
    copy, snapshot = (block_storage.named(sight.api, kind, name) for kind in ("volumes", "snapshots"))
    volume = str((snapshot or {}).get("volume_id") or name)
    steps: list[Step] = []
    if copy:
        if helper := block_storage.holder(copy):
            steps.append(DetachCopy(server=helper, name=name).call({"helper": helper}))
        steps.append(DropCopy(volume=volume, name=name).call())
    if snapshot:
        steps.append(DropVolumeSnapshot(volume=volume, name=name).call())
    return Released(steps=tuple(steps), does="its copy deleted and " if steps else "")


def served(api: Api, hosts: Hosts, inside: tuple[str, ...], server: str) -> tuple[str, str, str]:
    """(host, path, format) by which the copy can be read; SourceError if it cannot be read."""
    copy = block_storage.named(api, "volumes", name_of(server))
    helper = block_storage.holder(copy) if copy else None
    at = servers.server(api, helper) if helper else None
    if copy is None or at is None or not at.host:
        raise SourceError(
            "the copy of its volume is attached to no server", "'stackmend disk release SERVER', then inspect it anew."
        )
    done = hosts.run(at.host, (*inside, *_XML, at.id))
    if done.code:
        said = done.err.decode("utf-8", "replace").strip() or f"exit code {done.code}"
        raise SourceError(f"libvirt of {at.host} does not show server {at.id}: {said}")
    for disk in ElementTree.fromstring(done.out.decode("utf-8", "replace")).iterfind("./devices/disk"):  # noqa: S314
        if disk.findtext("serial") == copy["id"]:
            return at.host, *_read(disk, str(copy["id"]))
    raise SourceError(f"the guest of server {at.id} has no disk with the serial number {copy['id']}")


def _read(disk: ElementTree.Element, volume: str) -> tuple[str, str]:
    source, driver = disk.find("source"), disk.find("driver")
    path = "" if source is None else source.get("dev") or source.get("file") or ""
    form = "raw" if driver is None else driver.get("type") or "raw"
    if not path:
        kind = "" if source is None else source.get("protocol") or ""
        raise SourceError(
            f"the back end of the volume is {kind or disk.get('type')}: QEMU opens it by itself, it is no device there",
            f"Read it in the helper, where it is /dev/disk/by-id/virtio-{volume[:20]}.",
        )
    if disk.find("readonly") is None:
        raise SourceError("the copy is not read-only at its helper: it is not read", "Release it and inspect it anew.")
    return path, form


def _volume(server: Server, wanted: str, api: Api) -> tuple[str, int]:
    name = wanted
    if not name:
        if not server.volumes:
            raise CannotRepair("the server has no volume")
        if len(server.volumes) > 1:
            raise CannotRepair(f"the server has {len(server.volumes)} volumes: name one with --of")
        name = server.volumes[0]
    if name not in server.volumes:
        raise CannotRepair(f"server {server.id} has no volume {name}")
    found = block_storage.volume(api, name)
    if found is None or found["status"] != "in-use":
        raise CannotRepair(f"volume {name} is {'gone' if found is None else found['status']}, not in use")
    if found.get("encrypted"):
        raise CannotRepair(f"volume {name} is encrypted: copies of such are not read")
    return name, whole(found["size"])


def _helper(server: Server, wanted: str, api: Api) -> Server:
    if not wanted:
        raise CannotRepair("a copy of a volume is attached to a server of yours, on whose host it is read: --helper")
    found = servers.server(api, wanted)
    if found is None or found.id == server.id:
        raise CannotRepair(f"there is no other server {wanted} that could be the helper")
    if found.vm_state != "active" or not found.idle or found.locked or not found.host:
        raise CannotRepair(f"helper {wanted} is {found.vm_state}: it has to be active, idle and not locked")
    return found


SNAPSHOT = Method(name="snapshot", states=RUNNING | OFF, prepare=prepare, release=release)
