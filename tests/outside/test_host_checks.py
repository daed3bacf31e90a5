# SPDX-License-Identifier: Apache-2.0
"""Checks of databases and hypervisors together: what is broken is found alone and confirmed, look-alikes are not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits, findings, plans, snapshots
from stackmend.config.settings import Config, load
from stackmend.drivers.hosts.transport import Routes
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import Report
from stackmend.model.errors import ConfigError, Exit, UsageError
from stackmend.model.finding import State
from stackmend.tables.outside.hosts import PARTS

from .host_plants import (
    LOOK_ALIKES,
    PLANTS,
    Scene,
    defined_elsewhere,
    evacuated,
    runs_elsewhere,
    shut_off,
    twice,
    undefined,
)
from .hypervisors import Guest

#: those that need more than guests are in test_trace_checks.py
_MORE = {label for part in PARTS.values() for label in part.labels}
CHECKS = tuple(
    name
    for name, check in catalogue.outside_checks().items()
    if "host_domains" in check.reads and not _MORE & check.reads.keys()
)
ALL = {"host": ("all",)}


@pytest.fixture
def patient(scene: Scene, tmp_path: Path) -> Config:
    """Its configuration."""
    path = tmp_path / "stackmend.toml"
    mine = scene.cloud.toml().partition("[state]")[0]
    path.write_text(f'{mine}[state]\ndirectory = "{tmp_path}/state"\n{scene.standing.toml}')
    return load(str(path))


@pytest.fixture
def config(patient: Config, tmp_path: Path) -> Config:
    """The same, for findings that are reported when they are seen first."""
    path = tmp_path / "stackmend.toml"
    path.write_text(f"{path.read_text()}[ages.server-power-state-drift]\nseen = 0\n")
    return load(str(path))


def look(config: Config, *checks: str, **more: Any) -> Report:
    """An audit of all hypervisors as the command makes it, by these checks or all that read them."""
    return audits.audit(config, checks=checks or CHECKS, settle=0, **{"outside": ALL, "young": True, **more})


def said(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """(check, key) of each finding; every check must have an answer."""
    assert report.incomplete == {}
    return sorted(((one.check, dict(one.key)) for one in report.findings), key=repr)


def cases(book: Any) -> list[Any]:
    """A parameter a case."""
    return [pytest.param(check, make, id=f"{check}:{make.__name__}") for check, some in book.items() for make in some]


def test_every_check_of_hypervisors_is_rehearsed() -> None:
    """It has plants and look-alikes, each with a sentence."""
    assert set(PLANTS) == set(LOOK_ALIKES) == set(CHECKS)
    assert all(make.__doc__ for book in (PLANTS, LOOK_ALIKES) for some in book.values() for make in some)


def test_a_healthy_cloud_is_clean(scene: Scene, config: Config) -> None:
    """Every check of databases and of hypervisors has an answer, and nothing is found."""
    report = audits.audit(config, settle=0, outside=ALL)
    assert said(report) == []
    assert set(report.checks) == {*catalogue.checks(), *CHECKS}
    assert {s.database for s in report.manifest.sources if s.outside} == {f"host:{h}" for h in scene.standing.guests}


@pytest.mark.parametrize(("check", "make"), cases(PLANTS))
def test_what_is_broken_is_found(scene: Scene, config: Config, check: str, make: Any) -> None:
    """It alone, by its key, confirmed by a second look; the sentence and the way out name the objects."""
    key = make(scene)
    report = look(config)
    assert said(report) == [(check, key)]
    (finding,) = report.findings
    assert finding.state is State.CONFIRMED
    assert "{" not in finding.message
    assert report.exit is Exit.FINDINGS
    plan = plans.repair_plan(config, report)
    assert plan.actions == ()
    (left,) = plan.not_repaired
    assert key["server"] in left.reason
    assert "{" not in left.reason


@pytest.mark.parametrize(("check", "make"), cases(LOOK_ALIKES))
def test_what_only_looks_broken_is_not_found(scene: Scene, config: Config, check: str, make: Any) -> None:
    """No check says a word, and each has an answer."""
    del check
    make(scene)
    assert said(look(config)) == []


def test_all_of_it_at_once(scene: Scene, config: Config) -> None:
    """Every plant among all look-alikes, on servers of their own: each is found once, nothing else."""
    for some in LOOK_ALIKES.values():
        for alike in some:
            alike(scene)
    expected = [(check, make(scene)) for check, some in PLANTS.items() for make in some]
    assert said(look(config)) == sorted(expected, key=repr)


# -- hosts that cannot be read


def test_a_host_that_does_not_answer_is_named_and_nothing_is_missing_there(scene: Scene, config: Config) -> None:
    """Its servers are not called lost; the checks are incomplete, by its name; what is wrong elsewhere is found."""
    key = undefined(scene)
    there = next(host for host in scene.standing.guests if _far(scene, host, key["server"]))
    scene.standing.file(there).unlink()
    report = look(config)
    assert [(one.check, dict(one.key)) for one in report.findings] == [("server-active-domain-missing", key)]
    assert set(report.incomplete) == set(CHECKS)
    assert all(f"hypervisor {there} could not be read" in why for why in report.incomplete.values())
    assert report.exit is Exit.INCOMPLETE


def _far(scene: Scene, host: str, server: str) -> bool:
    """Whether the server is on another host."""
    sql, cells = (
        "SELECT host FROM instances WHERE uuid = :u",
        [d for d in scene.cloud.databases if d.startswith("cell:")],
    )
    return [row["host"] for cell in cells for row in scene.cloud.rows(cell, sql, {"u": server})] != [host]


def test_no_host_answers(scene: Scene, config: Config) -> None:
    """No check has an answer, and nothing is found; checks of databases are not concerned."""
    for host in scene.standing.guests:
        scene.standing.file(host).unlink()
    report = audits.audit(config, checks=(*CHECKS, "allocation-orphan"), settle=0, outside=ALL)
    assert report.findings == ()
    assert set(report.incomplete) == set(CHECKS)
    assert report.checks["allocation-orphan"].reason == ""


@contextmanager
def unread(scene: Scene, database: str) -> Iterator[None]:
    """This database cannot be read meanwhile."""
    file = Path(scene.cloud.databases[database].removeprefix("sqlite:///"))
    file.rename(file.with_suffix(".away"))
    try:
        yield
    finally:
        file.with_suffix(".away").rename(file)


def test_a_cell_that_cannot_be_read_makes_nobody_undead(scene: Scene, config: Config) -> None:
    """Evidence rule R2: whose a domain is, only all cells together say."""
    with unread(scene, "cell:cell2"):
        report = look(config)
    assert report.findings == ()
    assert "domain-undead" in report.incomplete


def test_a_migration_in_a_cell_that_cannot_be_read_is_no_second_copy(scene: Scene, config: Config) -> None:
    """Its rows say that the server is on its way; who cannot see them must not tell anybody to suspend either copy."""
    server = next(s for s in iter(scene.server, None) if s.database == "cell:cell2")
    other = scene.copied(server, state="paused")
    with unread(scene, "cell:cell2"):
        report = look(config, outside={"host": (str(server.host), other)})
    assert {s.database for s in report.manifest.sources if s.outside and not s.error} == {
        f"host:{server.host}", f"host:{other}"
    }  # fmt: skip
    assert report.findings == ()
    assert "domain-on-two-hosts" in report.incomplete


def test_two_copies_are_found_whatever_other_cells_say(scene: Scene, config: Config) -> None:
    """The cell of that server can be read, and another cannot."""
    server = next(s for s in iter(scene.server, None) if s.database == "cell:cell1")
    other = scene.copied(server)
    with unread(scene, "cell:cell2"):
        report = look(config, outside={"host": (str(server.host), other)})
    assert [(one.check, dict(one.key)) for one in report.findings] == [("domain-on-two-hosts", {"server": server.uuid})]


# -- which are asked


def test_only_the_named_hosts_are_read(scene: Scene, config: Config) -> None:
    """What is wrong on another is not looked for, and nothing there is called missing."""
    key = twice(scene)
    other = sorted(scene.standing.guests)[-1]
    report = look(config, outside={"host": (other,)})
    assert key["server"] not in {*scene.standing.guests[other]}
    assert said(report) == []
    assert {s.database for s in report.manifest.sources if s.outside} == {f"host:{other}"}


def advice(config: Config, report: Report) -> str:
    """The way out of its only finding, as a plan shows it."""
    (left,) = plans.repair_plan(config, report).not_repaired
    return left.reason


def test_what_a_host_that_is_not_read_may_have_is_not_started_again(scene: Scene, config: Config) -> None:
    """The server's own host was read alone: whether the guest runs on another is to be seen before it is started."""
    server = scene.server()
    scene.standing.put(scene.other(server), scene.drop(server))
    report = look(config, outside={"host": (str(server.host),)})
    assert said(report) == [("server-active-domain-missing", {"server": server.uuid})]
    words = advice(config, report)
    assert "every other hypervisor" in words
    assert words.index("every other hypervisor") < words.index("reboot --hard")


