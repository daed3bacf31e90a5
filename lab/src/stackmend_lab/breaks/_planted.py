# SPDX-License-Identifier: Apache-2.0
"""Makes plants on the lab: with the same statements as in an embedded cloud, on servers that Nova builds for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from stackmend.model.errors import UsageError
from stackmend_lab.breaks._past import let_time_pass
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.cloud.handle import Row, run
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.databases import connect
from stackmend_lab.control_plane.seed import wait_server
from stackmend_lab.plants import Case


class LabRows(CloudRows):
    """The real databases of a lab, and servers that are created when picked, and made to look three hours old."""

    def __init__(self, plane: Plane, name: str) -> None:
        super().__init__(_Statements(plane))
        self._plane, self._scene = plane, Scene(plane, name)
        self._picked = 0

    def pick(self, kind: str = "active") -> Server:
        """Create a server of that kind. LookupError for a kind that takes more than a call or two to create.

        Every second active server has a volume, as some have in an embedded cloud.
        """
        if kind not in _KINDS:
            raise LookupError(f"the lab makes no server of the kind {kind}: {', '.join(sorted(_KINDS))}")
        self._picked += 1
        scene, (nics, make) = self._scene, _KINDS[kind]
        server = scene.server(nics(scene))
        volumes = [scene.attached(server)] if kind == "active" and not self._picked % 2 else []
        ports = scene.ports(server)
        make(scene, server)
        let_time_pass(self._plane, servers=[server], volumes=volumes)
        return self._seen(server, kind, ports, volumes)

    def _seen(self, server: str, kind: str, ports: list[str], volumes: list[str]) -> Server:
        sql = "SELECT host, node, project_id FROM instances WHERE uuid = :u"
        row = self.rows(self._scene.cell, sql, {"u": server})[0]
        return Server(
            uuid=server,
            kind=kind,
            cell=self._scene.cell.removeprefix("cell:"),
            host=row["host"],
            node=row["node"],
            project_id=row["project_id"],
            ports=tuple(ports),
            volumes=tuple(volumes),
            migration=str(uuid.uuid4()),
        )


class _Statements:
    """Runs statements on the databases of a lab."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def url(self, database: str) -> str:
        return self._plane.database_url(database)

    def databases(self) -> tuple[str, ...]:
        return self._plane.layout.databases

    def run(self, database: str, sql: str, parameters: Mapping[str, Any]) -> tuple[list[Row], Any]:
        with closing(connect(self._plane.layout, database)) as connection:
            return run(connection, sql, parameters)

    def quote(self, name: str) -> str:
        return f"`{name}`"


def _left_alone(scene: Scene, server: str) -> None:
    del scene, server


def _stopped(scene: Scene, server: str) -> None:
    scene.cloud.compute.stop_server(server)
    wait_server(scene.connection, server, "SHUTOFF")


def _shelved(scene: Scene, server: str) -> None:
    scene.cloud.compute.shelve_server(server)
    wait_server(scene.connection, server, "SHELVED_OFFLOADED")
    # nova-compute takes its host away after its status: what is written before that is a conflict to it
    scene.wait_row(scene.cell, "SELECT uuid FROM instances WHERE uuid = %s AND host IS NULL", server)


def _deleted(scene: Scene, server: str) -> None:
    scene.cloud.compute.delete_server(server)
    scene.wait_row(scene.cell, "SELECT uuid FROM instances WHERE uuid = %s AND deleted <> 0", server)


Nics = list[dict[str, str]] | None


def _two(scene: Scene) -> Nics:
    return [{"uuid": scene.network()}, {"uuid": scene.network(1)}]


def _own(scene: Scene) -> Nics:
    return [{"port": scene.own_port()}]


def _one(scene: Scene) -> Nics:
    del scene
    return None


def _none(scene: Scene) -> Nics:
    del scene
    return []


#: kind -> (the NICs it is built with, what is done to it afterwards)
_KINDS: dict[str, tuple[Callable[[Scene], Nics], Callable[[Scene, str], None]]] = {
    "active": (_one, _left_alone),
    "deleted": (_one, _deleted),
    "multi_nic": (_two, _left_alone),
    "no_nic": (_none, _left_alone),
    "premade_port": (_own, _left_alone),
    "shelved_offloaded": (_one, _shelved),
    "stopped": (_one, _stopped),
}


def plant(case: Case, plane: Plane) -> dict[str, Any]:
    """Make a plant on the lab; returns the key of the expected finding. UsageError if the lab lacks what it needs."""
    try:
        key: dict[str, Any] = case.make(LabRows(plane, case.check))
    except LookupError as problem:
        raise UsageError(f"{case} cannot be made here: {problem}", "The embedded cloud has it: see the demo.") from None
    return key
