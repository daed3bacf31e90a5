# SPDX-License-Identifier: Apache-2.0
"""The repairs of volumes: what they write, row by row, and what they refuse. The case book shows that they mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stackmend.app import plans, runs
from stackmend.cloud.evidence.attachments import implied
from stackmend.config.settings import Config, load
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.step import ExpectNone
from stackmend_lab.cloud import Cloud, Server, build
from stackmend_lab.plants._volumes import (
    attach,
    attached,
    busy,
    drop_attachment,
    drop_mapping,
    new_attachment,
    new_mapping,
    new_volume,
)
from stackmend_lab.plants.cinder import (
    volume_deleted_incompletely,
    volume_status_attachment_mismatch,
    volume_stuck_error_deleting,
)

from ..support.planning import plan_for
from ..support.volume_truth import contradictions

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """A cloud and the means to have it repaired."""

    cloud: Cloud
    config: Config
    untrue: set[str]  #: of its volumes, before anything was broken

    def request(self, repair: str, **arguments: Any) -> Plan:
        """The plan for an operator's request."""
        return plans.request(self.config, repair, arguments, allow_db=True)

    def apply(self, plan: Plan) -> str:
        """Apply the plan, which must succeed; the run."""
        result = runs.apply(self.config, plan, accept=("all",))
        assert result.exit is Exit.REPAIRED
        return str(result.run)

    def refusal(self, repair: str, **arguments: Any) -> str:
        """Why the request is refused."""
        plan = self.request(repair, **arguments)
        assert plan.runnable == ()
        return " ".join(left.reason for left in plan.not_repaired)

    def row(self, table: str, identity: Any, database: str = "cinder", column: str = "id") -> Row:
        """The one row of a table."""
        rows = self.cloud.rows(database, f"SELECT * FROM {table} WHERE {column} = :v", {"v": identity})
        assert len(rows) == 1
        return rows[0]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One small cloud for the module."""
    folder = tmp_path_factory.mktemp("volumes")
    cloud = build(folder / "cloud", servers=120, seed=2)
    cloud.save()
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(), encoding="utf-8")
    yield Stage(cloud, load(str(toml)), contradictions(cloud))
    cloud.close()


@pytest.fixture
def stage(ground: Stage) -> Stage:
    """The cloud, healthy again."""
    ground.cloud.reset()
    return ground


@pytest.mark.parametrize(
    ("attachments", "expected"),
    [
        ([], ("available", "detached")),
        (["attached"], ("in-use", "attached")),
        (["reserved", "attached"], ("in-use", "attached")),
        (["reserved", "detaching"], ("detaching", "detaching")),
        (["reserved", "attaching"], ("attaching", "attaching")),
        (["error_attaching"], ("available", "detached")),
        (["error_detaching", "reserved"], ("reserved", "reserved")),
    ],
)
def test_the_status_follows_from_the_attachments(attachments: list[str], expected: tuple[str, str]) -> None:
    """The first status by alphabet decides and errors do not count, as in Cinder (_get_statuses_from_attachments)."""
    assert implied([{"attach_status": word} for word in attachments]) == expected


def test_a_detach_writes_what_cinder_and_nova_write(stage: Stage) -> None:
    """Mapping deleted by its id, attachment detached, metadata gone, volume available, all at one moment."""
    server, volume, attachment, mapping = attached(stage.cloud)
    stage.apply(stage.request("detach-volume", volume=volume))
    gone = stage.row("block_device_mapping", mapping, server.database)
    left = stage.row("volume_attachment", attachment)
    mode = stage.row("volume_admin_metadata", volume, column="volume_id")
    free = stage.row("volumes", volume)
    assert gone["deleted"] == mapping
    assert (left["deleted"], left["attach_status"]) == (1, "detached")
    assert gone["deleted_at"] == left["deleted_at"] == left["detach_time"] == mode["deleted_at"] != None  # noqa: E711
    assert mode["deleted"] == 1
    assert (free["status"], free["attach_status"], free["deleted"]) == ("available", "detached", 0)


def test_a_detach_lets_other_servers_keep_the_volume(stage: Stage) -> None:
    """Of a volume of two servers only the one that was named lets go, and the volume stays in use."""
    cloud = stage.cloud
    server, volume, attachment, _ = attached(cloud)
    cloud.update("cinder", "volumes", {"id": volume}, multiattach=1)
    other, mapping = attach(cloud, cloud.pick("active"), volume)
    assert "2 servers" in stage.refusal("detach-volume", volume=volume)
    stage.apply(stage.request("detach-volume", volume=volume, server=server.uuid))
    assert stage.row("volume_attachment", attachment)["deleted"] == 1
    assert stage.row("volume_attachment", other)["deleted"] == 0
    assert stage.row("volumes", volume)["status"] == "in-use"
    assert mapping


def test_a_detach_is_stale_when_a_mapping_comes_to_name_the_attachment(stage: Stage) -> None:
    """A guard of the statement itself, in each cell whose mappings do not name the attachment when it is planned."""
    cloud = stage.cloud
    server, volume, attachment, _ = attached(cloud)
    elsewhere = next(s for s in cloud.servers("active") if s.database != server.database)
    _, mapping = attach(cloud, elsewhere, volume)
    plan = stage.request("detach-volume", volume=volume, server=server.uuid)
    guards = [step for step in plan.actions[0].steps if isinstance(step, ExpectNone)]
    assert {"volume_id": volume, "deleted": 0, "attachment_id": attachment} in [step.where for step in guards]
    assert elsewhere.database in {step.database for step in guards}
    cloud.update(elsewhere.database, "block_device_mapping", {"id": mapping}, attachment_id=attachment)
    result = runs.apply(stage.config, plan, accept=("all",))
    assert (result.stale, result.done) == (1, 0)
    assert stage.row("volume_attachment", attachment)["deleted"] == 0


def test_a_detach_is_stale_when_another_attachment_has_gone(stage: Stage) -> None:
    """What stays attached is guarded: were it gone by then, the status planned would be wrong."""
    cloud = stage.cloud
    server, volume, attachment, _ = attached(cloud)
    other, _ = attach(cloud, cloud.pick("active"), volume)
    plan = stage.request("detach-volume", volume=volume, server=server.uuid)
    cloud.update("cinder", "volume_attachment", {"id": other}, deleted=1, deleted_at=cloud.now)
    result = runs.apply(stage.config, plan, accept=("all",))
    assert result.exit is Exit.STOPPED
    assert stage.row("volume_attachment", attachment)["deleted"] == 0


def _root(cloud: Cloud) -> str:
    server, volume, _, mapping = attached(cloud)
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, boot_index=0)
    return volume


def _root_by_name(cloud: Cloud) -> str:
    server, volume, attachment, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    row = cloud.rows(
        server.database, "SELECT root_device_name AS name FROM instances WHERE uuid = :u", {"u": server.uuid}
    )
    cloud.update(server.database, "instances", {"uuid": server.uuid}, image_ref="")
    cloud.update("cinder", "volume_attachment", {"id": attachment}, mountpoint=row[0]["name"])
    return volume


def _busy(cloud: Cloud) -> str:
    server, volume, _, _ = attached(cloud)
    busy(cloud, server, "rebooting")
    return volume


def _migrating(cloud: Cloud) -> str:
    server, volume, _, _ = attached(cloud, "live_migrating")
    new_attachment(cloud, volume, server.uuid, "c2")
    return volume


def _resized(cloud: Cloud) -> str:
    return attached(cloud, "resized")[1]


def _host(cloud: Cloud) -> str:
    volume = new_volume(cloud, status="in-use", attach_status="attached")
    new_attachment(cloud, volume, None, "control")
    return volume


def _uploading(cloud: Cloud) -> str:
    volume = attached(cloud)[1]
    cloud.update("cinder", "volumes", {"id": volume}, status="uploading")
    return volume


def _volume_migration(cloud: Cloud) -> str:
    volume = attached(cloud)[1]
    cloud.update("cinder", "volumes", {"id": volume}, migration_status="migrating")
    return volume


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_root, "root disk"),
        (_root_by_name, "root disk"),
        (_busy, "busy"),
        (_migrating, "2 attachments"),
        (_resized, "migration in progress"),
        (_host, "attached to a host"),
        (_uploading, "uploading"),
        (_volume_migration, "being migrated"),
        (lambda cloud: "00000000-0000-4000-8000-000000000001", "no live volume"),
    ],
)
def test_a_detach_is_refused_where_it_could_harm(stage: Stage, make: Callable[[Cloud], str], reason: str) -> None:
    """A root disk, a server or volume something is happening to, and a host's attachment are left alone."""
    assert reason in stage.refusal("detach-volume", volume=make(stage.cloud))


