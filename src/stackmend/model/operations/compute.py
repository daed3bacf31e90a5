# SPDX-License-Identifier: Apache-2.0
"""Operations of Nova."""

from __future__ import annotations

from typing import Generic, TypedDict

from msgspec import UNSET, UnsetType, field

from stackmend.model.operations import Operation, OptionalSeconds, Seen
from stackmend.model.operations.servers import Presence, ServerSeen, VolumeStatus


class NovaOperation(Operation[Seen], Generic[Seen], frozen=True, kw_only=True):
    """Base of Nova's operations."""

    SERVICE = "compute"


class ServerOperation(NovaOperation[ServerSeen], frozen=True, kw_only=True):
    """Base of the operations on a server that read only its state."""

    server: str


class ServerOfHostSeen(ServerSeen, total=False):
    """A server, and whether nova-compute on its host is "up" or "down": None if it has no host."""

    host: str | None


# -- lifecycle of a server


class Start(ServerOperation, frozen=True, kw_only=True):
    """Start a stopped server."""

    NAME = "start"


class Stop(ServerOperation, frozen=True, kw_only=True):
    """Stop a running server."""

    NAME = "stop"


class Suspend(ServerOperation, frozen=True, kw_only=True):
    """Suspend a running server."""

    NAME = "suspend"


class Resume(ServerOperation, frozen=True, kw_only=True):
    """Resume a suspended server."""

    NAME = "resume"


class Rescue(ServerOperation, frozen=True, kw_only=True):
    """Boot another image in the place of a server, with its disk beside it."""

    NAME = "rescue"

    image: str


class RescueVolume(Rescue, frozen=True, kw_only=True):
    """The same with a server that boots from a volume."""

    NAME = "rescue-volume"


class Unrescue(ServerOperation, frozen=True, kw_only=True):
    """Start a server again that is in rescue."""

    NAME = "unrescue"


class ShelveOffload(ServerOperation, frozen=True, kw_only=True):
    """Remove a shelved server from its host."""

    NAME = "shelve-offload"


class RebootedSeen(ServerOfHostSeen, total=False):
    """A server, and the state of its last reboot: "", "begun", "error" or "done"."""

    rebooted: str


class RebootHard(NovaOperation[RebootedSeen], frozen=True, kw_only=True):
    """Hard-reboot a server, unless it was rebooted after the time ``after``."""

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
    """Set the vm_state of a server, and clear its task_state."""

    NAME = "reset-state"

    state: str


class ForceDelete(ServerOperation, frozen=True, kw_only=True):
    """Delete a server whatever its state."""

    NAME = "force-delete"


class ServerGone(ServerOperation, frozen=True, kw_only=True):
    """Wait until a server is deleted."""

    NAME = "server-gone"

    limit: OptionalSeconds = UNSET


class ServerStays(ServerOperation, frozen=True, kw_only=True):
    """Verify that a server is still on the host and idle."""

    NAME = "server-stays"

    host: str


class ServerAway(ServerOperation, frozen=True, kw_only=True):
    """Verify that the server is not on the host."""

    NAME = "server-away"

    host: str


# -- NICs and volumes of a server


class NicSeen(ServerOfHostSeen, total=False):
    """A server, and whether its network cache lists an address with the MAC."""

    listed: bool


class VifDeleted(NovaOperation[NicSeen], frozen=True, kw_only=True):
    """Tell Nova that a port is gone, so that the NIC is removed from the guest (event network-vif-deleted)."""

    NAME = "vif-deleted"

    port: str
    server: str
    mac: str


class HealSeen(ServerOfHostSeen, total=False):
    """A server, and the MACs missing from its network cache."""

    missing: list[str]


class AwaitHeal(NovaOperation[HealSeen], frozen=True, kw_only=True):
    """Wait until Nova itself lists these MACs among the addresses of a server."""

    NAME = "await-heal"

    server: str
    macs: tuple[str, ...]


class MappingSeen(ServerOfHostSeen, VolumeStatus, total=False):
    """A server and a volume, and the device name in Nova's mapping: None if Nova has no mapping of the pair."""

    mapping: str | None


class DetachVolume(NovaOperation[MappingSeen], frozen=True, kw_only=True):
    """Detach a volume from a server."""

    NAME = "detach-volume"

    server: str
    volume: str


class HardReboot(NovaOperation[MappingSeen], frozen=True, kw_only=True):
    """Hard-reboot a server, so that Nova drops its mapping of a volume that no longer exists."""

    NAME = "hard-reboot"

    server: str
    volume: str


