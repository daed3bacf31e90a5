# SPDX-License-Identifier: Apache-2.0
"""A check costs what its suspects cost: on a hundred thousand servers each fits its memory and spills nothing.

And it still finds what it found: as many findings for each copy of the cloud as there were in the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stackmend.app import snapshots
from stackmend.config.settings import load
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import parameters
from stackmend.model.snapshot import UNREADABLE, Manifest
from stackmend_lab.cloud import build
from stackmend_lab.growing import differs, grow
from stackmend_lab.plants import broken

SERVERS, TIMES = 2_000, 50
NO_SPILL = "0MB"
each_check = pytest.mark.parametrize("name", sorted(catalogue.checks()))


@dataclass(frozen=True, slots=True)
class Size:
    """One cloud in two sizes."""

    small: DuckQuery
    large: DuckQuery
    manifest: Manifest

    def counts(self, name: str) -> tuple[int, int]:
        """How many rows a check returns on each."""
        check = catalogue.checks()[name]
        bound = parameters(check, self.manifest.now)
        return len(self.small.rows(check.sql, bound)), len(self.large.rows(check.sql, bound))


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Size]:
    """A cloud with everything broken that the catalogue knows, and fifty of it."""
    folder = tmp_path_factory.mktemp("size")
    cloud = build(folder / "databases", servers=SERVERS, seed=11)
    for case in broken():
        case.make(cloud)
    (folder / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
    place, manifest = snapshots.create(load(str(folder / "cloud.toml")), into=str(folder / "small"))
    grow(place, folder / "large", TIMES)
    small = open_snapshot(place, manifest.now)
    large = open_snapshot(folder / "large", manifest.now, spill=NO_SPILL)
    yield Size(small, large, manifest)
    small.close()
    large.close()


@each_check
def test_a_check_on_100_000_servers_fits_its_memory(name: str, size: Size) -> None:
    """Every check answers within 350 MB without a byte on disk, and finds fifty times what is there once."""
    once, many = size.counts(name)
    check = catalogue.checks()[name]
    # a back end, a project or an image is the same in each copy
    scopes = [(label, column) for label, scope in check.reads.items() for column in scope if scope[column] in check.key]
    times = TIMES if UNREADABLE not in check.reads and any(differs(*one) for one in scopes) else 1
    assert once > 0
    # what is counted for each shared thing is fifty times as many, and may be too many only then
    assert many == times * once if times > 1 else many >= once
