# SPDX-License-Identifier: Apache-2.0
"""Small clouds to write to, one per kind of database for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stackmend.app.session import CloudSession
from stackmend.config.settings import load
from stackmend.drivers.writing.seal import Sealer
from stackmend.tables.releases import NEWEST
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB

from ...support.other_sessions import ON_POSTGRESQL
from ...support.written_groups import Desk

if TYPE_CHECKING:
    from stackmend_lab.postgresql import PostgreSQL

Place = tuple[Cloud, CloudSession]


@contextmanager
def _built(target: MariaDB | PostgreSQL | None, folder: Path, release: str = NEWEST) -> Iterator[Place]:
    prefix = "writer_" if target else ""
    cloud = build(target or folder / "cloud", servers=60, seed=31, prefix=prefix, release=release)
    cloud.save()
    (folder / "stackmend.toml").write_text(cloud.toml(), encoding="utf-8")
    yield cloud, CloudSession.of(load(str(folder / "stackmend.toml")), write=True)
    cloud.close()


@pytest.fixture(scope="session")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cloud in files."""
    with _built(None, tmp_path_factory.mktemp("writer")) as place:
        yield place


@pytest.fixture(scope="session")
def mariadb_place(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cloud on a server."""
    with _built(mariadb, tmp_path_factory.mktemp("writer")) as place:
        yield place


@pytest.fixture(scope="session")
def postgresql_place(postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cloud on the other kind of server."""
    with _built(postgresql, tmp_path_factory.mktemp("writer"), ON_POSTGRESQL) as place:
        yield place


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A writer, and the cloud as it was built."""
    cloud, session = request.getfixturevalue(f"{request.param}_place")
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))


@pytest.fixture(params=["mariadb", "postgresql"])
def on_server(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A writer to a server, and the cloud as it was built."""
    cloud, session = request.getfixturevalue(f"{request.param}_place")
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))


@pytest.fixture
def on_postgresql(postgresql_place: Place, tmp_path: Path) -> Desk:
    """A writer to PostgreSQL, and the cloud as it was built."""
    cloud, session = postgresql_place
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))


@pytest.fixture
def on_sqlite(sqlite_place: Place, tmp_path: Path) -> Desk:
    """A writer to the files, and the cloud as it was built."""
    cloud, session = sqlite_place
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))
