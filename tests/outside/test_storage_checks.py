# SPDX-License-Identifier: Apache-2.0
"""Checks of databases and back ends together: what is broken is found alone and confirmed, look-alikes are not."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits, plans, snapshots
from stackmend.config.settings import Config, load
from stackmend.drivers.storage.names import folder_of
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import ConfigError, Exit, UsageError
from stackmend.model.finding import State
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants._images import new_image

from . import rbd_plants, storage_plants
from .storage import Folder, Pool, Shelf, located, volumes
from .storage_plants import (
    CLUSTER,
    FOLDERS,
    IMAGES,
    MAIN,
    SPARE,
    VMS,
    Depot,
    base_of_others,
    discarded,
    disk_of_nobody,
    new,
    nobodys,
    removed,
)

CHECKS = tuple(name for name, check in catalogue.outside_checks().items() if "storage_visits" in check.reads)
PLANTS = {**storage_plants.PLANTS, **rbd_plants.PLANTS}
LOOK_ALIKES = {**storage_plants.LOOK_ALIKES, **rbd_plants.LOOK_ALIKES}
POOLED = storage_plants.POOLED | rbd_plants.POOLED
#: those that would hide others: a host that is down, a volume that another one picks
ALONE = rbd_plants.ALONE
ALL = {"storage": ("all",)}
KINDS = ("file", "rbd")
_PICTURES = 30


def built_depot(cloud: Cloud, folder: Path, kind: str) -> Depot:
    """Every volume on the main back end."""
    shelves: list[Shelf] = []
    for name in (MAIN, SPARE):
        if kind == "rbd":
            shelves.append(Pool(folder / "ceph.json", place=name))
            continue
        (folder / name).mkdir()
        shelves.append(Folder(folder / name))
    pools = [Pool(folder / f"{name}.json", place=name) for name in (VMS, IMAGES)]
    depot = Depot(cloud, shelves[0], shelves[1], *pools)
    for _ in range(_PICTURES):
        new_image(cloud)
    for image in located(cloud, CLUSTER, IMAGES):
        depot.images.put(image, snapshots=["snap"])
    depot.images.cluster(fsid=CLUSTER)
    names = volumes(cloud)
    if isinstance(depot.main, Pool):
        depot.main.fill(names)
    else:
        for name in names:
            depot.main.put(name)
    for _ in range(4):
        depot.vms.put(f"{cloud.pick('active').uuid}_disk")
    return depot


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small cloud: every volume of it is a file."""
    cloud = build(tmp_path_factory.mktemp("storage") / "cloud", servers=120, seed=31, hosts=4)
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture(params=KINDS)
def depot(request: pytest.FixtureRequest, built: Cloud, tmp_path: Path) -> Depot:
    """Healthy, on real files or on the stand-in for Ceph."""
    built.reset()
    return built_depot(built, tmp_path, request.param)


def configured(depot: Depot, tmp_path: Path, more: str = "", **main: Any) -> Config:
    """Its configuration."""
    path = tmp_path / "stackmend.toml"
    mine = depot.cloud.toml().partition("[state]")[0]
    sections = (
        depot.main.toml(MAIN, cinder=["control@ceph"], **main)
        + depot.spare.toml(SPARE, cinder=["control@spare"])
        + depot.vms.toml(VMS, nova=True)
        + depot.images.toml(IMAGES, glance=True)
    )
    path.write_text(f'{mine}[state]\ndirectory = "{tmp_path}/state"\n{sections}{more}')
    return load(str(path))


def look(config: Config, *checks: str, **more: Any) -> Report:
    """An audit of all back ends, by these checks or all that read them."""
    return audits.audit(config, checks=checks or CHECKS, settle=0, **{"outside": ALL, "young": True, **more})


