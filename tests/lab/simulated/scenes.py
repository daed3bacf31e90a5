# SPDX-License-Identifier: Apache-2.0
"""How a cloud behaves when servers move: each scene is played on the simulated cloud and on the lab, word for word."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from stackmend.model.api import Answer, Request, Session

#: what is seen of a server: vm_state, task_state, and whether it is where it was
State = tuple[str, str | None, str]
_RECORDS = "2.59"
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
        """Live migrations fail: "before" the guest moves, "half-way", or "at its end"."""
        ...

    def standing(self) -> AbstractContextManager[None]:
        """Live migrations stand still while the guest moves."""
        ...

    def dead(self) -> AbstractContextManager[None]:
        """The machine of the source is dead; at the end it comes back, and its nova-compute has started."""
        ...


class Stage:
    """A bed with what scenes say to it."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.servers: list[str] = []

    def send(self, method: str, path: str, body: Any = None, version: str = "2.1", service: str = "compute") -> Answer:
        """One request."""
        return self.bed.session.send(
            Request(service=service, method=method, path=path, body=body, microversion=version)
        )

    def get(self, path: str, version: str = "2.1", service: str = "compute") -> Any:
        """The JSON of what is there."""
        answer = self.send("GET", path, None, version, service)
        assert answer.status == 200, (path, answer)
        return answer.body

    def act(self, server: str, body: Any, version: str = "2.1") -> Answer:
        """An action."""
        return self.send("POST", f"/servers/{server}/action", body, version)

    def server(self) -> str:
        """A new server that runs on the source."""
        answer = self.send("POST", "/servers", {"server": self.bed.wish(self.bed.source)}, "2.74")
        assert answer.status == 202, answer
        made = str(answer.body["server"]["id"])
        self.servers.append(made)
        assert self.settled(made)[-1] == ("active", None, "source")
        return made

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
        found = self.get(f"/os-migrations?instance_uuid={server}", _RECORDS)["migrations"]
        return [(one["migration_type"], one["status"]) for one in reversed(found)]

    def record(self, server: str) -> Any:
        """Its last migration."""
        return self.get(f"/os-migrations?instance_uuid={server}&limit=1", _RECORDS)["migrations"][0]

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

    def service(self, host: str) -> Any:
        """nova-compute of a host."""
        return self.get(f"/os-services?host={host}&binary=nova-compute", "2.53")["services"][0]

    def whole(self, server: str, place: str) -> None:
        """Allocation and binding are where it is, and nowhere else."""
        self.until(lambda: self.places(server) == {place})
        self.until(lambda: self.bindings(server) == {place: "ACTIVE"})
        last = self.record(server)
        self.until(lambda: self.places(last["uuid"]) == set())

    def clear(self) -> None:
        """Delete what was made, and what a broken move has left."""
        for server in self.servers:
            moves = self.get(f"/os-migrations?instance_uuid={server}", _RECORDS)["migrations"]
            self.send("DELETE", f"/servers/{server}")
            for one in moves:
                self.send("DELETE", f"/allocations/{one['uuid']}", None, "1.28", "placement")
        for server in self.servers:
            self.until(lambda s=server: self.send("GET", f"/servers/{s}").status == 404)  # type: ignore[misc]

    def _provider(self, host: str) -> str:
        found = self.get(f"/resource_providers?name={host}", "1.14", "placement")["resource_providers"]
        return str(found[0]["uuid"])


def on_the_way(seen: Sequence[State], way: Sequence[State]) -> None:
    """What was seen is the way, some of it too quick to be seen, from whatever comes first to its end."""
    rest = iter(way)
    assert all(state in rest for state in seen), (seen, way)
    assert seen[-1] == way[-1], (seen, way)


def words(answer: Answer) -> str:
    """The words of a refusal, whatever ids are in them."""
    return _UUID.sub("<id>", answer.words)


def live(host: str | None = None) -> Any:
    """The body of a live migration."""
    return {"os-migrateLive": {"host": host, "block_migration": "auto"}}


# ---- scenes ----


