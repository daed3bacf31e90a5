# SPDX-License-Identifier: Apache-2.0
"""Every healthy thing that looks broken, on a host that is drained, restarted, or dies and is relocated by database.

While something is under way with its server, that stays, with the reason. Relocated it is whole on the new host, and
comes back to the byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.app import audits, runs, workflows
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.step import ApiCall
from stackmend.tables.views import TERMINAL
from stackmend_lab.plants import Case, healthy

from .dead_host import Site, moves, standing

CELLS = ("cell:cell1", "cell:cell2")
CASES = list(healthy())
#: of so many cases one is gone through in a short run, beside those that are named
SHARE = 32
#: case -> a part of the reason why its server stays
STAYS = {
    "port-binding-inactive-leftover:live_migrating": "is not declared dead: its guest may run there",
    "server-wrong-host:long_migrating": "which is alive: it would run twice",
    "allocation-wrong-provider:resized": "is resized",
    "port-binding-wrong-host:baremetal": "manages baremetal (ironic) nodes",
    "info-cache-stale-port:just_detached": "is the last record of port",
}
#: task_state -> what a drain asks for until it is over
AWAITED = {"migrating": ["live-migrate"], "deleting": ["server-gone"]}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cloud with several hosts in each cell."""
    with standing(tmp_path_factory.mktemp("alike"), hosts=8) as site:
        yield site


def reporting(site: Site) -> None:
    """The cloud is healthy, and every service reports."""
    site.cloud.reset()
    for cell in CELLS:
        site.cloud.execute(cell, "UPDATE services SET last_seen_up = :t", {"t": site.cloud.ago(2)})


def about(site: Site, case: Case) -> list[tuple[str, Row]]:
    """Make the case; (cell, row) of the living servers on a host that it is about."""
    before = site.cloud.dump()
    case.make(site.cloud)
    after = site.cloud.dump()
    lines = [
        line for table in after.keys() | before.keys() for line in {*after.get(table, ())} ^ {*before.get(table, ())}
    ]
    ids = {*_UUID.findall("\n".join(lines)), *site.cloud.picked}
    rows = ((cell, row) for cell in CELLS for row in site.rows(cell, "instances", deleted=0, hidden=0))
    return [(cell, row) for cell, row in rows if row["uuid"] in ids and row["host"]]


def dead(site: Site, cell: str, row: Row) -> str:
    """The server's host dies; another host of its cell that no move of it leads to."""
    where = {"host": row["host"], "binary": "nova-compute"}
    site.cloud.update(cell, "services", where, last_seen_up=site.cloud.ago(600), forced_down=1)
    site.services.refresh(site.cloud)
    taken = {row["host"], *(move["dest_compute"] for move in site.rows(cell, "migrations", instance_uuid=row["uuid"]))}
    nodes = site.rows(cell, "compute_nodes", deleted=0, hypervisor_type="QEMU")
    return next(str(node["host"]) for node in nodes if node["host"] not in taken)


def relocation(site: Site, row: Row, to: str) -> Plan:
    """The plan for this server alone, by rows."""
    asked = {"host": row["host"], "to": to, "servers": (row["uuid"],), "fenced": True, "shared": True, "via": "db"}
    return workflows.plan(site.config, "relocate-host", asked)


def reasons(plan: Plan, server: str) -> str:
    """Why the server stays, or why nothing is begun."""
    return " ".join([*(a.why for a in plan.actions if a.resource_id == server), *(r.reason for r in plan.not_repaired)])


@pytest.mark.attack("relocates every healthy server that only looks broken, when its host is dead")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=str(case), marks=[pytest.mark.long] if n % SHARE and str(case) not in STAYS else [])
        for n, case in enumerate(CASES)
    ],
)
def test_it_stays_or_is_moved_whole(site: Site, case: Case, record_property: pytest.RecordProperty) -> None:
    """Nothing is done to what is under way; what is moved has no finding there, and undo gives every byte back."""
    reporting(site)
    servers = about(site, case)
    record_property("tries", len(servers))
    said = ""
    for cell, row in servers:
        assert_left_alone_while_busy(site, cell, row)
        to = dead(site, cell, row)
        before = site.cloud.dump()
        evacuated = workflows.plan(site.config, "evacuate-host", {"host": row["host"], "fenced": True, "shared": True})
        plan = relocation(site, row, to)
        if any(one != row["task_state"] for one in under_way(site, cell, row)):
            assert not [a for a in evacuated.runnable if a.resource_id == row["uuid"]]
        if not moves(plan):
            why = reasons(plan, row["uuid"])
            assert why, plan
            said += why
            assert site.cloud.dump() == before
            continue
        assert not under_way(site, cell, row)
        assert [a for a in evacuated.runnable if a.resource_id == row["uuid"]]
        assert_moved_whole(site, plan, cell, row, to)
        assert site.cloud.dump() == before
    assert STAYS.get(str(case), "") in said


def under_way(site: Site, cell: str, row: Row) -> list[object]:
    """What is being done with the server: a task, or a move to a host that lives."""
    open_ = [
        move["dest_compute"]
        for move in site.rows(cell, "migrations", instance_uuid=row["uuid"], deleted=0)
        if move["status"] not in TERMINAL
    ]
    return [one for one in (row["task_state"], *open_) if one]


def assert_left_alone_while_busy(site: Site, cell: str, row: Row) -> None:
    """Neither a drain nor a recovery does anything to it; a drain waits for the end of a move, and of a deletion."""
    site.services.refresh(site.cloud)
    for name, more in (("drain-host", {}), ("recover-host", {"since": site.cloud.ago(300), "consoles": False})):
        plan = workflows.plan(site.config, name, {"host": row["host"], **more})
        done = [step for action in plan.runnable if action.resource_id == row["uuid"] for step in action.steps]
        if under_way(site, cell, row):
            # Nova lists no soft-deleted server: what it holds keeps the host from being empty until it is gone
            listed = name == "drain-host" and row["vm_state"] != "soft-delete"
            awaited = AWAITED.get(row["task_state"], []) if listed else []
            assert [step.name for step in done if isinstance(step, ApiCall)] == awaited
            assert len(done) == len(awaited)


def assert_moved_whole(site: Site, plan: Plan, cell: str, row: Row, to: str) -> None:
    """Apply it: every record names the new host, and no check finds anything about the server; then take it back."""
    run = runs.apply(site.config, plan, accept=("all",))
    assert (run.exit, run.failed, run.stale) == (Exit.REPAIRED, 0, 0), run.notes
    assert site.row(cell, "instances", uuid=row["uuid"])["host"] == to
    for port in site.rows("neutron", "ports", device_id=row["uuid"]):
        if port["device_owner"].startswith("compute:"):
            bound = site.rows("neutron", "ml2_port_bindings", port_id=port["id"], status="ACTIVE")
            assert [one["host"] for one in bound] == [to]
    found = audits.audit(site.config, settle=0).findings
    assert not [one for one in found if row["uuid"] in str(one.as_dict())]
    back = runs.undo(site.config, run.run)
    assert back.exit is Exit.CLEAN, back.notes
