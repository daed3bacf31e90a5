# SPDX-License-Identifier: Apache-2.0
"""What a repair asks about one finding is asked for the next ones in the same statement (docs/adr/0038)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.audits import audit
from stackmend.app.session import CloudSession, utcnow
from stackmend.config.settings import Config, load
from stackmend.drivers.api.operations import describe, waits
from stackmend.engine.planning.planner import Planner, PlanOptions
from stackmend.model.audit import Report
from stackmend.model.events import EVENT, FACTS
from stackmend.model.finding import Row
from stackmend_lab.cloud import build
from stackmend_lab.plants import modules

#: of each damage so many
MANY = 5
#: statements a look-up, at most; it was 0.31, and 0.60 with each question by itself
SHARE = 0.4


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, Report]]:
    """A cloud with some of every damage that is repaired, and what an audit says."""
    folder: Path = tmp_path_factory.mktemp("ahead")
    cloud = build(folder / "cloud", servers=900, seed=5)
    for module in modules().values():
        for _ in range(MANY):
            try:
                module.plant(cloud)
            except LookupError:
                break  # the cloud has no further object of the kind
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    config = load(str(toml))
    yield config, audit(config, settle=0)
    cloud.close()


def planned(config: Config, report: Report, *, ahead: bool) -> dict[str, Any]:
    """The plan, without what differs between two of the same; each of its questions by itself unless ``ahead``."""
    session = CloudSession.of(config)
    now = utcnow()
    with session.live(None, "2026-11-29 03:00:00") as live:
        foresee: Callable[[list[Row]], None] = live.expect if ahead else lambda _targets: None
        plan = Planner(
            live,
            PlanOptions(via="auto", allow_db=True, limits=config.limits),
            cloud=session.databases.identity,
            now=now,
            absent={"api": "no API is configured"},
            count=live.count,
            foresee=foresee,
            describe=describe,
            waits=waits,
        ).plan(report.findings)
    return plan.as_dict() | {"id": "", "created_at": ""}


def test_reading_ahead_changes_what_is_asked_and_never_an_answer(
    broken: tuple[Config, Report], caplog: pytest.LogCaptureFixture
) -> None:
    """The same plan, in half the statements: of repairs of many kinds, that ask in an order of their own."""
    caplog.set_level(logging.DEBUG, "stackmend.drivers.database.live")
    ahead, alone = (planned(*broken, ahead=ahead) for ahead in (True, False))
    counts = [getattr(r, FACTS) for r in caplog.records if getattr(r, EVENT, "") == "rows looked up"]
    assert ahead == alone
    assert len(ahead["actions"]) > 20 * MANY
    few, all_ = counts
    assert few["lookups"] == all_["lookups"]
    assert few["statements"] / few["lookups"] <= SHARE
    assert few["statements"] * 4 < all_["statements"] * 3
