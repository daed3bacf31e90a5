# SPDX-License-Identifier: Apache-2.0
"""Nova's operations on a host: its nova-compute, a canary server, and the servers of a dead host."""

from __future__ import annotations

from typing import TypedDict

from msgspec import UNSET, UnsetType, field

from stackmend.model.operations import OptionalSeconds
from stackmend.model.operations.compute import NovaOperation
from stackmend.model.operations.servers import Presence, ServerSeen
from stackmend.model.operations.waiting import LeftSeen


class ServiceSeen(TypedDict, total=False):
    """A nova-compute service in Nova, and whether a canary runs on its host (if one is looked for)."""

    service: Presence
    status: str
    reason: str | None
    state: str
    forced_down: bool
    updated_at: str | None
    canary: bool


class ServiceOperation(NovaOperation[ServiceSeen], frozen=True, kw_only=True):
    """Base of the operations on a host's nova-compute, which Nova identifies by a UUID and displays by host."""

    service: str
    host: str


class DisableService(ServiceOperation, frozen=True, kw_only=True):
    """Exclude a host from scheduling."""

    NAME = "disable-service"

    reason: str | None


class EnableService(ServiceOperation, frozen=True, kw_only=True):
    """Make a host available for scheduling again."""

    NAME = "enable-service"


class ForceDown(ServiceOperation, frozen=True, kw_only=True):
    """Force a host's nova-compute down."""

    NAME = "force-down"


class ForceUp(ServiceOperation, frozen=True, kw_only=True):
    """Clear forced_down, so that the host's heartbeats count again."""

    NAME = "force-up"


class ServiceUp(ServiceOperation, frozen=True, kw_only=True):
    """Wait until nova-compute is up, with a heartbeat later than ``after`` if that is set."""

    NAME = "service-up"

    after: str | UnsetType | None = UNSET
    limit: OptionalSeconds = UNSET


class HostServes(ServiceOperation, frozen=True, kw_only=True):
    """Verify that nova-compute on a host is up and enabled."""

    NAME = "host-serves"


class DisableUnlessCanary(ServiceOperation, frozen=True, kw_only=True):
    """Disable the host's nova-compute unless the canary of this name runs there."""

    NAME = "disable-unless-canary"

    name: str
    reason: str


class ServersAway(NovaOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until a host has no servers and no migrations."""

    NAME = "host-empty"

    host: str


class CanarySeen(ServerSeen, total=False):
    """Our canary server: its power_state, and the number of its ports that are not active on its host."""

    id: str | None
    power: int | None
    ports_down: int
    failure: str


class CreateCanary(NovaOperation[CanarySeen], frozen=True, kw_only=True):
    """Create a server that shows whether the host can run one."""

    NAME = "create-canary"

    name: str
    host: str
    flavor: str
    image: str
    network: str | None
    volume: int  #: size of a root volume in GiB, 0 for none


class DeleteCanary(NovaOperation[CanarySeen], frozen=True, kw_only=True):
    """Delete the canary of this name."""

    NAME = "delete-canary"

    name: str
    host: str


# -- a dead host


DeclaredSeen = TypedDict(
    "DeclaredSeen",
    {
        "service": Presence,
        "service.state": str,
        "service.forced_down": bool,
        "service.changed": "str | None",
        "evacuations": int,
    },
    total=False,
)
"""nova-compute of a host, and the number of evacuations it has not cleaned up yet."""


class AwaitSilence(NovaOperation[DeclaredSeen], frozen=True, kw_only=True):
    """Verify that Nova's record of a nova-compute is still that of ``changed``: the host sent no heartbeat."""

    NAME = "await-silence"

    host: str
    changed: str | None


class DeclareOperation(NovaOperation[DeclaredSeen], frozen=True, kw_only=True):
    """Base of the operations on which evacuation depends."""

    host: str
    service: str


class DeclareDown(DeclareOperation, frozen=True, kw_only=True):
    """Force the nova-compute of a host to be evacuated down."""

    NAME = "declare-down"


class DeclareUp(DeclareOperation, frozen=True, kw_only=True):
    """Clear forced_down again, so that its heartbeats count."""

    NAME = "declare-up"


_Reports = TypedDict("_Reports", {"service.reports": bool}, total=False)


class LeavingSeen(ServerSeen, _Reports, total=False):
    """A server, its latest evacuation, and whether the host it leaves sends heartbeats."""

    evacuation: str | None
    fault: str


class LeaveDeadHost(NovaOperation[LeavingSeen], frozen=True, kw_only=True):
    """Evacuate a server. ``old`` are its earlier evacuations, ``since`` the time of the plan."""

    NAME = "leave-dead-host"

    server: str
    from_: str = field(name="from")
    to: str | None
    version: str  #: the microversion to use
    old: tuple[str, ...]
    since: str


class WholeSeen(ServerSeen, total=False):
    """A server, and what is not right with it yet, in words."""

    lacking: str


class AwaitWhole(NovaOperation[WholeSeen], frozen=True, kw_only=True):
    """Wait until a server has all that belongs to it, on the host ``at``, or on any host other than ``left``."""

    NAME = "await-whole"

    server: str
    at: str
    left: str
    running: bool
    ports: tuple[str, ...]
    volumes: tuple[str, ...]


class CleanedSeen(TypedDict, total=False):
    """The number of evacuations that a host's nova-compute has not cleaned up, with some of the servers."""

    open: int
    servers: str


class EvacuationsCompleted(NovaOperation[CleanedSeen], frozen=True, kw_only=True):
    """Wait until nova-compute of a host has cleaned up after every evacuation."""

    NAME = "evacuations-completed"

    host: str