@pytest.mark.parametrize("fled", [False, True])
def test_the_only_guest_that_was_seen_is_no_leftover(scene: Scene, config: Config, fled: bool) -> None:
    """The server's own host was not read: the guest elsewhere may be all there is, and nobody is to destroy it."""
    server = scene.server()
    host = scene.other(server)
    scene.standing.put(host, scene.drop(server))
    if fled:
        scene.move(server, source_compute=host, dest_compute=server.host, migration_type="evacuation", status="done")
    report = look(config, outside={"host": (host,)})
    assert said(report) == [("domain-undead", {"server": server.uuid, "host": host})]
    (finding,) = report.findings
    assert f"no copy was seen running on {server.host}" in finding.message
    words = advice(config, report)
    assert "do not destroy it" in words
    assert "virsh destroy" not in words
    assert "start nova-compute" not in words


def test_a_host_that_is_down_leaves_findings_on_others_confirmed(scene: Scene, config: Config) -> None:
    """One guest's server is on it: this is said of that guest, and what is wrong elsewhere is as sure as before."""
    server = scene.server()
    down = str(server.host)
    here = scene.other(server)
    scene.standing.put(here, scene.drop(server))
    scene.standing.put(here, Guest(uuid=(nobodys := str(uuid.uuid4()))))
    scene.standing.file(down).unlink()
    report = look(config, "domain-undead")
    assert sorted((str(one.key["server"]), one.evidence["code"]) for one in report.findings) == sorted(
        [(server.uuid, "alone"), (nobodys, "unknown")]
    )
    assert {one.state for one in report.findings} == {State.CONFIRMED}
    assert f"hypervisor {down} could not be read" in report.incomplete["domain-undead"]
    assert "second read" not in report.incomplete["domain-undead"]


