# SPDX-License-Identifier: Apache-2.0
"""Copy the local disks of a dead host to another host, so that evacuation finds them there.

## What it does

Evacuating a server with a local disk rebuilds it from its image: all data the guest wrote is lost, unless the
destination already has ``<instances_path>/<uuid>``. This workflow puts that directory there. First the backing files
that are needed are copied, each one once. Then each server's directory is copied sparsely into a working folder next to
its final place, with checksums of every file on both sides. Finally owner, mode and backing files are set as the target
needs them, and the folder is renamed. After an interruption, files that are already complete are not copied again.

The source is only read. It is the host itself, or a rescue system with its disks mounted (``--from-host``,
``--from-path``). Afterwards evacuate each server **to this target and no other**: anywhere else it would be rebuilt.

## Guards

The host does not report to Nova. Each server still belongs to the host when its copy begins, and nothing on the source
has its files open. Its disk chain is complete and ``qemu-img check`` finds no error. The target is up, has room, and
has no directory of that name; a backing file of the same name must have the same content. Shared storage needs no copy
and is refused.

## What cannot be salvaged

A vTPM (its secret is in Barbican, its state belongs to swtpm) and the memory of a suspended guest: the plan names the
servers. UEFI variables are copied if libvirt runs outside containers.

## Undo

Moves the copies into ``.stackmend-quarantine`` on the target, unless they have been used since. Nothing is deleted on
either host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackmend.cloud import compute
from stackmend.hosts import fencing
from stackmend.hosts.disks import InstancesDirectory, copy_file, copy_folder, put_in_place, stamp_of
from stackmend.hosts.inventory import checked, inventory
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.objects.disks import INSTANCES, Base, Disk, Folder, Inventory
from stackmend.model.operations.compute import ServerStays
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: bytes that must stay free on the target
_RESERVE = 1 << 30
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class _Two:
    """Source and target as read for the plan."""

    source: InstancesDirectory
    target: InstancesDirectory
    found: Inventory
    there: Inventory


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    host, to = str(arguments["host"]), str(arguments["to"])
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    if host == to:
        raise UsageError("the target is the same host", "Name another host with --to.")
    service = fencing.silent_service(sight, host)
    if compute.service(sight.api, to)["state"] != "up":
        raise CannotRepair(f"nova-compute on {to} is not up: nothing could be evacuated to it")
    two = _both(arguments, sight, host, to)
    servers = _servers(arguments, sight, host)
    chosen = {str(one["id"]): folder for one in servers if (folder := _folder(two.found, one)) is not None}
    disks = [path for f in chosen.values() for d in f.disks for path in (d.image.path, *d.chain)]
    found = checked(sight.hosts, two.found, two.source.path, disks, two.source.container)
    two = _Two(two.source, two.target, found, two.there)
    why = {str(one["id"]): _why_not(one, two, host) for one in servers}
    good = [one for one in servers if not why[str(one["id"])]]
    bases = _needed(two, good)
    _room(two, good, bases)
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"{host} has not reported since the plan was made",
        steps=(fencing.no_heartbeat_since(host, service),),
        required=True,
    )
    stamp = stamp_of(sight.now)
    for base in bases:
        yield _base_lane(two, base, stamp)
    for one in servers:
        reason = why[str(one["id"])]
        yield _left(one, reason) if reason else _server_lane(two, one, host, stamp)


def _both(arguments: Row, sight: Sight, host: str, to: str) -> _Two:
    """Both instances directories; CannotRepair if they are the same."""
    assert sight.hosts is not None  # noqa: S101 - checked by the caller
    settings = sight.settings
    home = str(settings.get("hosts.instances_path", INSTANCES))
    at, path = str(arguments.get("from_host") or host), str(arguments.get("from_path") or home).rstrip("/")
    elsewhere = at != host or path != home
    source = InstancesDirectory.of(settings, at, path, home=home, inside=not elsewhere)
    target = InstancesDirectory.of(settings, to, str(arguments.get("to_path") or home).rstrip("/"))
    now = fencing.now(sight).timestamp()
    found = inventory(sight.hosts, at, path, home=home, prefix=source.container, now=now)
    there = inventory(sight.hosts, to, target.path, prefix=target.container, now=now)
    shared = found.storage.shared and not elsewhere
    if shared or there.storage.shared:
        what = found if shared else there
        raise CannotRepair(
            f"{what.path} of {what.host} is shared ({what.storage.why}): evacuation finds the disks where they are"
        )
    if not elsewhere and not found.every_process:
        raise CannotRepair(
            f"open disks on {host} cannot be seen: commands must run as root there ([hosts] prefix), and outside"
            " containers or in one that shares the host's process namespace"
        )
    sight.facts["from"] = f"{at}:{found.path}"
    sight.facts["to"] = f"{to}:{there.path}"
    if found.notes:
        sight.facts["not read"] = list(found.notes)
    return _Two(source, target, found, there)


def _servers(arguments: Row, sight: Sight, host: str) -> list[Mapping[str, object]]:
    """The servers of the host, or the requested ones; UsageError for one that is not on it."""
    every = {str(one["id"]): one for one in compute.servers_on(sight.api, host)}
    asked = list(texts(arguments.get("servers")))
    for name in asked:
        if name not in every:
            raise UsageError(
                f"{host} has no server {name}", f"See 'openstack server list --all-projects --host {host}'."
            )
    return [every[name] for name in dict.fromkeys(asked or sorted(every))]


def _folder(found: Inventory, server: Mapping[str, object]) -> Folder | None:
    """The server's directory, by its uuid or its domain name."""
    name = str(server.get("OS-EXT-SRV-ATTR:instance_name") or "")
    return found.folder(str(server["id"])) or (found.folder(name) if name else None)


