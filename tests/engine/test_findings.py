# SPDX-License-Identifier: Apache-2.0
"""From findings to plans: what has moved on since, what is accepted for a while, and what is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from stackmend.app import audits, findings, runs
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import Exit, UsageError
from stackmend.model.finding import State
from stackmend.model.plan import Plan
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.nova import info_cache_empty
from stackmend_lab.plants.placement import allocation_orphan

from ..support.damaged_cloud import Ground, unasked
from ..support.planning import plan_for

LONG_AGO = "2020-01-01T00:00:00+00:00"


def planned(here: Ground, *checks: str) -> Plan:
    """A plan for what these checks find."""
    return plan_for(here.config, checks=checks, allow_db=True, settle=0)


def audited(here: Ground) -> Report:
    """A whole audit."""
    return audits.audit(here.config, settle=0)


def moment(**ago: float) -> str:
    """A time before now."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="seconds")


def remembered(here: Ground, mark: str, column: str, value: str | None = None) -> str:
    """A column of what is remembered of a finding, set first where a value is given."""
    engine = sa.create_engine(here.config.journal_url)
    with engine.begin() as connection:
        if value is not None:
            update = sa.text(f"UPDATE stackmend_findings SET {column} = :v WHERE fingerprint = :f")
            connection.execute(update, {"v": value, "f": mark})
        query = sa.text(f"SELECT {column} FROM stackmend_findings WHERE fingerprint = :f")
        found = connection.execute(query, {"f": mark}).scalar_one()
    engine.dispose()
    return str(found)


def test_a_finding_whose_rows_have_moved_on(here: Ground) -> None:
    """It still holds, but a row reads differently: that action is stale and not begun, the others are done, exit 5."""
    allocation_orphan.plant(here.cloud)
    allocation_orphan.plant(here.cloud)
    plan = planned(here, "allocation-orphan")
    lost, kept = plan.runnable
    consumer = lost.target["consumer"]
    here.cloud.update("placement", "allocations", {"consumer_id": consumer, "resource_class_id": 1}, used=77)
    result = runs.apply(here.config, plan)
    assert (result.exit, result.done, result.stale) == (Exit.STOPPED, 1, 1)
    assert any("allocations.used no longer matches the plan" in note for note in result.notes)
    left = here.cloud.rows("placement", "SELECT consumer_id FROM allocations WHERE consumer_id = :c", {"c": consumer})
    assert len(left) == 3
    where = {"c": kept.target["consumer"]}
    assert here.cloud.rows("placement", "SELECT id FROM allocations WHERE consumer_id = :c", where) == []
    assert here.cloud.rows("placement", "SELECT id FROM consumers WHERE uuid = :c", {"c": consumer})
    assert runs.undo(here.config, result.run).exit is Exit.CLEAN


def test_a_finding_that_does_not_hold_any_more(here: Ground) -> None:
    """Somebody has mended it otherwise meanwhile: nothing is written for it, although each row reads as planned."""
    allocation_orphan.plant(here.cloud)
    port_without_server.VARIANTS["unknown"](here.cloud)
    plan = planned(here, "allocation-orphan", "port-without-server")
    action = next(a for a in plan.runnable if a.check == "port-without-server")
    server = here.cloud.pick("active")
    here.cloud.update("neutron", "ports", {"id": action.target["port"]}, device_id=server.uuid)
    before = here.cloud.rows("neutron", "SELECT * FROM ports ORDER BY id")
    result = runs.apply(here.config, plan, accept=("all",))
    assert (result.exit, result.done, result.stale) == (Exit.STOPPED, 1, 1)
    assert any("the finding no longer exists" in note for note in result.notes), result.notes
    assert here.cloud.rows("neutron", "SELECT * FROM ports ORDER BY id") == before


@pytest.mark.parametrize("name", sorted(catalogue.checks()))
def test_the_scope_of_a_second_look_hangs_on_what_stays(name: str) -> None:
    """A scope starts from the key, which names the finding, and goes on along rows read anew.

    Another column of the finding may have changed since: rows sought by it are those of yesterday.
    """
    check = catalogue.checks()[name]
    origins = {origin for scope in check.reads.values() for origin in scope.values()}
    assert {origin for origin in origins if "." not in origin} <= set(check.key)


def test_a_server_that_came_into_being_forbids_it(here: Ground) -> None:
    """The consumer of an orphaned allocation is a server in the very moment of writing: the guard sees it."""
    allocation_orphan.VARIANTS["unknown"](here.cloud)
    plan = planned(here, "allocation-orphan")
    (action,) = plan.runnable
    blind = unasked(plan)
    here.cloud.insert("cell:cell1", "instances", uuid=action.target["consumer"], deleted=0, created_at=here.cloud.now)
    result = runs.apply(here.config, blind)
    assert (result.exit, result.stale, result.steps) == (Exit.STOPPED, 1, 0)
    assert any("instances now has a row that forbids it" in note for note in result.notes)