def test_a_guest_that_runs_beside_its_servers_own_is_not_to_be_destroyed(scene: Scene, config: Config) -> None:
    """A move failed after the guest had moved: the one on its own host is only defined, and the data are elsewhere."""
    key = runs_elsewhere(scene)
    words = advice(config, report := look(config))
    assert [dict(one.key) for one in report.findings] == [key]
    assert "do not destroy it" in words
    assert "virsh destroy" not in words


def test_what_an_evacuation_left_may_have_the_only_data(scene: Scene, config: Config) -> None:
    """nova-compute destroys the disks of its copy as well, unless they are shared with the new host."""
    host = evacuated(scene)["host"]
    words = advice(config, look(config))
    assert f"if its disks are on {host} itself, copy what its owner may need" in words
    assert words.index("copy what") < words.index("restart nova-compute")


def test_an_old_definition_is_no_reason_to_correct_the_host(scene: Scene, config: Config) -> None:
    """The record is corrected once the disks are known to be there, not because something is defined there."""
    defined_elsewhere(scene)
    words = advice(config, look(config))
    assert words.index("which of") < words.index("has its disks") < words.index("set-host")


def test_what_is_on_a_host_that_is_not_read_is_not_gone(scene: Scene, config: Config) -> None:
    """An audit of one hypervisor leaves the findings of others in the list, and their history as it was."""
    key = undefined(scene)
    assert said(look(config)) == [("server-active-domain-missing", key)]
    there = next(host for host in scene.standing.guests if _far(scene, host, key["server"]))
    assert said(look(config, outside={"host": (there,)})) == []
    assert [dict(one.key) for one in findings.list_findings(config)] == [key]
    scene.standing.of(scene.cloud)
    assert said(look(config)) == []
    assert findings.list_findings(config) == ()


def test_a_host_that_nova_does_not_know(config: Config) -> None:
    """It is said before anything is read."""
    with pytest.raises(UsageError, match="Nova knows no hypervisor c9"):
        look(config, outside={"host": ("c9",)})


def test_without_hosts_such_checks_are_not_run_and_that_is_said(scene: Scene, config: Config) -> None:
    """The audit of the databases is as before; a note names what was not looked for, and the option."""
    undefined(scene)
    report = audits.audit(config, settle=0)
    assert said(report) == []
    assert set(report.checks) == set(catalogue.checks())
    (note,) = [note for note in report.notes if "--hosts" in note]
    assert "domain-undead" in note
    with pytest.raises(UsageError, match="domain-undead needs hypervisors"):
        audits.audit(config, checks=("domain-undead",), settle=0)


