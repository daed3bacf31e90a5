# SPDX-License-Identifier: Apache-2.0
"""Servers of a host that is dead, built again elsewhere."""

from __future__ import annotations

from .stage import Stage, on_the_way, words


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


def an_evacuation_of_what_was_off_or_being_stopped(on: Stage) -> None:
    """Before 2.95 a server is afterwards as it was; what was under way with it keeps nobody from evacuating it."""
    off, stopping = on.server(), on.server()
    assert on.act(off, {"os-stop": None}).status == 202
    on.settled(off)
    with on.bed.dead():
        assert on.act(stopping, {"os-stop": None}).status == 202
        assert on.state(stopping) == ("active", "powering-off", "source")
        for server in (off, stopping):
            assert on.act(server, {"evacuate": {"host": on.bed.target}}, "2.68").status == 200
        for server, state in ((off, "stopped"), (stopping, "active")):
            on.until(lambda s=server: on.records(s) == [("evacuation", "done")])  # type: ignore[misc]
            on.until(lambda s=server, v=state: on.state(s) == (v, None, "target"))  # type: ignore[misc]
        on.until(lambda: on.port(stopping)["status"] == "ACTIVE")
        on.until(lambda: on.port(off)["status"] == "DOWN")
    for server in (off, stopping):
        on.until(lambda s=server: on.places(s) == {"target"})  # type: ignore[misc]


def what_an_evacuation_is_refused_for(on: Stage) -> None:
    """A state that it is not for, until that is reset; a host that there is none of, and the one that is dead."""
    server = on.server()
    assert on.act(server, {"pause": None}).status == 202
    on.settled(server)
    with on.bed.dead():
        for host, status in (("no-such-host", 404), (on.bed.source, 400)):
            assert on.act(server, {"evacuate": {"host": host}}, "2.68").status == status
        refused = on.act(server, {"evacuate": {}}, "2.68")
        assert (refused.status, words(refused)) == (
            409, "Cannot 'evacuate' instance <id> while it is in vm_state paused",
        )  # fmt: skip
        assert on.records(server) == []
        assert on.act(server, {"os-resetState": {"state": "active"}}).status == 202
        assert on.act(server, {"evacuate": {}}, "2.68").status == 200
        on.until(lambda: on.state(server) == ("active", None, "target"))
        on.until(lambda: on.records(server) == [("evacuation", "done")])


def an_evacuation_that_no_host_takes(on: Stage) -> None:
    """Accepted; then the server is in error where it was. Asked for again it runs, even from 2.95 on."""
    server = on.server()
    with on.bed.dead():
        on.change(on.bed.target, {"status": "disabled", "disabled_reason": "a scene"})
        try:
            on.bed.sleep(2)
            assert on.act(server, {"evacuate": {}}, "2.95").status == 200
            on.until(lambda: on.state(server) == ("error", None, "source"))
        finally:
            on.change(on.bed.target, {"status": "enabled"})
        on.until(lambda: on.records(server) == [("evacuation", "error")])
        on.until(lambda: [on.deeds(server)[0][name] for name in ("action", "message")] == ["evacuate", "Error"])
        assert on.get(f"/servers/{server}")["server"]["fault"]["message"].startswith("No valid host was found")
        assert on.places(server) == {"source"}
        assert on.bindings(server) == {"source": "ACTIVE"}
        on.bed.sleep(2)
        assert on.act(server, {"evacuate": {}}, "2.95").status == 200
        on.until(lambda: on.state(server) == ("active", None, "target"))
        on.until(lambda: on.records(server) == [("evacuation", "error"), ("evacuation", "done")])
    on.until(lambda: on.places(server) == {"target"})
    on.until(lambda: on.records(server) == [("evacuation", "error"), ("evacuation", "completed")])


def an_evacuation_that_breaks(on: Stage) -> None:
    """The server is in error where it was, with its allocation; its port has gone ahead, its old guest is left."""
    server = on.server()
    with on.bed.dead():
        with on.bed.failing("when it is built"):
            assert on.act(server, {"evacuate": {}}, "2.95").status == 200
            on.until(lambda: on.state(server) == ("error", None, "source"))
        on.until(lambda: on.records(server) == [("evacuation", "failed")])
        on.until(lambda: [on.deeds(server)[0][name] for name in ("action", "message")] == ["evacuate", "Error"])
        on.until(lambda: on.places(server) == {"source"})
        assert on.bindings(server) == {"target": "ACTIVE"}
    assert on.records(server) == [("evacuation", "failed")]
    assert on.state(server) == ("error", None, "source")


SCENES = (
    an_evacuation,
    an_evacuation_that_stops_its_server,
    an_evacuation_of_what_was_off_or_being_stopped,
    what_an_evacuation_is_refused_for,
    an_evacuation_that_no_host_takes,
    an_evacuation_that_breaks,
)
