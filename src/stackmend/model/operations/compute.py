# SPDX-License-Identifier: Apache-2.0
"""Operations of Nova."""

from __future__ import annotations

from typing import Generic, TypedDict

from msgspec import UNSET, UnsetType, field

from stackmend.model.operations import Operation, Seconds, Seen
from stackmend.model.operations.servers import ServerSeen, VolumeStatus


class NovaOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """One of Nova."""

    SERVICE = "compute"


class ServerOperation(NovaOperation[ServerSeen], frozen=True, kw_only=True):
    """One on a server, of which no more is looked at than what is done with it."""

    server: str


class ServerOfHostSeen(ServerSeen, total=False):
    """A server, and whether nova-compute of its host is "up" or "down": None where it has no host."""

    host: str | None


# -- what a server does


class Start(ServerOperation, frozen=True, kw_only=True):
    """Start a server that is stopped."""

    NAME = "start"


class Stop(ServerOperation, frozen=True, kw_only=True):
    """Stop a server that runs."""

    NAME = "stop"


class Suspend(ServerOperation, frozen=True, kw_only=True):
    """Suspend a server that runs."""

    NAME = "suspend"


class Resume(ServerOperation, frozen=True, kw_only=True):
    """Resume a server that is suspended."""

    NAME = "resume"


class ShelveOffload(ServerOperation, frozen=True, kw_only=True):
    """Have a server that is shelved leave its host."""

    NAME = "shelve-offload"


class RebootedSeen(ServerOfHostSeen, total=False):
    """A server, and what became of its reboots: "", "begun", "error" or "done"."""

    rebooted: str


class RebootHard(NovaOperation[RebootedSeen], frozen=True, kw_only=True):
    """Reboot a server from without, unless it was since the time ``after``."""

    NAME = "reboot-hard"

    server: str
    after: str


class LockSeen(ServerSeen, total=False):
    """A server, and whether it is locked."""

    locked: bool
    locked_reason: str | None


class Lock(NovaOperation[LockSeen], frozen=True, kw_only=True):
    """Lock a server against its owner."""

    NAME = "lock"

    server: str
    reason: str | UnsetType = UNSET


class Unlock(NovaOperation[LockSeen], frozen=True, kw_only=True):
    """Unlock a server."""

    NAME = "unlock"

    server: str


class ResetState(ServerOperation, frozen=True, kw_only=True):
    """Set what Nova says a server is, and that nothing is done with it."""

    NAME = "reset-state"

    state: str


class ForceDelete(ServerOperation, frozen=True, kw_only=True):
    """Delete a server whatever it is doing."""

    NAME = "force-delete"


class ServerGone(ServerOperation, frozen=True, kw_only=True):
    """Wait until a server is deleted."""

    NAME = "server-gone"

    limit: Seconds = UNSET


class ServerStays(ServerOperation, frozen=True, kw_only=True):
    """See that a server is still one of a host, and nothing is done with it."""

    NAME = "server-stays"

    host: str


class ServerAway(ServerOperation, frozen=True, kw_only=True):
    """See that a host has no such server."""

    NAME = "server-away"

    host: str


# -- what a server has


class NicSeen(ServerOfHostSeen, total=False):
    """A server, and whether its network cache has an address of the MAC."""

    listed: bool


class VifDeleted(NovaOperation[NicSeen], frozen=True, kw_only=True):
    """Tell Nova that a port is gone, so that its host takes the NIC from the guest."""

    NAME = "vif-deleted"

    port: str
    server: str
    mac: str


class HealSeen(ServerOfHostSeen, total=False):
    """A server, and the MACs that its network cache lacks."""

    missing: list[str]


class AwaitHeal(NovaOperation[HealSeen], frozen=True, kw_only=True):
    """Wait until Nova itself shows these MACs as addresses of a server."""

    NAME = "await-heal"

    server: str
    macs: tuple[str, ...]


class MappingSeen(ServerOfHostSeen, VolumeStatus, total=False):
    """A server and a volume, and Nova's name of the device that it is: None where Nova has no mapping of the pair."""

    mapping: str | None


class DetachVolume(NovaOperation[MappingSeen], frozen=True, kw_only=True):
    """Detach a volume from a server."""

    NAME = "detach-volume"

    server: str
    volume: str


class HardReboot(NovaOperation[MappingSeen], frozen=True, kw_only=True):
    """Reboot a server from without, so that Nova drops its mapping of a volume that is gone."""

    NAME = "hard-reboot"

    server: str
    volume: str