def said(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """(check, key) of each finding; every check must have an answer."""
    assert report.incomplete == {}
    return sorted(((one.check, dict(one.key)) for one in report.findings), key=repr)


def fits(depot: Depot, make: Any) -> bool:
    """Whether such a back end can have that."""
    return make not in (FOLDERS if isinstance(depot.main, Pool) else POOLED)


PLANTED = [
    pytest.param(check, code, make, id=f"{check}:{make.__name__}")
    for check, codes in PLANTS.items()
    for code, some in codes.items()
    for make in some
]
ALIKE = [pytest.param(make, id=f"{c}:{make.__name__}") for c, some in LOOK_ALIKES.items() for make in some]


def test_every_check_of_storage_is_rehearsed() -> None:
    """Every code has a plant, every check look-alikes, each with a sentence."""
    assert {check: set(codes) for check, codes in PLANTS.items()} == {
        name: set(catalogue.outside_checks()[name].codes) for name in CHECKS
    }
    assert set(LOOK_ALIKES) == set(CHECKS)
    assert all(make.__doc__ for some in LOOK_ALIKES.values() for make in some)


def test_a_healthy_cloud_is_clean(depot: Depot, tmp_path: Path) -> None:
    """Every check of databases and of storage has an answer, and nothing is found."""
    report = audits.audit(configured(depot, tmp_path), settle=0, outside=ALL)
    assert said(report) == []
    assert set(report.checks) == {*catalogue.checks(), *CHECKS}
    assert {s.database for s in report.manifest.sources if s.outside} == {
        f"storage:{n}" for n in (MAIN, SPARE, VMS, IMAGES)
    }


@pytest.mark.parametrize(("check", "code", "make"), PLANTED)
def test_what_is_broken_is_found(depot: Depot, tmp_path: Path, check: str, code: str, make: Any) -> None:
    """It alone, by its key and code, confirmed by a second look; the sentence and the way out name the object."""
    if not fits(depot, make):
        pytest.skip("such a back end does not have that")
    key = make(depot)
    config = configured(depot, tmp_path)
    report = look(config)
    assert said(report) == [(check, key)]
    (finding,) = report.findings
    assert (finding.state, finding.evidence["code"]) == (State.CONFIRMED, code)
    assert "{" not in finding.message
    assert report.exit is Exit.FINDINGS
    plan = plans.repair_plan(config, report)
    assert plan.actions == ()
    (left,) = plan.not_repaired
    assert "{" not in left.reason
    if code not in ("renamed", "trash", "elsewhere", "gone") and check != "image-backend-missing":
        assert "IRREVERSIBLE" in left.reason


@pytest.mark.parametrize("make", ALIKE)
def test_what_only_looks_broken_is_not_found(depot: Depot, tmp_path: Path, make: Any) -> None:
    """No check says a word, and each has an answer."""
    if not fits(depot, make):
        pytest.skip("such a back end does not have that")
    make(depot)
    assert said(look(configured(depot, tmp_path))) == []


def test_a_pool_that_another_cloud_uses_has_no_orphans(depot: Depot, tmp_path: Path) -> None:
    """Most names are unknown: the back end is named, nothing is called left over, what is missing is still found.

    With ``shared = true`` that is not even a doubt.
    """
    key = removed(depot)
    others = [f"volume-{new()}" for _ in range(2 * len(volumes(depot.cloud)))]
    if isinstance(depot.main, Pool):
        depot.main.write(images={**depot.main.read()["images"], **{name: {"size": 1} for name in others}}, trash={})
    else:
        for name in others:
            depot.main.put(name)
    report = look(configured(depot, tmp_path))
    assert [dict(one.key) for one in report.findings] == [key]
    assert report.exit is Exit.INCOMPLETE
    assert "does another cloud use it" in report.incomplete["backend-object-orphan"]
    assert said(look(configured(depot, tmp_path, shared=True))) == [("volume-backend-missing", key)]


def test_a_list_with_less_than_half_of_the_volumes_is_not_believed(depot: Depot, tmp_path: Path) -> None:
    """Another pool, or a share that is not mounted: incomplete with the numbers, nothing is missing."""
    if isinstance(depot.main, Pool):
        depot.main.write(images={}, trash={})
    else:
        for name in volumes(depot.cloud):
            depot.main.drop(name)
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    assert report.exit is Exit.INCOMPLETE
    assert "it holds 0 of the" in report.incomplete["volume-backend-missing"]


def test_a_list_of_another_back_end_is_not_believed(depot: Depot, tmp_path: Path) -> None:
    """Its few volumes seem to be lost, but the volumes of another one are there: the places were exchanged."""
    depot.row(depot.volume(), host="control@spare#pool")
    depot.spare.put(f"volume-{depot.volume()}")
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    assert "it holds 0 of the 1 volumes" in report.incomplete["volume-backend-missing"]
    assert "some that Cinder has elsewhere" in report.incomplete["volume-backend-missing"]


def test_a_list_of_which_nothing_is_known_is_not_believed(depot: Depot, tmp_path: Path) -> None:
    """Another cloud's pool: the few volumes that should be there are not said to be lost."""
    depot.row(depot.volume(), host="control@spare#pool")
    depot.spare.put(f"volume-{new()}")
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    assert "it holds 0 of the 1 volumes" in report.incomplete["volume-backend-missing"]


def test_what_is_left_of_deleted_images_is_not_another_clouds(depot: Depot, tmp_path: Path) -> None:
    """Glance knows them, however many they are."""
    count = 2 * len(located(depot.cloud, CLUSTER, IMAGES)) // 3
    keys = [rbd_plants.content_of_a_deleted_image(depot) for _ in range(count)]
    assert said(look(configured(depot, tmp_path))) == sorted((("rbd-image-orphan", key) for key in keys), key=repr)


def test_a_back_end_of_which_nothing_is_known_has_no_orphans(depot: Depot, tmp_path: Path) -> None:
    """However little there is: nothing shows that it is this cloud's."""
    depot.spare.put(f"volume-{new()}")
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    assert "Cinder knows nothing of 1 of the 1 volumes" in report.incomplete["backend-object-orphan"]


@pytest.mark.parametrize("depot", ["rbd"], indirect=True)
def test_a_pool_that_another_cloud_works_in_has_no_orphans(depot: Depot, tmp_path: Path) -> None:
    """It has few volumes there, and most are locked: none of them is called left over, not even one that rests."""
    assert isinstance(depot.main, Pool)
    assert len(volumes(depot.cloud)) > 4
    names = [f"volume-{new()}" for _ in range(4)]
    for name in names[:3]:
        depot.main.held(name, "10.9.9.9:0/77", "10.9.9.9:0/77")
    depot.main.put(names[3])
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    assert f"3 of which are in use, such as {min(names[:3])}" in report.incomplete["backend-object-orphan"]
    depot.main.held(names[0])
    assert {dict(one.key)["name"] for one in look(configured(depot, tmp_path)).findings} == set(names)


@pytest.mark.parametrize("depot", ["file"], indirect=True)
def test_a_share_that_is_not_mounted_is_named(depot: Depot, tmp_path: Path) -> None:
    """Volumes on it are not missing: the share is named, whether its folder is there or not."""
    share, volume = "10.0.0.9:/volumes", depot.volume()
    depot.row(volume, provider_location=share)
    depot.main.drop(f"volume-{volume}")
    (Path(depot.main.place) / folder_of("10.0.0.8:/volumes")).mkdir()
    report = look(configured(depot, tmp_path))
    assert report.findings == ()
    why = report.incomplete["volume-backend-missing"]
    assert share in why
    assert f"no share is mounted on {depot.main.place}/{folder_of('10.0.0.8:/volumes')}" in why


def test_a_back_end_that_cannot_be_listed_is_named(depot: Depot, tmp_path: Path) -> None:
    """What is on the others is found; of this one nothing is missing or left over."""
    key = disk_of_nobody(depot)
    config = configured(depot, tmp_path)
    if isinstance(depot.main, Pool):
        depot.main.file.unlink()
    else:
        Path(depot.main.place).rename(tmp_path / "away")
    report = look(config)
    assert [dict(one.key) for one in report.findings] == [key]
    assert f"back end {MAIN} could not be read" in report.incomplete["volume-backend-missing"]


def test_a_second_look_that_fails_confirms_nothing(depot: Depot, tmp_path: Path) -> None:
    """A snapshot's finding is a candidate, and one back end alone can be asked."""
    key = removed(depot)
    folder = tmp_path / "snapshot"
    config = configured(depot, tmp_path)
    snapshots.create(config, into=str(folder), outside={"storage": (MAIN,)})
    report = audits.audit(config, checks=("volume-backend-missing",), snapshot=str(folder))
    assert [(dict(one.key), one.state) for one in report.findings] == [(key, State.CANDIDATE)]
    assert said(look(config, "volume-backend-missing", outside={"storage": (SPARE,)})) == []


def test_what_is_asked_for_must_be_configured(depot: Depot, tmp_path: Path) -> None:
    """A name that is none, and a site without any; a site that has some is told of them."""
    config = configured(depot, tmp_path)
    with pytest.raises(UsageError, match=r"there is no \[storage.nowhere\]"):
        look(config, outside={"storage": ("nowhere",)})
    report = audits.audit(config, checks=(), about=("nobody",), settle=0)
    assert any("back ends of storage were not read" in note and "--storage" in note for note in report.notes)
    path = tmp_path / "without.toml"
    path.write_text(depot.cloud.toml())
    with pytest.raises(ConfigError, match="no back ends of storage"):
        look(load(str(path)))


def test_a_folder_with_a_quote_is_refused(depot: Depot, tmp_path: Path) -> None:
    """Its commands would be others than they seem."""
    with pytest.raises(ConfigError, match="without a quote"):
        configured(depot, tmp_path, more='[storage.odd]\nkind = "file"\nplace = "/mnt/o\'b"\ncinder = ["a@b"]\n')


@pytest.mark.parametrize("kind", KINDS)
def test_an_orphan_is_put_aside_as_the_finding_says(built: Cloud, tmp_path: Path, kind: str) -> None:
    """The command, run as it is printed: then nothing is found any more, and the data is still there."""
    built.reset()
    depot = built_depot(built, tmp_path, kind)
    key = nobodys(depot)
    config = configured(depot, tmp_path)
    (finding,) = look(config).findings
    way = str(finding.evidence["way"])
    if isinstance(depot.main, Pool):
        program = f"if nothing: {shlex.join(depot.main.program)} "
        depot.main.run(*shlex.split(_between(way, program, " (rbd trash")))
        assert [one["name"] for one in depot.main.read()["trash"].values()] == [key["name"]]
    else:
        subprocess.run(["sh", "-c", _between(way, "if nothing: ", " (mv takes")], check=True)
        assert (Path(depot.main.place) / "aside" / key["name"]).exists()
    assert said(look(config)) == []


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


@pytest.mark.parametrize("depot", ["rbd"], indirect=True)
def test_a_volume_comes_back_from_the_trash_as_the_finding_says(depot: Depot, tmp_path: Path) -> None:
    """One command, with the id that the trash has for it."""
    discarded(depot)
    assert isinstance(depot.main, Pool)
    config = configured(depot, tmp_path)
    (finding,) = look(config).findings
    command = str(finding.evidence["way"]).partition("; ")[0]
    subprocess.run(shlex.split(command), check=True)
    assert said(look(config)) == []


@pytest.mark.parametrize("depot", ["rbd"], indirect=True)
def test_what_others_are_based_on_is_to_be_left(depot: Depot, tmp_path: Path) -> None:
    """The way out says so first."""
    base_of_others(depot)
    (finding,) = look(configured(depot, tmp_path)).findings
    assert str(finding.evidence["way"]).startswith("Leave it: 1 other(s) there are based on it")
