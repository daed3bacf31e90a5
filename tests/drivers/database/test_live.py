# SPDX-License-Identifier: Apache-2.0
"""What a question about one target costs while many thousand others are planned."""

from __future__ import annotations

import sqlite3
from collections.abc import ItemsView, Iterator, ValuesView
from pathlib import Path

import pytest

from stackmend.drivers.database.dialects.base import Address
from stackmend.drivers.database.live import LiveDatabases

TARGETS = 300


class Target(dict[str, object]):
    """The evidence of a finding; counts how often somebody goes through all of it."""

    gone_through = 0

    def values(self) -> ValuesView[object]:
        """Counted."""
        Target.gone_through += 1
        return super().values()

    def items(self) -> ItemsView[str, object]:
        """Counted."""
        Target.gone_through += 1
        return super().items()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveDatabases]:
    """A database with a volume of each of some hundred targets, which are announced."""
    file = tmp_path / "cinder.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE volumes (id TEXT PRIMARY KEY, status TEXT)")
        database.executemany("INSERT INTO volumes VALUES (?, 'error')", [(name(n),) for n in range(TARGETS)])
    found = LiveDatabases({"cinder": Address.from_url(f"sqlite:///{file}")}, {}, cells_known=True)
    Target.gone_through = 0
    found.expect([Target(volume=name(n), project="one-of-few") for n in range(TARGETS)])
    yield found
    found.close()


def name(number: int) -> str:
    """The id of a volume."""
    return f"volume-{number:06}"


def test_a_question_about_no_target_goes_through_none(live: LiveDatabases) -> None:
    """A look-up by what an earlier one returned costs the same however many findings are still to be planned."""
    announced = Target.gone_through
    for number in range(100):
        assert live.rows("cinder", "volumes", {"id": f"no-target-{number}"}) == []
    assert announced <= TARGETS
    assert Target.gone_through == announced


def test_a_question_about_a_target_goes_through_that_one(live: LiveDatabases) -> None:
    """Each is answered with its own row, and a plan goes through each target a few times, not once for each other."""
    for number in range(TARGETS):
        assert [row["id"] for row in live.rows("cinder", "volumes", {"id": name(number)})] == [name(number)]
    assert Target.gone_through <= 3 * TARGETS
