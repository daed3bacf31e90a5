# SPDX-License-Identifier: Apache-2.0
"""A real OVN for the tests of its reader."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...support import ovn_servers


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: sockets are in it."""
    if why := ovn_servers.why_not():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="ovn") as name:
        yield Path(name)


@pytest.fixture
def ovn(folder: Path) -> Iterator[ovn_servers.Ovn]:
    """An OVN with nothing in it."""
    with ovn_servers.begun(folder) as found:
        yield found
