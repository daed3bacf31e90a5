# SPDX-License-Identifier: Apache-2.0
"""Hosts: what their services report, and what becomes of their guests when they are restarted."""

from __future__ import annotations

from typing import Any

from .stage import Stage, live, words


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


def a_host_that_is_forced_down(on: Stage) -> None:
    """Down at once, whatever it reports; the moment of its last report is that of any change."""
    before = on.service(on.bed.source)
    answer = on.change(on.bed.source, {"forced_down": True})
    try:
        shown = answer.body["service"]
        assert (answer.status, shown["state"], shown["forced_down"]) == (200, "down", True)
        changed = on.service(on.bed.source)["updated_at"]
        assert changed >= before["updated_at"]
        on.until(lambda: on.service(on.bed.source)["updated_at"] > changed)
        assert on.service(on.bed.source)["state"] == "down"
    finally:
        answer = on.change(on.bed.source, {"forced_down": False})
    assert answer.status == 200
    on.until(lambda: on.service(on.bed.source)["state"] == "up")


def an_agent_that_is_silent(on: Stage) -> None:
    """Dead after a while, and alive when it reports again."""
    assert on.agent(on.bed.source)["alive"] is True
    with on.bed.silent():
        on.until(lambda: on.agent(on.bed.source)["alive"] is False, 120)
        assert on.agent(on.bed.target)["alive"] is True
    on.until(lambda: on.agent(on.bed.source)["alive"] is True)


def a_host_that_is_restarted(on: Stage) -> None:
    """What ran is active and off, until nova-compute compares power states: then nobody has stopped it."""
    ran, rebooted, owner = on.server(), on.server(), on.server()
    assert on.act(owner, {"os-stop": None}).status == 202
    on.settled(owner)
    with on.bed.restarted():
        for server in (ran, rebooted):
            assert on.state(server) == ("active", None, "source")
            assert _power(on, server) == 1
            refused = on.diagnostics(server)
            assert (refused.status, words(refused)) == (
                409, "Cannot 'get_diagnostics' instance <id> while it is in power state running",
            )  # fmt: skip
        assert on.act(rebooted, {"reboot": {"type": "HARD"}}).status == 202
        assert on.settled(rebooted)[-1] == ("active", None, "source")
        assert on.diagnostics(rebooted).status == 200
    on.until(lambda: on.state(ran) == ("stopped", None, "source"), 120)
    assert (_power(on, ran), _power(on, rebooted)) == (4, 1)
    by_nobody, by_owner = on.deeds(ran)[0], on.deeds(owner)[0]
    assert [by_nobody[name] for name in ("action", "user_id", "project_id", "message")] == ["stop", None, None, None]
    assert (by_owner["action"], bool(by_owner["user_id"])) == ("stop", True)
    assert on.state(rebooted) == ("active", None, "source")
    assert on.deeds(rebooted)[0]["action"] == "reboot"
    assert on.act(ran, {"os-start": None}).status == 202
    assert on.settled(ran)[-1] == ("active", None, "source")
    on.until(lambda: on.port(ran)["status"] == "ACTIVE")


def a_host_where_nobody_answers(on: Stage) -> None:
    """What only nova-compute knows is an error of the service: neither yes nor no."""
    server = on.server()
    with on.bed.dead():
        assert on.diagnostics(server).status == 500
        assert on.act(server, {"os-getConsoleOutput": {}}).status == 500
        assert on.state(server) == ("active", None, "source")


def what_was_asked_of_a_dead_host(on: Stage) -> None:
    """Accepted, with the task set; its nova-compute does it when it is back."""
    off, runs = on.server(), on.server()
    assert on.act(off, {"os-stop": None}).status == 202
    on.settled(off)
    with on.bed.dead():
        assert on.act(off, {"os-start": None}).status == 202
        assert on.act(runs, {"os-stop": None}).status == 202
        on.bed.sleep(5)
        assert on.state(off) == ("stopped", "powering-on", "source")
        assert on.state(runs) == ("active", "powering-off", "source")
    on.until(lambda: on.state(off) == ("active", None, "source"))
    on.until(lambda: on.state(runs) == ("stopped", None, "source"))


def _power(on: Stage, server: str) -> Any:
    return on.get(f"/servers/{server}")["server"]["OS-EXT-STS:power_state"]


SCENES = (
    a_disabled_host_takes_nothing,
    what_services_are_refused_for,
    a_host_that_is_forced_down,
    an_agent_that_is_silent,
    a_host_that_is_restarted,
    a_host_where_nobody_answers,
    what_was_asked_of_a_dead_host,
)
