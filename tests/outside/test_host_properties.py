# SPDX-License-Identifier: Apache-2.0
"""What holds for every check that also reads hypervisors (:mod:`.properties`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from stackmend.config.settings import load
from stackmend.engine.auditing import catalogue
from stackmend_lab.cloud import build

from ..properties.test_scope import percent
from .host_plants import LOOK_ALIKES, PLANTS, Scene
from .hypervisors import Hypervisors
from .properties import Whole, collected, counted, misnamed, undecided

CHECKS = {name: check for name, check in catalogue.outside_checks().items() if "host_domains" in check.reads}
each_check = pytest.mark.parametrize("name", sorted(CHECKS))
SERVERS, TIMES = 2_000, 50


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Every plant and look-alike of every check of hypervisors, and fifty of it."""
    folder: Path = tmp_path_factory.mktemp("host-properties")
    cloud = build(folder / "cloud", servers=SERVERS, seed=29)
    scene = Scene(cloud, Hypervisors(folder / "hypervisors").of(cloud))
    for some in (*PLANTS.values(), *LOOK_ALIKES.values()):
        for make in some:
            make(scene)
    toml = folder / "stackmend.toml"
    toml.write_text(f"{cloud.toml()}\n{scene.standing.toml}", encoding="utf-8")
    cloud.close()
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
