# SPDX-License-Identifier: Apache-2.0
"""A cloud with its hypervisors, and what is beside the guests there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from stackmend_lab.cloud import Server

from .host_plants import Scene
from .host_trees import HostTree, HostTrees

RULE = '"/dev/vhost-net" rw,'
UNIT = "naa.6001405{:025x}"


@dataclass(slots=True)
class Traced(Scene):
    """A cloud with its hypervisors, and what is beside the guests there."""

    trees: HostTrees
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def live(self) -> Traced:
        """The devices, profiles and directories that the guests of a healthy cloud have; no host lacks any part."""
        for host, guests in self.standing.guests.items():
            tree = self.trees.of(host)
            ports = {f"tap{nic['port'][:11]}": nic["port"] for one in guests.values() for nic in one.nics}
            tree.ovs(ports)
            for one in guests.values():
                tree.directory(one.uuid)
                for nic in one.nics if one.state != "shutoff" else ():
                    tree.link(f"tap{nic['port'][:11]}", held=True)
                if one.state != "shutoff":
                    tree.guest(one.uuid, one.name, *([RULE] if one.nics else []))
        return self

    def number(self) -> int:
        """Another one."""
        return next(self._numbers)

    def tree(self, server: Server) -> HostTree:
        """Its host."""
        return self.trees.of(str(server.host))

    def first(self) -> str:
        """A host."""
        return min(self.standing.guests)

    def settled(self) -> str:
        """A host on which no attached volume lacks a guest that shows it."""
        host = self.first()
        for database in (name for name in self.cloud.databases if name.startswith("cell:")):
            for row in self.cloud.rows(database, "SELECT uuid FROM instances WHERE host = :h", {"h": host}):
                self.cloud.delete(database, "block_device_mapping", {"instance_uuid": row["uuid"]})
        self.cloud.delete("cinder", "volume_attachment", {"attached_host": host})
        return host

    def port(self, server: Server) -> str:
        """A port of the server."""
        return str(self.on(server)[server.uuid].nics[0]["port"])

    def with_nic(self) -> Server:
        """An active server with a NIC."""
        return next(s for s in iter(self.server, None) if self.on(s)[s.uuid].nics)

    def confined(self, server: Server, mode: str = "enforce") -> HostTree:
        """Its host, where its profile has no rule for the device."""
        tree = self.tree(server)
        tree.loaded.remove(f"libvirt-{server.uuid} (enforce)")
        tree.guest(server.uuid, "instance-0000001f", mode=mode)
        return tree

    def maps(self, host: str, *states: str, units: tuple[int, ...] = (), **more: Any) -> str:
        """A multipath map with paths in these states, perhaps under another."""
        number = self.number()
        units = units or (number,)
        paths = {
            f"sd{chr(97 + at)}{number}": (state, UNIT.format(units[at % len(units)])) for at, state in enumerate(states)
        }
        name = f"36001405{number:025x}"
        self.trees.of(host).map(number, name, f"mpath-{name}", paths, **more)
        return name
