# SPDX-License-Identifier: Apache-2.0
"""Methods to reach the disks of one server: what each needs, what it does, and what the release of it undoes.

:mod:`stackmend.workflows.inspect_disk` tries the gentlest first, and says why it passed a method over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stackmend.cloud.inspections import OFF, RUNNING, Inspection
from stackmend.cloud.servers import Server
from stackmend.hosts.inspection import copies
from stackmend.hosts.inspection.inspected import ELSEWHERE, Found, disks
from stackmend.model.errors import SourceError
from stackmend.model.finding import Row
from stackmend.model.objects.disks import INSTANCES, Folder
from stackmend.model.operations.compute import Start, Stop
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.protocols import Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Step
from stackmend.model.values import texts
from stackmend.model.workflow import Sight

#: values of images_type (nova.conf, [libvirt]) with which disks are files in the instances directory
_FILES = frozenset({"", "default", "qcow2", "raw", "flat"})
_TOOLS = ("sh", "-c", "command -v qemu-nbd && command -v python3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a method does to a server once it is locked."""

    does: str  #: in words, after "locked, "
    steps: tuple[Step, ...] = ()
    evidence: tuple[str, ...] = ()
    why: str = ""  #: the risk: what may be lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """How a method ends, before the server is unlocked."""

    steps: tuple[Step, ...] = ()
    does: str = ""  #: in words, before "unlocked"
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to reach the disks of a server."""

    name: str
    states: frozenset[str]  #: values of vm_state for which it is suitable
    #: (server, the operator's arguments, sight); CannotRepair, with the reason, if it cannot be used
    prepare: Callable[[Server, Row, Sight], Prepared]
    release: Callable[[Server, Inspection, Sight], Released] = field(default=lambda _server, _begun, _sight: Released())
    by_name: bool = False  #: never chosen automatically: the operator has to name it


def seen(server: Server, **changed: object) -> ServerSeen:
    """The state in which the server was found, for guards."""
    found: ServerSeen = {
        "server": "present", "server.host": server.host, "server.vm_state": server.vm_state, "server.task_state": None,
    }  # fmt: skip
    found.update(changed)  # type: ignore[typeddict-item]
    return found


# -- disks that are files on their host


def offline(server: Server, _: Row, sight: Sight) -> Prepared:
    """Stop the server if it is running; then nobody writes to its disks."""
    found, folder, evidence = _local(server, sight)
    if server.vm_state != "active" and folder.open_by:
        raise CannotRepair(
            f"server {server.id} is {server.vm_state}, and a process has its disks open: {', '.join(folder.open_by)}"
        )
    saved = ["its memory is saved: what it had not written yet is not on its disks"] if folder.saved else []
    stops = server.vm_state == "active"
    steps: tuple[Step, ...] = ()
    if stops:
        start = Start(server=server.id).call({**seen(server), "server.vm_state": "stopped"})
        steps = (Stop(server=server.id).call(seen(server), start),)
    return Prepared(
        does=f"{'stopped, ' if stops else ''}its disks to be read offline ({', '.join(one.name for one in found)})",
        steps=steps,
        evidence=(*evidence, *saved),
        why="a server that runs is stopped, and nobody but an administrator can start it until it is released"
        if stops
        else "nobody but an administrator can start the server until it is released",
    )


def copy(server: Server, _: Row, sight: Sight) -> Prepared:
    """Leave the guest running: each reading command has libvirt begin a backup, reads it, and ends it."""
    found, _folder, evidence = _local(server, sight)
    hosts, inside = _reach(sight)
    said = []
    for one in found:
        if one.problem or one.name == "config":
            continue
        room = copies.look(hosts, str(server.host), inside, server.id, one.layers[0][0])
        said.append(f"{one.name}: up to {room >> 20} MiB of what it overwrites meanwhile are kept beside it")
    return Prepared(
        does=f"its guest goes on; each reading is of a copy of the moment ({', '.join(one.name for one in found)})",
        evidence=(*evidence, *said),
        why="nothing of the guest; its owner can neither stop, move nor snapshot it until it is released",
    )


def live(server: Server, _: Row, sight: Sight) -> Prepared:
    """Read the disk of a running guest while the guest writes to it: what is read is torn, and remains so."""
    found, _folder, evidence = _local(server, sight)
    return Prepared(
        does=f"its guest goes on, and writes while its disks are read ({', '.join(one.name for one in found)})",
        evidence=(
            *evidence,
            "TORN: what is read is of no one moment, files may be mixtures of old and new; journals are replayed in a"
            " copy, which makes of a torn disk what it can",
        ),
        why="nothing of the guest; what is read may be wrong without looking so",
    )


def ended(server: Server, _: Inspection, sight: Sight) -> Released:
    """End a backup that outlived even its guard. If the host cannot be queried, the evidence says so."""
    path = str(sight.settings.get("hosts.instances_path") or INSTANCES)
    folder = f"{path.rstrip('/')}/{server.id}"
    try:
        hosts, inside = _reach(sight)
        if not copies.left(hosts, str(server.host), inside, server.id, folder):
            return Released()
    except (SourceError, CannotRepair) as problem:
        why = problem.message if isinstance(problem, SourceError) else str(problem)
        return Released(evidence=(f"whether a copy is left on {server.host} is not known: {why}",))
    return Released(steps=(copies.end(str(server.host), inside, server.id, folder),), does="its copy ended, ")


def restarted(server: Server, begun: Inspection, _: Sight) -> Released:
    """Start the server again if it was running before."""
    if not (begun.ran and server.vm_state == "stopped"):
        return Released()
    stop = Stop(server=server.id).call({**seen(server), "server.vm_state": "active"})
    return Released(steps=(Start(server=server.id).call(seen(server), stop),), does="started and ")


def _reach(sight: Sight) -> tuple[Hosts, tuple[str, ...]]:
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    return sight.hosts, texts(sight.settings.get("hosts.container"))


def _local(server: Server, sight: Sight) -> tuple[Sequence[Found], Folder, tuple[str, ...]]:
    """The server's disks that are files on its host. CannotRepair, before anything is done, if none can be read."""
    if not server.image:
        raise CannotRepair(f"server {server.id} boots from a volume: its root disk is no file of its host")
    if (kind := str(sight.settings.get("nova.libvirt.images_type") or "")) not in _FILES:
        raise CannotRepair(f"nova.conf says that disks are of type {kind}: they are no files of the host. {ELSEWHERE}")
    hosts, inside = _reach(sight)
    path = str(sight.settings.get("hosts.instances_path") or INSTANCES)
    found, folder = disks(hosts, server, path, inside)
    if not found or all(one.problem for one in found):
        why = "; ".join(f"{one.name}: {one.problem}" for one in found) or f"its directory holds none. {ELSEWHERE}"
        raise CannotRepair(f"no disk of server {server.id} can be read: {why}")
    if hosts.run(str(server.host), (*inside, *_TOOLS)).code:
        raise CannotRepair(f"{server.host} lacks qemu-nbd or python3, which serve a disk")
    return found, folder, tuple(f"{one.name}: {' on '.join(f'{p} ({f})' for p, f in one.layers)}" for one in found)


OFFLINE = Method(name="offline", states=OFF | {"active"}, prepare=offline, release=restarted)
COPY = Method(name="copy", states=RUNNING, prepare=copy, release=ended)
LIVE = Method(name="live", states=RUNNING, prepare=live, by_name=True)
