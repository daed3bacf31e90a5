# SPDX-License-Identifier: Apache-2.0
"""What holds for every check that also reads hypervisors: its scope decides, and it costs what its suspects cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from stackmend.app import snapshots
from stackmend.config.settings import load
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.drivers.snapshot.shape import every_label
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import parameters
from stackmend.engine.auditing.statements import tables_read
from stackmend.model.snapshot import Manifest
from stackmend.tables.outside import of_service
from stackmend_lab.cloud import build
from stackmend_lab.growing import grow

from ..properties.test_scope import Landscape, percent, violations
from . import trace_plants as traces
from .host_plants import LOOK_ALIKES, PLANTS
from .host_trees import HostTrees
from .hypervisors import Hypervisors
from .trace_plants import Traced

CHECKS = {n: check for n, check in catalogue.outside_checks().items() if of_service("host") & check.reads.keys()}
each_check = pytest.mark.parametrize("name", sorted(CHECKS))
SERVERS, TIMES = 2_000, 50
NO_SPILL = "0MB"


@dataclass(frozen=True, slots=True)
class Whole:
    """A cloud with everything broken, read whole, and fifty of it."""

    query: DuckQuery
    large: DuckQuery
    manifest: Manifest
    land: Landscape


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Every plant and look-alike of every check of hosts."""
    folder: Path = tmp_path_factory.mktemp("host-properties")
    cloud = build(folder / "cloud", servers=SERVERS, seed=29)
    trees = HostTrees(folder / "trees")
    scene = Traced(cloud, Hypervisors(folder / "hypervisors").of(cloud), trees).live()
    for some in (*traces.PLANTS.values(), *traces.LOOK_ALIKES.values(), *PLANTS.values(), *LOOK_ALIKES.values()):
        for make in some:
            make(scene)
    toml = folder / "stackmend.toml"
    toml.write_text(f"{cloud.toml()}\n{scene.standing.toml}{trees.toml}", encoding="utf-8")
    cloud.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", trees.programs, prepend=":")
        place, manifest = snapshots.create(load(str(toml)), into=str(folder / "small"), outside={"host": ()})
    assert manifest.failed() == {}
    grow(place, folder / "large", TIMES)
    query, large = open_snapshot(place, manifest.now), open_snapshot(folder / "large", manifest.now, spill=NO_SPILL)
    yield Whole(query, large, manifest, Landscape(query, {label for check in CHECKS.values() for label in check.reads}))
    query.close()
    large.close()


@each_check
def test_its_scopes_name_the_tables_of_its_statement(name: str) -> None:
    """All of them, and no others but the one of which another is made."""
    check = CHECKS[name]
    assert tables_read(check.sql) & every_label() == set(check.reads) - {"nova_instance_info_caches"}


@each_check
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lacking=percent, along=percent)
def test_the_scope_decides(whole: Whole, name: str, lacking: tuple[int, int], along: tuple[int, int]) -> None:
    """What a check says of a key is the same on its scope, with or without other rows, as on the whole."""
    assert whole.land.whole(CHECKS[name]) != []
    assert violations(whole.land, CHECKS[name], lacking, along) == []


@each_check
def test_it_fits_its_memory_on_100_000_servers(whole: Whole, name: str) -> None:
    """Within 350 MB without a byte on disk, and it finds at least what is there once."""
    check = CHECKS[name]
    bound = parameters(check, whole.manifest.now)
    once, many = len(whole.query.rows(check.sql, bound)), len(whole.large.rows(check.sql, bound))
    assert many >= once > 0
