# SPDX-License-Identifier: Apache-2.0
"""Evacuation: what proves that a host is dead, what is lost by it, and that every server is whole where it arrives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit, UsageError
from stackmend.model.plan import Plan
from stackmend.model.step import ApiCall, Manual, Risk, StepState

from .losing import Desk, Losing, Shell, lane

DEAD, OTHER, THIRD = "c01", "c02", "c03"


@pytest.fixture
def cloud() -> Losing:
    """Three hosts, of which the first will die."""
    made = Losing()
    for name in (DEAD, OTHER, THIRD):
        made.host(name)
    return made


@pytest.fixture
def desk(cloud: Losing, tmp_path: Path) -> Desk:
    """A desk with an empty journal."""
    return Desk(cloud, tmp_path)


def evacuate(desk: Desk, **more: Any) -> Plan:
    """The plan, on the operator's word."""
    return desk.plan("evacuate-host", **{"host": DEAD, "fenced": True, **more})


def refused(plan: Plan) -> str:
    """Why the whole may not be begun."""
    assert plan.actions == ()
    return plan.not_repaired[0].reason


def manual(plan: Plan, server: str) -> str:
    """What is printed of a server that is left."""
    action = lane(plan, server)
    assert action.risk is Risk.MANUAL
    assert not action.runnable
    return " ".join(step.text for step in action.steps if isinstance(step, Manual))


def operations(plan: Plan, server: str) -> list[str]:
    """Names of the calls of its lane."""
    return [step.operation for step in lane(plan, server).steps if isinstance(step, ApiCall)]


# -- the proof of death


def test_a_host_that_is_up_is_refused(desk: Desk, cloud: Losing) -> None:
    """Its servers can be drained."""
    cloud.server("db")
    assert "is up: servers of a host that lives are moved by 'stackmend host drain c01'" in refused(evacuate(desk))


def test_machines_of_ironic_are_not_evacuated(desk: Desk, cloud: Losing) -> None:
    """They run on without the nova-compute that speaks for them."""
    cloud.server("db")
    cloud.die(DEAD)
    cloud.kind = "ironic"
    assert "a server there is a machine of its own" in refused(evacuate(desk))


def test_forced_down_is_no_proof_while_it_reports(desk: Desk, cloud: Losing) -> None:
    """Somebody has called it down, and it lives."""
    cloud.server("db")
    cloud.die(DEAD, ago=5)
    cloud.services[DEAD]["forced_down"] = True
    assert "its nova-compute may live: it reported, or was changed, 5 s ago" in refused(evacuate(desk))
    cloud.clock.sleep(120)
    assert evacuate(desk).runnable


def test_without_fence_nothing_is_begun(desk: Desk, cloud: Losing) -> None:
    """Neither a hook nor a word: a guest may still write."""
    cloud.server("db")
    cloud.die(DEAD)
    assert "nothing says that c01 is cut off" in refused(evacuate(desk, fenced=False))
    assert cloud.sent == []


def test_the_hook_fences_first_and_the_word_is_kept(desk: Desk, cloud: Losing) -> None:
    """The hook is the first lane, and what comes after it waits; the operator's word is a fact of the plan."""
    cloud.server("db")
    cloud.die(DEAD)
    assert evacuate(desk).facts["fenced"] == "by the operator's word (--fenced)"
    desk.settings["hooks.fence"] = ("fence", "{host}")
    plan = evacuate(desk, fenced=False)
    assert (plan.actions[0].stage, plan.actions[0].required) == (0, True)
    assert desk.run(plan).exit is Exit.REPAIRED
    assert desk.hook.ran == [("fence", DEAD)]


def test_a_fence_that_fails_stops_everything(desk: Desk, cloud: Losing) -> None:
    """The host may still run."""
    server = cloud.server("db")
    cloud.die(DEAD)
    desk.settings["hooks.fence"] = ("fence", "{host}")
    desk.hook.ends = StepState.FAILED
    result = desk.run(evacuate(desk, fenced=False))
    assert result.exit is Exit.STOPPED
    assert cloud.sent == []
    assert cloud.state(server) == (DEAD, "active")


