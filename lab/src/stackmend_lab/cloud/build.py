# SPDX-License-Identifier: Apache-2.0
"""Builds a cloud: schemas, surroundings, then one server after another, directly into the loader."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackmend.tables.releases import NEWEST
from stackmend_lab import schemas
from stackmend_lab.cloud import cinder, neutron, nova, placement
from stackmend_lab.cloud.documents import Networks
from stackmend_lab.cloud.handle import Cloud, MariaDBStore, Server, SQLiteStore, connect
from stackmend_lab.cloud.kinds import Planner
from stackmend_lab.cloud.loading import Fitting, Loader, MariaDBLoader, SQLiteLoader
from stackmend_lab.cloud.surroundings import ironic_node, surroundings
from stackmend_lab.cloud.things import Things, things
from stackmend_lab.cloud.world import Emit, World
from stackmend_lab.mariadb import MariaDB

if TYPE_CHECKING:
    from stackmend_lab.cloud.postgresql import PostgreSQLStore
    from stackmend_lab.postgresql import PostgreSQL

#: name of a database in stackmend -> (service whose schema it has, name on a server)
DATABASES = {
    "nova_api": ("nova_api", "nova_api"),
    "cell:cell0": ("nova", "nova_cell0"),
    "cell:cell1": ("nova", "nova"),
    "cell:cell2": ("nova", "nova_cell2"),
    "neutron": ("neutron", "neutron"),
    "cinder": ("cinder", "cinder"),
    "glance": ("glance", "glance"),
    "placement": ("placement", "placement"),
    "keystone": ("keystone", "keystone"),
}
#: number of servers to remember for :meth:`Cloud.pick`: of a large cloud so many, or one in ten
_REMEMBERED = 5_000


def build(
    target: MariaDB | PostgreSQL | Path,
    servers: int,
    seed: int = 0,
    *,
    hosts: int | None = None,
    now: datetime | None = None,
    prefix: str = "",
    release: str = NEWEST,
    progress: Callable[[int], None] = lambda _done: None,
) -> Cloud:
    """Build a cloud of ``servers`` on a private server, or as SQLite files in a folder.

    The same arguments build the same rows. ``prefix`` precedes the names of the databases on a server, so that several
    clouds fit on one server. ``release``: whose schemas it has; what that release does not have is not written.
    """
    moment = (now or datetime.now(UTC).replace(tzinfo=None)).replace(microsecond=0)
    world = World(
        servers=servers,
        seed=seed,
        now=moment,
        hosts=hosts or 2 * max(4, servers // 400),
        projects=max(4, servers // 50),
        release=release,
    )
    store: MariaDBStore | PostgreSQLStore | SQLiteStore
    loader: Loader
    if isinstance(target, Path):
        store = _sqlite(target, release)
        loader = SQLiteLoader(store.connections)
    elif isinstance(target, MariaDB):
        store = _mariadb(target, prefix, release)
        loader = MariaDBLoader(store.connections)
    else:
        from stackmend_lab.cloud import postgresql  # its driver is optional

        store = postgresql.create(target, DATABASES, prefix, release)
        loader = postgresql.PostgreSQLLoader(store.connections)
    emit = Fitting(loader.emit, partial(schemas.columns, release=release)).emit
    remembered = _fill(emit, world, store.cell_urls(), progress)
    loader.close()
    store.loaded()
    return Cloud(store, world.now, remembered, release)


def _fill(emit: Emit, world: World, urls: dict[str, str], progress: Callable[[int], None]) -> list[Server]:
    quotas, networks = cinder.Quotas(), Networks(world)
    surroundings(emit, world, urls, quotas)
    planner = Planner(world.servers, world.hosts, world.projects, world.seed, world.now)
    remembered = []
    for number in range(world.servers):
        its = things(world, planner.plan(number))
        _server(emit, world, its, networks, quotas)
        if number < max(_REMEMBERED, world.servers // 10):
            remembered.append(_handle(its, world))
        if number % 1000 == 0:
            progress(number)
    quotas.write(emit, world)
    progress(world.servers)
    return remembered


def _server(emit: Any, world: World, its: Things, networks: Networks, quotas: cinder.Quotas) -> None:
    if its.plan.kind == "ironic" and its.node:
        ironic_node(emit, world, its.plan.ordinal, its.node)
    nova.server(emit, world, its, networks)
    neutron.server(emit, world, its)
    cinder.server(emit, world, its, quotas)
    placement.server(emit, world, its)


def _handle(its: Things, world: World) -> Server:
    return Server(
        uuid=its.plan.uuid,
        kind=its.plan.kind,
        cell=its.cell,
        host=its.host,
        node=its.node,
        project_id=world.project(its.plan.project),
        ports=tuple(p.uuid for p in its.ports),
        volumes=tuple(v.uuid for v in its.volumes),
        migration=its.migration,
    )


def _sqlite(folder: Path, release: str) -> SQLiteStore:
    folder.mkdir(parents=True, exist_ok=True)
    connections, files = {}, {}
    for database, (service, name) in DATABASES.items():
        files[database] = (folder / f"{name}.db").absolute()
        files[database].unlink(missing_ok=True)
        connections[database] = connect(files[database])
        schemas.create_on_sqlite(connections[database], service, release)
    return SQLiteStore(folder.absolute(), files, connections)


def _mariadb(server: MariaDB, prefix: str, release: str) -> MariaDBStore:
    names, connections = {}, {}
    for database, (service, name) in DATABASES.items():
        names[database] = prefix + name
        server.create(names[database])
        connections[database] = server.connect(names[database])
        with connections[database].cursor() as cursor:
            schemas.create_on_mariadb(cursor, service, release)
    state = Path(tempfile.mkdtemp(prefix="state-", dir=server.folder))
    return MariaDBStore(server, names, connections, state)
