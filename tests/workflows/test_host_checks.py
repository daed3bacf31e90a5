# SPDX-License-Identifier: Apache-2.0
"""Checks of hosts: every way in which an instances directory breaks is found alone, and what looks so is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stackmend.app import audits
from stackmend.app.objects import disks
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import ConfigError, Exit, UsageError
from stackmend.model.finding import State
from stackmend_lab.cloud import Cloud, build

from ..support.planning import plan_for
from .host_plants import HOST, LOOK_ALIKES, OTHER, PLANTS, Scene, deleted, missing_and_open, nobody, on_nfs
from .instances import Instances

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/findings.json").read_text())
CHECKS = tuple(catalogue.host_checks())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud of four hosts in two cells."""
    cloud = build(tmp_path_factory.mktemp("hosts") / "cloud", servers=300, seed=23, hosts=4)
    cloud.save()
    yield cloud
    cloud.close()


@pytest.fixture
def scene(built: Cloud, tmp_path: Path) -> Iterator[Scene]:
    """One host of it whose directory is here, and nothing in it."""
    built.reset()
    with ExitStack() as until:
        yield Scene(built, Instances(tmp_path / "instances"), until)


@pytest.fixture
def toml(scene: Scene, tmp_path: Path) -> Path:
    """Databases, and a way to this one host."""
    path = tmp_path / "stackmend.toml"
    hosts = f'[hosts]\nlocal = ["{HOST}"]\ninstances_path = "{scene.made.path}"\n'
    path.write_text(f'{scene.cloud.toml()}[state]\ndirectory = "{tmp_path}/state"\n{hosts}'
                    if "[state]" not in scene.cloud.toml() else f"{scene.cloud.toml()}{hosts}")  # fmt: skip
    return path


@pytest.fixture
def config(toml: Path) -> Config:
    """It, read."""
    return load(str(toml))


def look(config: Config, *checks: str, about: tuple[str, ...] = (HOST,), **more: Any) -> Report:
    """An audit of these checks of hosts, or of all of them."""
    return audits.audit(config, checks=checks or CHECKS, about=about, settle=0, **more)


