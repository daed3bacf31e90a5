# SPDX-License-Identifier: Apache-2.0
"""Make the disks of a server ready to be read, with its owner's approval, and keep them so until they are released.

## What it does
Records who approved and the ticket, in the journal with the plan and in Nova as the reason of a lock: so the server
cannot be started by its owner meanwhile, and anybody sees why. Then the server is stopped, if it runs. Its disks are
read afterwards by `disk show`, `disk ls`, `disk cat`, `disk copy-out` and `disk log`, and never written.

`disk release` starts the server again, if it ran, and unlocks it. It needs no journal and works after any crash.

## Methods
*offline* is the one that is built: the server is stopped, its disk is a file of its host (qcow2 or raw). Rescue through
Nova, a point-in-time copy and a look at a running guest are not built, nor are volumes, RBD and LVM: they are refused.

## Guards
The server is at rest, not locked, and where it was. Its directory is on its host, every disk is whole, and the host has
what serves them. Before each disk is opened it is locked by QEMU's own protocol: what a guest may write to is not read.

## Undo
Starts the server, if this run has stopped it, and unlocks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stackmend.cloud import servers
from stackmend.cloud.inspections import INSPECTED, Inspection, inspection
from stackmend.cloud.servers import Server
from stackmend.hosts.inspected import Found, disks
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.objects.disks import INSTANCES, Folder
from stackmend.model.operations.compute import Lock, LockSeen, Start, Stop, Unlock
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: images_type whose disks are files of the instances directory (nova.conf, [libvirt])
_FILES = frozenset({"", "default", "qcow2", "raw", "flat"})
_TOOLS = ("sh", "-c", "command -v qemu-nbd && command -v python3")


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    server = _server(arguments, sight)
    begun = Inspection.of(str(arguments["ticket"]), str(arguments["approved_by"]), server.vm_state)
    found, folder = _found(sight, server)
    if server.vm_state != "active" and folder.open_by:
        raise CannotRepair(
            f"server {server.id} is {server.vm_state}, and a process has its disks open: {', '.join(folder.open_by)}"
        )
    saved = ["its memory is saved: what it had not written yet is not on its disks"] if folder.saved else []
    what = "stopped and " if server.vm_state == "active" else ""
    yield LaneDraft(
        resource_type="server",
        resource_id=server.id,
        message=f"{what}locked, its disks to be read offline ({', '.join(one.name for one in found)}): {begun.reason}",
        steps=tuple(_steps(server, begun)),
        slots=(f"from:{server.host}",),
        target={**server.shown(), "ticket": begun.ticket, "approved_by": begun.approved_by, "method": "offline"},
        evidence=(*(f"{one.name}: {' on '.join(f'{p} ({f})' for p, f in one.layers)}" for one in found), *saved),
    )


def _server(arguments: Row, sight: Sight) -> Server:
    """The server, if its disks can be inspected by the method that is asked for."""
    name, method = str(arguments["server"]), str(arguments.get("method") or "offline")
    if method != "offline":
        raise UsageError(f"method {method} is not built", "This version inspects offline: leave --method away.")
    found = servers.server(sight.api, name)
    if found is None:
        raise UsageError(f"there is no server {name}", "See 'openstack server list --all-projects'.")
    if begun := inspection(found):
        raise CannotRepair(
            f"server {name} is under inspection already: ticket {begun.ticket}, approved by {begun.approved_by}."
            f" 'stackmend disk release {name}' ends it"
        )
    if found.locked:
        raise CannotRepair(f"server {name} is locked ({found.locked_reason or 'no reason is given'}): unlock it first")
    if not found.idle or found.vm_state not in INSPECTED or not found.host:
        raise CannotRepair(
            f"server {name} is {found.vm_state}{f', {found.task_state}' if found.task_state else ''}: it is inspected"
            f" while it is {', '.join(sorted(INSPECTED))} and no operation is in progress"
        )
    if not found.image:
        raise CannotRepair(f"server {name} boots from a volume: inspecting volumes is not built, only local disks")
    if (kind := str(sight.settings.get("nova.libvirt.images_type") or "")) not in _FILES:
        raise CannotRepair(f"nova.conf says that disks are of type {kind}: inspecting those is not built, only files")
    if why := sight.api.lacks(Lock):
        raise CannotRepair(why)
    return found


def _found(sight: Sight, server: Server) -> tuple[Sequence[Found], Folder]:
    """The disks of a server; CannotRepair where one cannot be read, before anything is stopped for it."""
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    inside = texts(sight.settings.get("hosts.container"))
    path = str(sight.settings.get("hosts.instances_path") or INSTANCES)
    found, folder = disks(sight.hosts, server, path, inside)
    if not found or all(one.problem for one in found):
        why = "; ".join(f"{one.name}: {one.problem}" for one in found) or "its directory holds none"
        raise CannotRepair(f"no disk of server {server.id} can be read: {why}")
    if sight.hosts.run(str(server.host), (*inside, *_TOOLS)).code:
        raise CannotRepair(f"{server.host} lacks qemu-nbd or python3, which serve a disk")
    return found, folder


def _steps(server: Server, begun: Inspection) -> Iterator[Step]:
    """Locked first: the reason says what to do about it, whatever happens next."""
    seen: ServerSeen = {
        "server": "present", "server.host": server.host, "server.vm_state": server.vm_state, "server.task_state": None,
    }  # fmt: skip
    unlock = Unlock(server=server.id).call({"server": "present", "locked": True, "locked_reason": begun.reason})
    lock: LockSeen = {**seen, "locked": False, "locked_reason": None}
    yield Lock(server=server.id, reason=begun.reason).call(lock, unlock)
    if begun.ran:
        start = Start(server=server.id).call({**seen, "server.vm_state": "stopped"})
        yield Stop(server=server.id).call(seen, start)


WORKFLOW = Workflow(
    name="inspect-disk",
    risk=Risk.UNSAFE,
    lanes=_lanes,
    why="a running server is stopped, and only an administrator can start it until it is released",
)
