# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests: real services, started here, stopped by process id; and who runs which tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stackmend_lab.mariadb import MariaDB

_LAB = Path(__file__).parent / "lab" / "control_plane"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core, and one that mostly waits for the lab where its tests are asked for."""
    paths = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return len(os.sched_getaffinity(0)) + any(_LAB.is_relative_to(p) or p.is_relative_to(_LAB) for p in paths)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of the lab are one worker's, and the first that are begun."""
    from .sharing import Sharing

    return Sharing(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One private MariaDB for the whole session (one for each worker under xdist)."""
    with MariaDB() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a test attacks goes with its report (scripts/attack.py); what the case book does twice takes long.

    In SQLite each damage is gone through by itself each time, on MariaDB all of it at once, and on both all look-alikes
    together; what is wrong there is found by the long ones, one by one.
    """
    for item in items:
        if "test_casebook.py" in item.nodeid and ("[mariadb-" in item.nodeid or "only_looks_broken" in item.nodeid):
            item.add_marker(pytest.mark.long)
        if mark := item.get_closest_marker("attack"):
            item.user_properties.append(("attack", mark.args[0]))
        if isinstance(item, pytest.Function) and not any(map(_builds, _modules(item))):
            item.add_marker(pytest.mark.quick)


def _modules(item: pytest.Function) -> set[ModuleType]:
    """Where a test and its fixtures are written."""
    fixtures = [made for found in item._fixtureinfo.name2fixturedefs.values() for made in found]
    return {item.module, *(sys.modules[made.func.__module__] for made in fixtures)} - {sys.modules[__name__]}


@cache
def _builds(module: ModuleType) -> bool:
    """Whether something of the lab is used there, which builds clouds and begins servers."""
    homes = (value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "") or ""
             for value in vars(module).values())  # fmt: skip
    return any(home.startswith("stackmend_lab") for home in homes if isinstance(home, str))