def a_live_migration(on: Stage) -> None:
    """Accepted with the task set; it ends elsewhere, with its record completed and nothing left behind."""
    server = on.server()
    answer = on.act(server, live(), "2.34")
    assert (answer.status, answer.body) == (202, None)
    seen = on.settled(server)
    on_the_way(seen, [("active", "migrating", "source"), ("active", None, "target")])
    assert seen[0] == ("active", "migrating", "source")
    on.until(lambda: on.records(server) == [("live-migration", "completed")])
    on.whole(server, "target")
    record = on.record(server)
    assert (record["source_compute"], record["dest_compute"]) == (on.bed.source, on.bed.target)
    assert on.get(f"/servers/{server}/migrations", _RECORDS)["migrations"] == []


def a_paused_server_moves_live(on: Stage) -> None:
    """It stays paused."""
    server = on.server()
    assert on.act(server, {"pause": None}).status == 202
    on_the_way(on.settled(server), [("active", "pausing", "source"), ("paused", None, "source")])
    assert on.act(server, live(on.bed.target), "2.34").status == 202
    on_the_way(on.settled(server), [("paused", "migrating", "source"), ("paused", None, "target")])
    on.until(lambda: on.records(server) == [("live-migration", "completed")])


def what_a_live_migration_is_refused_for(on: Stage) -> None:
    """A state that it is not for, a host that there is none of; the server is left alone."""
    server = on.server()
    refused = on.act(server, live("no-such-host"), "2.34")
    assert (refused.status, words(refused)) == (400, "Compute host no-such-host could not be found")
    assert on.act(server, {"os-stop": None}).status == 202
    on_the_way(on.settled(server), [("active", "powering-off", "source"), ("stopped", None, "source")])
    refused = on.act(server, live(), "2.34")
    assert (refused.status, words(refused)) == (
        409, "Cannot 'os-migrateLive' instance <id> while it is in vm_state stopped",
    )  # fmt: skip
    assert on.records(server) == []
    assert on.act("5b9b8c7e-0000-4000-8000-000000000000", live(), "2.34").status == 404


def a_live_migration_that_no_host_takes(on: Stage) -> None:
    """From 2.34 on it is accepted and comes to nothing; before that it is refused. Either leaves a record."""
    server = on.server()
    assert on.act(server, live(on.bed.source), "2.34").status == 202
    assert on.settled(server)[-1] == ("active", None, "source")
    on.until(lambda: on.records(server) == [("live-migration", "error")])
    refused = on.act(server, live(on.bed.source), "2.30")
    assert refused.status == 400
    assert refused.words.startswith("No valid host was found")
    assert on.state(server) == ("active", None, "source")
    assert on.records(server) == [("live-migration", "error")] * 2
    on.whole(server, "source")


def a_disabled_host_takes_nothing(on: Stage) -> None:
    """Disabled with a reason that is shown; named as the destination it is refused, and enabled it is not."""
    server, service = on.server(), on.service(on.bed.target)
    path = f"/os-services/{service['id']}"
    answer = on.send("PUT", path, {"status": "disabled", "disabled_reason": "a scene"}, "2.53")
    try:
        assert answer.status == 200
        shown = answer.body["service"]
        assert (shown["status"], shown["disabled_reason"], shown["state"]) == ("disabled", "a scene", "up")
        on.bed.sleep(2)
        assert on.act(server, live(on.bed.target), "2.34").status == 202
        assert on.settled(server)[-1] == ("active", None, "source")
        on.until(lambda: on.records(server) == [("live-migration", "error")])
        refused = on.send("PUT", path, {"status": "enabled", "disabled_reason": "x"}, "2.53")
        assert refused.status == 400
    finally:
        enabled = on.send("PUT", path, {"status": "enabled"}, "2.53")
    assert (enabled.body["service"]["status"], enabled.body["service"]["disabled_reason"]) == ("enabled", None)
    on.bed.sleep(2)
    assert on.act(server, live(on.bed.target), "2.34").status == 202
    assert on.settled(server)[-1] == ("active", None, "target")


def what_services_are_refused_for(on: Stage) -> None:
    """A service that there is none of, a body that asks for nothing, a microversion that nobody has."""
    path = "/os-services/5b9b8c7e-0000-4000-8000-000000000000"
    assert on.send("PUT", path, {"status": "disabled"}, "2.53").status == 404
    service = on.service(on.bed.source)
    assert on.send("PUT", f"/os-services/{service['id']}", {}, "2.53").status == 400
    assert set(service) >= {"id", "host", "binary", "status", "state", "forced_down", "disabled_reason", "updated_at"}


