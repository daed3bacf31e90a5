# SPDX-License-Identifier: Apache-2.0
"""Hypervisors as witnesses of what databases show: they support it, refute it, or say nothing, and bind the plan."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits, findings, plans, runs, snapshots
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import Exit, JournalError
from stackmend.model.finding import Finding, Says, State
from stackmend.model.journal import JournalEntry, RunResult
from stackmend.model.plan import Plan
from stackmend.model.step import Manual, Risk
from stackmend.report.findings import finding as shown
from stackmend_lab.plants.cinder import volume_in_use_server_gone, volume_stuck_detaching
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.nova import nova_bdm_cinder_detached, server_deleted_incompletely, server_wrong_host
from stackmend_lab.plants.nova.states import migration_stuck, resize_leftover
from stackmend_lab.plants.placement import allocation_orphan

from .host_plants import Scene
from .hypervisors import Guest

ALL = {"host": ("all",)}
WRONG, DETACHING, GONE, LOOSE = (
    "server-wrong-host", "volume-stuck-detaching", "volume-in-use-server-gone", "nova-bdm-cinder-detached",
)  # fmt: skip


@pytest.fixture
def config(scene: Scene, tmp_path: Path) -> Config:
    """Its configuration."""
    path = tmp_path / "stackmend.toml"
    mine = scene.cloud.toml().partition("[state]")[0]
    path.write_text(f'{mine}[state]\ndirectory = "{tmp_path}/state"\n{scene.standing.toml}')
    return load(str(path))


def look(config: Config, *checks: str, **more: Any) -> Report:
    """An audit that reads all hypervisors."""
    return audits.audit(config, checks=checks, settle=0, **{"outside": ALL, **more})


def only(report: Report) -> Finding:
    """The one finding, of a check with a full answer, whatever was read of hypervisors."""
    (found,) = report.findings
    assert report.checks[found.check].outcome is CheckOutcome.OK
    return found


def planned(config: Config, report: Report, **more: Any) -> Plan:
    """A plan for it that may write to the databases."""
    return plans.repair_plan(config, report, via="db", allow_db=True, **more)


def applied(config: Config, plan: Plan, folder: Path) -> RunResult:
    """Written to a file, read back and applied."""
    path = str(folder / "plan.json")
    plans.write(config, plan, path)
    return runs.apply(config, plans.read(config, path).plan, accept=("all",), filed=True)


def refused(plan: Plan) -> str:
    """Why nothing is planned for the only finding."""
    assert plan.actions == ()
    (left,) = plan.not_repaired
    return left.reason


def astray(scene: Scene) -> tuple[str, str, str]:
    """(a server, its host in Nova, on which its guest runs, the host that its ports and its allocation name)."""
    server = server_wrong_host.plant(scene.cloud)["server"]
    sql = "SELECT b.host FROM ml2_port_bindings b JOIN ports p ON p.id = b.port_id WHERE p.device_id = :u"
    (there,) = {row["host"] for row in scene.cloud.rows("neutron", sql, {"u": server})}
    (here,) = [host for host, guests in scene.standing.guests.items() if server in guests]
    assert here != there
    return server, here, there


def moved(scene: Scene, server: str, here: str, there: str) -> None:
    """Its guest runs on the other host."""
    scene.standing.put(there, scene.standing.drop(here, server))


def plugged(scene: Scene, server: str, volume: str) -> str:
    """The guest of the server has the volume as another disk; its host."""
    (host,) = [host for host, guests in scene.standing.guests.items() if server in guests]
    had = scene.standing.guests[host][server].disks
    scene.standing.change(host, server, disks=(*had, {"image": f"volumes/volume-{volume}", "serial": volume}))
    return host


# -- a server on the wrong host


def test_a_guest_on_the_host_that_nova_names_refutes_it(scene: Scene, config: Config, tmp_path: Path) -> None:
    """The finding is dropped, and it is said with what was seen; what is wrong instead is found, planned and mended."""
    server, here, there = astray(scene)
    report = look(config)
    assert WRONG not in {one.check for one in report.findings}
    (gone,) = report.dropped
    assert (gone.check, gone.resource_id) == (WRONG, server)
    (note,) = [note for note in report.notes if note.startswith("dropped: ")]
    assert f"its guest runs on {here}, as Nova says" in note
    assert f"on {here}, read at " in note
    assert f"on {there}, read at " in note
    assert f"no domain of server {server}" in note
    instead = {one.check for one in report.findings}
    assert {"port-binding-wrong-host", "allocation-wrong-provider"} <= instead
    plan = planned(config, report)
    assert {"rebind-port", "move-allocations"} <= {action.repair for action in plan.actions}
    assert applied(config, plan, tmp_path).failed == 0
    left = {one.check for one in look(config, WRONG, *sorted(instead)).findings}
    assert left <= {"attached-host-wrong"}  # which has no repair


def test_without_hypervisors_it_is_as_before(scene: Scene, config: Config) -> None:
    """The records alone have it on the other host; nothing is dropped and nothing was seen."""
    astray(scene)
    report = look(config, WRONG, outside={})
    assert (only(report).state, only(report).hosts, report.dropped) == (State.CONFIRMED, None, ())


def test_a_guest_on_the_other_host_supports_it(scene: Scene, config: Config, tmp_path: Path) -> None:
    """It says so; nobody has to look any more, as the plan is bound to what was seen, and it is mended."""
    server, here, there = astray(scene)
    before = planned(config, look(config, WRONG, outside={}))
    assert any(isinstance(step, Manual) for step in before.actions[0].steps)
    moved(scene, server, here, there)
    report = look(config, WRONG)
    found = only(report)
    assert found.hosts is not None
    assert (found.hosts.says, found.hosts.reason) == (Says.SUPPORTS, f"its guest runs on {there}")
    (action,) = planned(config, report).actions
    assert dict(action.seen) == {here: f"no domain of server {server}", there: "its domain is running"}
    assert not any(isinstance(step, Manual) for step in action.steps)
    assert any("The hypervisors say" in line for line in action.evidence)
    assert applied(config, planned(config, report), tmp_path).exit is Exit.REPAIRED
    assert look(config).findings == ()


def test_hypervisors_decide_where_records_do_not(scene: Scene, config: Config) -> None:
    """The records are divided, and nothing could be planned; the guest is seen on one of the two hosts."""
    server = server_wrong_host.all_three_columns(scene.cloud)["server"]
    assert "Check by hand" in refused(planned(config, look(config, WRONG, outside={})))
    report = look(config, WRONG)
    assert only(report).hosts is not None
    (action,) = planned(config, report).actions
    assert (action.repair, action.resource_id) == ("set-server-host", server)


def test_a_guest_that_runs_on_both_decides_nothing(scene: Scene, config: Config) -> None:
    """Neither record is right or wrong then: the finding stands, and the repair is refused."""
    server, here, there = astray(scene)
    scene.standing.put(there, scene.standing.guests[here][server])
    report = look(config, WRONG)
    found = only(report)
    assert found.hosts is not None
    assert (found.hosts.says, found.hosts.reason) == (
        Says.UNKNOWN, f"its guest runs on {' and '.join(sorted((here, there)))} at once",
    )  # fmt: skip
    assert "hypervisors forbid it" in refused(planned(config, report))


def test_a_guest_on_a_third_host(scene: Scene, config: Config) -> None:
    """Nova is wrong, and so are the others: it is on none of the hosts that records name."""
    server, here, there = astray(scene)
    third = next(host for host in sorted(scene.standing.guests) if host not in (here, there))
    moved(scene, server, here, third)
    report = look(config, WRONG)
    found = only(report)
    assert found.hosts is not None
    assert (found.hosts.says, found.hosts.reason) == (Says.SUPPORTS, f"its guest runs on {third}")
    assert f"runs on {third}, not on {there} alone" in refused(planned(config, report))


def test_the_absence_of_a_guest_decides_nothing(scene: Scene, config: Config) -> None:
    """No host has it: it may be off after a restart. The finding and its plan are as before."""
    server, here, _ = astray(scene)
    plain = planned(config, look(config, WRONG, outside={}))
    scene.standing.drop(here, server)
    report = look(config, WRONG)
    found = only(report)
    assert found.hosts is not None
    assert (found.state, found.hosts.says, found.hosts.reason) == (State.CONFIRMED, Says.UNKNOWN, "")
    plan = planned(config, report)
    assert [step.kind for step in plan.actions[0].steps] == [step.kind for step in plain.actions[0].steps]
    assert plan.actions[0].risk is plain.actions[0].risk is Risk.UNSAFE


def test_a_guest_that_is_off_is_no_proof(scene: Scene, config: Config) -> None:
    """It is defined on Nova's host alone: the finding is not dropped, and the record is not moved away from it."""
    server, here, there = astray(scene)
    scene.standing.change(here, server, state="shutoff")
    report = look(config, WRONG)
    assert only(report).hosts is not None
    assert f"is off, but defined on {here}, and not on {there}" in refused(planned(config, report))


