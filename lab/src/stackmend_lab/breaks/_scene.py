# SPDX-License-Identifier: Apache-2.0
"""Building blocks of breaks: servers, ports and volumes, and hosts that die during an operation."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import NETWORKS, create_server, wait, wait_server, wait_volume
from stackmend_lab.mariadb import LabError

#: attempts to build a server, seconds between them, and the scheduler's message after which to retry
_TRIES, _PAUSE, _CROWDED = 3, 10.0, "No valid host"
#: times that a network cache is replaced, and seconds after which nova-compute may have written it anew
_REFRESHES, _REFRESH = 6, 5.0
#: of Placement, from which an allocation names the generation of its consumer
_CONSUMERS = "1.28"


class Scene:
    """A lab, with the objects that belong to one break."""

    def __init__(self, plane: Plane, name: str) -> None:
        self.plane = plane
        self.connection = plane.connect()
        self.cloud: Any = self.connection
        self._name = name
        self.host = plane.hosts[0]  #: of the first cell, where most damage is done
        self.cell = "cell:cell1"

    @property
    def aside(self) -> str:
        """The last host of the first cell, for damage that stops nova-compute from working: only this one restarts."""
        return [host for host, cell in self.plane.layout.hosts.items() if cell == "cell1"][-1]

    def name(self) -> str:
        """A unique name, even if breaks are made concurrently."""
        return f"broken-{self._name}-{secrets.token_hex(4)}"

    def server(self, nics: list[dict[str, str]] | None = None, host: str | None = None) -> str:
        """Create an active server on that host, with a NIC in net1 unless ``nics`` are given; returns its id."""
        found = [{"uuid": self.network()}] if nics is None else nics
        host = host or self.host
        for left in reversed(range(_TRIES)):
            # a nova-compute that is starting would take a server on its way to it for a lost one
            self.plane.wait_host(host)
            server = create_server(self.connection, self.name(), found, f"nova:{host}")
            try:
                wait_server(self.connection, server)
                break
            except LabError as problem:
                # on a busy machine Placement may have no candidate for a moment, although the host has room
                if not left or _CROWDED not in str(problem):
                    raise
                self.cloud.compute.delete_server(server)
                time.sleep(_PAUSE)
        return server

    def network(self, number: int = 0) -> str:
        """Id of a network of the seed."""
        return str(self.cloud.network.find_network(list(NETWORKS)[number]).id)

    def ports(self, server: str) -> list[str]:
        """Ids of a server's ports, according to Neutron."""
        return [str(port.id) for port in self.cloud.network.ports(device_id=server)]

    def own_port(self, **fields: Any) -> str:
        """Create a port as a user would; returns its id."""
        fields = {"network_id": self.network(), "name": self.name(), **fields}
        return str(self.cloud.network.create_port(**fields).id)

    def own_network(self, cidr: str = "10.9.0.0/24", **fields: Any) -> tuple[str, str]:
        """Create a network with a subnet; returns their ids."""
        network = self.cloud.network.create_network(name=self.name(), **fields)
        values = {"network_id": network.id, "ip_version": 4, "cidr": cidr}
        return str(network.id), str(self.cloud.network.create_subnet(**values).id)

    def image(self) -> str:
        """Create an image with content; returns its id."""
        like = {"disk_format": "raw", "container_format": "bare"}
        return str(self.cloud.image.create_image(name=self.name(), data=b"content", **like).id)

    def volume(self) -> str:
        """Create an available volume; returns its id."""
        volume = self.cloud.block_storage.create_volume(name=self.name(), size=1)
        wait_volume(self.connection, volume.id)
        return str(volume.id)

    def attached(self, server: str) -> str:
        """Create a volume and attach it to a server; returns its id."""
        volume = self.volume()
        self.cloud.compute.create_volume_attachment(server, volume_id=volume)
        wait_volume(self.connection, volume, "in-use")
        return volume

    def placement(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Placement's answer to a request; LabError if it refuses."""
        answer = self.cloud.placement.request(path, method, json=body, microversion=_CONSUMERS)
        if answer.status_code >= 300:
            raise LabError(f"Placement refuses {method} {path}: {answer.text}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def other_host(self) -> str:
        """Another host of the same cell; the same one if the cell has only one."""
        hosts = [host for host, cell in self.plane.layout.hosts.items() if cell == "cell1"]
        return hosts[1 % len(hosts)]

    @contextmanager
    def held(self, place: str, action: str) -> Iterator[None]:
        """Hold an action: whatever is done inside the block stops at it, and is released at the end."""
        self.plane.lever(place, action, "hold")
        try:
            yield
        finally:
            self.plane.release(place, action)

    def wait_held(self, place: str, action: str) -> None:
        """Wait until a service is held there."""
        self.plane.wait_held(place, action)

    def crash(self, service: str) -> None:
        """End a service by kill -9."""
        self.plane.kill(service)

    def revive(self, *services: str) -> None:
        """Start services, and wait until all are ready."""
        for service in services:
            self.plane.start(service)
        self.plane.wait()

    def killed_in_move(self, server: str, action: str) -> str:
        """Kill nova-compute when a live migration has reached ``action``; returns the target host.

        It is started again, gives up the migration, and three hours pass.
        """
        target = self._died_in_move(server, action)
        # a cache that was refreshed between the two halves of Neutron's change of binding says unbound, and with such
        # a NIC nova-compute does not start; whoever had that would have it mended before
        bound = """REPLACE(network_info, '"type": "unbound"', '"type": "ovs"')"""
        self.sql(self.cell, f"UPDATE instance_info_caches SET network_info = {bound} WHERE instance_uuid = %s", server)
        self.revive(f"nova-compute-{self.host}")
        self.wait_row(self.cell, "SELECT uuid FROM instances WHERE uuid = %s AND task_state IS NULL", server)
        if server not in self.plane.guests(self.host):
            # nova-compute misses it one period later, and its record of that makes the server look busy once more
            missed = "SELECT uuid FROM instances WHERE uuid = %s AND power_state = 0"
            self.wait_row(self.cell, missed, server, seconds=90)
        moves = self.sql(self.cell, "SELECT uuid FROM migrations WHERE instance_uuid = %s", server)
        self.past(servers=server, consumers=[row["uuid"] for row in moves])
        return target

    def _died_in_move(self, server: str, action: str) -> str:
        target = self.other_host()
        with self.held(self.host, action):
            self.cloud.compute.live_migrate_server(server, host=target, block_migration="auto")
            self.wait_held(self.host, action)
            self.crash(f"nova-compute-{self.host}")
        return target

    def lost_in_move(self, server: str, action: str) -> str:
        """As :meth:`killed_in_move`, but nova-compute stays dead and sends no heartbeat for three hours."""
        target = self._died_in_move(server, action)
        moves = self.sql(self.cell, "SELECT uuid FROM migrations WHERE instance_uuid = %s", server)
        self.past(servers=server, consumers=[row["uuid"] for row in moves])
        silent = "last_seen_up - INTERVAL 3 HOUR"
        statement = f"UPDATE services SET last_seen_up = {silent}, updated_at = {silent} WHERE host = %s"
        self.sql(self.cell, f"{statement} AND `binary` = 'nova-compute'", self.host)
        return target

    def lose_guest(self, host: str, server: str) -> None:
        """The machine lost this guest, as if it were reinstalled. Only while its nova-compute is down."""
        self.plane.forget_guest(host, server)

    def sql(self, database: str, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run a statement."""
        return self.plane.sql(database, statement, parameters)

    def write_cache(self, server: str, network_info: str, cell: str = "") -> None:
        """Replace a server's network cache, again and again until nova-compute leaves it.

        Neutron reports every change of a port to Nova (network-changed) a second or more after the change, on a busy
        machine also after the server is ACTIVE, and nova-compute then writes the cache anew.
        """
        database = cell or self.cell
        change = "UPDATE instance_info_caches SET network_info = %s WHERE instance_uuid = %s"
        kept = "SELECT id FROM instance_info_caches WHERE network_info = %s AND instance_uuid = %s"
        for _ in range(_REFRESHES):
            self.sql(database, change, network_info, server)
            time.sleep(_REFRESH)
            if self.sql(database, kept, network_info, server):
                return
        raise LabError(f"nova-compute keeps rewriting the network cache of {server}")

    def past(self, **things: str | list[str]) -> None:
        """Let three hours pass for some objects: damage counts only once nobody can be working on them."""
        let_time_pass(self.plane, **{kind: [ids] if isinstance(ids, str) else ids for kind, ids in things.items()})

    def wait_row(self, database: str, statement: str, *parameters: Any, seconds: float = 60) -> Mapping[str, Any]:
        """Wait until a query returns a row; returns the first one."""
        rows = wait(lambda: self.sql(database, statement, *parameters), f"a row of: {statement}", seconds)
        return rows[0]