def test_by_word_there_is_a_gate_where_gates_are_wanted(desk: Desk, cloud: Losing) -> None:
    """Nobody is there to acknowledge it: nothing is sent."""
    cloud.server("db")
    cloud.die(DEAD)
    result = desk.run(desk.plan("evacuate-host", host=DEAD, fenced=True, gates=True))
    assert (result.done, cloud.sent) == (0, [])


def test_a_host_that_reports_again_after_the_plan_is_left_alone(desk: Desk, cloud: Losing) -> None:
    """Its heartbeat has moved: the lane that declares it down fails, and nothing later is begun."""
    server = cloud.server("db")
    cloud.die(DEAD)
    plan = evacuate(desk)
    cloud.services[DEAD] |= {"updated_at": "2026-11-21T03:00:30.000000"}
    result = desk.run(plan)
    assert (result.failed, result.exit) == (1, Exit.STOPPED)
    assert cloud.sent == []
    assert cloud.state(server) == (DEAD, "active")


def test_a_host_that_comes_back_in_the_middle_stops_the_rest(desk: Desk, cloud: Losing) -> None:
    """Servers that were not asked for yet are stale: they may run there again."""
    servers = [cloud.server(f"s{n}") for n in range(4)]
    cloud.die(DEAD)
    plan = desk.plan("evacuate-host", host=DEAD, fenced=True, parallel=1)
    at = cloud.clock.now() + timedelta(seconds=12)
    cloud.tasks.append((at, lambda: cloud.services[DEAD].update(updated_at="2026-11-21T03:00:12.000000")))
    cloud.slow = 15
    result = desk.run(plan)
    assert result.stale >= 2
    assert [cloud.state(s)[0] for s in servers].count(DEAD) == result.stale


# -- the whole


def test_every_server_arrives_whole_and_runs_as_before(desk: Desk, cloud: Losing) -> None:
    """Those that ran are started after 2.95 has left them stopped, the stopped one stays so; each is asked for once."""
    ran = [cloud.server(f"s{n}") for n in range(3)]
    off = cloud.server("off", **{"OS-EXT-STS:vm_state": "stopped", "OS-EXT-STS:power_state": 4})
    cloud.die(DEAD)
    plan = evacuate(desk, to=OTHER)
    result = desk.run(plan)
    assert (result.exit, result.failed) == (Exit.REPAIRED, 0), result.notes
    assert {cloud.state(server) for server in ran} == {(OTHER, "active")}
    assert cloud.state(off) == (OTHER, "stopped")
    assert cloud.living[OTHER] == set(ran)
    assert sum("'evacuate'" in one for one in cloud.sent) == 4
    assert cloud.services[DEAD]["forced_down"]
    # Nova keeps what they hold of the old host until it comes back
    assert all(held == {DEAD, OTHER} for held in cloud.allocations.values())


def test_an_old_cloud_keeps_servers_running(desk: Desk, cloud: Losing) -> None:
    """Before 2.95 nothing has to be started, and the plan does not ask for it."""
    cloud.highest = "2.90"
    server = cloud.server("db")
    cloud.die(DEAD)
    plan = evacuate(desk)
    assert operations(plan, server) == ["leave-dead-host", "await-whole"]
    assert desk.run(plan).exit is Exit.REPAIRED
    assert cloud.state(server)[1] == "active"


def test_what_ran_is_left_stopped_where_that_is_wanted(desk: Desk, cloud: Losing) -> None:
    """By --no-start."""
    server = cloud.server("db")
    cloud.die(DEAD)
    assert desk.run(evacuate(desk, start=False)).exit is Exit.REPAIRED
    assert cloud.state(server)[1] == "stopped"


def test_the_plan_tells_what_to_do_when_the_host_returns(desk: Desk, cloud: Losing) -> None:
    """As its last words, and as a fact."""
    cloud.server("db")
    cloud.die(DEAD)
    plan = evacuate(desk)
    last = plan.actions[-1]
    assert not last.runnable
    assert "keep it fenced" in str(plan.facts["when_it_returns"])
    assert "stackmend host return c01" in " ".join(s.text for s in last.steps if isinstance(s, Manual))


