# SPDX-License-Identifier: Apache-2.0
"""Evacuation: what proves that a host is dead, what is lost by it, and that every server is whole where it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.api import Request
from stackmend.model.errors import Exit, UsageError
from stackmend.model.plan import Limits, Plan
from stackmend_lab.simulated import invariants
from stackmend_lab.simulated.things import RUNNING, SHUTDOWN, Host, Server
from stackmend_lab.simulated.world import FLAVORS

from ..simulation.hosts import fence
from ..simulation.plans import lane, manual, operations, refused
from ..support.simulated_runs import Drill
from ..support.simulated_servers import Told

DEAD, OTHER, THIRD = "c01", "c02", "c03"


@pytest.fixture
def cloud() -> Told:
    """Three hosts, of which the first will die."""
    return Told(hosts=3)


@pytest.fixture
def drill(cloud: Told, tmp_path: Path) -> Iterator[Drill]:
    """An operator with an empty journal."""
    journal = DatabaseJournal(f"sqlite:///{tmp_path}/journal.db")
    yield Drill(cloud, journal, Limits(parallel=4))
    journal.close()


@pytest.fixture
def dead(cloud: Told) -> Host:
    """The host that dies."""
    return cloud.world.hosts[DEAD]


def put(cloud: Told, name: str, kind: str = "active", **more: Any) -> Server:
    """A server on it that boots from a volume."""
    return cloud.put(kind, volume=True, name=name, **more)


def evacuate(drill: Drill, *, gates: bool = False, **more: Any) -> Plan:
    """The plan, on the operator's word."""
    return drill.plan("evacuate-host", {"host": DEAD, "fenced": True, **more}, gates=gates)


def asked(cloud: Told) -> int:
    """How many evacuations were asked for."""
    return sum("evacuate" in (request.body or {}) for request in cloud.sent)


def fill(cloud: Told, *hosts: str) -> None:
    """These have no room any more."""
    for name in hosts:
        cloud.world.hosts[name].room = dict.fromkeys(cloud.world.hosts[name].room, 0)


# -- the proof of death


def test_a_host_that_is_up_is_refused(drill: Drill, cloud: Told) -> None:
    """Its servers can be drained."""
    put(cloud, "db")
    assert "is up: use 'stackmend host drain c01'" in refused(evacuate(drill))


def test_machines_of_ironic_are_not_evacuated(drill: Drill, cloud: Told) -> None:
    """They run on without the nova-compute that speaks for them."""
    put(cloud, "db")
    cloud.die(DEAD)
    node = {"id": "n", "hypervisor_type": "ironic", "service": {"host": DEAD}}
    cloud.told["/os-hypervisors/detail"] = {"hypervisors": [node]}
    assert "a server there is a machine of its own" in refused(evacuate(drill))


def test_forced_down_is_no_proof_while_it_reports(drill: Drill, cloud: Told, dead: Host) -> None:
    """Somebody has called it down, and it lives."""
    put(cloud, "db")
    cloud.die(DEAD, 0)
    dead.forced_down = True
    cloud.clock.sleep(5)
    assert "its nova-compute may be alive: it reported, or was changed, 5 s ago" in refused(evacuate(drill))
    cloud.clock.sleep(120)
    assert evacuate(drill).runnable


def test_without_fence_nothing_is_begun(drill: Drill, cloud: Told) -> None:
    """Neither a hook nor a word: a guest may still write."""
    put(cloud, "db")
    cloud.die(DEAD)
    assert "it is not known that c01 is cut off" in refused(evacuate(drill, fenced=False))
    assert cloud.sent == []


def test_the_hook_fences_first_and_the_word_is_kept(drill: Drill, cloud: Told, tmp_path: Path) -> None:
    """The hook is the first lane, and what comes after it waits; the operator's word is a fact of the plan."""
    put(cloud, "db")
    cloud.die(DEAD)
    assert evacuate(drill).facts["fenced"] == "by the operator's assertion (--fenced)"
    fenced = fence(drill, tmp_path, 0)
    plan = evacuate(drill, fenced=False)
    assert (plan.actions[0].stage, plan.actions[0].required) == (0, True)
    assert not fenced.exists()
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert set(fenced.read_text().split()) == {DEAD}