def _unattached(cloud: Cloud, kind: str = "active", boot_index: int | None = None) -> tuple[Server, str]:
    """A volume whose attachment is gone from Cinder, while Nova maps it for a server."""
    server, volume, attachment, mapping = attached(cloud, kind)
    cloud.update(server.database, "block_device_mapping", {"id": mapping}, boot_index=boot_index)
    drop_attachment(cloud, attachment)
    return server, volume


@pytest.mark.parametrize("boot_index", [0, None])
@pytest.mark.attack("detach a volume by name that Cinder takes for free and a running server still maps")
def test_a_volume_that_nova_maps_is_not_set_free_by_name(stage: Stage, boot_index: int | None) -> None:
    """Without --server the server is named, and nothing is planned; with it, its root disk is refused as ever."""
    before_all = stage.cloud.dump()
    server, volume = _unattached(stage.cloud, boot_index=boot_index)
    reason = stage.refusal("detach-volume", volume=volume)
    assert server.uuid in reason
    assert server.database in reason
    if boot_index == 0:
        assert "root disk" in stage.refusal("detach-volume", volume=volume, server=server.uuid)
        assert stage.cloud.dump() != before_all
        return
    stage.apply(stage.request("detach-volume", volume=volume, server=server.uuid))
    free = stage.row("volumes", volume)
    assert (free["status"], free["attach_status"]) == ("available", "detached")
    assert contradictions(stage.cloud) == stage.untrue


