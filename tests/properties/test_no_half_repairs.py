# SPDX-License-Identifier: Apache-2.0
"""No repair of a volume stops half way: after the plans nothing is wrong with it, or a plan says what is left.

The rows of one volume, its attachment, its mapping and its server are damaged at random, several at a time, as people
at a database do it. Then plans are made and applied, with every consent, until no plan has anything to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stackmend.app import audits, runs
from stackmend.config.settings import Config, load
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, Server, build
from stackmend_lab.plants._volumes import attach, attached, drop_attachment, drop_mapping
from stackmend_lab.plants.cinder.volume_stuck_error_deleting import new_snapshot

from ..support.planning import plan_for
from ..support.volume_truth import contradictions

#: a whole cloud is restored, audited and mended for each example
MANY = 60
ROUNDS = 6


class Ground:
    """A cloud with one volume that a server has."""

    def __init__(self, folder: Path) -> None:
        self.cloud: Cloud = build(folder / "cloud", servers=60, seed=5)
        self.server, self.volume, self.attachment, self.mapping = attached(self.cloud)
        self.untrue = contradictions(self.cloud)
        self.cloud.save()
        toml = folder / "stackmend.toml"
        toml.write_text(self.cloud.toml(), encoding="utf-8")
        self.config: Config = load(str(toml))

    def agreed(self) -> bool:
        """Whether mapping and attachment are there and name each other, and Cinder has not begun to end it."""
        sql = "SELECT deleted FROM volume_attachment WHERE id = :a AND attach_status NOT LIKE 'error%'"
        held = self.cloud.rows("cinder", sql, {"a": self.attachment})
        sql = "SELECT deleted, attachment_id FROM block_device_mapping WHERE id = :m"
        mapped = self.cloud.rows(self.server.database, sql, {"m": self.mapping})
        alive = bool(held and mapped) and not held[0]["deleted"] and mapped[0]["deleted"] == 0
        return alive and mapped[0]["attachment_id"] == self.attachment


Damage = Callable[[Ground], None]


def _volume(**values: Any) -> Damage:
    return lambda ground: ground.cloud.update("cinder", "volumes", {"id": ground.volume}, **values)


def _attachment(**values: Any) -> Damage:
    where = "volume_attachment"
    return lambda ground: ground.cloud.update("cinder", where, {"id": ground.attachment}, **values)


def _mapping(**values: Any) -> Damage:
    def make(ground: Ground) -> None:
        ground.cloud.update(ground.server.database, "block_device_mapping", {"id": ground.mapping}, **values)

    return make


def _second_server(ground: Ground) -> None:
    other: Server = ground.cloud.pick("stopped")
    attach(ground.cloud, other, ground.volume)


#: name -> one statement that somebody types
DAMAGE: dict[str, Damage] = {
    "available": _volume(status="available"),
    "detached": _volume(attach_status="detached"),
    "the recipe": _volume(status="available", attach_status="detached"),
    "detaching": _volume(status="detaching"),
    "reserved": _volume(status="reserved"),
    "deleted": _volume(deleted=1, status="deleted", deleted_at="2026-01-01 00:00:00"),
    "deleted without time": _volume(deleted=1, status="deleted"),
    "attachment dropped": lambda ground: drop_attachment(ground.cloud, ground.attachment),
    "attachment dropped without time": _attachment(deleted=1),
    "attachment in error": _attachment(attach_status="error_detaching"),
    "attachment of nobody": _attachment(instance_uuid="00000000-0000-4000-8000-00000000dead"),
    "mapping dropped": lambda ground: drop_mapping(ground.cloud, ground.server, ground.mapping),
    "mapping of another attachment": _mapping(attachment_id="00000000-0000-4000-8000-00000000beef"),
    "a root disk": _mapping(boot_index=0),
    "a snapshot": lambda ground: str(new_snapshot(ground.cloud, ground.volume)) and None,
    "a second server": _second_server,
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One for all examples; each begins with it restored."""
    found = Ground(tmp_path_factory.mktemp("halves"))
    yield found
    found.cloud.close()


def mended(ground: Ground) -> list[str]:
    """Apply plans until none has anything to do; what the last one leaves, in words."""
    for _ in range(ROUNDS):
        plan = plan_for(ground.config, allow_db=True, max_rows=10_000, settle=0)
        if not plan.runnable:
            return [left.reason for left in (*plan.not_repaired, *plan.deferred)]
        result = runs.apply(ground.config, plan, accept=("all",))
        assert (result.failed, result.stale, result.in_doubt) == (0, 0, 0), result.notes
    raise AssertionError(f"plans go round in circles: {[action.repair for action in plan.actions]}")


def assert_whole_after(ground: Ground, names: Sequence[str]) -> None:
    """The property, for these statements in this order."""
    ground.cloud.reset()
    for name in names:
        DAMAGE[name](ground)
    agreed = ground.agreed()
    left = mended(ground)
    wrong = contradictions(ground.cloud) - ground.untrue
    assert not wrong or left, f"{names}: {wrong} is left, and no plan says so"
    assert not agreed or ground.agreed(), f"{names}: mapping and attachment agreed, and a repair parted them"
    if not left:
        report = audits.audit(ground.config, settle=0)
        assert report.exit is Exit.CLEAN


some = st.lists(st.sampled_from(sorted(DAMAGE)), min_size=1, max_size=3, unique=True)


@pytest.mark.parametrize(
    "names",
    [
        ["the recipe"],
        ["deleted"],
        ["attachment dropped"],
        ["attachment of nobody"],
        ["a second server"],
        ["attachment of nobody", "a second server"],
        ["attachment in error", "detached"],
        ["attachment in error", "detaching"],
    ],
    ids=" and ".join,
)
def test_no_repair_stops_half_way(ground: Ground, names: list[str]) -> None:
    """Whatever was typed: whole afterwards, or named; and what both services agree on is parted by nobody."""
    assert_whole_after(ground, names)


@pytest.mark.long
@pytest.mark.attack("damage the rows of a volume at random and apply every plan with every consent")
def test_no_repair_stops_half_way_however_often(ground: Ground, record_property: Callable[[str, object], None]) -> None:
    """The same, many times; and each statement alone."""
    for name in DAMAGE:
        assert_whole_after(ground, [name])

    @settings(max_examples=MANY, deadline=None, suppress_health_check=list(HealthCheck))
    @given(names=some)
    def many(names: list[str]) -> None:
        assert_whole_after(ground, names)

    many()
    record_property("tries", MANY + len(DAMAGE))