def a_cold_migration(on: Stage) -> None:
    """It waits on the other host; until it is confirmed the migration holds the allocation on the source."""
    server = on.server()
    assert on.act(server, {"os-stop": None}).status == 202
    on.settled(server)
    answer = on.act(server, {"migrate": {"host": on.bed.target}}, "2.56")
    assert (answer.status, answer.body) == (202, None)
    on_the_way(on.settled(server), [
        ("stopped", "resize_prep", "source"), ("stopped", "resize_migrating", "source"),
        ("stopped", "resize_migrated", "source"), ("stopped", "resize_migrated", "target"),
        ("stopped", "resize_finish", "target"), ("resized", None, "target"),
    ])  # fmt: skip
    assert on.records(server) == [("migration", "finished")]
    assert on.places(server) == {"target"}
    assert on.places(on.record(server)["uuid"]) == {"source"}
    refused = on.act(server, {"os-start": None})
    assert (refused.status, words(refused)) == (409, "Cannot 'start' instance <id> while it is in vm_state resized")
    confirmed = on.act(server, {"confirmResize": None})
    assert (confirmed.status, confirmed.body) == (204, None)
    on.until(lambda: on.state(server) == ("stopped", None, "target"))
    on.until(lambda: on.records(server) == [("migration", "confirmed")])
    on.whole(server, "target")
    refused = on.act(server, {"confirmResize": None})
    assert (refused.status, words(refused)) == (
        409, "Cannot 'confirmResize' instance <id> while it is in vm_state stopped",
    )  # fmt: skip


def a_cold_migration_that_is_reverted(on: Stage) -> None:
    """It is back as it was."""
    server = on.server()
    assert on.act(server, {"migrate": None}, "2.56").status == 202
    assert on.settled(server)[-1] == ("resized", None, "target")
    assert on.act(server, {"revertResize": None}).status == 202
    on_the_way(on.settled(server), [
        ("resized", "resize_reverting", "target"), ("resized", "resize_reverting", "source"),
        ("active", None, "source"),
    ])  # fmt: skip
    on.until(lambda: on.records(server) == [("migration", "reverted")])
    on.whole(server, "source")


def what_a_cold_migration_is_refused_for(on: Stage) -> None:
    """The host where it is, a host that there is none of, a state that it is not for."""
    server = on.server()
    assert on.act(server, {"migrate": {"host": on.bed.source}}, "2.56").status == 400
    assert on.act(server, {"migrate": {"host": "no-such-host"}}, "2.56").status == 400
    assert on.act(server, {"pause": None}).status == 202
    on.settled(server)
    refused = on.act(server, {"migrate": None}, "2.56")
    assert (refused.status, words(refused)) == (409, "Cannot 'migrate' instance <id> while it is in vm_state paused")


def servers_stop_and_start(on: Stage) -> None:
    """Each action from the states that it is for, by its own task, and refused from the others."""
    server = on.server()
    for body, status, way in (
        ({"suspend": None}, 202, [("active", "suspending", "source"), ("suspended", None, "source")]),
        ({"suspend": None}, 409, [("suspended", None, "source")]),
        ({"resume": None}, 202, [("suspended", "resuming", "source"), ("active", None, "source")]),
        ({"os-start": None}, 409, [("active", None, "source")]),
        ({"os-stop": None}, 202, [("active", "powering-off", "source"), ("stopped", None, "source")]),
        ({"unpause": None}, 409, [("stopped", None, "source")]),
        ({"os-start": None}, 202, [("stopped", "powering-on", "source"), ("active", None, "source")]),
        ({"rescue": None}, 200, [("active", "rescuing", "source"), ("rescued", None, "source")]),
        ({"unrescue": None}, 202, [("rescued", "unrescuing", "source"), ("active", None, "source")]),
        ({"reboot": {"type": "HARD"}}, 202, [
            ("active", "rebooting_hard", "source"), ("active", "reboot_pending_hard", "source"),
            ("active", "reboot_started_hard", "source"), ("active", None, "source"),
        ]),
        ({"lock": None}, 202, [("active", None, "source")]),
        ({"unlock": None}, 202, [("active", None, "source")]),
        ({"os-resetState": {"state": "error"}}, 202, [("error", None, "source")]),
        ({"os-resetState": {"state": "active"}}, 202, [("active", None, "source")]),
        ({"shelveOffload": None}, 409, [("active", None, "source")]),
        ({"revertResize": None}, 409, [("active", None, "source")]),
    ):  # fmt: skip
        answer = on.act(server, body)
        assert answer.status == status, (body, answer)
        on_the_way(on.settled(server), way)
    shown = on.get(f"/servers/{server}/os-instance-actions")["instanceActions"]
    assert [one["action"] for one in shown][:4] == ["resetState", "resetState", "unlock", "lock"]