def test_a_fence_that_fails_stops_everything(drill: Drill, cloud: Told, tmp_path: Path) -> None:
    """The host may still run."""
    server = put(cloud, "db")
    cloud.die(DEAD)
    fence(drill, tmp_path, 1)
    result = drill.apply(evacuate(drill, fenced=False))
    assert (result.exit, result.failed) == (Exit.STOPPED, 1)
    assert cloud.sent == []
    assert (server.host, server.vm_state) == (DEAD, "active")


def test_by_word_there_is_a_gate_where_gates_are_wanted(drill: Drill, cloud: Told) -> None:
    """Nobody is there to acknowledge it: nothing is sent."""
    put(cloud, "db")
    cloud.die(DEAD)
    result = drill.apply(evacuate(drill, gates=True))
    assert (result.done, cloud.sent) == (0, [])


def test_a_host_that_reports_again_after_the_plan_is_left_alone(drill: Drill, cloud: Told, dead: Host) -> None:
    """Its heartbeat has moved: the lane that declares it down fails, and nothing later is begun."""
    server = put(cloud, "db")
    cloud.die(DEAD)
    plan = evacuate(drill)
    cloud.world.start(dead)
    result = drill.apply(plan)
    assert (result.failed, result.exit) == (1, Exit.STOPPED)
    assert cloud.sent == []
    assert server.host == DEAD


def test_a_host_that_comes_back_in_the_middle_stops_the_rest(drill: Drill, cloud: Told, dead: Host) -> None:
    """Servers that were not asked for yet are stale: they may run there again."""
    servers = [put(cloud, f"s{n}") for n in range(6)]
    cloud.die(DEAD)
    drill.limits = Limits(parallel=1)
    plan = evacuate(drill)
    cloud.clock.after(20, lambda: cloud.world.start(dead))
    result = drill.apply(plan)
    assert result.stale >= 2
    assert [server.host for server in servers].count(DEAD) == result.stale
    assert invariants(cloud) == []


# -- the whole


def test_every_server_arrives_whole_and_runs_as_before(drill: Drill, cloud: Told, dead: Host) -> None:
    """Those that ran are started after 2.95 has left them stopped, the stopped one stays so; each is asked for once."""
    ran = [put(cloud, f"s{n}") for n in range(3)]
    off = put(cloud, "off", "stopped")
    cloud.die(DEAD)
    plan = evacuate(drill, to=OTHER)
    result = drill.apply(plan)
    assert (result.exit, result.failed) == (Exit.REPAIRED, 0), result.notes
    other = cloud.world.hosts[OTHER]
    assert set(other.servers) == {one.id for one in (*ran, off)}
    assert {server.vm_state for server in ran} == {"active"}
    assert off.vm_state == "stopped"
    assert other.guests == {**{one.id: RUNNING for one in ran}, off.id: SHUTDOWN}
    assert asked(cloud) == 4
    assert dead.forced_down
    # Nova keeps what they hold of the old host until it comes back
    assert all(set(cloud.world.consumers[one.id].held) == {dead.node, other.node} for one in (*ran, off))
    assert invariants(cloud, drained=[DEAD]) == []


def test_an_old_cloud_keeps_servers_running(drill: Drill) -> None:
    """Before 2.95 nothing has to be started, and the plan does not ask for it."""
    cloud = drill.cloud = Told(hosts=3, versions={"compute": ((2, 1), (2, 90))})
    server = put(cloud, "db")
    cloud.die(DEAD)
    plan = evacuate(drill)
    assert operations(plan, server) == ["leave-dead-host", "await-whole"]
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert server.vm_state == "active"


def test_what_ran_is_left_stopped_where_that_is_wanted(drill: Drill, cloud: Told) -> None:
    """By --no-start."""
    server = put(cloud, "db")
    cloud.die(DEAD)
    assert drill.apply(evacuate(drill, start=False)).exit is Exit.REPAIRED
    assert server.vm_state == "stopped"


def test_limits_hold_for_each_destination(drill: Drill, cloud: Told) -> None:
    """Two at a time to one host."""
    for number in range(4):
        put(cloud, f"s{number}")
    cloud.die(DEAD)
    drill.limits = Limits(parallel=4, per_slot=2)
    assert drill.apply(evacuate(drill, to=OTHER)).failed == 0
    assert cloud.at_once() == 2


