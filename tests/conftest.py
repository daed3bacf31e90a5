# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests: real services, started here, stopped by process id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stackmend.lab.mariadb import MariaDB


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One private MariaDB for the whole session (one for each worker under xdist)."""
    with MariaDB() as server:
        yield server