def a_live_migration_that_fails_before_the_guest_moves(on: Stage) -> None:
    """It is rolled back: the server goes on where it was, and nothing is left on the other host."""
    server = on.server()
    with on.bed.failing("before"):
        assert on.act(server, live(), "2.34").status == 202
        assert on.settled(server)[-1] == ("active", None, "source")
        on.until(lambda: on.records(server) == [("live-migration", "failed")])
    on.whole(server, "source")


def a_live_migration_that_breaks_half_way(on: Stage) -> None:
    """The server is in error on its host and so is the record, though all else was taken back."""
    server = on.server()
    with on.bed.failing("half-way"):
        assert on.act(server, live(), "2.34").status == 202
        on.until(lambda: on.state(server) == ("error", None, "source"))
    on.until(lambda: on.records(server) == [("live-migration", "error")])
    on.whole(server, "source")


def a_live_migration_that_breaks_at_its_end(on: Stage) -> None:
    """The server is in error on the other host; the migration still holds the source, with an inactive binding."""
    server = on.server()
    with on.bed.failing("at its end"):
        assert on.act(server, live(), "2.34").status == 202
        on.until(lambda: on.state(server) == ("error", None, "target"))
    on.until(lambda: on.records(server) == [("live-migration", "error")])
    assert on.places(server) == {"target"}
    assert on.places(on.record(server)["uuid"]) == {"source"}
    assert on.bindings(server) == {"source": "INACTIVE", "target": "ACTIVE"}


def a_live_migration_that_is_under_way(on: Stage) -> None:
    """Listed by its server while the guest moves; Nova does nothing else with the server meanwhile."""
    server = on.server()
    with on.bed.standing():
        assert on.act(server, live(), "2.34").status == 202
        path = f"/servers/{server}/migrations"
        on.until(lambda: [one["status"] for one in on.get(path, _RECORDS)["migrations"]] == ["running"])
        one = on.get(path, _RECORDS)["migrations"][0]
        assert (one["source_compute"], one["dest_compute"], one["server_uuid"]) == (
            on.bed.source, on.bed.target, server,
        )  # fmt: skip
        assert on.get(f"{path}/{one['id']}", _RECORDS)["migration"]["id"] == one["id"]
        assert on.send("DELETE", f"{path}/{one['id'] + 1000}", None, "2.65").status == 404
        refused = on.act(server, {"os-stop": None})
        assert (refused.status, words(refused)) == (
            409, "Cannot 'stop' instance <id> while it is in task_state migrating",
        )  # fmt: skip
        assert on.places(server) == {"target"}
        assert on.places(on.record(server)["uuid"]) == {"source"}
        assert on.bindings(server) == {"source": "ACTIVE", "target": "INACTIVE"}
    assert on.settled(server)[-1] == ("active", None, "target")
    on.until(lambda: on.records(server) == [("live-migration", "completed")])
    on.whole(server, "target")
    refused = on.send("DELETE", f"{path}/{one['id']}", None, "2.65")
    assert (refused.status, words(refused)) == (
        409, "Instance <id> is in an invalid state for 'abort live migration'",
    )  # fmt: skip
    assert on.send("GET", f"{path}/{one['id']}", None, _RECORDS).status == 404


