# SPDX-License-Identifier: Apache-2.0
"""Small clouds to write to, one per kind of database for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackmend.app.session import CloudSession
from stackmend.config.settings import load
from stackmend.drivers.writing.seal import Sealer
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB

from ...support.written_groups import Desk

Place = tuple[Cloud, CloudSession]


@contextmanager
def _built(target: MariaDB | None, folder: Path) -> Iterator[Place]:
    cloud = build(target or folder / "cloud", servers=60, seed=31, prefix="writer_" if target else "")
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


@pytest.fixture(params=["sqlite", "mariadb"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """A writer, and the cloud as it was built."""
    cloud, session = request.getfixturevalue(f"{request.param}_place")
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))


@pytest.fixture
def on_mariadb(mariadb_place: Place, tmp_path: Path) -> Desk:
    """A writer to the server, and the cloud as it was built."""
    cloud, session = mariadb_place
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))


@pytest.fixture
def on_sqlite(sqlite_place: Place, tmp_path: Path) -> Desk:
    """A writer to the files, and the cloud as it was built."""
    cloud, session = sqlite_place
    cloud.reset()
    return Desk(cloud, session, Sealer(tmp_path / "key"))
