# SPDX-License-Identifier: Apache-2.0
"""Servers of a group, and the hosts that its policy leaves them."""

from __future__ import annotations

from .stage import Stage, live


def _moves(on: Stage, server: str, to: str, *, forced: bool = False, state: str = "active") -> None:
    """A live migration that ends there: on the source where it comes to nothing."""
    before = len(on.records(server))
    body = {"host": on.bed.target, "block_migration": "auto", "force": True}
    asked = on.act(server, {"os-migrateLive": body}, "2.67") if forced else on.act(server, live(), "2.34")
    assert asked.status == 202
    on.until(lambda: len(on.records(server)) > before)
    on.until(lambda: on.records(server)[-1][1] in ("completed", "error"))
    on.until(lambda: on.state(server) == (state, None, to))
    assert on.records(server)[-1] == ("live-migration", "completed" if to == "target" else "error")


def _told(on: Stage, group: str) -> set[str]:
    """Its members, as the list of all groups has them."""
    found = on.get("/os-server-groups?all_projects=1&limit=1000&offset=0", "2.64")["server_groups"]
    (mine,) = [one for one in found if one["id"] == group]
    assert mine["policy"] in ("affinity", "anti-affinity")
    return set(mine["members"])


def a_group_whose_servers_stay_apart(on: Stage) -> None:
    """None goes to a host that has another one of it; when that is deleted, it is no member any more, and one does."""
    group = on.group("anti-affinity")
    one, other = on.server(group=group), on.server("target", group)
    assert _told(on, group) == {one, other}
    assert on.get(f"/servers/{one}", "2.71")["server"]["server_groups"] == [group]
    _moves(on, one, "source")
    assert on.send("DELETE", f"/servers/{other}").status == 204
    on.until(lambda: on.send("GET", f"/servers/{other}").status == 404)
    assert _told(on, group) == {one}
    _moves(on, one, "target")


def a_group_with_room_for_two_on_a_host(on: Stage) -> None:
    """max_server_per_host: a second one may go where the first is."""
    group = on.group("anti-affinity", max_server_per_host=2)
    one, _ = on.server(group=group), on.server("target", group)
    _moves(on, one, "target")


def a_group_whose_servers_stay_together(on: Stage) -> None:
    """None may leave the others: one that is forced to is in error, and runs on. Nor its host where it is alone."""
    group = on.group("affinity")
    one, other = on.server(group=group), on.server(group=group)
    _moves(on, other, "source")
    _moves(on, other, "source", forced=True, state="error")
    assert on.get(f"/servers/{other}")["server"]["fault"]["message"] == "Affinity instance group policy was violated"
    assert on.send("DELETE", f"/servers/{other}").status == 204
    on.until(lambda: on.send("GET", f"/servers/{other}").status == 404)
    _moves(on, one, "source")
    _moves(on, one, "target", forced=True)


def a_group_that_cannot_be_evacuated(on: Stage) -> None:
    """Its only host is dead, and Nova finds no other one: the server is in error."""
    server = on.server(group=on.group("affinity"))
    with on.bed.dead():
        assert on.act(server, {"evacuate": {"host": on.bed.target}}, "2.68").status == 200
        on.until(lambda: on.state(server) == ("error", None, "source"))
        on.until(lambda: on.records(server) == [("evacuation", "error")])


def a_group_that_is_gone(on: Stage) -> None:
    """It is not shown, and cannot be deleted again; its server has none."""
    group = on.group("anti-affinity")
    server = on.server(group=group)
    assert on.send("DELETE", f"/os-server-groups/{group}").status == 204
    assert on.send("DELETE", f"/os-server-groups/{group}").status == 404
    assert on.send("GET", f"/os-server-groups/{group}").status == 404
    assert on.get(f"/servers/{server}", "2.71")["server"]["server_groups"] == []


SCENES = (
    a_group_whose_servers_stay_apart, a_group_with_room_for_two_on_a_host, a_group_whose_servers_stay_together,
    a_group_that_cannot_be_evacuated, a_group_that_is_gone,
)  # fmt: skip
