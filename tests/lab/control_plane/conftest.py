# SPDX-License-Identifier: Apache-2.0
"""One real control plane for the whole session: it takes minutes and 3 GiB."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.releases import RUNNABLE, interpreter
from stackmend_lab.guardian import Guardian, reap
from stackmend_lab.mariadb import LabError

from ...sharing import turn
from .old_recipes import TALES
from .proofs import TABLE, Rehearsal, written
from .repairs import ALL, BY_NAME, HEALER, of_break

#: environment variable to update the table in the docs, after a run of all proofs
WRITE = "STACKMEND_WRITE_PROOFS"
#: test files that move whole hosts for many minutes: run by make test-lab, not by make test
LONG = frozenset(
    {
        "test_lost_end",
        "test_agents",
        "test_drain",
        "test_moves",
        "test_evacuate",
        "test_recover",
        "test_conformance",
        "test_older_release",
    }
)
#: of the tests that fakes and the lab share, those that make test leaves to the fakes: other tests of the file show
#: that both behave alike (docs/adr/0078)
LEFT_TO_FAKES = {
    "test_canaries": {
        "test_killed_it_is_cleaned_up", "test_interrupted_it_cleans_up", "test_a_host_that_builds_nothing_is_named",
    },
    "test_consoles": {"test_it_waits"},
    "test_keeping": {"test_ports_that_are_attached_again"},
    "test_recreation": {
        "test_a_build_that_fails", "test_a_quota_that_is_full", "test_of_its_volumes", "test_with_its_own_disk",
        "test_taken_back_before_the_deletion",
    },
}  # fmt: skip
#: labs that were brought up for the tests, until none of these is left
NO_LONGER_NEEDED: list[Plane] = []
#: loggers that log every request, which pytest would keep
TALKATIVE = ("keystoneauth", "openstack", "stevedore", "urllib3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a lab, and put them first, in a fixed order."""
    using = [item for item in items if {"plane", "older"} & set(getattr(item, "fixturenames", ()))]
    for item in using:
        item.add_marker(pytest.mark.lab)
        left = LEFT_TO_FAKES.get(item.path.stem, set())
        if item.path.stem in LONG or getattr(item, "originalname", "") in left:
            item.add_marker(pytest.mark.long)
    using.sort(key=lambda item: turn(item.path.stem))
    items[:] = [*using, *(item for item in items if item.get_closest_marker("lab") is None)]


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """A lab with its seed: the one in STACKMEND_LAB if set, otherwise a new one, removed afterwards."""
    with brought_up(os.environ.get("STACKMEND_LAB")) as lab:
        yield lab


@pytest.fixture(scope="module")
def older() -> Iterator[Plane]:
    """A lab of an older release: the one in STACKMEND_OLDER_LAB if set, otherwise a new one, removed afterwards."""
    release = list(RUNNABLE)[-1]
    try:
        interpreter(release)
    except LabError as problem:
        pytest.skip(str(problem))
    with brought_up(os.environ.get("STACKMEND_OLDER_LAB"), release) as lab:
        yield lab


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the lab after the last test that needs it: idle, its services take a tenth of a core from all others."""
    if item.get_closest_marker("lab") and not (nextitem and nextitem.get_closest_marker("lab")):
        while NO_LONGER_NEEDED:
            NO_LONGER_NEEDED.pop().down()


@contextmanager
def brought_up(given: str | None, release: str | None = None) -> Iterator[Plane]:
    """The lab in a given folder, or a new one, which is removed afterwards."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    if given:
        lab = Plane(Path(given), release=release)
        lab.up()
        yield lab
        return
    # not pytest's folder, whose name may contain characters that services do not accept
    with tempfile.TemporaryDirectory(prefix="stackmend-lab-") as folder:
        reap()
        lab = Plane(Path(folder) / "lab", release=release)
        guardian = Guardian(lab.folder, Path(folder))
        try:
            lab.up(lambda text: print(text))
            NO_LONGER_NEEDED.append(lab)
            yield lab
        finally:
            lab.down()
            guardian.release()


@pytest.fixture(scope="session")
def rehearsal(plane: Plane, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Rehearsal:
    """All requested proofs (``-k``), made once; each test reads its own results."""
    using = [item for item in request.session.items if "rehearsal" in getattr(item, "fixturenames", ())]
    parameters = [item.callspec.params for item in using if hasattr(item, "callspec")]
    asked = {found["name"] for found in parameters if found.get("name") in BY_NAME}
    asked |= {of_break(found["broken"]).name for found in parameters if "broken" in found}
    asked = asked or set(BY_NAME)
    done = Rehearsal(plane, [proof for proof in ALL if proof.name in asked], tmp_path_factory.mktemp("proofs"))
    done.run()
    if os.environ.get(WRITE):
        known = json.loads(TABLE.read_text())["proofs"] if TABLE.exists() else []
        kept = [line for line in known if line["name"] in BY_NAME and line["name"] not in asked]
        TABLE.write_text(json.dumps(written(done, kept, HEALER), indent=1) + "\n")
    return done


@pytest.fixture(scope="session")
def told(plane: Plane) -> Iterator[dict[str, Future[None]]]:
    """All tales, started; other tests continue meanwhile."""
    with ThreadPoolExecutor(len(TALES)) as pool:
        yield {tale.__name__: pool.submit(tale, plane) for tale in TALES}