def found(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """(check, key) of each finding; every check must have an answer."""
    assert report.incomplete == {}
    return [(finding.check, dict(finding.key)) for finding in report.findings]


def cases(book: dict[str, dict[str, Any]]) -> list[Any]:
    """A parameter a case."""
    return [pytest.param(check, make, id=f"{check}:{n}") for check, some in book.items() for n, make in some.items()]


def test_every_check_of_hosts_is_rehearsed() -> None:
    """It has plants and look-alikes, each with a sentence."""
    assert set(PLANTS) == set(LOOK_ALIKES) == set(CHECKS)
    assert all(make.__doc__ for book in (PLANTS, LOOK_ALIKES) for some in book.values() for make in some.values())


@pytest.mark.parametrize(("check", "make"), cases(PLANTS))
def test_what_is_broken_is_found(scene: Scene, config: Config, check: str, make: Any) -> None:
    """Alone, by its key, confirmed by a second visit; there is a sentence on what to do, and no repair."""
    key = make(scene)
    report = look(config, check)
    assert found(report) == [(check, key)]
    (finding,) = report.findings
    assert finding.state is State.CONFIRMED
    assert "{" not in finding.message
    assert report.exit is Exit.FINDINGS
    plan = plan_for(config, checks=(check,), about=(HOST,), settle=0)
    assert plan.actions == ()
    (left,) = plan.not_repaired
    assert HOST in left.reason
    assert "{" not in left.reason


@pytest.mark.parametrize(("check", "make"), cases(LOOK_ALIKES))
def test_what_only_looks_broken_is_not_found(scene: Scene, config: Config, check: str, make: Any) -> None:
    """Not a word about it, and the check has an answer."""
    make(scene)
    assert found(look(config, check)) == []


def test_what_the_quarantine_moves_is_what_the_check_finds(scene: Scene, config: Config) -> None:
    """One judgement: an orphan of the inventory is one of the audit."""
    names = {nobody(scene)["name"], deleted(scene)["name"]}
    shown = disks.look(config, HOST)
    assert {name for name, why in shown.kept.items() if not why} == names
    assert {finding.key["name"] for finding in look(config, "instance-dir-orphan").findings} == names


def test_shared_storage_is_no_answer(scene: Scene, config: Config) -> None:
    """Whose a directory is on NFS one host cannot tell: incomplete, neither an orphan nor clean."""
    on_nfs(scene)
    report = look(config)
    assert report.findings == ()
    assert set(report.incomplete) == {"instance-dir-orphan", "base-file-unused"}
    assert f"compute_nodes also names {OTHER}" in report.incomplete["instance-dir-orphan"]
    assert report.exit is Exit.INCOMPLETE


def test_one_cell_that_cannot_be_read_makes_nothing_an_orphan(scene: Scene, config: Config) -> None:
    """Evidence rule R2."""
    nobody(scene)
    file = Path(scene.cloud.databases["cell:cell2"].removeprefix("sqlite:///"))
    file.rename(file.with_suffix(".away"))
    try:
        report = look(config)
    finally:
        file.with_suffix(".away").rename(file)
    assert report.findings == ()
    assert set(report.incomplete) == set(CHECKS)
    assert report.exit is Exit.INCOMPLETE


def test_a_host_that_cannot_be_read_whole(scene: Scene, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without qemu-img nobody knows what is based on what: no answer, though directories were listed."""
    nobody(scene)
    programs = scene.made.path.parent / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if program.name != "qemu-img" and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(programs))
    report = look(config)
    assert report.findings == ()
    assert all("qemu-img is not installed" in why for why in report.incomplete.values())
    assert set(report.incomplete) == set(CHECKS)


def test_a_host_that_is_down_leaves_the_others_judged(scene: Scene, config: Config) -> None:
    """All compute hosts are visited; what was found stands, and the check is incomplete for the rest."""
    key = nobody(scene)
    report = audits.audit(config, checks=("instance-dir-orphan",), settle=0)
    assert [dict(finding.key) for finding in report.findings] == [key]
    assert f"no access to {OTHER} is configured" in report.incomplete["instance-dir-orphan"]
    assert report.exit is Exit.INCOMPLETE


def test_an_empty_directory_is_an_answer_and_a_missing_one_is_none(scene: Scene, config: Config) -> None:
    """A file system that is not mounted must not look as if everything were gone."""
    assert found(look(config)) == []
    scene.made.path.rename(scene.made.path.with_suffix(".away"))
    assert set(look(config).incomplete) == set(CHECKS)


def test_hosts_are_visited_only_when_that_is_asked_for(
    scene: Scene, toml: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain audit visits none; --visit-hosts adds the checks of hosts to all others."""
    missing_and_open(scene)
    assert not set(CHECKS) & set(audits.audit(config, settle=0).checks)
    code = main(["--config", str(toml), "audit", "--visit-hosts", "--host", HOST, "-f", "json", "--settle", "0"])
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    jsonschema.validate(document, SCHEMA)
    assert code == Exit.FINDINGS, shown.err
    (one,) = [finding for finding in document if finding["check"] in CHECKS]
    assert one["evidence"]["code"] == "running"
    assert "still has it open, so the guest must not stop" in one["message"]
    assert main(["--config", str(toml), "audit", "--check", "base-file-missing", "--host", HOST]) == Exit.FINDINGS
    assert "The disk of a server names a base that is not there" in capsys.readouterr().out


def test_what_cannot_be_asked(scene: Scene, config: Config, tmp_path: Path) -> None:
    """A snapshot, a cloud without access to hosts, a host that is none: errors of the user."""
    from stackmend.app import snapshots

    folder, _ = snapshots.create(config)
    with pytest.raises(UsageError, match="nothing of the hosts"):
        look(config, snapshot=str(folder))
    with pytest.raises(UsageError, match="none of these is a compute host"):
        look(config, about=("c9999",))
    bare = tmp_path / "bare.toml"
    bare.write_text(scene.cloud.toml())
    with pytest.raises(ConfigError, match="no access to hosts"):
        look(load(str(bare)))


def test_ages_may_be_set(scene: Scene, toml: Path) -> None:
    """[ages] knows the checks of hosts."""
    key = nobody(scene)
    toml.write_text(f"{toml.read_text()}\n[ages]\ninstance-dir-orphan = {{ unchanged = {60 * 86_400} }}\n")
    assert found(look(load(str(toml)), "instance-dir-orphan")) == []
    toml.write_text(toml.read_text().replace(str(60 * 86_400), "86400"))
    assert found(look(load(str(toml)), "instance-dir-orphan")) == [("instance-dir-orphan", key)]
