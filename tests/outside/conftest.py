# SPDX-License-Identifier: Apache-2.0
"""A cloud with its hypervisors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend_lab.cloud import Cloud, build

from .host_plants import Scene
from .hypervisors import Hypervisors


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of four hosts in two cells."""
    cloud = build(tmp_path_factory.mktemp("outside") / "cloud", servers=300, seed=23, hosts=4)
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def scene(built: Cloud, tmp_path: Path) -> Scene:
    """Healthy, with its hypervisors."""
    built.reset()
    return Scene(built, Hypervisors(tmp_path / "hypervisors").of(built))
