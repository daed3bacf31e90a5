# SPDX-License-Identifier: Apache-2.0
"""A loss of power on a real cluster of Ceph: what the guest suffers, what is found, and that the way out is one.

Skipped where Ceph is not installed (Debian: ceph-mon, ceph-osd, ceph-common); the stand-in has the rest.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.app import audits
from stackmend.config.settings import Config, load
from stackmend.drivers.hosts.transport import Transport
from stackmend.drivers.storage.kinds import kinds, openers
from stackmend.model.audit import Report
from stackmend.model.finding import Finding
from stackmend.model.objects.storage import BackEnd
from stackmend_lab.cloud import Cloud, build

from .ceph import Ceph, installed
from .storage import located

pytestmark = pytest.mark.skipif(not installed(), reason="there is no Ceph here")
#: what an account needs that Nova uses, and what many have
CURED = {"mon": "profile rbd", "osd": "profile rbd pool=vms, profile rbd pool=images"}
BARRED = {"mon": "allow r", "osd": "allow rwx pool=vms, allow rwx pool=images"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """With a pool of disks and one of images."""
    made = Ceph(tmp_path_factory.mktemp("ceph"))
    try:
        made.start()
        for pool in ("vms", "images"):
            made.pool(pool)
        made.account("cured", **CURED)
        made.account("barred", **BARRED)
        made.account("blind", mon="profile rbd", osd="profile rbd pool=images")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small one."""
    made = build(tmp_path_factory.mktemp("ceph-cloud") / "cloud", servers=120, seed=31, hosts=4)
    yield made
    made.close()


def configured(cloud: Cloud, cluster: Ceph, folder: Path, account: str) -> Config:
    """Both pools, as this account sees them."""
    program = f'["rbd", "--conf", "{cluster.conf}", "--id", "{account}"]'
    path = folder / "stackmend.toml"
    path.write_text(
        f'{cloud.toml().partition("[state]")[0]}[state]\ndirectory = "{folder}/state"\n'
        f'[storage.vms]\nkind = "rbd"\nplace = "vms"\nnova = true\nprogram = {program}\n'
        f'[storage.images]\nkind = "rbd"\nplace = "images"\nglance = true\nprogram = {program}\n'
    )
    return load(str(path))


def look(config: Config, *checks: str) -> Report:
    """An audit of both pools."""
    return audits.audit(config, checks=checks, settle=0, outside={"storage": ()})


def stale(config: Config, disk: str) -> list[Finding]:
    """What is found of the lock of this disk; those of other tests have lost their clients by now."""
    report = look(config, "rbd-lock-stale")
    assert report.incomplete == {}
    return [one for one in report.findings if one.key["name"] == disk]


def test_after_a_loss_of_power_a_guest_is_barred_until_the_lock_is_removed_as_the_finding_says(
    cluster: Ceph, cloud: Cloud, tmp_path: Path
) -> None:
    """With an account that may not blocklist. While a client lives nothing is found, nor after the way out."""
    server = cloud.pick("active").uuid
    disk = f"{server}_disk"
    cluster.rbd("create", f"vms/{disk}", "--size", "8M")
    config = configured(cloud, cluster, tmp_path, "barred")
    first = cluster.client("barred", "vms", disk)
    first.becomes("written")
    assert stale(config, disk) == []
    first.kill()
    cluster.forgotten("vms", disk)
    second = cluster.client("barred", "vms", disk)
    try:
        second.becomes("refused")
        (finding,) = stale(config, disk)
        assert finding.evidence["code"] == "barred"
        (commands,) = re.findall(
            r"(ceph osd blocklist add \S+ && rbd lock rm .*?) \(IRREV", str(finding.evidence["way"])
        )
        env = {**os.environ, "CEPH_CONF": cluster.conf}
        subprocess.run(["sh", "-c", commands], check=True, env=env, capture_output=True)
        second.becomes("written")
        assert stale(config, disk) == []
    finally:
        second.kill()


def test_an_account_that_may_blocklist_takes_the_lock_by_itself(cluster: Ceph, cloud: Cloud, tmp_path: Path) -> None:
    """Which is why the account is the cure. A client that is blocklisted then has nothing open, and is found."""
    server = cloud.pick("active").uuid
    disk = f"{server}_disk"
    cluster.rbd("create", f"vms/{disk}", "--size", "8M")
    config = configured(cloud, cluster, tmp_path, "cured")
    first = cluster.client("cured", "vms", disk)
    first.becomes("written")
    first.kill()
    cluster.forgotten("vms", disk)
    second = cluster.client("cured", "vms", disk)
    try:
        second.becomes("written")
        assert stale(config, disk) == []
        (lock,) = cluster.answer("lock", "ls", f"vms/{disk}")
        cluster.ceph("osd", "blocklist", "add", lock["address"])
        second.becomes("refused")
        (finding,) = stale(config, disk)
        assert finding.evidence["code"] == "blocklisted"
    finally:
        second.kill()


def test_images_of_glance_are_compared_with_a_real_pool(cluster: Ceph, cloud: Cloud, tmp_path: Path) -> None:
    """One that lacks its snapshot, and one that nobody knows and that a clone is based on."""
    images = located(cloud, cluster.fsid, "images")
    for image in (*images, "0c5b7a1e-2222-4333-8444-5555aaaa0001"):
        cluster.rbd("create", f"images/{image}", "--size", "8M")
        if image != images[0]:
            cluster.rbd("snap", "create", f"images/{image}@snap")
            cluster.rbd("snap", "protect", f"images/{image}@snap")
    cluster.rbd("clone", f"images/{image}@snap", f"vms/{cloud.pick('active').uuid}_disk")
    report = look(configured(cloud, cluster, tmp_path, "cured"), "image-backend-missing", "rbd-image-orphan")
    assert report.incomplete == {}
    assert {(one.check, one.evidence["code"], one.evidence["name"]) for one in report.findings} == {
        ("image-backend-missing", "snapshot", f"{images[0]}@snap"),
        ("rbd-image-orphan", "unknown", image),
    }
    assert [one.evidence["based"] for one in report.findings if one.check == "rbd-image-orphan"] == [1]


def test_what_an_account_may_not_do_is_said(cluster: Ceph) -> None:
    """It has no right to a pool: each image is named, none of them has nobody, and the pool is not empty."""
    cluster.rbd("create", "vms/one", "--size", "8M")
    program = ("rbd", "--conf", cluster.conf, "--id", "blind")
    own = BackEnd(name="vms", kind="rbd", place="vms", program=program, nova=True)
    found = openers()["rbd"](Transport(), own, ["one", "nothing"])
    assert found.clients == ()
    assert set(found.unread) == {"one", "nothing"}
    assert all("Operation not permitted" in why for why in found.unread.values())
    with pytest.raises(Exception, match="Operation not permitted"):
        kinds()["rbd"](Transport(), own)
    nobody = BackEnd(name="vms", kind="rbd", place="vms", program=("rbd", "--conf", cluster.conf, "--id", "nobody"))
    gone = openers()["rbd"](Transport(), nobody, ["one"])
    assert (gone.clients, list(gone.unread), bool(gone.bars_unread)) == ((), ["one"], True)
