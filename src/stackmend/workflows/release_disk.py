# SPDX-License-Identifier: Apache-2.0
"""End the inspection of a server's disks: the server is started again if it ran, and unlocked.

## What it does
Reads what is to be done from the reason that the server is locked for, so it needs no journal, and works where the
inspection was cut off at any point. On the host there is nothing to end: what served a disk ends with whoever read it.

## Guards
The server is locked by an inspection of stackmend, and nothing is under way.

## Undo
Locks the server again, and stops it if this has started it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import servers
from stackmend.cloud.inspections import inspection
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import Lock, Start, Stop, Unlock
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk, Step
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    name = str(arguments["server"])
    server = servers.server(sight.api, name)
    if server is None:
        raise UsageError(f"there is no server {name}", "See 'openstack server list --all-projects'.")
    begun = inspection(server)
    if begun is None:
        raise CannotRepair(f"server {name} is under no inspection of stackmend: {server.locked_reason or 'not locked'}")
    if not server.idle:
        raise CannotRepair(f"server {name} is busy ({server.task_state}): try again later")
    seen: ServerSeen = {
        "server": "present", "server.host": server.host, "server.vm_state": server.vm_state, "server.task_state": None,
    }  # fmt: skip
    starts = begun.ran and server.vm_state == "stopped"
    steps: list[Step] = []
    if starts:
        stop = Stop(server=server.id).call({**seen, "server.vm_state": "active"})
        steps.append(Start(server=server.id).call(seen, stop))
    lock = Lock(server=server.id, reason=begun.reason).call({"server": "present", "locked": False})
    steps.append(
        Unlock(server=server.id).call({"server": "present", "locked": True, "locked_reason": begun.reason}, lock)
    )
    yield LaneDraft(
        resource_type="server",
        resource_id=server.id,
        message=f"{'started and ' if starts else ''}unlocked: {begun.reason}",
        steps=tuple(steps),
        slots=(f"from:{server.host}",),
        target=server.shown(),
    )


WORKFLOW = Workflow(name="release-disk", risk=Risk.SAFE, lanes=_lanes)
