# SPDX-License-Identifier: Apache-2.0
"""All that safe repairs would do to every damage of the case book, held against what they say that they may remove."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.config.settings import load
from stackmend.engine.auditing import catalogue
from stackmend.engine.planning.losses import undeclared
from stackmend.model.step import Risk
from stackmend_lab.cloud import build
from stackmend_lab.plants import broken

from .support.planning import plan_for


@pytest.mark.attack("a repair that runs unattended deletes the last record of something")
def test_safe_repairs_remove_what_they_say(tmp_path: Path) -> None:
    """Every plant of a check that a safe repair mends, in one cloud and one plan: no row or value goes unsaid."""
    safe = {repair.name: repair for repair in catalogue.repairs().values() if repair.risk is Risk.SAFE}
    asked = sorted({check for repair in safe.values() for check in repair.checks})
    cloud = build(tmp_path / "cloud", servers=1000, seed=7)
    try:
        for case in broken():
            if case.check in asked:
                case.make(cloud)
        toml = tmp_path / "stackmend.toml"
        toml.write_text(cloud.toml(), encoding="utf-8")
        plan = plan_for(load(str(toml)), checks=asked, allow_db=True, settle=0, max_rows=100_000)
    finally:
        cloud.close()
    actions = [action for action in plan.runnable if action.risk is Risk.SAFE]
    assert {action.repair for action in actions} == {name for name, repair in safe.items() if "db" in repair.strategies}
    assert [(a.repair, lost) for a in actions if (lost := undeclared(safe[a.repair], a.steps))] == []
