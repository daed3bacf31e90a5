# SPDX-License-Identifier: Apache-2.0
"""Checks of what is left on hosts: found alone and confirmed; look-alikes are silent; a part that is not read is named.

The real command reads folders that stand in for hosts (:mod:`.host_trees`), and guests of libvirt's test driver.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits, findings, plans, snapshots
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import Exit, UsageError
from stackmend.model.finding import State
from stackmend.tables.outside.hosts import PARTS

from .host_plants import Scene
from .host_trees import HostTrees
from .test_host_checks import ALL, cases, said
from .test_host_checks import CHECKS as OF_GUESTS
from .trace_plants import LOOK_ALIKES, OF_WHOLE_HOSTS, PLANTS, left_hybrid, left_map, left_network, left_session
from .traced import Traced

_LABELS = {label for part in PARTS.values() for label in part.labels}
CHECKS = tuple(name for name, check in catalogue.outside_checks().items() if _LABELS & check.reads.keys())
#: a part, and what makes it unreadable on a host
CLOSED = {
    "links": "rm -rf $1/sys/class/net",
    "namespaces": "mkdir -p $1/run; rm -rf $1/run/netns; mkfifo $1/run/netns",
    "devices": "rm -rf $1/sys/block",
    "profiles": "rm $1/sys/kernel/security/apparmor/profiles",
    "directories": "rm -rf $1/var/lib/nova/instances",
}


@pytest.fixture
def traced(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traced:
    """The same cloud, with what is beside its guests."""
    trees = HostTrees(tmp_path / "trees")
    monkeypatch.setenv("PATH", trees.programs, prepend=":")
    return Traced(scene.cloud, scene.standing, trees).live()


@pytest.fixture
def patient(traced: Traced, tmp_path: Path) -> Config:
    """Its configuration: guests by libvirt, the rest by commands."""
    path = tmp_path / "stackmend.toml"
    mine = traced.cloud.toml().partition("[state]")[0]
    path.write_text(f'{mine}[state]\ndirectory = "{tmp_path}/state"\n{traced.standing.toml}{traced.trees.toml}')
    return load(str(path))


@pytest.fixture
def config(patient: Config, tmp_path: Path) -> Config:
    """The same, for findings that are reported when they are seen first."""
    path = tmp_path / "stackmend.toml"
    ages = "".join(f"[ages.{n}]\nseen = 0\n" for n, c in catalogue.outside_checks().items() if "seen" in c.ages)
    path.write_text(f"{path.read_text()}{ages}")
    return load(str(path))


def look(config: Config, *checks: str, **more: Any) -> Report:
    """An audit of all hosts, by these checks or all that read what is beside guests."""
    return audits.audit(config, checks=checks or CHECKS, settle=0, **{"outside": ALL, "young": True, **more})


def test_every_check_of_traces_is_rehearsed() -> None:
    """It has plants and look-alikes, each with a sentence."""
    assert set(PLANTS) == set(LOOK_ALIKES) == set(CHECKS)
    assert all(make.__doc__ for book in (PLANTS, LOOK_ALIKES) for some in book.values() for make in some)


def test_a_healthy_cloud_is_clean_and_each_host_is_visited_once(traced: Traced, config: Config) -> None:
    """Every check has an answer, of databases, guests, and what is beside them; one command a host."""
    report = audits.audit(config, settle=0, outside=ALL)
    assert said(report) == []
    assert set(report.checks) == {*catalogue.checks(), *CHECKS, *OF_GUESTS}
    assert sorted(traced.trees.commands()) == sorted(traced.standing.guests)


@pytest.mark.parametrize(("check", "make"), cases(PLANTS))
def test_what_is_left_is_found(traced: Traced, config: Config, check: str, make: Any) -> None:
    """It alone, by its key, confirmed by a second look; nothing is planned, and the way out names the host."""
    key = make(traced)
    report = look(config)
    assert said(report) == [(check, key)]
    (finding,) = report.findings
    assert finding.state is State.CONFIRMED
    assert "{" not in finding.message
    plan = plans.repair_plan(config, report)
    assert plan.actions == ()
    (left,) = plan.not_repaired
    assert "{" not in left.reason
    assert "None" not in left.reason


@pytest.mark.parametrize(("check", "make"), cases(LOOK_ALIKES))
def test_what_only_looks_left_is_not_found(traced: Traced, config: Config, check: str, make: Any) -> None:
    """No check says a word, and each has an answer."""
    del check
    make(traced)
    assert said(look(config)) == []


def test_all_of_it_at_once(traced: Traced, config: Config) -> None:
    """Every plant among all look-alikes that are not about a whole host: each is found once."""
    for alike in (one for some in LOOK_ALIKES.values() for one in some if one not in OF_WHOLE_HOSTS):
        alike(traced)
    expected = [(check, make(traced)) for check, some in PLANTS.items() for make in some]
    assert said(look(config)) == sorted(expected, key=repr)


# -- what cannot be read


@pytest.mark.parametrize("part", sorted(CLOSED))
def test_a_part_that_cannot_be_read_silences_its_own_checks(traced: Traced, config: Config, part: str) -> None:
    """They are incomplete by the name of that host, and no others; what they find on other hosts is found."""
    host = max(traced.standing.guests)
    keys = [("host-interface-orphan", left_hybrid(traced)), ("host-namespace-orphan", left_network(traced)),
            ("host-device-orphan", left_session(traced))]  # fmt: skip
    subprocess.run(["sh", "-c", CLOSED[part], "close", str(traced.trees.of(host).root)], check=True)
    report = look(config)
    concerned = {name for name in CHECKS if set(PARTS[part].labels) & catalogue.outside_checks()[name].reads.keys()}
    assert set(report.incomplete) == concerned
    assert all(f"{PARTS[part].what} of {host} could not be read" in why for why in report.incomplete.values())
    assert [(one.check, dict(one.key)) for one in report.findings] == sorted(keys, key=repr)
    assert {one.state for one in report.findings} == {State.CONFIRMED}


def test_without_the_program_that_says_what_is_open(traced: Traced, config: Config) -> None:
    """A host without dmsetup that has maps: nothing is said to be idle there, and why is said."""
    host = left_map(traced)["host"]
    traced.trees.of(host).program("dmsetup", "echo 'Permission denied' >&2; exit 1")
    report = look(config, "host-device-orphan")
    assert report.findings == ()
    assert f"block devices of {host} could not be read" in report.incomplete["host-device-orphan"]


def test_a_host_whose_guests_cannot_be_read(traced: Traced, config: Config) -> None:
    """What its guests use is unknown: nothing is said of it, and all of these checks are incomplete by its name."""
    key = left_hybrid(traced)
    traced.standing.file(key["host"]).unlink()
    report = look(config)
    assert report.findings == ()
    assert set(report.incomplete) == set(CHECKS)
    assert all(f"hypervisor {key['host']} could not be read" in why for why in report.incomplete.values())


def test_a_host_that_commands_do_not_reach(traced: Traced, config: Config) -> None:
    """Its guests were read by libvirt: the checks of guests are complete, the others are not, and both are named."""
    host = max(traced.standing.guests)
    traced.trees.of(host).root.rename(traced.trees.folder / "away")
    report = look(config, *CHECKS, "domain-undead")
    assert set(report.incomplete) == set(CHECKS)
    assert report.checks["domain-undead"].reason == ""
    assert all(host in why for why in report.incomplete.values())


def test_a_site_without_commands_on_hosts(traced: Traced, config: Config, tmp_path: Path) -> None:
    """Checks of guests are run as before; the others are not, which is said, with what to configure."""
    left_hybrid(traced)
    path = tmp_path / "stackmend.toml"
    path.write_text(path.read_text().replace('transport = "ssh"\n', ""))
    bare = load(str(path))
    report = audits.audit(bare, settle=0, outside=ALL)
    assert said(report) == []
    assert not set(CHECKS) & set(report.checks)
    (note,) = [note for note in report.notes if "host-interface-orphan" in note]
    assert "[hosts] transport" in note
    with pytest.raises(UsageError, match="host-interface-orphan needs more of hypervisors than is read"):
        look(bare, "host-interface-orphan")
    assert traced.trees.commands() == []


# -- what is to be done


def advice(config: Config, check: str) -> str:
    """What the plan says of its only finding."""
    (left,) = plans.repair_plan(config, look(config, check)).not_repaired
    return left.reason


def test_a_directory_of_a_resize_that_a_guest_uses_is_left_alone(traced: Traced, config: Config) -> None:
    """However the path to it is written in the guest's definition: the instances directory may be a link."""
    server = traced.server()
    traced.tree(server).directory(f"{server.uuid}_resize")
    traced.domain(server, disks=({"image": f"srv/nova/{server.uuid}_resize/disk", "serial": ""},))
    assert advice(config, "resize-disk-leftover").startswith("there is no repair for it: leave ")


