# SPDX-License-Identifier: Apache-2.0
"""The rows that Nova would have of simulated clouds, in databases with its own schemas.

Several clouds fit into the same databases: what is asked of one cloud costs the same for fifty. Each is written as of
its own present. Events of actions are left out: a simulated cloud does not know them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from stackmend_lab import schemas
from stackmend_lab.cloud.handle import Cloud, SQLiteStore, connect
from stackmend_lab.cloud.kinds import identifier, text
from stackmend_lab.cloud.loading import SQLiteLoader
from stackmend_lab.simulated.things import Host, Server
from stackmend_lab.simulated.world import PROJECT, USER, World

_CELLS = {"cell0": 1, "cell1": 2, "cell2": 3}
_FILES = {"nova_api": "nova_api", **{f"cell:{cell}": "nova" for cell in _CELLS}}
_MARKER = "00000000-0000-0000-0000-000000000000"


def written(worlds: Iterable[World], folder: Path, now: datetime | None = None) -> Cloud:
    """The databases of all these clouds, whose hosts have names of their own; ``now``: their present."""
    store = _created(folder)
    moment = (now or datetime.now(UTC).replace(tzinfo=None)).replace(microsecond=0)
    rows = _Rows(SQLiteLoader(store.connections), moment)
    rows.cells(store.cell_urls())
    for world in worlds:
        rows.world(world)
    rows.loader.close()
    return Cloud(store, moment, [])


def _created(folder: Path) -> SQLiteStore:
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    connections: dict[str, sqlite3.Connection] = {}
    for database, service in _FILES.items():
        files[database] = (folder / f"{database.removeprefix('cell:')}.db").absolute()
        connections[database] = connect(files[database])
        schemas.create_on_sqlite(connections[database], service)
    return SQLiteStore(folder.absolute(), files, connections)


class _Rows:
    """Writes them."""

    def __init__(self, loader: SQLiteLoader, now: datetime) -> None:
        self.loader, self._now, self._ids = loader, now, count(1)

    def cells(self, urls: dict[str, str]) -> None:
        for name, number in _CELLS.items():
            self._row(
                "nova_api", "cell_mappings", id=number, name=name, disabled=0, database_connection=urls[name],
                uuid=_MARKER if name == "cell0" else identifier(0xF0, number),
                transport_url="none:///" if name == "cell0" else f"rabbit://mq/{name}",
            )  # fmt: skip

    def world(self, world: World) -> None:
        """Every row of one cloud."""
        for host in world.hosts.values():
            self._host(world, host)
        for server in world.servers.values():
            self._server(world, server, world.hosts.get(server.host or ""))
        for server, last, at in world.buried.values():
            self._server(world, server, world.hosts.get(last), gone=self._at(world, at))
        for one in world.migrations:
            self._row(
                f"cell:{world.hosts[one.source].cell}", "migrations", id=next(self._ids), uuid=one.id, deleted=0,
                instance_uuid=one.server, status=one.status, migration_type=one.kind, source_compute=one.source,
                source_node=one.source, dest_compute=one.to, dest_node=one.to, hidden=0, cross_cell_move=0,
                created_at=self._at(world, one.created), updated_at=self._at(world, one.updated),
            )  # fmt: skip

    def _host(self, world: World, host: Host) -> None:
        old, cell = text(self._now - timedelta(days=500)), f"cell:{host.cell}"
        beat = self._at(world, world.clock.seconds if host.running else host.beat)
        number = next(self._ids)
        self._row(
            cell, "services", id=number, uuid=host.service, host=host.name, binary="nova-compute", topic="compute",
            report_count=1, disabled=int(host.disabled), forced_down=int(host.forced_down), last_seen_up=beat,
            version=70, created_at=old, updated_at=beat, deleted=0,
        )  # fmt: skip
        self._row(
            cell, "compute_nodes", id=number, uuid=host.node, host=host.name, hypervisor_hostname=host.name,
            hypervisor_type="QEMU", hypervisor_version=9000000, vcpus=64, memory_mb=512000, local_gb=20000,
            vcpus_used=0, memory_mb_used=0, local_gb_used=0, cpu_info="{}", mapped=1, created_at=old, updated_at=beat,
            deleted=0,
        )  # fmt: skip
        self._row("nova_api", "host_mappings", id=next(self._ids), cell_id=_CELLS[host.cell], host=host.name)

    def _server(self, world: World, server: Server, host: Host | None, gone: str | None = None) -> None:
        """``host``: where it is; without one in cell0, unless it is shelved."""
        cell = host.cell if host else "cell1" if server.vm_state == "shelved_offloaded" else "cell0"
        number, created = next(self._ids), self._at(world, server.created)
        self._row(
            "nova_api", "instance_mappings", id=number, instance_uuid=server.id, cell_id=_CELLS[cell], user_id=USER,
            project_id=PROJECT, queued_for_delete=int(gone is not None), created_at=created,
        )  # fmt: skip
        self._row(
            f"cell:{cell}", "instances", id=number, uuid=server.id, host=host.name if host else None,
            node=host.name if host else None, vm_state=server.vm_state, task_state=server.task_state,
            power_state=server.power_state, project_id=PROJECT, user_id=USER, hidden=0, created_at=created,
            updated_at=self._at(world, server.updated), launched_at=created if host else None, deleted_at=gone,
            deleted=number if gone else 0,
        )  # fmt: skip
        for deed in server.actions or ():
            self._row(
                f"cell:{cell}", "instance_actions", id=next(self._ids), instance_uuid=server.id, action=deed.action,
                request_id=deed.request, user_id=deed.user, start_time=self._at(world, deed.at), deleted=0,
            )  # fmt: skip

    def _at(self, world: World, seconds: float) -> str:
        """A moment of a cloud: so long ago as it is there."""
        return text(self._now - timedelta(seconds=int(world.clock.seconds - seconds)))

    def _row(self, database: str, table: str, **values: Any) -> None:
        self.loader.emit(database, table, tuple(values), tuple(values.values()))