def test_a_volume_that_another_server_maps_is_not_set_free(stage: Stage) -> None:
    """The server that is named lets go only when nobody else would be left with a mapping that Cinder ignores."""
    cloud = stage.cloud
    server, volume = _unattached(cloud)
    other, _ = cloud.pick("active"), new_mapping(cloud, server, volume, None)
    attach(cloud, other, volume)
    reason = stage.refusal("detach-volume", volume=volume, server=other.uuid)
    assert server.uuid in reason
    assert "not attached to server" in stage.refusal("detach-volume", volume=volume, server=cloud.pick("stopped").uuid)


@pytest.mark.parametrize("variant", sorted(volume_status_attachment_mismatch.VARIANTS))
def test_a_request_leaves_nothing_half_done(stage: Stage, variant: str) -> None:
    """However the statuses lie: a detach by name is refused, or what is left of the volume is as it should be."""
    key = volume_status_attachment_mismatch.VARIANTS[variant](stage.cloud)
    before = contradictions(stage.cloud) - stage.untrue
    plan = stage.request("detach-volume", volume=key["volume"])
    if plan.runnable:
        stage.apply(plan)
        assert contradictions(stage.cloud) - stage.untrue == set()
    else:
        assert contradictions(stage.cloud) - stage.untrue == before
        assert plan.not_repaired


def test_a_volume_that_was_cloned_stays(stage: Stage) -> None:
    """Ceph's clones need their source; so does what was made of a snapshot of a volume that was marked deleted."""
    cloud = stage.cloud
    volume = volume_stuck_error_deleting.plant(cloud)["volume"]
    clone = new_volume(cloud, source_volid=volume)
    reason = stage.refusal("mark-volume-deleted", volume=volume)
    assert clone in reason
    cloud.update("cinder", "volumes", {"id": clone}, deleted=1, deleted_at=cloud.ago(60), status="deleted")
    assert stage.request("mark-volume-deleted", volume=volume).runnable


@pytest.mark.parametrize(("column", "status"), [("restore_volume_id", "restoring"), ("volume_id", "creating")])
def test_a_volume_that_a_backup_works_on_stays(stage: Stage, column: str, status: str) -> None:
    """It may be in any status of the volume's own: the backup says so, and one that has ended does not hold it."""
    cloud = stage.cloud
    volume = volume_stuck_error_deleting.plant(cloud)["volume"]
    backup = "4a1c0000-0000-4000-8000-0000000000b1"
    values = {"id": backup, "volume_id": "4a1c0000-0000-4000-8000-0000000000b2", column: volume, "status": status}
    cloud.insert("cinder", "backups", **values, deleted=0, created_at=cloud.ago(60))
    assert backup in stage.refusal("mark-volume-deleted", volume=volume)
    cloud.update("cinder", "backups", {"id": backup}, status="available")
    assert stage.request("mark-volume-deleted", volume=volume).runnable


