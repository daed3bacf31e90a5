# SPDX-License-Identifier: Apache-2.0
"""Servers that stay where they are: what they do, what is shown of them, and what they are made of."""

from __future__ import annotations

from .stage import Stage, on_the_way


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


def a_port_is_up_while_its_guest_runs(on: Stage) -> None:
    """Bound it stays in either case."""
    server = on.server()
    for body, status in ((None, "ACTIVE"), ({"os-stop": None}, "DOWN"), ({"os-start": None}, "ACTIVE")):
        assert body is None or on.act(server, body).status == 202
        on.settled(server)
        on.until(lambda wanted=status: on.port(server)["status"] == wanted)  # type: ignore[misc]
        port = on.port(server)
        assert (port["binding:host_id"], port["binding:vif_type"]) == (on.bed.source, "ovs")


def what_a_guest_writes_when_it_boots(on: Stage) -> None:
    """Its console, whole or the last lines of it; one that writes nothing leaves what is there."""
    server = on.server()
    first = on.console(server)
    assert first.endswith("login: ")
    assert on.console(server, length=1) == first.split("\n")[-1]
    assert on.console(server, length=0) == ""
    on.bed.boots(server, "[    1.2] Kernel panic - not syncing: a scene\n")
    assert _rebooted(on, server).endswith("Kernel panic - not syncing: a scene\n")
    on.bed.boots(server, "")
    assert "a scene" in _rebooted(on, server)
    assert on.act(server, {"os-stop": None}).status == 202
    on.settled(server)
    assert "a scene" in on.console(server)


def _rebooted(on: Stage, server: str) -> str:
    """What is on its console after a hard reboot."""
    assert on.act(server, {"reboot": {"type": "HARD"}}).status == 202
    assert on.settled(server)[-1] == ("active", None, "source")
    return on.console(server)


def what_an_owner_says_of_a_server(on: Stage) -> None:
    """Metadata in every microversion, tags from 2.26 on, its size in words from 2.47 on."""
    server = on.server(metadata={"stackmend:order": "5"}, tags=["stackmend:order=7"])
    old, new = (on.get(f"/servers/{server}", version)["server"] for version in ("2.1", "2.53"))
    assert old["metadata"] == new["metadata"] == {"stackmend:order": "5"}
    assert ("tags" in old, new["tags"]) == (False, ["stackmend:order=7"])
    assert set(old["flavor"]) >= {"id"}
    assert {name: new["flavor"][name] for name in ("ephemeral", "extra_specs")} == {"ephemeral": 0, "extra_specs": {}}
    (listed,) = [
        one for one in on.get(f"/servers/detail?all_tenants=1&host={on.bed.source}", "2.53")["servers"]
        if one["id"] == server
    ]  # fmt: skip
    assert (listed["metadata"], listed["tags"]) == (new["metadata"], new["tags"])


def what_was_asked_of_a_server(on: Stage) -> None:
    """The newest first, by whom, in pages."""
    server = on.server()
    assert on.act(server, {"os-stop": None}).status == 202
    on.settled(server)
    assert on.act(server, {"lock": None}).status == 202
    every = on.deeds(server)
    assert [one["action"] for one in every] == ["lock", "stop", "create"]
    assert all(one["user_id"] and one["project_id"] and one["message"] is None for one in every)
    assert all("updated_at" in one for one in every)
    assert [one["action"] for one in on.deeds(server, "?limit=1")] == ["lock"]
    rest = on.deeds(server, f"?limit=1&marker={every[0]['request_id']}")
    assert [one["action"] for one in rest] == ["stop"]
    assert on.act(server, {"unlock": None}).status == 202


def shares_of_a_server(on: Stage) -> None:
    """Shown from 2.97 on."""
    server = on.server()
    assert on.get(f"/servers/{server}/shares", "2.97") == {"shares": []}
    assert on.send("GET", f"/servers/{server}/shares", None, "2.96").status == 404


def an_image_that_is_deleted(on: Stage) -> None:
    """There is none of that id any more."""
    wish = {"name": "scene", "disk_format": "raw", "container_format": "bare"}
    answer = on.send("POST", "/images", wish, "", "image")
    assert (answer.status, answer.body["status"]) == (201, "queued")
    path = f"/images/{answer.body['id']}"
    assert on.get(path, "", "image")["name"] == "scene"
    assert on.send("DELETE", path, None, "", "image").status == 204
    assert on.send("GET", path, None, "", "image").status == 404


def a_microversion_that_nobody_has(on: Stage) -> None:
    """Refused, whatever was asked."""
    assert on.send("GET", "/servers", None, "2.999").status == 406


SCENES = (
    servers_stop_and_start,
    a_port_is_up_while_its_guest_runs,
    what_a_guest_writes_when_it_boots,
    what_an_owner_says_of_a_server,
    what_was_asked_of_a_server,
    shares_of_a_server,
    an_image_that_is_deleted,
    a_microversion_that_nobody_has,
)
