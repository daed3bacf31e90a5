# SPDX-License-Identifier: Apache-2.0
"""Detach a volume from its server and attach it again, through Nova.

## What it does
Waits until a running guest is ready to release the disk: its console shows a login prompt, or a command named by the
operator exits with 0. Then Nova detaches the volume. The detach is complete when Nova has no block device mapping,
Cinder has no attachment and Nova's own action has finished. Then the volume is attached again, with the same
`delete_on_termination` and tag. The guest may see it under another device name; its serial, the first characters of the
volume's id, stays the same.

## Guards
The server is where it was and idle, and Nova and Cinder agree on the attachment. A root disk is refused, because it
cannot be detached: use `volume refresh` to re-create its connection, or shelve and unshelve the server.

## Undo
If the volume was detached but could not be attached again, undo attaches it. After both steps there is nothing to undo.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from stackmend.cloud.evidence import pairs
from stackmend.cloud.evidence.pairs import Pair
from stackmend.cloud.states import ATTACHES
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import AttachVolume, AwaitLogin, PairSeen, ReleaseVolume
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand, Manual, Risk, Step
from stackmend.model.values import real, texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: seconds that a guest may take to boot, and to release a disk
_GUEST, _LETTING_GO = 900, 900
#: repeats the command until it succeeds
_UNTIL = 'until "$@"; do sleep 5; done'
_ASK = '"$@" || exit 1'


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane for the server and its volume; CannotRepair if a guard refuses it."""
    found = pairs.pair(arguments, sight)
    if found.root:
        raise CannotRepair(
            f"volume {found.volume} is the root disk of server {found.server}, which cannot be detached: re-create its"
            f" connection with 'stackmend volume refresh --server {found.server} {found.volume}', or by shelving"
        )
    if found.vm_state not in ATTACHES:
        raise CannotRepair(
            f"server {found.server} is {found.vm_state}: Nova detaches from {', '.join(sorted(ATTACHES))}"
        )
    if why := sight.api.lacks(AttachVolume):
        raise CannotRepair(why)
    yield LaneDraft(
        resource_type="volume",
        resource_id=found.volume,
        message=f"detached from {found.name or found.server} and attached again",
        steps=(*_waited(arguments, found), *_again(found)),
        slots=(f"from:{found.host}",),
        target={"server": found.server, **found.target},
    )


def _waited(arguments: Row, found: Pair) -> Iterator[Step]:
    """Wait for a running guest in the requested way."""
    probe = texts(arguments.get("probe"))
    words = tuple(word.replace("{server}", found.server) for word in probe)
    if probe and not any("{server}" in word for word in probe):
        raise UsageError("the probe does not name its guest", "Put {server} where its UUID belongs.")
    if found.vm_state != "active" or arguments.get("guest") == "none":
        return
    limit = real(arguments.get("limit") or _GUEST)
    if words:
        yield HostCommand(
            host="",
            argv=("sh", "-c", _UNTIL, "until", *words),
            probe=("sh", "-c", _ASK, "ask", *words),
            inverse=("true",),
            limit=limit,
        )
    else:
        yield AwaitLogin(server=found.server, limit=limit).call()


def _again(found: Pair) -> Iterator[Step]:
    server, volume = found.server, found.volume
    there = AttachVolume(
        server=server, volume=volume, delete_on_termination=found.delete_on_termination, tag=found.tag
    ).call(cast("PairSeen", {**found.guards, "mapping": None}))
    yield ReleaseVolume(server=server, volume=volume, limit=_LETTING_GO).call(
        cast("PairSeen", {**found.guards, "attachment": found.attachment, "volume.status": "in-use"}), there
    )
    yield there
    tag = f" --tag {found.tag}" if found.tag else ""
    end = " --enable-delete-on-termination" if found.delete_on_termination else ""
    yield Manual(
        text=f"if the volume stays detached: 'stackmend run undo', or openstack server add volume{tag}{end}"
        f" {found.server} {found.volume}"
    )


WORKFLOW = Workflow(
    name="reattach-volume",
    risk=Risk.UNSAFE,
    lanes=lanes,
    why="the guest loses the disk for a while: unmount its file systems first",
)