def test_a_waived_finding_is_not_planned(on_sqlite: Ground) -> None:
    """It is shown with its reason, makes no exit 3, and no plan touches it; without the waiver it is planned."""
    here = on_sqlite
    info_cache_empty.plant(here.cloud)
    (finding,) = audited(here).findings
    waiver = findings.waive(here.config, reason="moved by hand tonight", fingerprint=finding.fingerprint)
    report = audited(here)
    assert [(f.state, f.waiver) for f in report.findings] == [(State.WAIVED, "moved by hand tonight")]
    assert report.exit is Exit.CLEAN
    assert planned(here, "info-cache-empty").runnable == ()
    findings.unwaive(here.config, waiver.id)
    assert audited(here).exit is Exit.FINDINGS
    assert len(planned(here, "info-cache-empty").runnable) == 1


@pytest.mark.parametrize(
    ("values", "covered"),
    [
        ({"check": "info-cache-empty"}, True),
        ({"check": "allocation-orphan"}, False),
        ({"check": "info-cache-empty", "resource": "other"}, False),
        ({"check": "info-cache-empty", "expires": "2999-01-01T00:00:00+00:00"}, True),
        ({"check": "info-cache-empty", "expires": "2020-01-01T00:00:00+00:00"}, False),
    ],
    ids=["check", "another-check", "another-resource", "not-yet-expired", "expired"],
)
def test_what_a_waiver_covers(on_sqlite: Ground, values: dict[str, Any], covered: bool) -> None:
    """A whole check or one resource of it, until it expires."""
    here = on_sqlite
    info_cache_empty.plant(here.cloud)
    findings.waive(here.config, reason="known", **values)
    (finding,) = audited(here).findings
    assert (finding.state is State.WAIVED) is covered
    assert (planned(here, "info-cache-empty").runnable == ()) is covered


@pytest.mark.parametrize(
    "values",
    [
        {"reason": " ", "check": "info-cache-empty"},
        {"reason": "r"},
        {"reason": "r", "check": "no-such-check"},
        {"reason": "r", "check": "info-cache-empty", "expires": "tomorrow"},
        {"reason": "r", "check": "info-cache-empty", "expires": "2999-01-01T00:00:00"},
    ],
    ids=["no-reason", "nothing", "unknown-check", "no-time", "no-zone"],
)
def test_a_waiver_that_says_nothing(on_sqlite: Ground, values: dict[str, str]) -> None:
    """It needs a reason, something to cover, and a time that is one."""
    with pytest.raises(UsageError):
        findings.waive(on_sqlite.config, **values)
    assert findings.waivers(on_sqlite.config) == []


def test_when_a_finding_was_first_seen(on_sqlite: Ground) -> None:
    """Later audits remember; when it has gone and comes back, its unbroken time begins anew."""
    here = on_sqlite
    planted = info_cache_empty.plant
    planted(here.cloud)
    (first,) = audited(here).findings
    assert first.first_seen >= moment(minutes=5)
    for column in ("first_seen", "since"):
        remembered(here, first.fingerprint, column, LONG_AGO)
    (second,) = audited(here).findings
    assert (second.fingerprint, second.first_seen) == (first.fingerprint, LONG_AGO)
    assert remembered(here, first.fingerprint, "since") == LONG_AGO
    assert remembered(here, first.fingerprint, "gone") == ""

    run = runs.apply(here.config, planned(here, "info-cache-empty")).run
    assert audited(here).findings == ()
    assert remembered(here, first.fingerprint, "gone") >= moment(minutes=5)
    runs.undo(here.config, run)
    (third,) = audited(here).findings
    assert third.first_seen == LONG_AGO
    assert remembered(here, first.fingerprint, "gone") == ""
    assert remembered(here, first.fingerprint, "since") >= moment(minutes=5)


def test_an_audit_of_some_servers_forgets_nothing(on_sqlite: Ground) -> None:
    """What was not looked at has not gone."""
    here = on_sqlite
    info_cache_empty.plant(here.cloud)
    (finding,) = audited(here).findings
    other = here.cloud.pick("active").uuid
    assert audits.audit(here.config, about=(other,), settle=0).findings == ()
    assert audits.audit(here.config, checks=("allocation-orphan",), settle=0).findings == ()
    assert remembered(here, finding.fingerprint, "gone") == ""