def test_a_map_is_flushed_before_its_session_ends(traced: Traced, config: Config) -> None:
    """As os-brick does it: otherwise a map without paths is left, and what waits for it hangs."""
    left_session(traced)
    said = advice(config, "host-device-orphan")
    assert 0 < said.find("multipath -f") < said.find(" -u;") < said.find("-o delete")


def test_what_nova_compute_will_not_do_is_not_waited_for(traced: Traced, config: Config) -> None:
    """It ends the record of an evacuation only while there is such a server; salvage waits for that."""
    PLANTS["evacuated-source-not-cleaned"][1](traced)
    said = advice(config, "evacuated-source-not-cleaned")
    assert "never ends record" in said
    assert "salvage" not in said


# -- patience, snapshots


def test_what_may_just_have_been_plugged_waits(traced: Traced, patient: Config) -> None:
    """A device does not say how old it is: a first audit only suspects it."""
    key = left_hybrid(traced)
    report = look(patient)
    assert said(report) == []
    (young,) = report.young
    assert (young.check, dict(young.key)) == ("host-interface-orphan", key)


def test_what_is_gone_at_the_second_look_is_not_confirmed(traced: Traced, config: Config) -> None:
    """An agent that has not caught up removes it meanwhile."""
    key = left_network(traced)

    def mend(what: str, done: int, of: int | None) -> None:
        del done, of
        if what == "confirming":
            (traced.trees.of(key["host"]).root / "run/netns" / key["name"]).unlink(missing_ok=True)

    assert said(look(config, progress=mend)) == []


