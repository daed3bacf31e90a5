# SPDX-License-Identifier: Apache-2.0
"""What holds for every check that also reads hypervisors (:mod:`.properties`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from stackmend.config.settings import load
from stackmend.engine.auditing import catalogue
from stackmend.tables.outside import of_service
from stackmend_lab.cloud import build

from ..properties.test_scope import percent
from . import trace_plants as traces
from .host_plants import LOOK_ALIKES, PLANTS
from .host_trees import HostTrees
from .hypervisors import Hypervisors
from .properties import Whole, collected, counted, misnamed, undecided
from .traced import Traced

CHECKS = {n: check for n, check in catalogue.outside_checks().items() if of_service("host") & check.reads.keys()}
each_check = pytest.mark.parametrize("name", sorted(CHECKS))
SERVERS, TIMES = 2_000, 50


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
        with collected(load(str(toml)), "host", CHECKS.values(), folder, TIMES) as found:
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
