# SPDX-License-Identifier: Apache-2.0
"""Re-create the connection of a volume without detaching it, after its back end or its server's host has changed.

## What it does
Stops the server if it is running, has `nova-manage volume_attachment refresh` create a new attachment with the
connector of its host (read there while the plan is made), and starts the server again. If no access to hosts is
configured, the commands are printed. This works for root disks as well.

## Guards
The server is where it was and idle, and Nova and Cinder agree on the attachment.

## Undo
A server that was stopped is started again. The old connection is not restored: the new one is equivalent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stackmend.cloud.evidence import pairs
from stackmend.cloud.evidence.pairs import Pair
from stackmend.cloud.states import POWERED
from stackmend.hosts import attachments
from stackmend.model.finding import Row
from stackmend.model.operations.compute import Start, Stop
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.workflow import LaneDraft, Sight, Workflow


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane for the server and its volume; a manual one if hosts cannot be reached."""
    found = pairs.pair(arguments, sight)
    if found.vm_state not in POWERED:
        raise CannotRepair(f"server {found.server} is {found.vm_state}: it must be active or stopped")
    lane: dict[str, Any] = {
        "resource_type": "volume", "resource_id": found.volume, "target": {"server": found.server, **found.target},
    }  # fmt: skip
    connector = attachments.connector(sight, found.host)
    if not connector:
        words = [f"openstack server stop {found.server}"] if found.vm_state == "active" else []
        words.append(attachments.by_hand(found.host, found.server, [found.volume]))
        words += [f"openstack server start {found.server}"] if found.vm_state == "active" else []
        text = "; ".join(words)
        yield LaneDraft(**lane, message="its connection is re-created by hand", steps=(Manual(text=text),),
                        risk=Risk.MANUAL, why="no access to hosts is configured: see [hosts]")  # fmt: skip
        return
    manage = str(arguments.get("manage") or found.host)
    if manage != found.host:
        attachments.manages(sight, manage)
    yield LaneDraft(
        **lane,
        message=f"its connection to {found.host} is re-created",
        steps=tuple(_steps(sight, found, connector, manage)),
        slots=(f"from:{found.host}",),
    )


def _steps(sight: Sight, found: Pair, connector: str, manage: str) -> Iterator[Step]:
    start = Start(server=found.server).call({**found.guards, "server.vm_state": "stopped"})
    if found.vm_state == "active":
        yield Stop(server=found.server).call(found.guards, start)
    yield attachments.refreshed(
        sight, connector, server=found.server, volume=found.volume, attachment=found.attachment, manage=manage
    )
    if found.vm_state == "active":
        yield start


WORKFLOW = Workflow(
    name="refresh-volume",
    risk=Risk.UNSAFE,
    lanes=lanes,
    why="the server is down for a while; if the refresh fails half way it stays stopped with a volume to check",
)
