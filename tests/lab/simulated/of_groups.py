# SPDX-License-Identifier: Apache-2.0
"""Servers of a group, and the hosts that its policy leaves them."""

from __future__ import annotations

from .stage import Stage, live


def _moves(on: Stage, server: str, to: str) -> None:
    """A live migration that ends there: on the source where Nova finds no host for it."""
    before = len(on.records(server))
    assert on.act(server, live(), "2.34").status == 202
    on.until(lambda: len(on.records(server)) > before)
    on.until(lambda: on.records(server)[-1][1] in ("completed", "error"))
    on.until(lambda: on.state(server) == ("active", None, to))
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
    """Nova moves one at a time: none may leave the others. One that is alone goes."""
    group = on.group("affinity")
    one, other = on.server(group=group), on.server(group=group)
    _moves(on, one, "source")
    assert on.send("DELETE", f"/servers/{other}").status == 204
    on.until(lambda: on.send("GET", f"/servers/{other}").status == 404)
    _moves(on, one, "target")


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
    a_group_that_is_gone,
)  # fmt: skip
