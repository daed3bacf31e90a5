# SPDX-License-Identifier: Apache-2.0
"""Operations of Nova on a host: its nova-compute, a canary on it, and what becomes of its servers when it is dead."""

from __future__ import annotations

from typing import TypedDict

from msgspec import UNSET, UnsetType, field

from stackmend.model.operations import Seconds
from stackmend.model.operations.compute import NovaOperation
from stackmend.model.operations.servers import Presence, ServerSeen
from stackmend.model.operations.waiting import LeftSeen


class ServiceSeen(TypedDict, total=False):
    """A nova-compute as Nova shows it, and whether a canary runs there where one is looked for."""

    service: Presence
    status: str
    reason: str | None
    state: str
    forced_down: bool
    updated_at: str | None
    canary: bool


class ServiceOperation(NovaOperation[ServiceSeen], frozen=True, kw_only=True):
    """One on the nova-compute of a host, which Nova knows by a uuid and shows by its host."""

    service: str
    host: str


class DisableService(ServiceOperation, frozen=True, kw_only=True):
    """Let no new servers onto a host."""

    NAME = "disable-service"

    reason: str | None


class EnableService(ServiceOperation, frozen=True, kw_only=True):
    """Let servers onto a host."""

    NAME = "enable-service"


class ForceDown(ServiceOperation, frozen=True, kw_only=True):
    """Have Nova take a host for dead."""

    NAME = "force-down"


class ForceUp(ServiceOperation, frozen=True, kw_only=True):
    """Have Nova go by the heartbeats of a host again."""

    NAME = "force-up"


class ServiceUp(ServiceOperation, frozen=True, kw_only=True):
    """Wait until nova-compute is up, and heard of later than ``after`` where that is said."""

    NAME = "service-up"

    after: str | UnsetType | None = UNSET
    limit: Seconds = UNSET


class HostServes(ServiceOperation, frozen=True, kw_only=True):
    """See that nova-compute of a host is up and enabled."""

    NAME = "host-serves"


class DisableUnlessCanary(ServiceOperation, frozen=True, kw_only=True):
    """Let no new servers onto a host on which the canary of this name does not run."""

    NAME = "disable-unless-canary"

    name: str
    reason: str


class ServersAway(NovaOperation[LeftSeen], frozen=True, kw_only=True):
    """Wait until no server and no migration is on a host."""

    NAME = "host-empty"

    host: str


class CanarySeen(ServerSeen, total=False):
    """A server of our own: whether it runs, and how many of its ports are not in use on its host."""

    id: str | None
    power: int | None
    ports_down: int
    failure: str


class CreateCanary(NovaOperation[CanarySeen], frozen=True, kw_only=True):
    """Make a server that shows whether a host can run one."""

    NAME = "create-canary"

    name: str
    host: str
    flavor: str
    image: str
    network: str | None
    volume: int  #: GiB of a root volume, 0 for none


class DeleteCanary(NovaOperation[CanarySeen], frozen=True, kw_only=True):
    """Delete the server of this name."""

    NAME = "delete-canary"

    name: str
    host: str


# -- a host that is dead


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
"""nova-compute of a host, and how many evacuations it has yet to clean up after."""


class AwaitSilence(NovaOperation[DeclaredSeen], frozen=True, kw_only=True):
    """See that nothing was heard of a host since."""

    NAME = "await-silence"

    host: str
    changed: str | None


class DeclareOperation(NovaOperation[DeclaredSeen], frozen=True, kw_only=True):
    """One by which evacuation goes."""

    host: str
    service: str


class DeclareDown(DeclareOperation, frozen=True, kw_only=True):
    """Have Nova take a host for dead whose servers are evacuated."""

    NAME = "declare-down"


class DeclareUp(DeclareOperation, frozen=True, kw_only=True):
    """Have Nova go by its heartbeats again."""

    NAME = "declare-up"


_Reports = TypedDict("_Reports", {"service.reports": bool}, total=False)


class LeavingSeen(ServerSeen, _Reports, total=False):
    """A server, its newest evacuation, and whether the host that it leaves reports."""

    evacuation: str | None
    fault: str


class LeaveDeadHost(NovaOperation[LeavingSeen], frozen=True, kw_only=True):
    """Evacuate a server. ``old`` are evacuations that it had before, ``since`` the time of the plan."""

    NAME = "leave-dead-host"

    server: str
    from_: str = field(name="from")
    to: str | None
    version: str  #: the microversion that it is asked with
    old: tuple[str, ...]
    since: str


class WholeSeen(ServerSeen, total=False):
    """A server, and what is not right with it yet, in words."""

    lacking: str


class AwaitWhole(NovaOperation[WholeSeen], frozen=True, kw_only=True):
    """Wait until a server has all that is its own where it is: ``at`` a host, or away from the host ``left``."""

    NAME = "await-whole"

    server: str
    at: str
    left: str
    running: bool
    ports: tuple[str, ...]
    volumes: tuple[str, ...]


class CleanedSeen(TypedDict, total=False):
    """How many evacuations from a host its nova-compute has not cleaned up after, and some of the servers."""

    open: int
    servers: str


class EvacuationsCompleted(NovaOperation[CleanedSeen], frozen=True, kw_only=True):
    """Wait until nova-compute of a host has cleaned up after every evacuation from it."""

    NAME = "evacuations-completed"

    host: str