def test_a_server_without_room_fails_alone(drill: Drill, cloud: Told) -> None:
    """Nova finds no host: the server is in error where it was, the reason is told, and a new plan takes it away."""
    server, room = put(cloud, "db"), cloud.world.hosts[OTHER].room
    cloud.die(DEAD)
    plan = evacuate(drill, to=OTHER)
    fill(cloud, OTHER)
    result = drill.apply(plan)
    assert (result.failed, result.exit) == (1, Exit.STOPPED)
    assert "No valid host was found" in " ".join(result.notes)
    assert (server.host, server.vm_state) == (DEAD, "error")
    cloud.world.hosts[OTHER].room = room
    # whether the change just now was a report nobody can tell without databases
    assert "try again in a minute" in refused(evacuate(drill, to=OTHER))
    cloud.clock.sleep(60)
    # a new plan knows the evacuation that came to nothing
    assert drill.apply(evacuate(drill, to=OTHER)).failed == 0
    assert (server.host, server.vm_state) == (OTHER, "active")
    assert invariants(cloud) == []


def test_an_evacuation_under_way_is_waited_for(drill: Drill, cloud: Told) -> None:
    """Whoever asked for it: it is not asked for twice."""
    server = put(cloud, "db")
    cloud.die(DEAD)
    path = f"/servers/{server.id}/action"
    body = {"evacuate": {"host": OTHER}}
    cloud.send(Request(service="compute", method="POST", path=path, body=body, microversion="2.95"))
    assert server.task_state == "rebuilding"
    plan = evacuate(drill, to=OTHER)
    assert plan.runnable
    assert drill.apply(plan).failed == 0
    assert asked(cloud) == 1
    assert server.host == OTHER


def test_undo_takes_back_only_what_has_not_begun(drill: Drill, cloud: Told, dead: Host) -> None:
    """With every evacuation refused, the host is not forced down any more."""
    put(cloud, "db")
    cloud.die(DEAD)
    fill(cloud, OTHER, THIRD)
    drill.apply(evacuate(drill))
    assert dead.forced_down
    drill.undo()
    assert not dead.forced_down


def test_undo_leaves_a_host_down_that_servers_have_left(drill: Drill, cloud: Told, dead: Host) -> None:
    """Its return has to clean up first."""
    put(cloud, "db")
    cloud.die(DEAD)
    assert drill.apply(evacuate(drill)).failed == 0
    drill.undo()
    assert dead.forced_down


# -- what is lost


def test_a_disk_that_may_be_on_the_dead_host_alone_is_not_built_anew(drill: Drill, cloud: Told) -> None:
    """Unless its server is named; the plan says what is lost, and names the way that loses nothing."""
    server = cloud.put(name="web")
    cloud.die(DEAD)
    text = manual(evacuate(drill), server)
    assert "everything written to it since is lost" in text
    assert f"stackmend host salvage {DEAD}" in text
    plan = evacuate(drill, consent=["web"])
    assert "everything written to it since is lost" in lane(plan, server).why
    assert drill.apply(plan).failed == 0
    assert server.host != DEAD


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
def test_where_disks_are(drill: Drill, cloud: Told, settings: Any, more: Any, kind: str) -> None:
    """As configured, as said, or unknown, which counts as local."""
    server = cloud.put(name="web")
    cloud.die(DEAD)
    drill.settings |= settings
    action = lane(evacuate(drill, **more), server)
    assert action.target["disk"] == kind
    assert action.runnable is (kind != "local")


def test_a_directory_on_the_destination_is_the_best_evidence(drill: Drill, cloud: Told, tmp_path: Path) -> None:
    """It is what Nova itself goes by there; what was salvaged counts for the host that was named alone."""
    server = cloud.put(name="web")
    cloud.die(DEAD)
    for name in ("_base", server.id):
        (tmp_path / "instances" / name).mkdir(parents=True)
    drill.hosts = Transport(Routes(transport="local", local=frozenset({OTHER})))
    drill.settings["hosts.instances_path"] = str(tmp_path / "instances")
    assert lane(evacuate(drill, to=OTHER), server).target["disk"] == "there"
    assert lane(evacuate(drill), server).target["disk"] == "local"
    assert lane(evacuate(drill, to=THIRD), server).target["disk"] == "local"


