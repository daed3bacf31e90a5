# SPDX-License-Identifier: Apache-2.0
"""A simulated cloud whose servers a test creates one by one, with settable answers for what is not simulated."""

from __future__ import annotations

from typing import Any

from stackmend.model.api import Request, Response
from stackmend_lab.simulated import Cloud
from stackmend_lab.simulated.things import Group, Server
from stackmend_lab.simulated.world import FLAVORS, server

HOST = "c01"


class Told(Cloud):
    """A simulated cloud with fixed answers for paths that the simulation does not know.

    ``told``: beginning of a path -> the body, None for "does not exist", or a function of the simulated one. ``sent``:
    requests that may have changed something.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(servers_per_host=0, **options)
        self.told: dict[str, Any] = {}
        self.sent: list[Request] = []

    def send(self, request: Request, mark: str = "") -> Response:
        """The given answer if the path begins like that, else the simulated one."""
        if request.method != "GET":
            if "os-getConsoleOutput" not in (request.body or {}):
                self.sent.append(request)
            return super().send(request, mark)
        for path, body in self.told.items():
            if request.path.startswith(path):
                said = body(super().send(request, mark).body) if callable(body) else body
                return Response(200 if said is not None else 404, said, (), None, "")
        return super().send(request, mark)

    def put(
        self, kind: str = "active", host: str = HOST, flavor: int = 0, *, volume: bool = False, name: str = ""
    ) -> Server:
        """Create a server in that state."""
        made = server(self.world, self.world.hosts[host], FLAVORS[flavor], kind, volume=volume, name=name)
        self.before[made.id] = (made.host, made.vm_state, made.locked)
        return made

    def group(self, policy: str, *members: Server, **rules: int) -> Group:
        """Create a server group with these servers."""
        made = Group(self.world.uuid(), policy, policy, rules, [one.id for one in members])
        self.world.groups[made.id] = made
        return made

    def act(self, one: Server, **action: Any) -> None:
        """Perform an owner's action on a server, and wait for its effect."""
        path = f"/servers/{one.id}/action"
        answer = self.send(Request(service="compute", method="POST", path=path, body=action, microversion="2.1"))
        assert answer.good, answer
        self.clock.sleep(10)

    def die(self, host: str, ago: float = 300) -> None:
        """Let the machine of a host have died so many seconds ago."""
        self.world.stop(self.world.hosts[host], machine=True)
        self.clock.sleep(ago)

    def at_once(self) -> int:
        """The maximum number of moves in progress at the same time."""
        times = [(one.created, one.updated) for one in self.world.migrations]
        return max(sum(begun <= at < over for begun, over in times) for at, _ in times)