class PairSeen(MappingSeen, total=False):
    """A server and a volume in the eyes of Nova, of Cinder, and of Nova's record of the last attach or detach."""

    attachment: str | None
    attachments: int
    action: str  #: "open" while it goes on, "error", "over", or "" for none


class ReleaseVolume(NovaOperation[PairSeen], frozen=True, kw_only=True):
    """Detach a volume, seen to its end in Nova and in Cinder."""

    NAME = "release-volume"

    server: str
    volume: str
    limit: Seconds = UNSET


class AttachVolume(NovaOperation[PairSeen], frozen=True, kw_only=True):
    """Attach a volume, seen to its end in Nova and in Cinder."""

    NAME = "attach-volume"

    server: str
    volume: str
    delete_on_termination: bool
    tag: str | None


# -- what a guest shows


class ConsoleSeen(ServerSeen, total=False):
    """A server, a digest of the last lines of its console, and what they show: "login", a trouble in words, or ""."""

    console: str | None  #: None where there is no console to read
    shows: str


class ConsoleMoves(NovaOperation[ConsoleSeen], frozen=True, kw_only=True):
    """See that the console of a server has moved on from the digest ``before``."""

    NAME = "console-moves"

    server: str
    before: str | None


class AwaitLogin(NovaOperation[ConsoleSeen], frozen=True, kw_only=True):
    """Wait until the console of a server shows a login prompt."""

    NAME = "await-login"

    server: str
    limit: Seconds = UNSET


class PowerSeen(ServerSeen, total=False):
    """A server, and whether its hypervisor runs it now: None where it does not say."""

    running: bool | None


class GuestPower(NovaOperation[PowerSeen], frozen=True, kw_only=True):
    """Ask the hypervisor whether it runs a server."""

    NAME = "guest-power"

    server: str


class RelocatedSeen(ServerSeen, total=False):
    """A server that was relocated by database, with what is not on its host yet, in words."""

    lacking: str


RelocatedPower = TypedDict("RelocatedPower", {"server.power_state": "int | None"}, total=False)


class BootSeen(RelocatedSeen, RelocatedPower, total=False):
    """As :class:`RelocatedSeen`, with Nova's number of what the guest does."""


class BootRelocated(NovaOperation[BootSeen], frozen=True, kw_only=True):
    """Start a server for the first time on the host that it was relocated to."""

    NAME = "boot-relocated"

    server: str


class Relocated(NovaOperation[BootSeen], frozen=True, kw_only=True):
    """Wait until a server runs on a host with its ports and volumes."""

    NAME = "relocated"

    server: str
    host: str
    volumes: tuple[str, ...]


# -- moves


_Migration = TypedDict("_Migration", {"migration.status": "str | None"}, total=False)


class MovedSeen(ServerSeen, _Migration, total=False):
    """A server and its last migration: with its words where it failed, with what is to be copied while it runs."""

    failure: str
    migration: int
    to: str | None
    memory_remaining: int | None
    disk_remaining: int | None
    held: int  #: how many providers the migration itself still has an allocation of


class MoveOperation(NovaOperation[MovedSeen], frozen=True, kw_only=True):
    """One that takes a server from one host to another, of Nova's choice for None."""

    server: str
    from_: str | None = field(name="from")
    to: str | None
    elsewhere: tuple[str | None, ...]  #: where it goes when the first move came to nothing
    limit: Seconds = UNSET


class LiveMigrate(MoveOperation, frozen=True, kw_only=True):
    """Move a server while it runs."""

    NAME = "live-migrate"

    stall: Seconds = UNSET  #: without progress for so long, it is helped
    on_stall: str | UnsetType = UNSET  #: abort, force-complete or wait


class ColdMigrate(MoveOperation, frozen=True, kw_only=True):
    """Move a server that is stopped."""

    NAME = "cold-migrate"


class EndMoveOperation(NovaOperation[MovedSeen], frozen=True, kw_only=True):
    """One that ends a cold move."""

    server: str
    from_: str | None = field(name="from")


class ConfirmResize(EndMoveOperation, frozen=True, kw_only=True):
    """Confirm a cold move: the old disk goes."""

    NAME = "confirm-resize"


class RevertResize(EndMoveOperation, frozen=True, kw_only=True):
    """Take a cold move back."""

    NAME = "revert-resize"