def test_an_ephemeral_disk_beside_a_volume_is_lost(drill: Drill, cloud: Told) -> None:
    """The root is a volume, and the rest is on the dead host."""
    server = put(cloud, "db")
    server.flavor = FLAVORS[0]._replace(ephemeral=20)
    cloud.die(DEAD)
    assert "its ephemeral disk (20 GiB) starts empty" in manual(evacuate(drill), server)
    assert lane(evacuate(drill, consent=[server.id]), server).runnable


def test_an_image_that_is_gone_builds_nothing(drill: Drill, cloud: Told) -> None:
    """Consent or not."""
    server = cloud.put(name="web")
    cloud.world.images.clear()
    cloud.die(DEAD)
    assert "which no longer exists" in manual(evacuate(drill, consent=["web"]), server)


# -- states


@pytest.mark.parametrize(
    ("vm_state", "told", "after"),
    [
        ("paused", "its memory is lost, and it boots again", "active"),
        ("suspended", "its saved memory is on the dead host and is lost", "stopped"),
        ("rescued", "without the rescue disk", "active"),
    ],
)
def test_states_that_nova_does_not_evacuate_are_reset(
    drill: Drill, cloud: Told, vm_state: str, told: str, after: str
) -> None:
    """The plan says what is lost by that."""
    server = put(cloud, "db", vm_state)
    cloud.die(DEAD)
    plan = evacuate(drill)
    assert told in lane(plan, server).message
    assert operations(plan, server)[:2] == ["reset-state", "leave-dead-host"]
    assert drill.apply(plan).failed == 0
    assert (server.host == DEAD, server.vm_state) == (False, after)


def test_a_task_that_its_host_took_with_it_is_forgotten(drill: Drill, cloud: Told) -> None:
    """A server that was being started is started where it arrives."""
    server = put(cloud, "db", "stopped")
    cloud.world.set(server, task_state="powering-on")
    cloud.die(DEAD)
    plan = evacuate(drill)
    assert "its task state powering-on is discarded" in lane(plan, server).message
    assert drill.apply(plan).failed == 0
    assert (server.host == DEAD, server.vm_state) == (False, "active")


def test_a_server_in_error_runs_where_it_arrives(drill: Drill, cloud: Told) -> None:
    """Nova starts it, and the plan says so."""
    server = put(cloud, "db", "error")
    cloud.die(DEAD)
    plan = evacuate(drill)
    assert "Nova starts it on the new host" in lane(plan, server).message
    assert "start" not in operations(plan, server)
    assert drill.apply(plan).failed == 0
    assert cloud.world.hosts[str(server.host)].guests == {server.id: RUNNING}


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"task_state": "migrating"}, "it may run on the other host"),
        ({"task_state": "resize_migrating"}, "its disk may be on either host"),
        ({"task_state": "deleting"}, "its deletion is in progress"),
        ({"vm_state": "resized"}, "its old disk is on another host"),
        ({"vm_state": "building"}, "it was never built"),
        ({"vm_state": "shelved"}, "it is shelved"),
        ({"vm_state": "soft-delete"}, "it is soft-deleted: restore it"),
        ({"flavor": FLAVORS[0]._replace(specs={"hw:tpm_version": "2.0"})}, "it has a vTPM"),
    ],
)
def test_what_a_machine_must_not_decide_is_left(drill: Drill, cloud: Told, shown: Any, told: str) -> None:
    """With the reason; the others go."""
    left, other = put(cloud, "left"), put(cloud, "other")
    cloud.world.set(left, **shown)
    cloud.die(DEAD)
    plan = evacuate(drill)
    assert told in manual(plan, left)
    assert drill.apply(plan).failed == 0
    assert (left.host == DEAD, other.host == DEAD) == (True, False)


