# SPDX-License-Identifier: Apache-2.0
"""What all servers of a built cloud share: cells, hosts, projects, networks, flavors, images and counters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from stackmend.tables.releases import NEWEST
from stackmend_lab.cloud.kinds import identifier, text

CELLS = ("cell1", "cell2")
Emit = Callable[[str, str, tuple[str, ...], Sequence[Any]], None]

#: (name, vcpus, memory_mb, root_gb, ephemeral_gb, swap)
FLAVORS = (("m1.small", 1, 2048, 20, 0, 0), ("m1.medium", 2, 4096, 40, 0, 0), ("m1.large", 4, 8192, 80, 20, 1024))
#: names of resource classes in the order of their ids, from 1
CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB", "CUSTOM_BAREMETAL", "CUSTOM_LICENSE")
PROJECT_NAMES = ("infra", "Büro", "研究", "data", "web")
ZONE = "nova"
#: ``services.version`` that nova-compute of a release writes (SERVICE_VERSION in nova/objects/service.py)
SERVICE_VERSIONS = {
    "train": 40, "ussuri": 51, "victoria": 53, "wallaby": 56, "xena": 60, "yoga": 61, "zed": 64, "2023.1": 66,
    "2023.2": 66, "2024.1": 67, "2024.2": 67, "2025.1": 68, "2025.2": 70, "2026.1": 72, "2026.2": 70,
}  # fmt: skip


@dataclass(slots=True)
class World:
    """The surroundings of the servers, by number, and counters for the ids that databases would assign."""

    servers: int
    seed: int
    now: datetime
    hosts: int
    projects: int
    release: str = NEWEST
    counters: dict[tuple[str, str], Iterator[int]] = field(default_factory=dict)
    addresses: dict[int, int] = field(default_factory=dict)  #: project -> addresses assigned in its network

    def next(self, database: str, table: str) -> int:
        """The next id of a table."""
        counter = self.counters.get((database, table))
        if counter is None:
            counter = self.counters[database, table] = itertools.count(1)
        return next(counter)

    def cell_of(self, host: int) -> str:
        """The cell of a host."""
        return CELLS[host % 2]

    def host(self, number: int) -> str:
        """Name of a compute host."""
        return f"c{number + 1:04d}"

    def compute_id(self, number: int) -> int:
        """``compute_nodes.id`` of a host, in its own cell."""
        return number // 2 + 1

    def provider_id(self, number: int) -> int:
        """``resource_providers.id`` of a host."""
        return number + 1

    def node_uuid(self, number: int) -> str:
        """UUID of a host's compute node and resource provider."""
        return identifier(0xC, number, self.seed)

    def project(self, number: int) -> str:
        """Id of a project."""
        return f"{0x9000000000000000000000000 + number * 7919:032x}"

    def user(self, number: int) -> str:
        """Id of the user of a project."""
        return f"{0xA000000000000000000000000 + number * 104729:032x}"

    def network(self, project: int) -> str:
        """Id of a project's network."""
        return identifier(0x1, project, self.seed)

    def subnet(self, project: int, version: int) -> str:
        """Id of a project's subnet of that IP version."""
        return identifier(0x20 + version, project, self.seed)

    def dual(self, project: int) -> bool:
        """True if the project's network has IPv6 as well."""
        return project % 2 == 0

    def address(self, project: int, number: int, version: int = 4) -> str:
        """The number-th address of a project's network; 1 is the gateway, 2 the DHCP port."""
        if version == 6:
            return f"2001:db8:{project:x}::{number:x}"
        return f"10.{project % 250}.{number // 250}.{number % 250 + 1}"

    def next_address(self, project: int) -> int:
        """The next free address of a project's network, by number."""
        number = self.addresses.get(project, 9) + 1
        self.addresses[project] = number
        return number

    def ago(self, **delta: float) -> str:
        """A time before now."""
        return text(self.now - timedelta(**delta))

    def image(self, number: int) -> str:
        """Id of an image."""
        return identifier(0x60, number % 4, self.seed)

    @property
    def volume_type(self) -> str:
        """Id of the volume type."""
        return identifier(0x70, 1, self.seed)
