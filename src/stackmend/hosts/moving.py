# SPDX-License-Identifier: Apache-2.0
"""The lane of a server that has to leave its host: the steps for its state, or the reason why it stays.

Actions that affect a guest require an option: ``--cold`` for the cold migration of stopped servers, ``--wake`` for
resuming suspended ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackmend.cloud.servers import Server
from stackmend.cloud.states import IN_MEMORY
from stackmend.model.operations.compute import (
    ColdMigrate,
    ConfirmResize,
    LiveMigrate,
    Resume,
    RevertResize,
    ServerGone,
    ShelveOffload,
    Suspend,
)
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.step import ApiCall, Manual, Risk, Step
from stackmend.model.workflow import LaneDraft

WOKEN = "the guest runs while it is moved: its clock jumps, and its peers notice"

#: vm_state -> why only its owner or an administrator can decide
_LEFT = {
    "building": "it is being built, or its build failed: check again later",
    "rescued": "it was booted from a rescue disk, and somebody may be working in it: run 'openstack server unrescue',"
    " then plan again",
    "resized": "its resize waits to be confirmed or reverted: run 'openstack server resize confirm' or 'revert', then"
    " plan again",
    "soft-delete": "it is soft-deleted and can be restored: restore it, or delete it for good, then plan again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOptions:
    """The options for moving servers."""

    to: str | None = None
    cold: bool = False
    wake: bool = False
    limit: float = 3600.0  #: time limit per server in seconds
    stall: float = 900.0  #: seconds without progress
    on_stall: str = "abort"
    stage: int = 1

    @property
    def elsewhere(self) -> tuple[str | None, ...]:
        """A server without a given destination gets a second attempt after a failed move."""
        return () if self.to else (None,)

    def live(self, one: Server) -> LiveMigrate:
        """The live migration of a running server."""
        return LiveMigrate(
            server=one.id, from_=one.host, to=self.to, elsewhere=self.elsewhere, limit=self.limit, stall=self.stall,
            on_stall=self.on_stall,
        )  # fmt: skip


def lane(one: Server, wishes: MoveOptions, hindered: str) -> LaneDraft:
    """The lane of a server on a host; ``hindered``: why it cannot be moved as it is, "" if it can."""
    if hindered:
        return left(one, hindered, wishes.stage)
    if one.task_state == "deleting":
        gone = ServerGone(server=one.id, limit=wishes.limit).call()
        return _draft(one, wishes, "is being deleted", (gone,))
    if one.task_state not in (None, "migrating"):
        return left(one, f"a task is in progress ({one.task_state}): plan again when it is over", wishes.stage)
    if why := _LEFT.get(one.vm_state):
        return left(one, why, wishes.stage)
    if one.vm_state in IN_MEMORY:
        return _draft(one, wishes, f"{one.vm_state}, live migration", (live(one, wishes),))
    if one.vm_state == "stopped":
        return _stopped(one, wishes)
    if one.vm_state == "suspended":
        return _suspended(one, wishes)
    if one.vm_state == "shelved":
        return _draft(
            one,
            wishes,
            "shelved, offloaded: its image is kept",
            (ShelveOffload(server=one.id).call(_guard(one)),),
        )
    if one.vm_state == "error":
        fault = f": {one.fault}" if one.fault else ""
        why = (
            f"it is in error{fault}. Repair it first: 'stackmend audit --server {one.id}'; if that finds nothing and"
            f" its guest is healthy, 'openstack server set --state active {one.id}'"
        )
        return left(one, why, wishes.stage)
    return left(one, f"its state is {one.vm_state}, which this version cannot handle", wishes.stage)


def left(one: Server, why: str, stage: int = 1) -> LaneDraft:
    """A server that stays where it is."""
    return LaneDraft(
        resource_type="server", resource_id=one.id, message=f"{one.name} stays on {one.host}", stage=stage,
        steps=(Manual(text=f"{one.name} is not moved: {why}"),), risk=Risk.MANUAL, why=why, target=one.shown(),
    )  # fmt: skip


def live(one: Server, wishes: MoveOptions) -> ApiCall:
    """The live migration of a server; if somebody else already migrates it, the end of that is awaited."""
    # a migration in progress ends by clearing the task, wherever the server is then
    if one.task_state:
        return wishes.live(one).call({"server": "present"})
    return wishes.live(one).call({"server": "present", "server.vm_state": one.vm_state, "server.host": one.host})


def cold(one: Server, wishes: MoveOptions) -> tuple[Step, ...]:
    """The move of a stopped server. Until it is confirmed it can be reverted; the old disk is kept until then."""
    move = ColdMigrate(server=one.id, from_=one.host, to=wishes.to, elsewhere=wishes.elsewhere, limit=wishes.limit)
    back = RevertResize(server=one.id, from_=one.host).call({"server.vm_state": "resized"})
    return (
        move.call(
            {
                "server": "present", "server.vm_state": one.vm_state, "server.task_state": None,
                "server.host": one.host,
            },
            back,
        ),
        ConfirmResize(server=one.id, from_=one.host).call(),
    )  # fmt: skip


def _stopped(one: Server, wishes: MoveOptions) -> LaneDraft:
    if one.locked:
        reason = f" ({one.locked_reason})" if one.locked_reason else ""
        why = f"it is stopped and locked{reason}: somebody may be working on its disk. Unlock it, then plan again"
        return left(one, why, wishes.stage)
    if not wishes.cold:
        why = "it is stopped: --cold allows a cold migration, and confirms it"
        return left(one, why, wishes.stage)
    return _draft(one, wishes, "stopped, cold migration", cold(one, wishes))


def _suspended(one: Server, wishes: MoveOptions) -> LaneDraft:
    if not wishes.wake:
        why = "it is suspended, and Nova cannot migrate it: --wake resumes it, migrates it, and suspends it again"
        return left(one, why, wishes.stage)
    asleep = Suspend(server=one.id).call()
    steps = (Resume(server=one.id).call(_guard(one), asleep), wishes.live(one).call(), asleep)
    return _draft(one, wishes, "suspended, is resumed, live-migrated, and suspended again", steps)


def _guard(one: Server) -> ServerSeen:
    return {"server": "present", "server.vm_state": one.vm_state}


def _draft(one: Server, wishes: MoveOptions, what: str, steps: tuple[Step, ...]) -> LaneDraft:
    locked = f", locked{f' ({one.locked_reason})' if one.locked_reason else ''}" if one.locked else ""
    slots = (f"from:{one.host}", *((f"to:{wishes.to}",) if wishes.to else ()))
    return LaneDraft(
        resource_type="server", resource_id=one.id, message=f"{one.name}: {what}{locked}", steps=steps,
        stage=wishes.stage, slots=(*slots, *(f"group:{group['id']}" for group in one.groups)), target=one.shown(),
    )  # fmt: skip
