# SPDX-License-Identifier: Apache-2.0
"""What scenes are played on: a bed (the simulated cloud, or the lab), and what is said to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from stackmend.model.api import Request, Response
from stackmend.model.protocols import Session

#: what is seen of a server: vm_state, task_state, and whether it is where it was
State = tuple[str, str | None, str]
#: shows migrations in pages, the newest first
RECORDS = "2.59"
#: shows what was asked of a server in pages
_DEEDS = "2.58"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Bed(Protocol):
    """A cloud to play on: two hosts of a cell, ``source`` and ``target``, and no third one that takes servers."""

    session: Session
    source: str
    target: str

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def wish(self, host: str) -> dict[str, Any]:
        """What a small server on this host is asked for with."""
        ...

    def failing(self, when: str) -> AbstractContextManager[None]:
        """Live migrations fail ("before" the guest moves, "half-way", or "at its end"), or guests are not built."""
        ...

    def standing(self) -> AbstractContextManager[None]:
        """Live migrations stand still while the guest moves."""
        ...

    def dead(self) -> AbstractContextManager[None]:
        """The machine of the source is dead; at the end it comes back, and its nova-compute has started."""
        ...

    def restarted(self) -> AbstractContextManager[None]:
        """The machine of the source was restarted: its guests are off; at the end nova-compute compares states."""
        ...

    def silent(self) -> AbstractContextManager[None]:
        """The network agent of the source does not report."""
        ...

    def boots(self, server: str, text: str) -> None:
        """What a guest on the source writes from now on when it boots; "": nothing."""
        ...


class Stage:
    """A bed with what scenes say to it."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.servers: list[str] = []
        self.groups: list[str] = []

    def send(
        self, method: str, path: str, body: Any = None, version: str = "2.1", service: str = "compute"
    ) -> Response:
        """One request."""
        return self.bed.session.send(
            Request(service=service, method=method, path=path, body=body, microversion=version)
        )

    def get(self, path: str, version: str = "2.1", service: str = "compute") -> Any:
        """The JSON of what is there."""
        answer = self.send("GET", path, None, version, service)
        assert answer.status == 200, (path, answer)
        return answer.body

    def act(self, server: str, body: Any, version: str = "2.1") -> Response:
        """An action."""
        return self.send("POST", f"/servers/{server}/action", body, version)

    def server(self, at: str = "source", group: str = "", **more: Any) -> str:
        """A new server that runs there, a member of that group; ``more`` of what is asked for."""
        wish = self.bed.wish(self.bed.source if at == "source" else self.bed.target)
        hints = {"os:scheduler_hints": {"group": group}} if group else {}
        answer = self.send("POST", "/servers", {"server": {**wish, **more}, **hints}, "2.74")
        assert answer.status == 202, answer
        made = str(answer.body["server"]["id"])
        self.servers.append(made)
        assert self.settled(made)[-1] == ("active", None, at)
        return made

    def group(self, policy: str, **rules: int) -> str:
        """A new server group."""
        wish = {"name": f"scene-{policy}", "policy": policy, **({"rules": rules} if rules else {})}
        answer = self.send("POST", "/os-server-groups", {"server_group": wish}, "2.64")
        assert answer.status == 200, answer
        self.groups.append(str(answer.body["server_group"]["id"]))
        return self.groups[-1]

    def state(self, server: str) -> State:
        """As Nova shows it."""
        found = self.get(f"/servers/{server}")["server"]
        host = found["OS-EXT-SRV-ATTR:host"]
        place = {self.bed.source: "source", self.bed.target: "target"}.get(host, "")
        return found["OS-EXT-STS:vm_state"], found["OS-EXT-STS:task_state"], place

    def settled(self, server: str, seconds: float = 120) -> list[State]:
        """States that the server goes through until nothing is done with it."""
        seen: list[State] = []
        for _ in range(int(seconds / 0.1)):
            state = self.state(server)
            if not seen or seen[-1] != state:
                seen.append(state)
            if state[1] is None and state[0] != "building":
                return seen
            self.bed.sleep(0.1)
        raise AssertionError(f"{server} does not settle: {seen}")

    def until(self, look: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait for something."""
        for _ in range(int(seconds / 0.2)):
            if found := look():
                return found
            self.bed.sleep(0.2)
        raise AssertionError(f"waited {seconds} s in vain: {look()}")

    def records(self, server: str) -> list[tuple[str, str]]:
        """(type, status) of its migrations, the oldest first."""
        found = self.get(f"/os-migrations?instance_uuid={server}", RECORDS)["migrations"]
        return [(one["migration_type"], one["status"]) for one in reversed(found)]

    def record(self, server: str) -> Any:
        """Its last migration."""
        return self.get(f"/os-migrations?instance_uuid={server}&limit=1", RECORDS)["migrations"][0]

    def places(self, consumer: str) -> set[str]:
        """Where it has an allocation."""
        held = self.get(f"/allocations/{consumer}", "1.28", "placement")["allocations"]
        names = {self._provider(host): place for host, place in
                 ((self.bed.source, "source"), (self.bed.target, "target"))}  # fmt: skip
        return {names[provider] for provider in held}

    def bindings(self, server: str) -> dict[str, str]:
        """Place -> status of the bindings of its port."""
        port = self.get(f"/ports?device_id={server}", "", "network")["ports"][0]["id"]
        found = self.get(f"/ports/{port}/bindings", "", "network")["bindings"]
        places = {self.bed.source: "source", self.bed.target: "target"}
        return {places[one["host"]]: one["status"] for one in found}

    def port(self, server: str) -> Any:
        """Its only port."""
        (found,) = self.get(f"/ports?device_id={server}", "", "network")["ports"]
        return found

    def service(self, host: str) -> Any:
        """nova-compute of a host."""
        return self.get(f"/os-services?host={host}&binary=nova-compute", "2.53")["services"][0]

    def change(self, host: str, body: Any) -> Response:
        """Change that."""
        return self.send("PUT", f"/os-services/{self.service(host)['id']}", body, "2.53")

    def agent(self, host: str) -> Any:
        """The network agent of a host."""
        (found,) = self.get(f"/agents?host={host}", "", "network")["agents"]
        return found

    def deeds(self, server: str, query: str = "") -> Any:
        """What was asked of it, the newest first."""
        return self.get(f"/servers/{server}/os-instance-actions{query}", _DEEDS)["instanceActions"]

    def diagnostics(self, server: str) -> Response:
        """What nova-compute says of its guest."""
        return self.send("GET", f"/servers/{server}/diagnostics", None, "2.48")

    def console(self, server: str, **more: Any) -> str:
        """What is on its console."""
        answer = self.act(server, {"os-getConsoleOutput": more})
        assert answer.status == 200, answer
        return str(answer.body["output"])

    def whole(self, server: str, place: str) -> None:
        """Allocation and binding are where it is, and nowhere else."""
        self.until(lambda: self.places(server) == {place})
        self.until(lambda: self.bindings(server) == {place: "ACTIVE"})
        last = self.record(server)
        self.until(lambda: self.places(last["uuid"]) == set())

    def clear(self) -> None:
        """Delete what was made, and what a broken move has left."""
        for server in self.servers:
            moves = self.get(f"/os-migrations?instance_uuid={server}", RECORDS)["migrations"]
            self.send("DELETE", f"/servers/{server}")
            for one in moves:
                self.send("DELETE", f"/allocations/{one['uuid']}", None, "1.28", "placement")
        for server in self.servers:
            self.until(lambda s=server: self.send("GET", f"/servers/{s}").status == 404)  # type: ignore[misc]
        for group in self.groups:
            self.send("DELETE", f"/os-server-groups/{group}")

    def _provider(self, host: str) -> str:
        found = self.get(f"/resource_providers?name={host}", "1.14", "placement")["resource_providers"]
        return str(found[0]["uuid"])


def on_the_way(seen: Sequence[State], way: Sequence[State]) -> None:
    """What was seen is the way, some of it too quick to be seen, from whatever comes first to its end."""
    rest = iter(way)
    assert all(state in rest for state in seen), (seen, way)
    assert seen[-1] == way[-1], (seen, way)


def words(answer: Response) -> str:
    """The words of a refusal, whatever ids are in them."""
    return _UUID.sub("<id>", answer.words)


def live(host: str | None = None) -> Any:
    """The body of a live migration."""
    return {"os-migrateLive": {"host": host, "block_migration": "auto"}}
