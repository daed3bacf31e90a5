# SPDX-License-Identifier: Apache-2.0
"""The objects of a simulated cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: power states as a hypervisor reports them
RUNNING, PAUSED, SHUTDOWN = 1, 3, 4

#: resources used from a provider: resource class -> amount
Resources = Mapping[str, int]


class Flavor(NamedTuple):
    """A size of servers."""

    id: str
    name: str
    vcpus: int
    ram: int  #: MiB
    disk: int  #: GiB
    ephemeral: int = 0  #: GiB
    specs: Mapping[str, str] = {}

    @property
    def resources(self) -> Resources:
        """The resources of a server with it."""
        return {"VCPU": self.vcpus, "MEMORY_MB": self.ram, "DISK_GB": self.disk}


@dataclass(slots=True, eq=False)
class Host:
    """A machine, its nova-compute, and its provider in Placement."""

    name: str
    cell: str
    number: int  #: id of its service, before 2.53
    service: str  #: uuid of its service
    node: str  #: uuid of its compute node and provider
    agent: str  #: id of its network agent
    room: Resources
    alive: bool = True  #: the machine: its guests run
    running: bool = True  #: its nova-compute
    beat: float = 0.0  #: time of the last heartbeat in seconds, if it is not running
    changed: float = 0.0  #: time of the last change of its service in seconds, by whomever
    agent_running: bool = True
    agent_beat: float = 0.0  #: time of the last heartbeat in seconds, if its agent is not running
    disabled: bool = False
    reason: str | None = None
    forced_down: bool = False
    agent_up: bool = True  #: admin_state_up
    starts: int = 0  #: number of starts of its nova-compute: operations in progress end with each
    servers: dict[str, Server] = field(default_factory=dict)  #: according to Nova
    guests: dict[str, int] = field(default_factory=dict)  #: according to the hypervisor, with their power states
    arriving: set[str] = field(default_factory=set)  #: guests being copied to it, paused until then
    ran: set[str] = field(default_factory=set)  #: guests that ran when the machine was switched off
    ends: int = 0  #: number of times the machine was switched off
    used: dict[str, int] = field(default_factory=dict)  #: allocated amounts
    consumers: set[str] = field(default_factory=set)
    bound: dict[str, int] = field(default_factory=dict)  #: port -> number of bindings for it here
    attached: set[str] = field(default_factory=set)  #: attachments here
    moves: list[Migration] = field(default_factory=list)  #: from it or to it, in the order of their numbers
    generation: int = 1


@dataclass(slots=True, eq=False)
class Server:
    """A server according to Nova."""

    id: str
    number: int
    flavor: Flavor
    host: str | None
    vm_state: str = "active"
    task_state: str | None = None
    power_state: int = 1
    old_state: str = ""  #: vm_state before a cold migration
    locked: bool = False
    image: str = ""
    created: float = 0.0
    updated: float = 0.0
    fault: str = ""
    failed: float = 0.0  #: time in seconds when that was set
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    migrations: list[Migration] | None = None
    actions: list[Deed] | None = None
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    boots: str | None = None  #: what its guest prints when it boots; "" for nothing, None for a login prompt
    console: str = ""


@dataclass(slots=True, eq=False)
class Deed:
    """An action requested on a server."""

    action: str
    request: str
    at: float
    user: str | None  #: None: nova-compute did it on its own
    message: str | None = None  #: "Error" if it failed


@dataclass(slots=True, eq=False)
class Migration:
    """A record of a move."""

    number: int
    id: str
    kind: str  #: live-migration, migration, evacuation
    server: str
    source: str
    status: str
    created: float
    updated: float
    to: str | None = None
    left: int = 0  #: MiB of memory that remain to be copied
    stalled: bool = False
    wish: str = ""  #: "abort" or "complete", if requested during the migration


@dataclass(slots=True, eq=False)
class Port:
    """A port with its bindings."""

    id: str
    network: str
    mac: str
    address: str
    server: str
    owner: str = "compute:nova"
    bindings: dict[str, str] = field(default_factory=dict)  #: host -> ACTIVE or INACTIVE
    up: bool = True
    tags: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The host it is bound to."""
        return next((name for name, status in self.bindings.items() if status == "ACTIVE"), "")


@dataclass(slots=True, eq=False)
class Group:
    """A server group."""

    id: str
    name: str
    policy: str
    rules: Mapping[str, int] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)  #: servers, including deleted ones


@dataclass(slots=True, eq=False)
class Attachment:
    """One volume on one host."""

    id: str
    volume: str
    server: str
    host: str


@dataclass(slots=True, eq=False)
class Consumer:
    """The holder of allocations: a server, or a migration."""

    held: dict[str, Resources]  #: provider -> resources
    generation: int = 1


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The service refuses."""

    def __init__(self, status: int, words: str, code: str = "") -> None:
        super().__init__(words)
        self.status, self.words, self.code = status, words, code


#: query of a request: name -> values
Query = Mapping[str, list[str]]
Json = dict[str, Any]
