# SPDX-License-Identifier: Apache-2.0
"""A live migration whose end is lost, on real services: what it leaves behind, audit, plan, apply, undo."""

from __future__ import annotations

import json

import pytest

from stackmend.model.errors import Exit
from stackmend_lab import breaks

from .proofs import Desk

CELL = "cell:cell1"


@pytest.fixture
def lost(plane):
    """A migrated server; its source host comes back at the end."""
    yield breaks.make(plane, "live-migration-end-lost")["server"]
    breaks.heal(plane)


def state(plane, server):
    """What the records say about the server: row, newest migration, ports and allocations."""
    (row,) = plane.sql(CELL, "SELECT host, node, compute_id, task_state FROM instances WHERE uuid = %s", (server,))
    sql = "SELECT uuid, status, source_compute, dest_compute FROM migrations WHERE instance_uuid = %s ORDER BY id DESC"
    move = plane.sql(CELL, sql, (server,))[0]
    sql = (
        "SELECT b.host, b.status FROM ml2_port_bindings b JOIN ports p ON p.id = b.port_id WHERE p.device_id = %s"
        " ORDER BY b.status, b.host"
    )
    bindings = [(b["host"], b["status"]) for b in plane.sql("neutron", sql, (server,))]
    sql = (
        "SELECT DISTINCT r.name FROM allocations a JOIN resource_providers r ON r.id = a.resource_provider_id"
        " WHERE a.consumer_id = %s"
    )
    held = {who: [r["name"] for r in plane.sql("placement", sql, (id_,))]
            for who, id_ in (("server", server), ("move", move["uuid"]))}  # fmt: skip
    return {"row": row, "move": move, "bindings": bindings, "held": held}


def test_the_end_of_a_live_migration_that_was_lost(plane, tmp_path, lost):
    """It is found, mended in one step and undone row by row, even after the target's nova-compute has seen it."""
    desk = Desk(plane, tmp_path)
    before = state(plane, lost)
    source, target = before["move"]["source_compute"], before["move"]["dest_compute"]
    print(json.dumps(before, default=str))
    assert (before["row"]["host"], before["row"]["task_state"]) == (source, "migrating")
    assert before["move"]["status"] not in ("completed", "error", "failed")
    assert (target, "ACTIVE") in before["bindings"]
    assert before["held"] == {"server": [target], "move": [source]}

    told = json.loads(desk.run("server", "where", lost, "-f", "json", codes=(Exit.FINDINGS,)))
    assert (told["found"]["host"], told["confidence"]) == (target, "likely")
    found = [finding for finding in desk.audit().values() if finding["key"].get("server") == lost]
    assert "server-wrong-host" in {finding["check"] for finding in found}

    plan = desk.plan("lost", "db", found)
    run = desk.apply(plan)["run"]
    mended = state(plane, lost)
    assert (mended["row"]["host"], mended["row"]["node"], mended["row"]["task_state"]) == (target, target, None)
    assert (mended["move"]["status"], mended["bindings"]) == ("completed", [(target, "ACTIVE")])
    assert mended["held"] == {"server": [target], "move": []}
    assert lost not in {f["key"].get("server") for f in desk.audit().values()}

    desk.run("run", "undo", run, "--yes", codes=(Exit.CLEAN,))
    assert state(plane, lost) == before
