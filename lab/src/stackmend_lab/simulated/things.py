# SPDX-License-Identifier: Apache-2.0
"""What a simulated cloud consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: what a hypervisor says of a guest
RUNNING, PAUSED, SHUTDOWN = 1, 3, 4

#: what a consumer takes of a provider: resource class -> amount
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
        """What a server of it takes."""
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
    beat: float = 0.0  #: seconds of the last heartbeat of one that does not run
    changed: float = 0.0  #: seconds when its service was changed last, by whom ever
    agent_running: bool = True
    agent_beat: float = 0.0  #: seconds of the last heartbeat of an agent that does not run
    disabled: bool = False
    reason: str | None = None
    forced_down: bool = False
    agent_up: bool = True  #: admin_state_up
    starts: int = 0  #: of its nova-compute: what was under way in it is no more after another
    servers: dict[str, Server] = field(default_factory=dict)  #: that Nova has there
    guests: dict[str, int] = field(default_factory=dict)  #: that the hypervisor has, and what it says of them
    used: dict[str, int] = field(default_factory=dict)  #: by allocations
    consumers: set[str] = field(default_factory=set)
    bound: dict[str, int] = field(default_factory=dict)  #: port -> bindings for it here
    attached: set[str] = field(default_factory=set)  #: attachments here
    moves: list[Migration] = field(default_factory=list)  #: from it or to it, in the order of their numbers
    generation: int = 1


@dataclass(slots=True, eq=False)
class Server:
    """A server as Nova has it."""

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
    failed: float = 0.0  #: seconds when it got that
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    migrations: list[Migration] | None = None
    actions: list[Deed] | None = None
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    boots: str | None = None  #: what its guest writes when it boots; nothing by "", a login prompt by None
    console: str = ""


@dataclass(slots=True, eq=False)
class Deed:
    """Something that was asked of a server."""

    action: str
    request: str
    at: float
    user: str | None  #: None: nova-compute did it on its own
    message: str | None = None  #: "Error" of one that failed


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
    left: int = 0  #: MiB of memory that are to be copied
    stalled: bool = False
    wish: str = ""  #: "abort" or "complete": what was asked of one that is under way


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
        """The host that it is bound to."""
        return next((name for name, status in self.bindings.items() if status == "ACTIVE"), "")


@dataclass(slots=True, eq=False)
class Group:
    """A server group."""

    id: str
    name: str
    policy: str
    rules: Mapping[str, int] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)  #: servers, also those that are deleted


@dataclass(slots=True, eq=False)
class Attachment:
    """One volume on one host."""

    id: str
    volume: str
    server: str
    host: str


@dataclass(slots=True, eq=False)
class Consumer:
    """Who holds allocations: a server, or a migration."""

    held: dict[str, Resources]  #: provider -> what
    generation: int = 1


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The service says no."""

    def __init__(self, status: int, words: str, code: str = "") -> None:
        super().__init__(words)
        self.status, self.words, self.code = status, words, code


#: query of a request: name -> values
Query = Mapping[str, list[str]]
Json = dict[str, Any]