def test_limits_hold_for_each_destination_and_each_group(desk: Desk, cloud: Losing) -> None:
    """Two at a time to one host; of a server group one at a time, for its policy is checked late."""
    for number in range(4):
        cloud.server(f"s{number}")
    cloud.die(DEAD)
    desk.run(evacuate(desk, to=OTHER, parallel=4, per_slot=2))
    assert cloud.most == 2
    grouped = Losing()
    for name in (DEAD, OTHER, THIRD):
        grouped.host(name)
    grouped.groups["g"] = [grouped.server(f"s{number}") for number in range(3)]
    grouped.die(DEAD)
    other = Desk(grouped, desk.folder / "..", hook=desk.hook)
    other.folder = desk.folder / "other"
    other.folder.mkdir()
    assert other.run(evacuate(other)).failed == 0
    assert grouped.most == 1


def test_a_server_without_room_fails_alone(desk: Desk, cloud: Losing) -> None:
    """Nova finds no host: the server is as it was, and the reason is told."""
    server = cloud.server("db")
    cloud.die(DEAD)
    plan = evacuate(desk, to=OTHER)
    cloud.full.add(OTHER)
    result = desk.run(plan)
    assert (result.failed, result.exit) == (1, Exit.STOPPED)
    assert "evacuation error" in " ".join(result.notes)
    cloud.full.clear()
    # whether the change just now was a report nobody can tell without databases
    assert "try again in a minute" in refused(evacuate(desk, to=OTHER))
    cloud.clock.sleep(60)
    # a new plan knows the evacuation that came to nothing
    assert desk.run(evacuate(desk, to=OTHER)).failed == 0
    assert cloud.state(server) == (OTHER, "active")


def test_an_evacuation_under_way_is_waited_for(desk: Desk, cloud: Losing) -> None:
    """Whoever asked for it: it is not asked for twice."""
    server = cloud.server("db")
    cloud.die(DEAD)
    plan = evacuate(desk, to=OTHER)
    cloud._evacuate(cloud.servers[server], OTHER, "2.95")
    assert evacuate(desk, to=OTHER).runnable
    assert desk.run(evacuate(desk, to=OTHER)).failed == 0
    assert not any("'evacuate'" in one for one in cloud.sent)
    assert plan.runnable


def test_undo_takes_back_only_what_has_not_begun(desk: Desk, cloud: Losing) -> None:
    """With every evacuation refused, the host is not forced down any more; with one done, it stays so."""
    cloud.server("db")
    cloud.die(DEAD)
    cloud.full |= {OTHER, THIRD}
    desk.run(evacuate(desk))
    assert cloud.services[DEAD]["forced_down"]
    assert desk.undo().exit is Exit.CLEAN or not cloud.services[DEAD]["forced_down"]
    assert not cloud.services[DEAD]["forced_down"]


def test_undo_leaves_a_host_down_that_servers_have_left(desk: Desk, cloud: Losing) -> None:
    """Its return has to clean up first."""
    cloud.server("db")
    cloud.die(DEAD)
    assert desk.run(evacuate(desk)).failed == 0
    desk.undo()
    assert cloud.services[DEAD]["forced_down"]


# -- what is lost


def test_a_disk_that_may_be_on_the_dead_host_alone_is_not_built_anew(desk: Desk, cloud: Losing) -> None:
    """Unless its server is named; the plan says what is lost, and names the way that loses nothing."""
    server = cloud.server("web", volume=False)
    cloud.die(DEAD)
    text = manual(evacuate(desk), server)
    assert "everything written to it since is lost" in text
    assert f"stackmend host salvage {DEAD}" in text
    plan = evacuate(desk, consent=["web"])
    assert "everything written to it since is lost" in lane(plan, server).why
    assert desk.run(plan).failed == 0
    assert cloud.state(server)[0] != DEAD


