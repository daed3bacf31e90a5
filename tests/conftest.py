# SPDX-License-Identifier: Apache-2.0
"""Fixtures for all tests: real services, started here, stopped by process id; and which worker runs which test."""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import sys
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from stackmend_lab.mariadb import MariaDB

if TYPE_CHECKING:
    from stackmend_lab.postgresql import PostgreSQL

_LAB = Path(__file__).parent / "lab" / "control_plane"
#: of a worker beside the lab's: a third of the CPU time where both want it
_NICE = 5


def pytest_configure() -> None:
    """Let programs that tests start hear signals that the shell ignores for what it starts in the background."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker per core, plus one that mostly waits for the lab if its tests are requested."""
    paths = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    return len(os.sched_getaffinity(0)) + any(_LAB.is_relative_to(p) or p.is_relative_to(_LAB) for p in paths)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of the lab run on one worker, and begin first."""
    from .sharing import Sharing

    return Sharing(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One private MariaDB for the whole session (one per worker under xdist).

    Statistics in tables of their own take a third of the time to create a small cloud.
    """
    with MariaDB(settings={"innodb_stats_persistent": "0"}) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One private PostgreSQL for the whole session."""
    from stackmend_lab.postgresql import PostgreSQL, why_not

    if reason := why_not():
        pytest.skip(reason)
    with PostgreSQL() as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and freeze what was collected: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # DuckDB reports what is left of it after the interpreter
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests: attacks for their report (scripts/attack.py), long duplicates of the case book, and quick ones.

    The case book runs all cases together; those it also runs alone are long, except, in SQLite, cases whose own files
    changed here, and those requested by name.
    """
    quick: dict[int, bool] = {}  # by fixtures: equal for all parameters of one test
    for item in items:
        if (case := _alone(item)) and not _wanted_alone(config, item, case):
            item.add_marker(pytest.mark.long)
        if mark := item.get_closest_marker("attack"):
            item.user_properties.append(("attack", mark.args[0]))
        if isinstance(item, pytest.Function):
            if (same := id(item._fixtureinfo)) not in quick:
                quick[same] = not any(map(_builds, _modules(item)))
            if quick[same] and not item.get_closest_marker("builds"):
                item.add_marker(pytest.mark.quick)
    if "PYTEST_XDIST_WORKER" in os.environ:
        from .sharing import place

        items.sort(key=lambda item: place(item.path))


_GIVES_WAY = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """If the lab is used, workers with other tests give way to the one with the lab, which is what takes longest."""
    if "PYTEST_XDIST_WORKER" not in os.environ or _GIVES_WAY in item.config.stash:
        return
    lab = any(other.get_closest_marker("lab") for other in item.session.items)
    item.config.stash[_GIVES_WAY] = gives_way = lab and not item.get_closest_marker("lab")
    if gives_way:
        os.nice(_NICE)


def _alone(item: pytest.Item) -> Any:
    """The case that a test of the case book runs alone; None if it does not."""
    here = isinstance(item, pytest.Function) and item.path.name == "test_casebook.py" and hasattr(item, "callspec")
    return item.callspec.params.get("case") if here else None


def _wanted_alone(config: pytest.Config, item: pytest.Item, case: Any) -> bool:
    """Whether its files changed, or it was requested: by its id, or by a word of ``-k``."""
    from .support.crowds import changed

    if any("test_casebook.py::" in arg for arg in config.args):
        return True
    words = [word for word in re.split(r"[^\w:-]+", config.option.keyword) if word not in ("", "and", "or", "not")]
    named = any(word in str(case) for word in words)
    return (named and "mariadb" in words) if "[mariadb-" in item.nodeid else (named or changed(case))


def _modules(item: pytest.Function) -> set[ModuleType]:
    """The modules that define a test and its fixtures."""
    fixtures = [made for found in item._fixtureinfo.name2fixturedefs.values() for made in found]
    return {item.module, *(sys.modules[made.func.__module__] for made in fixtures)} - {sys.modules[__name__]}


@cache
def _builds(module: ModuleType) -> bool:
    """Whether the module uses parts of the lab that build clouds and start servers, or starts programs."""
    homes = (value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "") or ""
             for value in vars(module).values())  # fmt: skip
    return any(home.startswith(("stackmend_lab", "subprocess")) for home in homes if isinstance(home, str))