def _why_not(server: Mapping[str, object], two: _Two, host: str) -> str:
    """Why a server is skipped; "" if its disks can be copied."""
    folder = _folder(two.found, server)
    if folder is None:
        if not server.get("image"):
            return "it has no directory: its root disk is a volume, which evacuation keeps"
        return f"it has no directory in {two.found.path}: its local disk is missing"
    taken = two.there.folder(str(server["id"]))
    reasons = (
        (server.get("OS-EXT-STS:task_state"), f"it is {server.get('OS-EXT-STS:task_state')}"),
        (server.get("OS-EXT-STS:vm_state") == "resized", "its resize waits to be confirmed or reverted"),
        (taken is not None, f"{two.target.host} already has a directory {two.there.path}/{server['id']}"),
        (folder.open_by, f"it is in use on {two.found.host} by {', '.join(folder.open_by)}: its guest still runs"),
        (folder.broken, "; ".join(folder.broken)),
        (any(not _understood(disk) for disk in folder.disks), "a disk has a backing file outside _base"),
        (not folder.disks, "its directory has no disk"),
    )
    return next((text for so, text in reasons if so), "")


def _understood(disk: Disk) -> bool:
    """Whether its chain is one that Nova creates: one file in _base, without a backing file of its own."""
    return len(disk.chain) <= 1 and all(path.startswith("_base/") and path.count("/") == 1 for path in disk.chain)


def _needed(two: _Two, servers: Sequence[Mapping[str, object]]) -> list[Base]:
    """The backing files of these servers, each one once."""
    folders = [folder for one in servers if (folder := _folder(two.found, one)) is not None]
    paths = dict.fromkeys(path for folder in folders for disk in folder.disks for path in disk.chain)
    return [base for path in sorted(paths) if (base := two.found.base(path)) is not None]