def test_a_snapshot_ends_with_its_volume_and_gives_its_quota_back(stage: Stage) -> None:
    """By name, where its volume is marked deleted already; a volume that was made of it keeps it."""
    cloud = stage.cloud
    volume = volume_deleted_incompletely.VARIANTS["snapshot"](cloud)["volume"]
    snapshot = stage.row("snapshots", volume, column="volume_id")
    for resource, used in (("snapshots", 3), ("gigabytes", 50)):
        values = {"resource": resource, "in_use": used, "reserved": 0, "race_preventer": 1, "deleted": 0}
        cloud.insert("cinder", "quota_usages", project_id=snapshot["project_id"], **values)
    made = new_volume(cloud, snapshot_id=snapshot["id"])
    assert made in stage.refusal("mark-volume-deleted", volume=volume)
    cloud.update("cinder", "volumes", {"id": made}, snapshot_id=None)
    stage.apply(stage.request("mark-volume-deleted", volume=volume))
    assert _usage(stage, snapshot["project_id"]) == {"snapshots": 2, "gigabytes": 42}
    assert contradictions(stage.cloud) == stage.untrue


def test_a_guest_comes_before_the_record_of_its_volume(stage: Stage) -> None:
    """A volume marked deleted whose server still maps it: not one record of it is ended, by plan or by name."""
    cloud = stage.cloud
    server, volume, attachment, _ = attached(cloud)
    drop_attachment(cloud, attachment)
    cloud.update("cinder", "volumes", {"id": volume}, deleted=1, deleted_at=cloud.ago(600), status="deleted")
    for repair in ("finish-volume-deletion", "mark-volume-deleted"):
        assert server.uuid in stage.refusal(repair, volume=volume)


def _usage(stage: Stage, project: str) -> dict[str, int]:
    rows = stage.cloud.rows("cinder", "SELECT resource, in_use FROM quota_usages WHERE project_id = :p", {"p": project})
    return {row["resource"]: row["in_use"] for row in rows}


def test_a_deleted_volume_gives_its_quota_back(stage: Stage) -> None:
    """All of volumes and gigabytes goes back, by type too; undo takes it again although others have used some since."""
    cloud = stage.cloud
    volume = volume_stuck_error_deleting.plant(cloud)["volume"]
    project = stage.row("volumes", volume)["project_id"]
    before = _usage(stage, project)
    run = stage.apply(stage.request("mark-volume-deleted", volume=volume))
    assert set(_usage(stage, project).values()) == {0}
    assert len(before) == 4
    cloud.execute("cinder", "UPDATE quota_usages SET in_use = in_use + 5 WHERE project_id = :p", {"p": project})
    assert runs.undo(stage.config, run).exit is Exit.CLEAN
    assert _usage(stage, project) == {name: used + 5 for name, used in before.items()}


def test_volumes_of_one_project_go_in_one_plan(stage: Stage) -> None:
    """Giving back is relative, so that one deletion does not make the next one stale."""
    cloud = stage.cloud
    first = volume_stuck_error_deleting.plant(cloud)["volume"]
    project = stage.row("volumes", first)["project_id"]
    new_volume(cloud, project, status="error_deleting")
    plan = plan_for(stage.config, checks=("volume-stuck-error-deleting",), allow_db=True)
    assert len(plan.runnable) == 2
    stage.apply(plan)
    assert set(_usage(stage, project).values()) == {0}


def test_a_volume_that_never_counted_gives_nothing_back(stage: Stage) -> None:
    """Temporary volumes (use_quota off) leave the quota as it is."""
    cloud = stage.cloud
    project = stage.row("volumes", volume_stuck_error_deleting.plant(cloud)["volume"])["project_id"]
    before = _usage(stage, project)
    volume = new_volume(cloud, project, status="error_deleting", use_quota=0)
    stage.apply(stage.request("mark-volume-deleted", volume=volume))
    assert _usage(stage, project) == before


