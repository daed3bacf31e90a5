# SPDX-License-Identifier: Apache-2.0
"""Waits until every service is really ready: it responds, sent a heartbeat since its start, and is known to the others.

An open port proves nothing (uwsgi opens it long before the application is loaded), and an "up" may date from before the
last kill; so the time of a heartbeat is compared with the start of the process.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymysql

from stackmend_lab.control_plane import databases
from stackmend_lab.control_plane.layout import Layout
from stackmend_lab.control_plane.process import Keeper, tail
from stackmend_lab.control_plane.progress import Tell
from stackmend_lab.control_plane.services import Service, Stage
from stackmend_lab.mariadb import LabError

if TYPE_CHECKING:
    from openstack.connection import Connection

LIMIT = 420.0  #: seconds for all services; two busy cores need 80 to 120
STALE = 20.0  #: seconds after which a heartbeat no longer counts (service_down_time)
_AGAIN = 10.0  #: seconds after which the same message is repeated


class Waiting:
    """Waits for the services of one lab."""

    def __init__(self, layout: Layout, table: Mapping[str, Service], keeper: Keeper, tell: Tell) -> None:
        self._layout = layout
        self._table = table
        self._keeper = keeper
        self._tell = tell
        self._answered: set[str] = set()

    def for_ground(self) -> None:
        """Wait until database and queue accept connections."""
        ground = [service.name for service in self._table.values() if service.stage is Stage.GROUND]
        self._wait(lambda: self._ground(ground), ground, 120)

    def for_web(self, name: str) -> None:
        """Wait until one API responds."""
        self._wait(lambda: [] if self._answers(self._table[name]) else [name], [name], 180)

    def for_all(self, cloud: Callable[[], Connection]) -> None:
        """Wait until every service is ready."""
        self._wait(lambda: self._missing(cloud), list(self._table), LIMIT)

    def _wait(self, missing: Callable[[], list[str]], needed: list[str], limit: float) -> None:
        deadline = time.monotonic() + limit
        said, when = "", 0.0
        while left := missing():
            self._refuse_dead(needed)
            text = "waiting for " + ", ".join(left[:4]) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
            if (text != said and time.monotonic() > when + 2) or time.monotonic() > when + _AGAIN:
                self._tell(text)
                said, when = text, time.monotonic()
            if time.monotonic() > deadline:
                raise self._late(left, limit)
            time.sleep(0.5)

    def _refuse_dead(self, needed: list[str]) -> None:
        for name in needed:
            if not self._keeper.alive(name):
                raise self._failed(f"{name} ended while it was starting", name)

    def _late(self, left: list[str], limit: float) -> LabError:
        culprit = next((name for name in self._table if any(name in text for text in left)), "")
        return self._failed(f"after {limit:.0f} s still missing: {', '.join(left)}", culprit)

    def _failed(self, message: str, name: str) -> LabError:
        log = self._layout.logs / f"{name}.log"
        lines = tail(log)
        if not name or not lines:
            return LabError(message, f"Look into {self._layout.logs}, and run 'stackmend lab up' again.")
        return LabError("\n  ".join([f"{message}; the end of its log:", *lines]), f"The whole log is {log}.")

    def _ground(self, names: list[str]) -> list[str]:
        missing = [name for name in names if not self._listens(self._table[name])]
        if "mariadb" not in missing:
            try:
                databases.connect(self._layout).close()
            except pymysql.err.Error:
                missing.append("mariadb")
        return missing

    def _missing(self, cloud: Callable[[], Connection]) -> list[str]:
        """The services that are not ready; later conditions are only checked if the earlier ones hold."""
        silent = [s.name for s in self._table.values() if s.stage and s.listener and not self._answers(s)]
        try:
            silent += self._without_heartbeat()
            return silent or self._unknown() or _refused(self._layout, cloud)
        except pymysql.err.Error as problem:
            return [f"the database ({problem.args[-1] if problem.args else type(problem).__name__})"]

    def _listens(self, service: Service) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._layout.ports[service.listener])) == 0

    def _answers(self, service: Service) -> bool:
        if service.name in self._answered:
            return True
        connection = http.client.HTTPConnection("127.0.0.1", self._layout.ports[service.listener], timeout=0.5)
        try:
            connection.request("GET", "/")
            good = connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            good = False
        finally:
            connection.close()
        if good:
            self._answered.add(service.name)
        return good

    def _without_heartbeat(self) -> list[str]:
        beats = dict(_heartbeats(self._layout))
        missing = []
        for name, service in self._table.items():
            if service.listener or name == "neutron-periodic":
                continue
            wanted = [f"agent of {host}" for host in self._layout.hosts] if name == "agents" else [name]
            process = self._keeper.alive(name)
            since = max(process.started_at if process else time.time(), time.time() - STALE)
            # the columns are truncated to whole seconds
            missing += [beat for beat in wanted if beats.get(beat, 0.0) < int(since) and not self._covered(beat)]
        return missing

    def _covered(self, name: str) -> bool:
        """neutron-rpc has no heartbeat: those of the agents pass through it."""
        return name == "neutron-rpc"

    def _unknown(self) -> list[str]:
        mapped = {row["host"] for row in databases.query(self._layout, "nova_api", "SELECT host FROM host_mappings")}
        names = databases.query(self._layout, "placement", "SELECT name FROM resource_providers")
        providers = {row["name"] for row in names}
        missing = [f"{host} to be mapped to its cell" for host in self._layout.hosts if host not in mapped]
        return missing + [f"the resources of {host}" for host in self._layout.hosts if host not in providers]


def beats(layout: Layout, keeper: Keeper, host: str) -> bool:
    """Whether nova-compute of a host has sent a heartbeat since its start, and recently."""
    process = keeper.alive(f"nova-compute-{host}")
    if process is None:
        return False
    seen = databases.query(
        layout,
        f"cell:{layout.hosts[host]}",
        "SELECT last_seen_up AS seen FROM services WHERE host = %s AND `binary` = 'nova-compute' AND deleted = 0",
        (host,),
    )
    since = max(process.started_at, time.time() - STALE / 2)
    return any(_epoch(row["seen"]) > int(since) for row in seen)


def _heartbeats(layout: Layout) -> Iterator[tuple[str, float]]:
    """(service, or agent of a host; time of its last heartbeat)."""
    services = "SELECT host, `binary`, {} AS seen FROM services WHERE deleted = 0"
    for cell in layout.cells:
        for row in databases.query(layout, f"cell:{cell}", services.format("last_seen_up")):
            suffix = f"-{row['host']}" if row["binary"] == "nova-compute" else "" if cell == "cell1" else f"-{cell}"
            yield row["binary"] + suffix, _epoch(row["seen"])
    for row in databases.query(layout, "cinder", services.format("updated_at")):
        yield row["binary"], _epoch(row["seen"])
    agents = "SELECT host, heartbeat_timestamp AS seen FROM agents"
    for row in databases.query(layout, "neutron", agents):
        yield f"agent of {row['host']}", _epoch(row["seen"])


def _epoch(moment: datetime | None) -> float:
    return moment.replace(tzinfo=UTC).timestamp() if moment else 0.0


def _refused(layout: Layout, cloud: Callable[[], Connection]) -> list[str]:
    """Send every API a request that only a complete service can answer."""
    from keystoneauth1.exceptions import ClientException
    from openstack.exceptions import SDKException

    try:
        connection: Any = cloud()
        # forced down on purpose, in a rehearsal
        services = [s for s in connection.compute.services() if not s.is_forced_down]
        down = [f"{s.binary} of {s.host}" for s in services if s.state != "up"]
        down += [f"agent of {agent.host}" for agent in connection.network.agents() if not agent.is_alive]
        down += [s.binary for s in connection.block_storage.services() if s.state != "up"]
        list(connection.image.images(limit=1))
        if not list(connection.block_storage.backend_pools()):
            down.append("the pools of cinder-volume")
        if {h.name for h in connection.compute.hypervisors()} != set(layout.hosts):
            down.append("all hypervisors")
    except (ClientException, SDKException) as problem:
        return [f"the APIs ({str(problem).splitlines()[0][:120]})"]
    return down