def test_a_snapshot_has_them(traced: Traced, config: Config, tmp_path: Path) -> None:
    """With what could not be read of them; another audit of it finds the same."""
    key, closed = left_network(traced), max(traced.standing.guests)
    (traced.trees.of(closed).root / "sys/block").rmdir()
    place, manifest = snapshots.create(config, into=str(tmp_path / "snapshot"), outside=ALL)
    assert set(manifest.failed()) == {f"host:{closed}/devices"}
    report = audits.audit(config, checks=CHECKS, snapshot=str(place))
    assert [(one.check, dict(one.key)) for one in report.findings] == [("host-namespace-orphan", key)]
    assert set(report.incomplete) == {"host-device-orphan", "multipath-paths-mixed"}


def test_on_the_screen(traced: Traced, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An audit of the area of hosts: the finding, the part that was not read by its host, and the exit code."""
    key, closed = left_session(traced), max(traced.standing.guests)
    (traced.trees.of(closed).root / "sys/block").rmdir()
    words = ("--config", str(tmp_path / "stackmend.toml"), "audit", "--area", "hosts", "--hosts", "--settle", "0")
    assert main(list(words)) == Exit.INCOMPLETE
    out, err = capsys.readouterr()
    assert key["name"] in out
    assert f"block devices of {closed} could not be read" in err
    assert [dict(one.key) for one in findings.list_findings(config)] == [key]