@pytest.mark.parametrize("state", ["up", "silent", "declared dead"])
def test_a_move_that_never_ended_may_have_arrived(drill: Drill, cloud: Told, state: str) -> None:
    """Its task state was reset, and its guest may run on the target, unless somebody says that that is dead, too."""
    server, other = put(cloud, "moving"), put(cloud, "other")
    cloud.world.migrate("live-migration", server, "running", to=OTHER)
    cloud.die(DEAD)
    if state != "up":
        cloud.die(OTHER)
    cloud.world.hosts[OTHER].forced_down = state == "declared dead"
    plan = evacuate(drill)
    if state != "declared dead":
        text = manual(plan, server)
        assert f"its live-migration to {OTHER} never ended (running), and {OTHER} is not declared dead" in text
        assert f"'stackmend host relocate {DEAD} --to {OTHER} --server {server.id}'" in text
    else:
        assert "leave-dead-host" in operations(plan, server)
    assert "leave-dead-host" in operations(plan, other)


def test_a_server_with_a_finding_stays_until_it_is_mended(drill: Drill, cloud: Told) -> None:
    """Without it, it would arrive without its NICs."""
    harmed, other = put(cloud, "harmed"), put(cloud, "other")
    cloud.die(DEAD)
    drill.findings[harmed.id] = ["info-cache-empty: no NICs are known"]
    plan = evacuate(drill)
    assert "repair it first: info-cache-empty" in manual(plan, harmed)
    assert "leave-dead-host" in operations(plan, other)


def test_shares_and_accelerators_are_told(drill: Drill, cloud: Told) -> None:
    """Nova refuses both: nothing is asked for."""
    share, card = put(cloud, "share"), put(cloud, "card")
    cloud.told[f"/servers/{share.id}/shares"] = {"shares": [{"share_id": "x"}]}
    kind = {card.id: {"binding:vnic_type": "accelerator-direct"}}
    cloud.told["/ports?binding:host_id"] = lambda body: {
        "ports": [port | kind.get(port["device_id"], {}) for port in body["ports"]]
    }
    cloud.die(DEAD)
    plan = evacuate(drill)
    assert "Manila shares" in manual(plan, share)
    assert "accelerator-direct" in manual(plan, card)
    assert [a for a in plan.runnable if a.resource_type == "host"] == []


# -- what is asked for


def test_a_list_that_is_not_whole_ends_it(drill: Drill, cloud: Told) -> None:
    """Nova leaves servers of a cell that is down out of its lists; Placement knows of them."""
    put(cloud, "seen")
    unseen = put(cloud, "unseen").id
    cloud.told["/servers/detail"] = lambda body: {"servers": [one for one in body["servers"] if one["id"] != unseen]}
    cloud.die(DEAD)
    assert f"is incomplete: server {unseen} is missing" in refused(evacuate(drill))


def test_servers_are_evacuated_in_their_order(drill: Drill, cloud: Told) -> None:
    """Those that are named, then by metadata and tags, then the rest; a stage is over before the next one begins."""
    plain, tagged, told, late, named = (put(cloud, name) for name in ("plain", "tagged", "told", "late", "named"))
    tagged.tags = ("stackmend:order=10",)
    told.metadata, late.metadata = {"stackmend:order": "5"}, {"stackmend:order": "90"}
    cloud.die(DEAD)
    plan = evacuate(drill, first=["named"])
    lanes = [action for action in plan.runnable if action.resource_type == "server"]
    assert [action.resource_id for action in lanes] == [one.id for one in (named, told, tagged, plain, late)]
    assert len({action.stage for action in lanes}) == 5


def test_names_that_nobody_has_are_refused(drill: Drill, cloud: Told) -> None:
    """A misspelt server, a host that is none, the host itself."""
    put(cloud, "db")
    cloud.die(DEAD)
    for wrong in ({"consent": ["dp"]}, {"first": ["dp"]}, {"to": "c99"}, {"to": DEAD}, {"host": "c99"}):
        with pytest.raises(UsageError):
            evacuate(drill, **wrong)


def test_a_destination_has_to_take_servers(drill: Drill, cloud: Told) -> None:
    """One that is disabled is refused before anything is begun."""
    put(cloud, "db")
    cloud.die(DEAD)
    cloud.world.hosts[OTHER].disabled = True
    assert "is down or disabled" in refused(evacuate(drill, to=OTHER))