# -- hosts that were not read


@pytest.mark.parametrize("which", ["here", "there"])
def test_a_host_that_fails_leaves_the_finding_as_it_was(scene: Scene, config: Config, which: str) -> None:
    """Neither dropped nor supported, and the check of databases is complete; why is said."""
    _, here, there = astray(scene)
    failed = {"here": here, "there": there}[which]
    scene.standing.file(failed).unlink()
    report = look(config, WRONG)
    found = only(report)
    assert found.hosts is not None
    assert (found.state, found.hosts.says, report.dropped) == (State.CONFIRMED, Says.UNKNOWN, ())
    assert any(line.startswith(f"{failed} could not be seen: ") for line in found.hosts.lines)


def test_a_look_at_some_hosts_refutes_nothing_of_others(scene: Scene, config: Config) -> None:
    """Its guest runs where Nova says, and perhaps on the other host as well, which nobody looked at."""
    _, here, there = astray(scene)
    report = look(config, WRONG, outside={"host": (here,)})
    found = only(report)
    assert found.hosts is not None
    assert found.hosts.says is Says.UNKNOWN
    assert found.hosts.reason.endswith(f"whether also on {there} is unknown")
    assert f"{there} could not be seen: it was not asked for" in found.hosts.lines


# -- the plan is bound to what was seen