class PairSeen(MappingSeen, total=False):
    """A server and a volume according to Nova, to Cinder, and to Nova's record of the last attach or detach."""

    attachment: str | None
    attachments: int
    action: str  #: "open" while in progress, "error", "over", or "" for none


class ReleaseVolume(NovaOperation[PairSeen], frozen=True, kw_only=True):
    """Detach a volume, and wait until both Nova and Cinder show it detached."""

    NAME = "release-volume"

    server: str
    volume: str
    limit: OptionalSeconds = UNSET


class AttachVolume(NovaOperation[PairSeen], frozen=True, kw_only=True):
    """Attach a volume, and wait until both Nova and Cinder show it attached."""

    NAME = "attach-volume"

    server: str
    volume: str
    delete_on_termination: bool
    tag: str | None


# -- the guest


class ConsoleSeen(ServerSeen, total=False):
    """A server, a digest of the last lines of its console, and what these show: "login", a problem in words, or ""."""

    console: str | None  #: None if there is no console to read
    shows: str


class ConsoleMoves(NovaOperation[ConsoleSeen], frozen=True, kw_only=True):
    """Verify that the console of a server no longer has the digest ``before``."""

    NAME = "console-moves"

    server: str
    before: str | None


class AwaitLogin(NovaOperation[ConsoleSeen], frozen=True, kw_only=True):
    """Wait until the console of a server shows a login prompt."""

    NAME = "await-login"

    server: str
    limit: OptionalSeconds = UNSET


class PowerSeen(ServerSeen, total=False):
    """A server, and whether its hypervisor runs it now: None if that is unknown."""

    running: bool | None


class GuestPower(NovaOperation[PowerSeen], frozen=True, kw_only=True):
    """Ask the hypervisor whether it runs the server."""

    NAME = "guest-power"

    server: str


class RelocatedSeen(ServerSeen, total=False):
    """A server relocated by database, and what is not yet on its host, in words."""

    lacking: str


RelocatedPower = TypedDict("RelocatedPower", {"server.power_state": "int | None"}, total=False)


class BootSeen(RelocatedSeen, RelocatedPower, total=False):
    """As :class:`RelocatedSeen`, with Nova's power_state of the guest."""


class BootRelocated(NovaOperation[BootSeen], frozen=True, kw_only=True):
    """Start a server for the first time on the host it was relocated to."""

    NAME = "boot-relocated"

    server: str


class Relocated(NovaOperation[BootSeen], frozen=True, kw_only=True):
    """Wait until a server runs on the host with its ports and volumes."""

    NAME = "relocated"

    server: str
    host: str
    volumes: tuple[str, ...]


# -- moves


_Migration = TypedDict("_Migration", {"migration.status": "str | None"}, total=False)


class MovedSeen(ServerSeen, _Migration, total=False):
    """A server and its last migration: the error if it failed, and what remains to be copied while it runs."""

    failure: str
    migration: int
    to: str | None
    memory_remaining: int | None
    disk_remaining: int | None
    held: int  #: number of providers on which the migration itself still has allocations


class MoveOperation(NovaOperation[MovedSeen], frozen=True, kw_only=True):
    """Base of the moves of a server from one host to another; None lets Nova choose."""

    server: str
    from_: str | None = field(name="from")
    to: str | None
    elsewhere: tuple[str | None, ...]  #: hosts to try if the first move fails
    limit: OptionalSeconds = UNSET


class LiveMigrate(MoveOperation, frozen=True, kw_only=True):
    """Live-migrate a server."""

    NAME = "live-migrate"

    stall: OptionalSeconds = UNSET  #: seconds without progress after which ``on_stall`` applies
    on_stall: str | UnsetType = UNSET  #: abort, force-complete or wait


class ColdMigrate(MoveOperation, frozen=True, kw_only=True):
    """Cold-migrate a stopped server."""

    NAME = "cold-migrate"


class EndMoveOperation(NovaOperation[MovedSeen], frozen=True, kw_only=True):
    """Base of the operations that end a cold migration."""

    server: str
    from_: str | None = field(name="from")


class ConfirmResize(EndMoveOperation, frozen=True, kw_only=True):
    """Confirm a cold migration: the old disk is deleted."""

    NAME = "confirm-resize"


class RevertResize(EndMoveOperation, frozen=True, kw_only=True):
    """Revert a cold migration."""

    NAME = "revert-resize"


# -- key pairs


class KeyPairSeen(TypedDict, total=False):
    """A key pair of a user."""

    key_pair: Presence
    fingerprint: str


class DeleteKeyPair(NovaOperation[KeyPairSeen], frozen=True, kw_only=True):
    """Delete a key pair of a user."""

    NAME = "delete-key-pair"

    user: str
    name: str