def test_a_site_without_a_way_to_hosts(scene: Scene, tmp_path: Path) -> None:
    """It is told what to configure when it asks, and is not told about checks that it cannot run."""
    path = tmp_path / "bare.toml"
    path.write_text(scene.cloud.toml().partition("[state]")[0] + f'[state]\ndirectory = "{tmp_path}/state"\n')
    with pytest.raises(ConfigError, match="no way to hypervisors is configured"):
        look(load(str(path)))
    assert not any("--hosts" in note for note in audits.audit(load(str(path)), settle=0).notes)


# -- snapshots, patience


def test_a_snapshot_has_them(scene: Scene, config: Config, tmp_path: Path) -> None:
    """Made with --hosts, it is audited for the same; without, such checks are not run."""
    key = undefined(scene)
    bare, _ = snapshots.create(config, into=str(tmp_path / "bare"))
    full, manifest = snapshots.create(config, into=str(tmp_path / "full"), outside=ALL)
    assert manifest.failed() == {}
    assert said(audits.audit(config, snapshot=str(full))) == [("server-active-domain-missing", key)]
    assert said(audits.audit(config, snapshot=str(bare))) == []
    with pytest.raises(UsageError, match="needs hypervisors"):
        audits.audit(config, checks=("domain-undead",), snapshot=str(bare))


def test_a_state_that_nova_may_mend_itself_is_reported_when_it_stays(scene: Scene, patient: Config) -> None:
    """A first audit only suspects it: a domain does not say since when it is off."""
    key = shut_off(scene)
    report = look(patient)
    assert said(report) == []
    (young,) = report.young
    assert (young.check, dict(young.key)) == ("server-power-state-drift", key)
    assert "20 min" in young.unsure


def test_it_is_reported_once_audits_have_seen_it_for_long_enough(scene: Scene, patient: Config, tmp_path: Path) -> None:
    """The time is counted from the first of them, without interruption; healed meanwhile, it begins again."""
    path = tmp_path / "stackmend.toml"
    path.write_text(f"{path.read_text()}[ages.server-power-state-drift]\nseen = 2\n")
    config = load(str(path))
    key = shut_off(scene)
    assert said(look(config)) == []
    time.sleep(2.1)
    assert said(look(config)) == [("server-power-state-drift", key)]


def test_without_a_journal_nothing_is_old_enough(scene: Scene, patient: Config, tmp_path: Path) -> None:
    """A history that cannot be read does not make a suspicion a finding; others are reported, and it is said."""
    shut_off(scene)
    key = undefined(scene)
    (tmp_path / "blocked").write_text("no folder")
    report = look(replace(patient, state=tmp_path / "blocked"))
    assert said(report) == [("server-active-domain-missing", key)]
    assert [one.check for one in report.young] == ["server-power-state-drift"]
    assert any("history of findings is not available" in note for note in report.notes)


def test_one_address_for_all_hosts_is_refused(config: Config) -> None:
    """Every guest would seem to run on each of them."""
    with pytest.raises(ConfigError, match=r"the same for c0001, c0002, c0003: it has no \{host\}"):
        look(replace(config, libvirt="qemu:///system"))


def test_two_names_of_this_machine_are_refused(config: Config) -> None:
    """Likewise, where commands run here."""
    with pytest.raises(ConfigError, match="c0001, c0002 are all this machine"):
        look(replace(config, libvirt=None, routes=Routes(local=frozenset({"c0001", "c0002"}))))


def test_without_the_library(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said once, and what to install."""
    monkeypatch.setitem(__import__("sys").modules, "libvirt", None)
    with pytest.raises(ConfigError, match="libvirt-python is not installed"):
        look(config)


def test_what_changes_between_the_looks_is_not_confirmed(scene: Scene, config: Config) -> None:
    """The second look is at the hypervisor as it is by then."""
    before = {host: dict(guests) for host, guests in scene.standing.guests.items()}
    undefined(scene)

    def mend(what: str, done: int, of: int | None) -> None:
        del done, of
        if what == "confirming":
            for host, guests in before.items():
                scene.standing.put(host, *guests.values())

    assert said(look(config, progress=mend)) == []
