# SPDX-License-Identifier: Apache-2.0
"""Detach a volume from its server and attach it again, through Nova.

## What it does
Waits until the guest is ready to let a disk go, where it runs: its console shows a login prompt, or a program that the
operator names ends with 0. Then Nova detaches the volume; that is over when Nova has no mapping of it, Cinder no
attachment, and Nova's own action is finished. Then it is attached again, with the same `delete_on_termination` and tag.
The guest may see it under another name: by its serial, the beginning of the volume's id, it is the same.

## Guards
The server is where it was and at rest, and Nova and Cinder mean the same attachment. The root disk is refused: it
cannot be detached. `volume refresh` makes its connection anew, and so does shelving the server and unshelving it.

## Undo
Where the volume was detached and could not be attached again, undo attaches it. After both there is nothing to take
back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from stackmend.cloud import pairs
from stackmend.cloud.pairs import Pair
from stackmend.cloud.states import ATTACHES
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import AttachVolume, AwaitLogin, PairSeen, ReleaseVolume
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand, Manual, Risk, Step
from stackmend.model.values import real, texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: seconds that a guest may take to come up, and to let go of a disk
_GUEST, _LETTING_GO = 900, 900
#: asks until the answer is yes
_UNTIL = 'until "$@"; do sleep 5; done'
_ASK = '"$@" || exit 1'


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane for the pair. CannotRepair where it may not be begun."""
    found = pairs.pair(arguments, sight)
    if found.root:
        raise CannotRepair(
            f"volume {found.volume} is the root disk of server {found.server}, which cannot be detached: 'stackmend"
            f" volume refresh --server {found.server} {found.volume}' makes its connection anew, and so does shelving"
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
    """Wait for a guest that runs, as the operator asks for it."""
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
        text=f"should it end detached: 'stackmend run undo', or openstack server add volume{tag}{end} {found.server}"
        f" {found.volume}"
    )


WORKFLOW = Workflow(
    name="reattach-volume",
    risk=Risk.UNSAFE,
    lanes=lanes,
    why="the guest loses the disk for a while: what is mounted from it must be unmounted before",
)