def test_a_deleted_volume_takes_all_its_rows_along(stage: Stage) -> None:
    """Volume and children are marked at one time, what works on it and what caches it are gone."""
    volume = volume_stuck_error_deleting.image_cache(stage.cloud)["volume"]
    stage.apply(stage.request("mark-volume-deleted", volume=volume))
    row = stage.row("volumes", volume)
    assert (row["status"], row["deleted"]) == ("deleted", 1)
    for table in ("volume_metadata", "volume_admin_metadata"):
        child = stage.row(table, volume, column="volume_id")
        assert (child["deleted"], child["deleted_at"]) == (1, row["deleted_at"])
    for table, column in (("workers", "resource_id"), ("image_volume_cache_entries", "volume_id")):
        assert stage.cloud.rows("cinder", f"SELECT id FROM {table} WHERE {column} = :v", {"v": volume}) == []


def _in_group(cloud: Cloud) -> str:
    volume = new_volume(cloud, status="error_deleting")
    cloud.insert("cinder", "groups", id="4a1c0000-0000-4000-8000-000000000001", group_type_id="t", deleted=0)
    cloud.update("cinder", "volumes", {"id": volume}, group_id="4a1c0000-0000-4000-8000-000000000001")
    return volume


def _mapped(cloud: Cloud) -> str:
    volume = new_volume(cloud, status="error_deleting")
    new_mapping(cloud, cloud.pick("active"), volume, None)
    return volume


def _attached(cloud: Cloud) -> str:
    volume = attached(cloud)[1]
    cloud.update("cinder", "volumes", {"id": volume}, status="error_deleting")
    return volume


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda cloud: volume_stuck_error_deleting.with_snapshot(cloud)["volume"], "live snapshot"),
        (_attached, "live attachment"),
        (_mapped, "mapping"),
        (_in_group, "group"),
        (lambda cloud: new_volume(cloud, status="in-use"), "in-use"),
        (lambda cloud: new_volume(cloud, status="deleting"), "deleting"),
    ],
)
def test_a_volume_that_is_wanted_is_not_marked_deleted(stage: Stage, make: Callable[[Cloud], str], reason: str) -> None:
    """Attached, mapped, snapshotted, grouped, used or worked on: the record stays."""
    assert reason in stage.refusal("mark-volume-deleted", volume=make(stage.cloud))


def test_children_get_the_time_of_their_volume(stage: Stage) -> None:
    """What an incomplete deletion left is marked as if it had gone then; attachments say deleted."""
    volume = volume_deleted_incompletely.attachment(stage.cloud)["volume"]
    stage.apply(plan_for(stage.config, checks=("volume-deleted-incompletely",), allow_db=True))
    at = stage.row("volumes", volume)["deleted_at"]
    attachment = stage.row("volume_attachment", volume, column="volume_id")
    specs = stage.row("attachment_specs", attachment["id"], column="attachment_id")
    assert (attachment["deleted"], attachment["attach_status"], attachment["deleted_at"]) == (1, "deleted", at)
    assert (specs["deleted"], specs["deleted_at"]) == (1, at)


def test_a_mapping_comes_back_as_it_was(stage: Stage) -> None:
    """Reviving changes the mark and nothing else; the connection information, a secret, is not touched."""
    server, volume, _, mapping = attached(stage.cloud)
    before = stage.row("block_device_mapping", mapping, server.database)
    drop_mapping(stage.cloud, server, mapping)
    plan = plan_for(stage.config, checks=("cinder-attached-nova-not",), allow_db=True)
    assert "connection_info" not in repr(plan)
    stage.apply(plan)
    assert stage.row("block_device_mapping", mapping, server.database) == before
    assert volume


def test_a_mapping_stays_away_when_its_place_is_taken(stage: Stage) -> None:
    """Where another disk has the device name by now, reviving would make two of them."""
    cloud = stage.cloud
    server, volume, _, mapping = attached(cloud)
    drop_mapping(cloud, server, mapping)
    attach(cloud, server, new_volume(cloud, server.project_id))
    reason = stage.refusal("restore-bdm", volume=volume, server=server.uuid)
    assert "device_name" in reason
