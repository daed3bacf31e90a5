# SPDX-License-Identifier: Apache-2.0
"""One real control plane for the whole session: it takes minutes and 3 GiB."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.lab.plane import Plane


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a lab: ``make test-lab`` runs it, ``make test`` the rest."""
    for item in items:
        if "plane" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def plane() -> Iterator[Plane]:
    """A lab that serves, with its seed; the one of STACKMEND_LAB where that is set, else a new one, removed after."""
    if given := os.environ.get("STACKMEND_LAB"):
        lab = Plane(Path(given))
        lab.up()
        yield lab
        return
    # not pytest's folder: its name may hold what services do not take
    with tempfile.TemporaryDirectory(prefix="stackmend-lab-") as folder:
        lab = Plane(Path(folder) / "lab")
        try:
            lab.up(lambda text: print(text))
            yield lab
        finally:
            lab.down()
