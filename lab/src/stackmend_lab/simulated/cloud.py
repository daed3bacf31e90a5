# SPDX-License-Identifier: Apache-2.0
"""A simulated cloud: it responds as the services of a real one do, in simulated time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote

from stackmend.model.api import ApiAccount, Request, Response, Versions
from stackmend.model.errors import LostError, UnsentError
from stackmend_lab.simulated import actions, compute, groups, guests, images, network, placement, storage
from stackmend_lab.simulated.clock import Clock
from stackmend_lab.simulated.compute import Version
from stackmend_lab.simulated.faults import Faults
from stackmend_lab.simulated.things import Json, Query, Refused
from stackmend_lab.simulated.world import World, build

#: service -> (lowest, highest) microversion
VERSIONS: Mapping[str, Versions | None] = {
    "compute": ((2, 1), (2, 104)),
    "block-storage": ((3, 0), (3, 71)),
    "placement": ((1, 0), (1, 39)),
    "network": None,
    "image": None,
}
_LOWEST: Mapping[str, Version] = {"compute": (2, 1), "block-storage": (3, 0), "placement": (1, 0)}


class Cloud:
    """A :class:`stackmend.model.protocols.Session` with a simulated cloud, reproducible by seed and requests.

    ``hosts`` hosts with ``servers_per_host`` servers each, distributed over ``cells`` cells; ``states``: vm_state ->
    weight, and "locked" as one of them. ``latency``: seconds per request. ``versions``: those of older services.
    ``names``: of the hosts.
    """

    def __init__(
        self,
        seed: int = 0,
        hosts: int = 4,
        servers_per_host: int = 5,
        cells: int = 1,
        faults: Faults | None = None,
        *,
        states: Mapping[str, float] | None = None,
        latency: float = 0.01,
        versions: Mapping[str, Versions | None] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.name = f"simulated-{seed}"
        self.world = World(seed, faults or Faults())
        self.latency = latency
        self._versions = {**VERSIONS, **(versions or {})}
        self._calls, self._requests = count(1), count(1)
        build(self.world, hosts, servers_per_host, cells, states or {"active": 1.0}, names)
        self.before = {s.id: (s.host, s.vm_state, s.locked) for s in self.world.servers.values()}

    @property
    def clock(self) -> Clock:
        """Its clock."""
        return self.world.clock

    # -- the session

    def send(self, request: Request, mark: str = "") -> Response:
        """Answer the request; raises UnsentError or LostError if a fault says so."""
        self.clock.sleep(self.latency)
        fault = self._fault()
        if fault == "unsent":
            raise UnsentError(f"no connection to {request.method} {request.path} in cloud {self.name}")
        if fault == "lost":
            raise self._lost(request)
        if fault == "500":
            return self._answer(500, None, "Unexpected API Error.")
        if fault == "503":
            return self._answer(503, None, "The service is unavailable.", after=1.0)
        try:
            status, body = self._dispatch(request)
            answer = self._answer(status, body)
        except Refused as no:
            answer = self._answer(no.status, None, no.words, no.code)
        if fault == "lost taken":
            raise self._lost(request)
        return self._answer(500, None, "Unexpected API Error.") if fault == "500 taken" else answer

    def client(self, service: str) -> tuple[Any, str]:
        """(no client, the endpoint)."""
        if service not in self._versions:
            raise UnsentError(f"cloud {self.name} has no service {service}", "Check its catalog, and region_name.")
        return None, f"http://{service}.simulated"

    def versions(self, service: str) -> Versions | None:
        """(lowest, highest) microversion that the service offers; None if it has none."""
        self.client(service)
        return self._versions[service]

    def account(self) -> ApiAccount:
        """The only account."""
        return ApiAccount("simulated", "simulated")

    def close(self) -> None:
        """Nothing needs to be closed."""

    # -- internal

    def _fault(self) -> str:
        number, faults = next(self._calls), self.world.faults
        if not faults.every or number % faults.every:
            return ""
        return self.world.random.choice(faults.kinds)

    def _lost(self, request: Request) -> LostError:
        return LostError(f"the answer was lost to {request.method} {request.path} in cloud {self.name}")

    def _answer(self, status: int, body: Any, words: str = "", code: str = "", after: float | None = None) -> Response:
        return Response(status, body, (self._id(),), after, words.rstrip(". "), code)

    def _id(self) -> str:
        number = next(self._requests)
        return f"req-00000000-0000-4000-8000-{number:012x}"

    def _dispatch(self, request: Request) -> tuple[int, Any]:
        version = self._version(request)
        path, _, text = request.path.partition("?")
        query: Query = parse_qs(text, keep_blank_values=True) if text else {}
        parts = [unquote(part) for part in path.strip("/").split("/")]
        body: Json = request.body or {}
        if request.service == "compute":
            return self._compute(request.method, parts, query, body, version)
        if request.service == "network":
            return network.answer(self.world, request.method, parts, query, body)
        if request.service == "block-storage":
            return storage.answer(self.world, request.method, parts, query)
        if request.service == "placement":
            return placement.answer(self.world, request.method, parts, query, body, version)
        return images.answer(self.world, request.method, parts, body)

    def _version(self, request: Request) -> Version:
        offered = self._versions.get(request.service)
        if not request.microversion:
            return _LOWEST.get(request.service, (0, 0))
        major, _, minor = request.microversion.partition(".")
        version = int(major), int(minor)
        if offered is not None and not offered[0] <= version <= offered[1]:
            raise Refused(406, f"Version {request.microversion} is not supported by the API.")
        return version

    def _compute(self, method: str, parts: list[str], query: Query, body: Json, version: Version) -> tuple[int, Any]:
        world, kind = self.world, parts[0]
        if kind == "servers":
            return self._servers(method, parts[1:], query, body, version)
        if kind == "os-services":
            if method == "PUT":
                return 200, compute.put_service(world, parts[1], body, version)
            if method == "DELETE":
                return self._delete_service(parts[1])
            return 200, compute.services(world, query, version)
        if kind == "os-migrations":
            return 200, compute.migrations(world, query, version)
        if kind == "os-hypervisors":
            some = list(world.hosts.values())
            pattern = query.get("hypervisor_hostname_pattern")
            if pattern:
                some = [host for host in some if pattern[0] in host.name]
            if len(parts) > 1 and parts[1] != "detail":
                some = [host for host in some if parts[1] in (host.node, str(host.number))]
                if not some:
                    raise Refused(404, f"Compute host {parts[1]} could not be found.")
                return 200, {"hypervisor": compute.hypervisor(world, some[0], version)}
            return 200, compute.hypervisors(world, some, query, version)
        if kind == "flavors":
            return 200, compute.flavors()
        if kind == "os-server-groups":
            return groups.answer(world, method, parts[1:], query, body, version)
        if kind in ("os-aggregates", "os-keypairs"):
            return 200, {kind.removeprefix("os-").replace("-", "_"): []}
        raise Refused(404, "The resource could not be found.")

    def _servers(self, method: str, rest: list[str], query: Query, body: Json, version: Version) -> tuple[int, Any]:
        world = self.world
        if not rest or rest[0] == "detail":
            if method == "POST":
                return actions.create(world, body, version, self._id())
            return 200, compute.servers(world, query, version, bool(rest))
        name, part = rest[0], rest[1] if len(rest) > 1 else ""
        if part == "action":
            return actions.act(world, name, body, version, self._id())
        if part == "migrations":
            return self._migrations(method, name, rest[2:], version)
        if method == "DELETE":
            return actions.delete(world, name, self._id())
        server = compute.server_of(world, name)
        if part == "os-instance-actions":
            return 200, compute.actions(world, server, rest[2:], query, version)
        if part == "diagnostics":
            return guests.diagnostics(world, server)
        if part == "os-volume_attachments":
            return 200, {"volumeAttachments": [
                {"id": v, "volumeId": v, "serverId": name, "device": "/dev/vdb"} for v in server.volumes
            ]}  # fmt: skip
        if part == "shares" and version >= (2, 97):
            return 200, {"shares": []}
        if part:
            raise Refused(404, "The resource could not be found.")
        return 200, {"server": compute.shown(world, server, version)}

    def _migrations(self, method: str, name: str, rest: list[str], version: Version) -> tuple[int, Any]:
        server = compute.server_of(self.world, name)
        if method == "DELETE" or method == "POST":
            return actions.steer(
                self.world, name, rest[0], "abort" if method == "DELETE" else "complete", version, self._id()
            )
        found = compute.of_server(self.world, server, version)
        if not rest:
            return 200, found
        one = next((m for m in found["migrations"] if str(m["id"]) == rest[0]), None)
        if one is None:
            raise Refused(404, f"In-progress live migration {rest[0]} is not found for server {name}.")
        return 200, {"migration": one}

    def _delete_service(self, service: str) -> tuple[int, Any]:
        host = self.world.services.get(service)
        if host is None:
            raise Refused(404, f"Service {service} could not be found.")
        if host.servers:
            raise Refused(
                409, "Unable to delete compute service that is hosting instances. Migrate or delete the instances"
                " first.",
            )  # fmt: skip
        del self.world.hosts[host.name], self.world.nodes[host.node], self.world.services[service]
        self.world.cells[host.cell].remove(host)
        return 204, None
