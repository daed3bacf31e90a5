# SPDX-License-Identifier: Apache-2.0
"""What holds for every check that also reads storage: its scope decides, and it costs what its suspects cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from stackmend.app import snapshots
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.drivers.snapshot.shape import every_label
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import parameters
from stackmend.engine.auditing.statements import tables_read
from stackmend.model.snapshot import Manifest
from stackmend_lab.cloud import build
from stackmend_lab.growing import grow

from ..properties.test_scope import Landscape, percent, violations
from .storage_plants import FOLDERS, LOOK_ALIKES, PLANTS
from .test_storage_checks import built_depot, configured

CHECKS = {name: check for name, check in catalogue.outside_checks().items() if "storage_objects" in check.reads}
each_check = pytest.mark.parametrize("name", sorted(CHECKS))
SERVERS, TIMES = 1_000, 100


@dataclass(frozen=True, slots=True)
class Whole:
    """A cloud with everything broken, read whole, and a hundred of it."""

    query: DuckQuery
    large: DuckQuery
    manifest: Manifest
    land: Landscape


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Every plant and look-alike of pools."""
    folder: Path = tmp_path_factory.mktemp("storage-properties")
    cloud = build(folder / "cloud", servers=SERVERS, seed=37)
    depot = built_depot(cloud, folder, "rbd")
    plants = [make for codes in PLANTS.values() for some in codes.values() for make in some]
    for make in (*plants, *(make for some in LOOK_ALIKES.values() for make in some)):
        if make not in FOLDERS:
            make(depot)
    config = configured(depot, folder)
    cloud.close()
    place, manifest = snapshots.create(config, into=str(folder / "small"), outside={"storage": ()})
    assert manifest.failed() == {}
    grow(place, folder / "large", TIMES)
    query, large = open_snapshot(place, manifest.now), open_snapshot(folder / "large", manifest.now, spill="0MB")
    yield Whole(query, large, manifest, Landscape(query, {label for check in CHECKS.values() for label in check.reads}))
    query.close()
    large.close()


@each_check
def test_its_scopes_name_the_tables_of_its_statement(name: str) -> None:
    """All of them, and no others."""
    assert tables_read(CHECKS[name].sql) & every_label() == set(CHECKS[name].reads)


@each_check
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lacking=percent, along=percent)
def test_the_scope_decides(whole: Whole, name: str, lacking: tuple[int, int], along: tuple[int, int]) -> None:
    """What a check says of a key is the same on its scope, with or without other rows, as on the whole."""
    assert whole.land.whole(CHECKS[name]) != []
    assert violations(whole.land, CHECKS[name], lacking, along) == []


@each_check
def test_it_fits_its_memory_on_100_000_servers(whole: Whole, name: str) -> None:
    """Within the memory of an audit without a byte on disk, and it finds at least what is there once."""
    check = CHECKS[name]
    bound = parameters(check, whole.manifest.now)
    once, many = len(whole.query.rows(check.sql, bound)), len(whole.large.rows(check.sql, bound))
    assert many >= once > 0