@pytest.mark.parametrize(
    ("settings", "more", "kind"),
    [
        ({"hosts.shared_instances": True}, {}, "shared"),
        ({}, {"shared": True}, "shared"),
        ({"nova.libvirt.images_type": "rbd"}, {}, "rbd"),
        ({"nova.libvirt.images_type": "qcow2"}, {}, "local"),
        ({}, {}, "local"),
    ],
)
def test_where_disks_are(desk: Desk, cloud: Losing, settings: Any, more: Any, kind: str) -> None:
    """As configured, as said, or unknown, which counts as local."""
    server = cloud.server("web", volume=False)
    cloud.die(DEAD)
    desk.settings |= settings
    action = lane(evacuate(desk, **more), server)
    assert action.target["disk"] == kind
    assert action.runnable is (kind != "local")


def test_a_directory_on_the_destination_is_the_best_evidence(desk: Desk, cloud: Losing) -> None:
    """It is what Nova itself goes by there; what was salvaged counts for the host that was named alone."""
    server = cloud.server("web", volume=False)
    cloud.die(DEAD)
    desk.hosts = Shell({(OTHER, "find"): f"_base\n{server}\n".encode()})
    assert lane(evacuate(desk, to=OTHER), server).target["disk"] == "there"
    assert lane(evacuate(desk), server).target["disk"] == "local"
    assert lane(evacuate(desk, to=THIRD), server).target["disk"] == "local"


def test_an_ephemeral_disk_beside_a_volume_is_lost(desk: Desk, cloud: Losing) -> None:
    """The root is a volume, and the rest is on the dead host."""
    server = cloud.server("db", flavor={"ephemeral": 20})
    cloud.die(DEAD)
    assert "its ephemeral disk (20 GiB) begins empty" in manual(evacuate(desk), server)
    assert lane(evacuate(desk, consent=[server]), server).runnable


def test_an_image_that_is_gone_builds_nothing(desk: Desk, cloud: Losing) -> None:
    """Consent or not."""
    server = cloud.server("web", volume=False)
    cloud.images.clear()
    cloud.die(DEAD)
    assert "and that is gone" in manual(evacuate(desk, consent=["web"]), server)


# -- states


@pytest.mark.parametrize(
    ("vm_state", "told", "after"),
    [
        ("paused", "its memory is lost, and it boots anew", "active"),
        ("suspended", "its saved memory is on the dead host and is lost", "stopped"),
        ("rescued", "without the rescue disk", "active"),
    ],
)
def test_states_that_nova_does_not_evacuate_are_reset(
    desk: Desk, cloud: Losing, vm_state: str, told: str, after: str
) -> None:
    """The plan says what is lost by that."""
    server = cloud.server("db", **{"OS-EXT-STS:vm_state": vm_state, "OS-EXT-STS:power_state": 3})
    cloud.die(DEAD)
    plan = evacuate(desk)
    assert told in lane(plan, server).message
    assert operations(plan, server)[:2] == ["reset-state", "leave-dead-host"]
    assert desk.run(plan).failed == 0
    assert cloud.state(server)[1] == after


def test_a_task_that_its_host_took_with_it_is_forgotten(desk: Desk, cloud: Losing) -> None:
    """A server that was being started is started where it arrives."""
    server = cloud.server(
        "db", **{"OS-EXT-STS:vm_state": "stopped", "OS-EXT-STS:task_state": "powering-on", "OS-EXT-STS:power_state": 4}
    )
    cloud.die(DEAD)
    plan = evacuate(desk)
    assert "it was powering-on: that is forgotten" in lane(plan, server).message
    assert desk.run(plan).failed == 0
    assert cloud.state(server)[1] == "active"


