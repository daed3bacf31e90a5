# SPDX-License-Identifier: Apache-2.0
"""Who has images open, as an audit shows it: what could not be asked is named, and a witness decides nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackmend.app import audits, snapshots
from stackmend.config.settings import load
from stackmend.model.audit import Report
from stackmend.model.errors import Exit
from stackmend.model.finding import State
from stackmend_lab.cloud import Cloud

from .host_plants import Scene
from .rbd_plants import ALIVE, DEAD, OTHER, after_a_power_loss, nobody
from .storage import Pool, volumes
from .storage_plants import MAIN, VMS, Depot, disk_of_nobody
from .test_storage_checks import ALL, CHECKS, built_depot, configured, look, said


@pytest.fixture
def depot(built: Cloud, tmp_path: Path) -> Depot:
    """Healthy, on the stand-in for Ceph."""
    built.reset()
    return built_depot(built, tmp_path, "rbd")


def incomplete(report: Report) -> set[str]:
    """The checks of storage without a whole answer."""
    assert report.exit is Exit.INCOMPLETE
    return set(report.incomplete) & set(CHECKS)


def test_an_image_that_does_not_answer_is_named(depot: Depot, tmp_path: Path) -> None:
    """What the others show is found all the same; checks that only compare lists have their answer."""
    key = after_a_power_loss(depot)
    closed = f"{depot.cloud.pick('active').uuid}_disk"
    depot.vms.held(closed, DEAD, refused=True)
    report = look(configured(depot, tmp_path))
    assert [dict(one.key) for one in report.findings] == [key]
    assert incomplete(report) == {"rbd-lock-stale"}
    assert f"{VMS}/{closed}: rbd: error opening image" in report.incomplete["rbd-lock-stale"]


def test_without_the_blocklist_it_is_not_known_who_is_barred(depot: Depot, tmp_path: Path) -> None:
    """The lock is found; that its owner may be blocklisted is not known, and said."""
    nobody(depot)
    depot.vms.cluster(refused=["osd blocklist ls"])
    report = look(configured(depot, tmp_path))
    assert [one.evidence["code"] for one in report.findings] == ["unopened"]
    assert incomplete(report) == {"rbd-lock-stale"}
    assert f"the blocklist of back end {VMS} could not be read" in report.incomplete["rbd-lock-stale"]


def test_no_more_are_asked_than_the_site_allows(depot: Depot, tmp_path: Path) -> None:
    """The number that was not asked for is said."""
    for _ in range(3):
        depot.vms.held(f"{depot.cloud.pick('active').uuid}_disk", ALIVE, ALIVE)
    configured(depot, tmp_path)
    path = tmp_path / "stackmend.toml"
    path.write_text(path.read_text().replace(f"[storage.{VMS}]\n", f"[storage.{VMS}]\nasked = 1\n"))
    report = look(load(str(path)))
    assert incomplete(report) == {"rbd-lock-stale"}
    assert f"2 were not asked for (asked = 1 of [storage.{VMS}])" in report.incomplete["rbd-lock-stale"]


def test_without_the_id_of_the_cluster_nothing_is_said_of_images(depot: Depot, tmp_path: Path) -> None:
    """A location may be in another one."""
    depot.images.drop(depot.image())
    depot.images.cluster(refused=["fsid"])
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    assert incomplete(report) == {"image-backend-missing", "rbd-image-orphan"}


def test_an_orphan_shows_who_has_it_open(depot: Depot, tmp_path: Path) -> None:
    """In the way out, before everything else; it is found and confirmed as without."""
    key = disk_of_nobody(depot)
    depot.vms.held(key["name"], ALIVE, ALIVE)
    report = look(configured(depot, tmp_path))
    assert said(report) == [("rbd-server-disk-orphan", key)]
    (finding,) = report.findings
    assert finding.state is State.CONFIRMED
    assert str(finding.evidence["way"]).startswith(f"it is open at {ALIVE}, so find out by whom. ")


def test_a_server_on_two_hosts_shows_who_has_its_disks_open(scene: Scene, tmp_path: Path) -> None:
    """If back ends were read as well; the finding is the same without them, and if they fail between two looks."""
    cloud = scene.cloud
    pool = Pool(tmp_path / "ceph.json", place="volumes")
    pool.fill(volumes(cloud))
    server = next(one for one in iter(scene.server, None) if scene.on(one)[one.uuid].disks)
    scene.copied(server)
    key, disk = {"server": server.uuid}, scene.on(server)[server.uuid].disks[0]
    pool.held(disk["image"].partition("/")[2], ALIVE, ALIVE, OTHER)
    toml = tmp_path / "stackmend.toml"
    toml.write_text(f"{cloud.toml()}\n{scene.standing.toml}{pool.toml(MAIN, cinder=['control@ceph'])}")
    config, check = load(str(toml)), ("domain-on-two-hosts",)
    both = audits.audit(config, checks=check, settle=0, outside={"host": (), **ALL})
    alone = audits.audit(config, checks=check, settle=0, outside={"host": ()})
    for report, shown in ((both, f"; {disk['image']} is open at {ALIVE}, {OTHER}, locked by {ALIVE}"), (alone, "")):
        assert report.incomplete == {}
        (finding,) = report.findings
        assert (dict(finding.key), finding.state, finding.evidence["opened"]) == (key, State.CONFIRMED, shown)
    pool.file.unlink()
    failed = audits.audit(config, checks=check, settle=0, outside={"host": (), **ALL})
    assert [(dict(one.key), one.state) for one in failed.findings] == [(key, State.CONFIRMED)]
    folder = tmp_path / "snapshot"
    snapshots.create(config, into=str(folder), outside={"host": ()})
    stored = audits.audit(config, checks=check, snapshot=str(folder))
    assert [dict(one.key) for one in stored.findings] == [key]
