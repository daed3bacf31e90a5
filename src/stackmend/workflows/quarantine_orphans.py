# SPDX-License-Identifier: Apache-2.0
"""Move directories that belong to no server into a quarantine inside the host's instances directory.

## What it does

Each orphaned directory is moved to ``<instances_path>/.stackmend-quarantine/<time>/`` with one rename. Nothing is
deleted: delete the quarantine by hand once nobody has missed anything for a while.

## Guards

A directory is an orphan only if nova_api and every cell were read and no server that may own it has that name: no
server on this host, moving from or to it, evacuated from it and not yet cleaned up, being built, or deleted within the
last day. The directory has not changed for a week (``--older-than``), no process has one of its files open, libvirt has
no domain for it, and no other disk is based on it. Shared storage is refused. Nova's records, open files, dependent
disks and the time of the last change are checked again before each move.

## Undo

Moves each directory back, unless a directory of that name exists again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.hosts import fencing
from stackmend.hosts.disks import InstancesDirectory, aside, stamp_of
from stackmend.hosts.inventory import inventory
from stackmend.hosts.owners import AGE, no_orphan, owners
from stackmend.model.finding import Row
from stackmend.model.objects.disks import INSTANCES, DirectoryOwner, Folder, Ownership
from stackmend.model.operations.compute import ServerAway
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, ExpectRow, Risk, Step
from stackmend.model.values import real
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    host = str(arguments["host"])
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    if sight.live is None:
        raise CannotRepair(
            "no Nova database is configured: only all cells together can show that no server owns a directory"
        )
    cells = sight.live.cells()
    home = str(sight.settings.get("hosts.instances_path", INSTANCES))
    path = str(arguments.get("path") or home).rstrip("/")
    place = InstancesDirectory.of(sight.settings, host, path)
    now = fencing.now(sight).timestamp()
    found = inventory(sight.hosts, host, path, prefix=place.container, now=now)
    if found.storage.shared is not False:
        raise CannotRepair(
            f"{path} of {host} may be shared: {found.storage.why}. Servers of other hosts may own its contents"
        )
    whose = owners(found, sight.live, sight.api)
    days = AGE if arguments.get("days") is None else real(arguments["days"])
    kept = {}
    for folder in found.folders:
        owner = whose[folder.name]
        if why := no_orphan(folder, owner, found, now, days):
            if owner.verdict is not Ownership.HERE:
                kept[folder.name] = why
            continue
        yield LaneDraft(
            resource_type="directory",
            resource_id=f"{host}:{found.path}/{folder.name}",
            message=f"orphan, {folder.allocated / (1 << 30):.2f} GiB: {owner.why}",
            steps=(*_guards(folder, owner, host, cells), aside(place, folder, stamp_of(sight.now))),
            target={"files": list(folder.files), "server": folder.server or owner.server, "why": owner.why},
        )
    sight.facts["kept"] = kept


def _guards(folder: Folder, owner: DirectoryOwner, host: str, cells: tuple[str, ...]) -> Iterator[Step]:
    """Nova's records that must be unchanged when this directory is moved."""
    server = folder.server or owner.server
    if not server:
        return
    if owner.verdict is Ownership.ELSEWHERE:
        yield ExpectRow(
            database=cell_database(owner.cell),
            table="instances",
            pk={"id": owner.row},
            expect={"uuid": server, "deleted": 0, "host": owner.host or None, "task_state": None},
        )
    else:
        for cell in cells:
            yield ExpectNone(database=cell_database(cell), table="instances", where={"uuid": server, "deleted": 0})
        yield ExpectNone(database="nova_api", table="build_requests", where={"instance_uuid": server})
    yield ServerAway(server=server, host=host).call()


WORKFLOW = Workflow(name="quarantine-orphans", risk=Risk.SAFE, lanes=_lanes)
