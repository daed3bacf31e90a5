# SPDX-License-Identifier: Apache-2.0
"""A cloud with its hypervisors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend_lab.cloud import Cloud, build

from ..support.crowds import touched
from .host_plants import Scene
from .hypervisors import Hypervisors

#: of so many plants and look-alikes of checks that nobody changed, each an audit of its own, one is gone through
#: (docs/adr/0078)
SHARE = 4
#: plants that another test of the file finds all at once
TOGETHER = "test_what_is_left_is_found"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the others to make test-long."""
    for number, item in enumerate(filter(_repeats, items)):
        if number % SHARE and not any(name in item.name for name in touched()):
            item.add_marker(pytest.mark.long)


def _repeats(item: pytest.Item) -> bool:
    test = item.name.partition("[")[0]
    return item.path.parent == Path(__file__).parent and ("looks" in test or test == TOGETHER)


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