def _room(two: _Two, servers: Sequence[Mapping[str, object]], bases: Sequence[Base]) -> None:
    """CannotRepair if the target lacks room for all copies."""
    folders = [folder for one in servers if (folder := _folder(two.found, one)) is not None]
    new = [base for base in bases if two.there.base(base.image.path) is None]
    need = sum(folder.allocated for folder in folders) + sum(base.image.allocated for base in new)
    free = two.there.storage.free
    if need + _RESERVE > free:
        raise CannotRepair(
            f"{two.target.host} has {free / _GIB:.1f} GiB free in {two.there.path}; {need / _GIB:.1f} GiB are needed"
            " and 1 GiB must stay free: salvage fewer servers at a time (--server), or to another target"
        )


def _base_lane(two: _Two, base: Base, stamp: str) -> LaneDraft:
    there = two.there.base(base.image.path)
    return LaneDraft(
        resource_type="file",
        resource_id=base.image.path,
        message=f"{base.kind} base of {len(base.used_by)} disks: {'compared' if there else 'copied'},"
        f" {base.image.allocated / _GIB:.2f} GiB",
        steps=(copy_file(two.source, two.target, base.image.path, base.image.size, stamp, base.image.format),),
        stage=1,
        slots=(f"from:{two.source.host}", f"to:{two.target.host}"),
    )


def _server_lane(two: _Two, server: Mapping[str, object], host: str, stamp: str) -> LaneDraft:
    """One server: its directory is copied and put in place."""
    folder = _folder(two.found, server)
    assert folder is not None  # noqa: S101 - servers without one are skipped before
    name = str(server["id"])
    stays = ServerStays(server=name, host=host).call()
    steps: list[Step] = [stays, copy_folder(two.source, two.target, folder, name, stamp)]
    lost = _lost(folder, two)
    if folder.nvram and not two.target.container and not two.source.container:
        steps.append(_nvram(two, folder.nvram, stamp))
    steps.append(put_in_place(two.source, two.target, folder, name, two.found, stamp))
    return LaneDraft(
        resource_type="server",
        resource_id=name,
        message=f"{folder.allocated / _GIB:.2f} GiB in {len(folder.files)} files to {two.target.host}"
        f"{f'; cannot be salvaged: {lost}' if lost else ''}",
        steps=tuple(steps),
        stage=2,
        slots=(f"from:{two.source.host}", f"to:{two.target.host}"),
        target={
            "name": server.get("name"),
            "vm_state": server.get("OS-EXT-STS:vm_state"),
            "directory": folder.name,
            "disks": {disk.image.path.partition("/")[2]: list(disk.chain) for disk in folder.disks},
            "lost": lost,
        },
    )


def _lost(folder: Folder, two: _Two) -> str:
    """Parts of a guest that cannot be copied."""
    lost = []
    if folder.vtpm:
        lost.append("its vTPM")
    if folder.saved:
        lost.append("its suspended memory")
    if folder.nvram and (two.target.container or two.source.container):
        lost.append(f"its UEFI variables ({folder.nvram}), which must be copied by hand")
    return ", ".join(lost)


def _nvram(two: _Two, path: str, stamp: str) -> Step:
    """Copy the UEFI variables to the path where libvirt looks for them."""
    above, name = path.rsplit("/", 2)[0], path.rsplit("/", 1)[1]
    source = InstancesDirectory(host=two.source.host, path=above, carry=two.source.carry, prefix=two.source.prefix)
    target = InstancesDirectory(
        host=two.target.host, path="/var/lib/libvirt/qemu", carry=two.target.carry, prefix=two.target.prefix
    )
    return copy_file(source, target, f"nvram/{name}", 0, stamp)


def _left(server: Mapping[str, object], why: str) -> LaneDraft:
    """A server whose disks are not copied."""
    name = server["id"]
    return LaneDraft(
        resource_type="server",
        resource_id=str(name),
        message=f"not salvaged: {why}",
        steps=(Manual(text=f"server {name} ({server.get('name')}) is not salvaged: {why}"),),
        stage=2,
        risk=Risk.MANUAL,
        target={"name": server.get("name"), "why": why},
    )


WORKFLOW = Workflow(name="salvage-host", risk=Risk.SAFE, lanes=_lanes)