def test_a_guest_that_moved_after_the_plan_stops_it(scene: Scene, config: Config, tmp_path: Path) -> None:
    """The hosts are asked again before anything is written: the repair is stale, and says what is different."""
    server, here, there = astray(scene)
    moved(scene, server, here, there)
    plan = planned(config, look(config, WRONG))
    moved(scene, server, there, here)
    before = scene.cloud.dump()
    result = applied(config, plan, tmp_path)
    assert (result.done, result.stale, result.exit) == (0, 1, Exit.STOPPED)
    assert f"hypervisor {here} showed when this was planned: no domain of server {server}" in result.notes[0]
    assert scene.cloud.dump() == before


def test_a_host_that_is_silent_by_then_stops_it(scene: Scene, config: Config, tmp_path: Path) -> None:
    """What the plan rests on cannot be seen any more."""
    server, here, there = astray(scene)
    moved(scene, server, here, there)
    plan = planned(config, look(config, WRONG))
    scene.standing.file(there).unlink()
    before = scene.cloud.dump()
    result = applied(config, plan, tmp_path)
    assert (result.done, result.stale) == (0, 1)
    assert f"it rests on what hypervisor {there} showed, which cannot be read now" in result.notes[0]
    assert scene.cloud.dump() == before


def test_where_no_hypervisor_can_be_asked_it_is_not_applied(scene: Scene, config: Config, tmp_path: Path) -> None:
    """A plan with witnesses is taken to a machine that has no way to them."""
    server, here, there = astray(scene)
    moved(scene, server, here, there)
    plan = planned(config, look(config, WRONG))
    result = applied(replace(config, libvirt=None), plan, tmp_path)
    assert (result.done, result.stale) == (0, 1)
    assert "no way to hypervisors is configured here" in result.notes[0]


def test_no_host_is_asked_because_a_file_names_it(scene: Scene, config: Config, tmp_path: Path) -> None:
    """A name in a plan file that is no host of this cloud becomes part of no address."""
    server, here, there = astray(scene)
    moved(scene, server, here, there)
    plan = planned(config, look(config, WRONG))
    (scene.standing.folder / "stranger.xml").write_text(scene.standing.file(there).read_text())
    (action,) = plan.actions
    forged = replace(plan, actions=(replace(action, seen={"stranger": "its domain is running"}),))
    result = applied(config, forged, tmp_path)
    assert (result.done, result.stale) == (0, 1)
    assert "hypervisor stranger showed, which cannot be read now: it was not asked" in result.notes[0]


class Dead(DatabaseJournal):
    """A journal whose disk is full once the run is recorded."""

    def note(self, run: str, entries: Sequence[JournalEntry]) -> None:
        """Nothing is written."""
        raise JournalError("the disk is full", "Make room.")


