# SPDX-License-Identifier: Apache-2.0
"""Some cycles of the soak, as a test; ``make soak`` goes on for as long as one likes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.soak.__main__ import say, soaked
from tests.soak.cycles import standing
from tests.support.galera import missing


@pytest.mark.long
@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.attack("kills and freezes Galera nodes and runs at random, while services write the same rows")
def test_what_runs_say_they_changed_is_changed_and_nothing_else(tmp_path: Path, record_property: Any) -> None:
    """Every row of every database is explained by what runs and services say they did, on all nodes."""
    with standing(tmp_path, 7, say) as soak:
        figures = soaked(soak, minutes=60, cycles=4)
    record_property("tries", figures["cycles"])
    print(figures, file=sys.stderr)
    assert soak.violations == []
    assert figures.get("rows that runs say they changed")
    assert figures.get("transactions of services, commits")
