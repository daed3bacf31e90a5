# SPDX-License-Identifier: Apache-2.0
"""Servers that move, live and cold."""

from __future__ import annotations

from .stage import RECORDS, Stage, live, on_the_way, words


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
    assert on.get(f"/servers/{server}/migrations", RECORDS)["migrations"] == []


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
    on.until(lambda: [on.deeds(server)[0][name] for name in ("action", "message")] == ["live-migration", "Error"])
    refused = on.act(server, live(on.bed.source), "2.30")
    assert refused.status == 400
    assert refused.words.startswith("No valid host was found")
    assert on.state(server) == ("active", None, "source")
    assert on.records(server) == [("live-migration", "error")] * 2
    on.whole(server, "source")


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
        on.until(lambda: [one["status"] for one in on.get(path, RECORDS)["migrations"]] == ["running"])
        one = on.get(path, RECORDS)["migrations"][0]
        assert (one["source_compute"], one["dest_compute"], one["server_uuid"]) == (
            on.bed.source, on.bed.target, server,
        )  # fmt: skip
        assert on.get(f"{path}/{one['id']}", RECORDS)["migration"]["id"] == one["id"]
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
    assert on.send("GET", f"{path}/{one['id']}", None, RECORDS).status == 404


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


def pages_of_migrations(on: Stage) -> None:
    """The newest first, with a link to the rest where the page is full."""
    server = on.server()
    for _ in range(2):
        on.act(server, live("no-such-host"), "2.34")
        on.act(server, live(on.bed.source), "2.34")
        on.settled(server)
        on.until(lambda: on.records(server)[-1][1] == "error")
    every = on.get(f"/os-migrations?instance_uuid={server}", RECORDS)["migrations"]
    assert [one["id"] for one in every] == sorted((one["id"] for one in every), reverse=True)
    page = on.get(f"/os-migrations?instance_uuid={server}&limit=1", RECORDS)
    assert [one["id"] for one in page["migrations"]] == [every[0]["id"]]
    assert [link["rel"] for link in page["migrations_links"]] == ["next"]
    rest = on.get(f"/os-migrations?instance_uuid={server}&limit=1&marker={every[0]['uuid']}", RECORDS)
    assert [one["id"] for one in rest["migrations"]] == [every[1]["id"]]
    wrong = on.send("GET", "/os-migrations?limit=1&marker=5b9b8c7e-0000-4000-8000-000000000000", None, RECORDS)
    assert wrong.status == 400


SCENES = (
    a_live_migration,
    a_paused_server_moves_live,
    what_a_live_migration_is_refused_for,
    a_live_migration_that_no_host_takes,
    a_live_migration_that_fails_before_the_guest_moves,
    a_live_migration_that_breaks_half_way,
    a_live_migration_that_breaks_at_its_end,
    a_live_migration_that_is_under_way,
    a_cold_migration,
    a_cold_migration_that_is_reverted,
    what_a_cold_migration_is_refused_for,
    pages_of_migrations,
)