def test_a_run_that_is_resumed_looks_again(scene: Scene, config: Config, tmp_path: Path) -> None:
    """What it had not begun when it was cut off is not done, if the guest has moved since."""
    server, here, there = astray(scene)
    moved(scene, server, here, there)
    plan = planned(config, look(config, WRONG))
    plans.write(config, plan, path := str(tmp_path / "plan.json"))
    before = scene.cloud.dump()
    with pytest.raises(JournalError):
        runs.apply(config, plans.read(config, path).plan, accept=("all",), filed=True, make_journal=Dead)
    (run,) = runs.list_runs(config)
    moved(scene, server, there, here)
    result = runs.resume(config, run.id)
    assert (result.done, result.stale) == (0, 1)
    assert f"hypervisor {here} showed when this was planned" in result.notes[0]
    assert scene.cloud.dump() == before


# -- volumes


def test_a_disk_that_the_guest_still_has_is_not_taken_from_the_records(scene: Scene, config: Config) -> None:
    """Nova's mapping is gone and the guest writes to the volume, as if it never released the disk (Nova bug 1882521).

    Finishing the detach would make a volume free that is in use.
    """
    key = volume_stuck_detaching.mapping_gone(scene.cloud)
    host = plugged(scene, key["server"], key["volume"])
    report = look(config, DETACHING)
    found = only(report)
    assert found.hosts is not None
    assert found.hosts.reason == f"a guest that runs on {host} has the volume"
    why = refused(planned(config, report))
    assert f"domain {key['server']} on {host} runs and has volume {key['volume']}" in why


def test_a_guest_without_the_disk_supports_the_detach(scene: Scene, config: Config, tmp_path: Path) -> None:
    """It is said; whether it is done is still for the operator to consent to."""
    key = volume_stuck_detaching.mapping_gone(scene.cloud)
    report = look(config, DETACHING)
    found = only(report)
    assert found.hosts is not None
    assert found.hosts.says is Says.SUPPORTS
    assert "without the volume" in found.hosts.reason
    plan = planned(config, report)
    assert [(a.repair, a.resource_id) for a in plan.actions] == [("detach-volume", key["volume"])]
    assert len(plan.unconsented(())) == 1
    assert applied(config, plan, tmp_path).exit is Exit.REPAIRED


def test_a_disk_plugged_after_the_plan_stops_it(scene: Scene, config: Config, tmp_path: Path) -> None:
    """The databases are as they were; the guest has the disk again."""
    key = volume_stuck_detaching.mapping_gone(scene.cloud)
    plan = planned(config, look(config, DETACHING))
    plugged(scene, key["server"], key["volume"])
    before = scene.cloud.dump()
    result = applied(config, plan, tmp_path)
    assert (result.done, result.stale) == (0, 1)
    assert f"without volume {key['volume']}" in result.notes[0]
    assert scene.cloud.dump() == before


def test_a_disk_of_a_domain_that_is_off_stops_nothing(scene: Scene, config: Config) -> None:
    """It is defined anew from Nova's records when it is started: nobody writes to the volume."""
    key = volume_stuck_detaching.mapping_gone(scene.cloud)
    host = plugged(scene, key["server"], key["volume"])
    scene.standing.change(host, key["server"], state="shutoff")
    report = look(config, DETACHING)
    assert only(report).hosts is not None
    assert len(planned(config, report).actions) == 1


def test_a_mapping_is_kept_while_the_guest_has_the_disk(scene: Scene, config: Config) -> None:
    """Somebody reset the attachment in Cinder under a guest that runs."""
    key = nova_bdm_cinder_detached.plant(scene.cloud)
    assert len(planned(config, look(config, LOOSE)).actions) == 1
    plugged(scene, key["server"], key["volume"])
    assert "hypervisors forbid it" in refused(planned(config, look(config, LOOSE)))