def test_a_server_in_error_runs_where_it_arrives(desk: Desk, cloud: Losing) -> None:
    """Nova starts it, and the plan says so."""
    server = cloud.server("db", **{"OS-EXT-STS:vm_state": "error", "OS-EXT-STS:power_state": 4})
    cloud.die(DEAD)
    plan = evacuate(desk)
    assert "Nova starts it where it arrives" in lane(plan, server).message
    cloud.servers[server]["fault"] = {"message": "No valid host was found"}
    cloud._powered = lambda row, on, old=cloud._powered: old(row, True)  # type: ignore[method-assign]
    assert desk.run(plan).failed == 0


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"OS-EXT-STS:task_state": "migrating"}, "it may run on the other host"),
        ({"OS-EXT-STS:task_state": "resize_migrating"}, "its disk may be on either host"),
        ({"OS-EXT-STS:task_state": "deleting"}, "it is being deleted"),
        ({"OS-EXT-STS:vm_state": "resized"}, "its old disk is on another host"),
        ({"OS-EXT-STS:vm_state": "building"}, "it was never built"),
        ({"OS-EXT-STS:vm_state": "shelved"}, "it is shelved"),
        ({"OS-EXT-STS:vm_state": "soft-delete"}, "it is deleted, and can be restored"),
        ({"flavor": {"extra_specs": {"hw:tpm_version": "2.0"}}}, "it has a vTPM"),
    ],
)
def test_what_a_machine_must_not_decide_is_left(desk: Desk, cloud: Losing, shown: Any, told: str) -> None:
    """With the reason; the others go."""
    left, other = cloud.server("left", **shown), cloud.server("other")
    cloud.die(DEAD)
    plan = evacuate(desk)
    assert told in manual(plan, left)
    assert desk.run(plan).failed == 0
    assert (cloud.state(left)[0], cloud.state(other)[0]) == (DEAD, OTHER)


def test_a_server_with_a_finding_stays_until_it_is_mended(desk: Desk, cloud: Losing) -> None:
    """Without it, it would arrive without its NICs."""
    harmed, other = cloud.server("harmed", volumes=1), cloud.server("other", volumes=1)
    cloud.die(DEAD)
    desk.findings[harmed] = ["info-cache-empty: no NICs are known"]
    plan = evacuate(desk)
    assert "mend it first: info-cache-empty" in manual(plan, harmed)
    assert "leave-dead-host" in operations(plan, other)


def test_shares_and_accelerators_are_told(desk: Desk, cloud: Losing) -> None:
    """Nova refuses both: nothing is asked for."""
    share, card = cloud.server("share"), cloud.server("card")
    cloud.shares.add(share)
    cloud.ports["port-card"]["binding:vnic_type"] = "accelerator-direct"
    cloud.die(DEAD)
    plan = evacuate(desk)
    assert "shares of Manila" in manual(plan, share)
    assert "accelerator-direct" in manual(plan, card)
    assert [a for a in plan.runnable if a.resource_type == "host"] == []


# -- what is asked for


def test_a_list_that_is_not_whole_ends_it(desk: Desk, cloud: Losing) -> None:
    """Nova leaves servers of a cell that is down out of its lists; Placement knows of them."""
    cloud.server("seen")
    cloud.unlisted.add(cloud.server("unseen"))
    cloud.die(DEAD)
    assert "is not whole: server id-unseen is not in it" in refused(evacuate(desk))


def test_servers_are_evacuated_in_their_order(desk: Desk, cloud: Losing) -> None:
    """Those that are named, then by metadata and tags, then the rest; a stage is over before the next one begins."""
    cloud.server("plain")
    cloud.server("tagged", tags=["stackmend:order=10"])
    cloud.server("told", metadata={"stackmend:order": "5"})
    cloud.server("late", metadata={"stackmend:order": "90"})
    cloud.server("named")
    cloud.die(DEAD)
    plan = evacuate(desk, first=["named"])
    order = [a.resource_id.removeprefix("id-") for a in plan.runnable if a.resource_type == "server"]
    assert order == ["named", "told", "tagged", "plain", "late"]
    assert len({a.stage for a in plan.runnable if a.resource_type == "server"}) == 5


def test_names_that_nobody_has_are_refused(desk: Desk, cloud: Losing) -> None:
    """A misspelt server, a host that is none, the host itself."""
    cloud.server("db")
    cloud.die(DEAD)
    for wrong in ({"consent": ["dp"]}, {"first": ["dp"]}, {"to": "c99"}, {"to": DEAD}, {"host": "c99"}):
        with pytest.raises(UsageError):
            evacuate(desk, **wrong)


def test_a_destination_has_to_take_servers(desk: Desk, cloud: Losing) -> None:
    """One that is disabled is refused before anything is begun."""
    cloud.server("db")
    cloud.die(DEAD)
    cloud.services[OTHER]["status"] = "disabled"
    assert "is not up, or is disabled" in refused(evacuate(desk, to=OTHER))
