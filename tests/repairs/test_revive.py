# SPDX-License-Identifier: Apache-2.0
"""Servers that SQL marked deleted while they live: revived or finished off, as the operator says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackmend.app import audits, plans, runs
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, Server
from stackmend_lab.plants.nova import server_deleted_incompletely

from ..support.repair_stage import Stage

CHECK = "server-deleted-incompletely"


def by_blog_post(cloud: Cloud) -> Server:
    """`UPDATE instances SET deleted=1, deleted_at=now(), vm_state='deleted'`, and the mapping."""
    server = cloud.pick("active")
    # not 0, and not the row's own id, which is how Nova marks
    marked = "UPDATE instances SET deleted = CASE WHEN id = 1 THEN 2 ELSE 1 END, deleted_at = :t, vm_state = 'deleted'"
    cloud.execute(server.database, f"{marked} WHERE uuid = :u", {"u": server.uuid, "t": cloud.ago(7200)})
    cloud.update("nova_api", "instance_mappings", {"instance_uuid": server.uuid}, queued_for_delete=1)
    return server


def by_a_script(cloud: Cloud) -> Server:
    """A script that marks children as well, one statement after another."""
    server = by_blog_post(cloud)
    for table in ("block_device_mapping", "instance_info_caches", "instance_extra", "virtual_interfaces"):
        sql = f"UPDATE {table} SET deleted = id, deleted_at = :t WHERE instance_uuid = :u AND deleted = 0"
        cloud.execute(server.database, sql, {"u": server.uuid, "t": cloud.ago(7195)})
    return server


@pytest.mark.attack("a living server is marked deleted by SQL: nova-compute is about to destroy its guest")
@pytest.mark.parametrize("marked", [by_blog_post, by_a_script], ids=lambda f: f.__name__)
def test_a_living_server_is_revived_or_finished_as_the_operator_says(
    stage: Stage, marked: Callable[[Cloud], Server]
) -> None:
    """Neither is done unasked; revived, every row is as before the mark; undo brings the mark back."""
    healthy = stage.cloud.dump()
    server = marked(stage.cloud)
    damaged = stage.cloud.dump()
    report = audits.audit(stage.config, settle=0)
    assert {(f.check, f.resource_id) for f in report.findings} == {(CHECK, server.uuid)}, (
        "its ports are not to be freed"
    )
    unasked = stage.plan(CHECK)
    assert unasked.runnable == ()
    assert "--repair finish-deletion or --repair revive-server" in unasked.not_repaired[0].reason
    plan = stage.plan(CHECK, "revive-server")
    assert "'virsh domstate" in plan.runnable[0].statements[0]
    result = runs.apply(stage.config, plan, accept=("revive-server",))
    assert result.exit is Exit.REPAIRED
    assert stage.cloud.dump() == healthy
    assert runs.undo(stage.config, result.run).exit is Exit.CLEAN
    assert stage.cloud.dump() == damaged
    assert [action.repair for action in stage.plan(CHECK, "finish-deletion").runnable] == ["finish-deletion"]


@pytest.mark.parametrize("plant", ["plant", "children", "fields"])
def test_what_nova_has_let_go_of_is_not_revived(stage: Stage, plant: str) -> None:
    """No port is bound and no volume attached: finishing the deletion is the only way."""
    getattr(server_deleted_incompletely, plant)(stage.cloud)
    assert [action.repair for action in stage.plan(CHECK).runnable] == ["finish-deletion"]


def test_a_deletion_by_nova_is_not_taken_back(stage: Stage) -> None:
    """An action of Nova says that somebody asked for it; and a healthy server has nothing to revive."""
    server = by_blog_post(stage.cloud)
    deleted = {"instance_uuid": server.uuid, "action": "delete", "start_time": stage.cloud.ago(7300), "deleted": 0}
    stage.cloud.insert(server.database, "instance_actions", **deleted, request_id="req-1")
    assert [action.repair for action in stage.plan(CHECK).runnable] == ["finish-deletion"]
    alive = stage.cloud.pick("active")
    asked = plans.request(stage.config, "revive-server", {"server": alive.uuid}, allow_db=True)
    assert "is not marked deleted" in asked.not_repaired[0].reason
