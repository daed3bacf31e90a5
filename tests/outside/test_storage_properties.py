# SPDX-License-Identifier: Apache-2.0
"""What holds for every check that also reads storage (:mod:`.properties`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from stackmend.engine.auditing import catalogue
from stackmend_lab.cloud import build

from ..properties.test_scope import percent
from .properties import Whole, collected, counted, misnamed, undecided
from .storage_plants import FOLDERS
from .test_storage_checks import ALONE, LOOK_ALIKES, PLANTS, built_depot, configured

CHECKS = {name: check for name, check in catalogue.outside_checks().items() if "storage_visits" in check.reads}
each_check = pytest.mark.parametrize("name", sorted(CHECKS))
SERVERS, TIMES = 1_000, 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Every plant and look-alike of pools, and a hundred of it."""
    folder: Path = tmp_path_factory.mktemp("storage-properties")
    cloud = build(folder / "cloud", servers=SERVERS, seed=37)
    depot = built_depot(cloud, folder, "rbd")
    plants = [make for codes in PLANTS.values() for some in codes.values() for make in some]
    for make in (*plants, *(make for some in LOOK_ALIKES.values() for make in some)):
        if make not in FOLDERS | ALONE:
            make(depot)
    config = configured(depot, folder)
    cloud.close()
    with collected(config, "storage", CHECKS.values(), folder, TIMES) as found:
        yield found


@each_check
def test_its_scopes_name_the_tables_of_its_statement(name: str) -> None:
    """All of them, and no others."""
    assert misnamed(CHECKS[name]) == set()


@each_check
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lacking=percent, along=percent)
def test_the_scope_decides(whole: Whole, name: str, lacking: tuple[int, int], along: tuple[int, int]) -> None:
    """What a check says of a key is the same on its scope, with or without other rows, as on the whole."""
    assert undecided(whole, CHECKS[name], lacking, along) == []


@each_check
def test_it_fits_its_memory_on_100_000_servers(whole: Whole, name: str) -> None:
    """Within 350 MB without a byte on disk, and it finds at least what is there once."""
    once, many = counted(whole, CHECKS[name])
    assert many >= once > 0
