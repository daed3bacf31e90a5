# SPDX-License-Identifier: Apache-2.0
"""Small clouds to write to, and processes to kill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from stackmend_lab.mariadb import MariaDB

if TYPE_CHECKING:
    from stackmend_lab.postgresql import PostgreSQL

from ..support.damaged_cloud import Ground, Mortal, ground


@pytest.fixture(scope="session")
def mortal() -> Iterator[Mortal]:
    """The program that starts runs and lets them die."""
    program = Mortal()
    yield program
    program.close()


@pytest.fixture(scope="session")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory, mortal: Mortal) -> Iterator[Ground]:
    """A healthy cloud in files."""
    with ground(None, tmp_path_factory.mktemp("engine"), mortal) as here:
        yield here


@pytest.fixture(scope="session")
def mariadb_place(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory, mortal: Mortal) -> Iterator[Ground]:
    """A healthy cloud on a server."""
    with ground(mariadb, tmp_path_factory.mktemp("engine"), mortal, prefix="engine_") as here:
        yield here


@pytest.fixture(scope="session")
def postgresql_place(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, mortal: Mortal
) -> Iterator[Ground]:
    """A healthy cloud on the other kind of server."""
    with ground(postgresql, tmp_path_factory.mktemp("engine"), mortal, prefix="engine_") as here:
        yield here


@pytest.fixture
def on_sqlite(sqlite_place: Ground) -> Ground:
    """The cloud in files, nothing run yet, its services reported just now, however long it has stood there."""
    sqlite_place.fresh()
    sqlite_place.cloud.renew()
    return sqlite_place


@pytest.fixture
def on_mariadb(mariadb_place: Ground) -> Ground:
    """The same on a server."""
    mariadb_place.fresh()
    mariadb_place.cloud.renew()
    return mariadb_place


@pytest.fixture(params=["mariadb", "postgresql"])
def on_server(request: pytest.FixtureRequest) -> Ground:
    """The same on a server of each kind in turn."""
    place: Ground = request.getfixturevalue(f"{request.param}_place")
    place.fresh()
    place.cloud.renew()
    return place


@pytest.fixture(params=["sqlite", "mariadb"])
def here(request: pytest.FixtureRequest) -> Ground:
    """Both of them in turn."""
    found: Ground = request.getfixturevalue(f"on_{request.param}")
    return found
