# SPDX-License-Identifier: Apache-2.0
"""What holds for every check that also reads what lies outside: its scope decides, and it costs what its suspects cost.

A module of tests has its fixture ``whole``, and asserts what the functions here return.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackmend.app import snapshots
from stackmend.config.settings import Config
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.drivers.snapshot.shape import every_label
from stackmend.engine.auditing.ask import parameters
from stackmend.engine.auditing.statements import tables_read
from stackmend.model.check import Check
from stackmend.model.snapshot import Manifest
from stackmend_lab.growing import grow

from ..properties.test_scope import Landscape, violations


@dataclass(frozen=True, slots=True)
class Whole:
    """A cloud with everything broken, read whole, and many of it."""

    query: DuckQuery
    large: DuckQuery
    manifest: Manifest
    land: Landscape


@contextmanager
def collected(config: Config, service: str, checks: Collection[Check], folder: Path, times: int) -> Iterator[Whole]:
    """What these checks read of the cloud, and so many of it, in the memory of an audit without a byte on disk."""
    place, manifest = snapshots.create(config, into=str(folder / "small"), outside={service: ()})
    assert manifest.failed() == {}
    grow(place, folder / "large", times)
    query, large = open_snapshot(place, manifest.now), open_snapshot(folder / "large", manifest.now, spill="0MB")
    yield Whole(query, large, manifest, Landscape(query, {label for check in checks for label in check.reads}))
    query.close()
    large.close()


def misnamed(check: Check) -> set[str]:
    """Tables that either the statement or the scopes name; one of which another is made is read for that one."""
    return (tables_read(check.sql) & every_label()) ^ (set(check.reads) - {"nova_instance_info_caches"})


def undecided(whole: Whole, check: Check, lacking: tuple[int, int], along: tuple[int, int]) -> list[str]:
    """What a check says otherwise of a key on its scope, with or without other rows, than on the whole."""
    return violations(whole.land, check, lacking, along) if whole.land.whole(check) else ["it finds nothing"]


def counted(whole: Whole, check: Check) -> tuple[int, int]:
    """How many it finds in the cloud, and in many of it."""
    bound = parameters(check, whole.manifest.now)
    once, many = (len(query.rows(check.sql, bound)) for query in (whole.query, whole.large))
    return once, many