def an_evacuation(on: Stage) -> None:
    """Refused while the host is up; then the server is built again; both hosts are held until the dead one is back."""
    server = on.server()
    refused = on.act(server, {"evacuate": {}}, "2.68")
    assert (refused.status, words(refused)) == (400, f"Compute service of {on.bed.source} is still in use")
    with on.bed.dead():
        answer = on.act(server, {"evacuate": {"host": on.bed.target}}, "2.68")
        assert (answer.status, answer.body) == (200, None)
        seen = on.settled(server)
        # Nova lets go of the task before it says where the server is
        on.until(lambda: on.state(server) == ("active", None, "target"))
        on_the_way(list(dict.fromkeys([*seen, ("active", None, "target")])), [
            ("active", "rebuilding", "source"), ("active", "rebuild_block_device_mapping", "source"),
            ("active", "rebuild_spawning", "source"), ("active", None, "source"), ("active", None, "target"),
        ])  # fmt: skip
        on.until(lambda: on.records(server) == [("evacuation", "done")])
        assert on.places(server) == {"source", "target"}
        on.until(lambda: on.bindings(server) == {"target": "ACTIVE"})
        service = on.service(on.bed.source)
        assert (service["state"], service["forced_down"]) == ("down", True)
        refused = on.send("PUT", f"/os-services/{service['id']}", {"forced_down": False}, "2.53")
        assert refused.status == 400
    on.until(lambda: on.records(server) == [("evacuation", "completed")])
    on.until(lambda: on.places(server) == {"target"})


def an_evacuation_that_stops_its_server(on: Stage) -> None:
    """From 2.95 on the server is stopped when it has arrived."""
    server = on.server()
    with on.bed.dead():
        assert on.act(server, {"evacuate": {}}, "2.95").status == 200
        on.until(lambda: on.records(server) == [("evacuation", "done")])
        on.until(lambda: on.state(server) == ("stopped", None, "target"))
    on.until(lambda: on.records(server) == [("evacuation", "completed")])


def pages_of_migrations(on: Stage) -> None:
    """The newest first, with a link to the rest where the page is full."""
    server = on.server()
    for _ in range(2):
        on.act(server, live("no-such-host"), "2.34")
        on.act(server, live(on.bed.source), "2.34")
        on.settled(server)
        on.until(lambda: on.records(server)[-1][1] == "error")
    every = on.get(f"/os-migrations?instance_uuid={server}", _RECORDS)["migrations"]
    assert [one["id"] for one in every] == sorted((one["id"] for one in every), reverse=True)
    page = on.get(f"/os-migrations?instance_uuid={server}&limit=1", _RECORDS)
    assert [one["id"] for one in page["migrations"]] == [every[0]["id"]]
    assert [link["rel"] for link in page["migrations_links"]] == ["next"]
    rest = on.get(f"/os-migrations?instance_uuid={server}&limit=1&marker={every[0]['uuid']}", _RECORDS)
    assert [one["id"] for one in rest["migrations"]] == [every[1]["id"]]
    wrong = on.send("GET", "/os-migrations?limit=1&marker=5b9b8c7e-0000-4000-8000-000000000000", None, _RECORDS)
    assert wrong.status == 400


def a_microversion_that_nobody_has(on: Stage) -> None:
    """Refused, whatever was asked."""
    assert on.send("GET", "/servers", None, "2.999").status == 406


class Scene(NamedTuple):
    """A scene by its name."""

    name: str
    play: Callable[[Stage], None]


SCENES = tuple(
    Scene(play.__name__, play)
    for play in (
        a_live_migration, a_paused_server_moves_live, what_a_live_migration_is_refused_for,
        a_live_migration_that_no_host_takes, a_disabled_host_takes_nothing, what_services_are_refused_for,
        a_cold_migration, a_cold_migration_that_is_reverted, what_a_cold_migration_is_refused_for,
        servers_stop_and_start, a_live_migration_that_fails_before_the_guest_moves,
        a_live_migration_that_breaks_half_way, a_live_migration_that_breaks_at_its_end,
        a_live_migration_that_is_under_way, an_evacuation,
        an_evacuation_that_stops_its_server, pages_of_migrations, a_microversion_that_nobody_has,
    )
)  # fmt: skip