def test_a_guest_of_a_deleted_server_keeps_its_volume(scene: Scene, config: Config) -> None:
    """The server's row is gone; its guest runs on a host that no record names, with the disk."""
    key = volume_in_use_server_gone.plant(scene.cloud)
    row = scene.cloud.rows(
        "cinder", "SELECT instance_uuid FROM volume_attachment WHERE volume_id = :v AND deleted = 0",
        {"v": key["volume"]},
    )  # fmt: skip
    assert len(planned(config, look(config, GONE, about=(key["volume"],))).actions) == 1
    host = max(scene.standing.guests)
    disk = {"image": f"volumes/volume-{key['volume']}", "serial": key["volume"]}
    scene.standing.put(host, Guest(uuid=row[0]["instance_uuid"], disks=(disk,)))
    report = look(config, GONE, about=(key["volume"],))
    found = only(report)
    assert found.hosts is not None
    assert any(line.startswith(f"on {host}, read at ") for line in found.hosts.lines)
    assert f"on {host} runs and has volume {key['volume']}" in refused(planned(config, report))


# -- what else is left alone while a guest runs


@pytest.mark.parametrize(
    ("check", "plant", "repair"),
    [
        ("port-without-server", port_without_server.plant, "release-leftover-port"),
        ("allocation-orphan", allocation_orphan.plant, "delete-allocations"),
        ("server-deleted-incompletely", server_deleted_incompletely.plant, "finish-deletion"),
        ("migration-stuck", migration_stuck.plant, "end-migration"),
        ("resize-leftover", resize_leftover.plant, "clear-resize-leftover"),
    ],
)
def test_records_of_a_guest_that_runs_elsewhere_are_kept(
    scene: Scene, config: Config, check: str, plant: Any, repair: str
) -> None:
    """The server is gone, or has moved, according to every record; its guest runs on a host that none of them names."""
    plant(scene.cloud)
    report = look(config, check, outside={})
    found = only(report)
    (action,) = planned(config, report, repairs=(repair,)).actions
    assert action.repair == repair
    server = str(found.evidence.get("server") or found.evidence["consumer"])
    for host, guests in scene.standing.guests.items():
        if server in guests:
            scene.standing.drop(host, server)
    host = next(h for h in sorted(scene.standing.guests) if h not in found.evidence.values())
    scene.standing.put(host, Guest(uuid=server))
    why = refused(planned(config, look(config, check), repairs=(repair,)))
    assert f"hypervisors forbid it: the guest of server {server} runs on {host}" in why


def test_a_port_that_a_guest_wears_is_not_deleted(scene: Scene, config: Config) -> None:
    """Whoever the guest is: its server may be another than the port names."""
    key = port_without_server.plant(scene.cloud)
    host = max(scene.standing.guests)
    name = str(uuid.uuid4())
    scene.standing.put(host, Guest(uuid=name, nics=({"mac": "fa:16:3e:00:00:01", "port": key["port"]},)))
    why = refused(planned(config, look(config, "port-without-server")))
    assert f"domain {name} on {host} runs and has port {key['port']} as a NIC" in why


# -- what people and machines read


def test_what_was_seen_is_on_the_page_of_the_finding(scene: Scene, config: Config) -> None:
    """With its time; the last audit keeps it."""
    server, here, there = astray(scene)
    moved(scene, server, here, there)
    look(config)
    found = next(one for one in findings.list_findings(config) if one.check == WRONG)
    text = shown(found).text
    assert f"hypervisors show it: its guest runs on {there}" in text
    assert f"on {there}, read at 2" in text
    assert " UTC: its domain is running" in text
    document = json.loads(json.dumps(found.as_dict()))
    assert document["hosts"]["says"] == "supports"
    assert len(document["hosts"]["seen"]) == 2


def test_a_snapshot_bears_the_same_witness(scene: Scene, config: Config, tmp_path: Path) -> None:
    """What it has of the hypervisors refutes, or supports, what it has of the databases."""
    server, here, there = astray(scene)
    key = volume_stuck_detaching.mapping_gone(scene.cloud)
    plugged(scene, key["server"], key["volume"])
    folder, _ = snapshots.create(config, into=str(tmp_path / "one"), outside=ALL)
    report = audits.audit(config, checks=(WRONG, DETACHING), snapshot=str(folder))
    assert [one.check for one in report.dropped] == [WRONG]
    (found,) = report.findings
    assert found.hosts is not None
    assert (found.check, found.hosts.says) == (DETACHING, Says.SUPPORTS)
    assert "has the volume" in found.hosts.reason
    moved(scene, server, here, there)
    folder, _ = snapshots.create(config, into=str(tmp_path / "two"), outside=ALL)
    report = audits.audit(config, checks=(WRONG,), snapshot=str(folder))
    assert [one.hosts and one.hosts.says for one in report.findings] == [Says.SUPPORTS]
