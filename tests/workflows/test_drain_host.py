# SPDX-License-Identifier: Apache-2.0
"""Plans and runs of draining a host and letting servers onto it again, on a simulated cloud."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from stackmend.drivers.api.operations import describe
from stackmend.engine.running import undo
from stackmend.model.api import Request
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend.model.plan import Action, Plan
from stackmend.model.step import ApiCall, Manual, Risk, StepState
from stackmend_lab.simulated import Faults, invariants
from stackmend_lab.simulated.things import Server
from stackmend_lab.simulated.world import FLAVORS

from ..support.simulated_runs import Drill
from ..support.simulated_servers import HOST, Told

KINDS = ("active", "paused", "stopped", "suspended", "rescued", "error", "resized", "shelved", "locked")


@pytest.fixture
def cloud() -> Told:
    """Four hosts in one cell, without servers."""
    return Told(hosts=4)


@pytest.fixture
def drill(cloud: Told) -> Drill:
    """An operator at it."""
    return Drill(cloud)


def drain(drill: Drill, **arguments: Any) -> Plan:
    """The plan."""
    return drill.plan("drain-host", {"host": HOST, **arguments})


def of(plan: Plan, one: Server) -> Action:
    """The lane of a server."""
    (found,) = [action for action in plan.actions if action.resource_id == one.id]
    return found


def operations(action: Action) -> list[str]:
    """Names of its calls."""
    return [step.name for step in action.steps if isinstance(step, ApiCall)]


def words(action: Action) -> str:
    """What it says to a human."""
    return "; ".join(step.text for step in action.steps if isinstance(step, Manual))


# -- what is planned


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("active", {}, ["live-migrate"]),
        ("paused", {}, ["live-migrate"]),
        ("locked", {}, ["live-migrate"]),
        ("stopped", {"cold": True}, ["cold-migrate", "confirm-resize"]),
        ("suspended", {"wake": True}, ["resume", "live-migrate", "suspend"]),
        ("shelved", {}, ["shelve-offload"]),
    ],
)
def test_a_server_leaves_by_what_it_is_doing(
    cloud: Told, drill: Drill, kind: str, options: Mapping[str, Any], expected: list[str]
) -> None:
    """While it runs, cold and confirmed, woken, or offloaded; on the slot of its host, with what it was in the plan."""
    one = cloud.put(kind)
    action = of(drain(drill, **options), one)
    assert operations(action) == expected
    assert action.slots == (f"from:{HOST}",)
    assert action.target["vm_state"] == one.vm_state
    assert action.target["ports"] == list(one.ports)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("stopped", "--cold allows a cold migration"),
        ("suspended", "--wake resumes it"),
        ("rescued", "openstack server unrescue"),
        ("error", "it is in error: broken. Repair it first"),
        ("resized", "openstack server resize confirm"),
    ],
)
def test_a_server_that_only_a_human_can_settle_stays_with_the_reason(
    cloud: Told, drill: Drill, kind: str, reason: str
) -> None:
    """One sentence that says what to do; nothing of it is run."""
    one = cloud.put(kind)
    action = of(drain(drill), one)
    assert not action.runnable
    assert reason in words(action)


def test_a_server_that_is_locked_while_stopped_is_left_to_whoever_locked_it(cloud: Told, drill: Drill) -> None:
    """Somebody may have its disk open by hand."""
    one = cloud.put("stopped")
    one.locked = True
    assert "somebody may be working on its disk" in words(of(drain(drill, cold=True), one))


@pytest.mark.parametrize("task", ["rebooting", "image_uploading", "powering-off"])
def test_a_server_that_something_is_under_way_with_is_left(cloud: Told, drill: Drill, task: str) -> None:
    """Its state tomorrow is not known today."""
    one = cloud.put()
    one.task_state = task
    assert f"a task is in progress ({task})" in words(of(drain(drill), one))


def test_a_server_that_is_being_deleted_is_waited_for(cloud: Told, drill: Drill) -> None:
    """And one that somebody else is moving, too: no request is sent for either."""
    going, moving = cloud.put(), cloud.put()
    going.task_state, moving.task_state = "deleting", "migrating"
    plan = drain(drill)
    assert operations(of(plan, going)) == ["server-gone"]
    (step,) = of(plan, moving).steps
    assert isinstance(step, ApiCall)
    assert (step.name, dict(step.expect)) == ("live-migrate", {"server": "present"})


def test_waking_wants_consent_and_the_rest_does_not(cloud: Told, drill: Drill) -> None:
    """A guest that runs when its owner thinks that it does not is a risk of its own."""
    asleep, awake = cloud.put("suspended"), cloud.put()
    plan = drain(drill, wake=True)
    assert (of(plan, asleep).risk, of(plan, awake).risk) == (Risk.UNSAFE, Risk.SAFE)
    assert plan.needs_consent == ("drain-host",)
    assert drain(drill).needs_consent == ()


def test_the_host_is_disabled_first_and_asked_last(cloud: Told, drill: Drill) -> None:
    """With the reason; a required lane that can be taken back, and every service's word at the end."""
    with_volume = [cloud.put() for _ in range(4)][-1]
    plan = drain(drill, reason="CHG-7")
    first, last = plan.actions[0], plan.actions[-1]
    assert (first.required, operations(first)) == (True, ["disable-service"])
    (step,) = first.steps
    assert isinstance(step, ApiCall)
    assert step.inverse is not None
    assert (step.arguments["reason"], step.inverse.name) == ("CHG-7", "enable-service")
    assert dict(step.inverse.expect) == {"service": "present", "reason": "CHG-7"}
    asked = [(step.service, step.name) for step in last.steps if isinstance(step, ApiCall)]
    assert asked == [(name, "host-empty") for name in ("compute", "network", "placement", "block-storage")]
    assert isinstance(last.steps[-1], ApiCall)
    assert last.steps[-1].arguments["volumes"] == list(with_volume.volumes)
    assert [action.stage for action in plan.actions] == sorted(action.stage for action in plan.actions)


def test_the_plan_tells_how_much_moves_and_whether_there_is_room(cloud: Told, drill: Drill) -> None:
    """An estimate of memory and disk, and room for each flavor; the biggest servers come first."""
    small, large = cloud.put(flavor=0), cloud.put(flavor=2)
    cloud.put("rescued", flavor=0)
    plan = drain(drill)
    assert plan.facts["estimate"].startswith("2 of 3 servers move, with 9.0 GiB of memory and at most 50 GiB of disk")
    assert [action.resource_id for action in plan.actions[1:3]] == [large.id, small.id]
    assert any(line.startswith("2 of flavor small: room for") for line in plan.facts["room"])


def test_a_server_that_no_host_has_room_for_stays(cloud: Told, drill: Drill) -> None:
    """It is said before anything is begun."""
    one = cloud.put(flavor=2)
    for name, host in cloud.world.hosts.items():
        if name != HOST:
            host.room = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 5}
    told = "no host has enough free capacity (flavor large, DISK_GB 40, MEMORY_MB 8192, VCPU 4)"
    assert told in words(of(drain(drill), one))


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"image": {"properties": {"hw_tpm_version": "2.0"}}}, "virtual TPM"),
        ({"image": {"properties": {"hw_mem_encryption": "true"}}}, "its memory is encrypted"),
        ({"image": {"properties": {"hw_tpm_version": "2.0", "hw_tpm_secret_security": "host"}}}, ""),
    ],
)
def test_what_the_image_asks_for_may_keep_a_guest_from_moving(
    cloud: Told, drill: Drill, told: Mapping[str, Any], reason: str
) -> None:
    """By the properties that Nova shows of it."""
    one = cloud.put()
    cloud.told[f"/servers/{one.id}/shares"] = {"shares": []}
    cloud.told[f"/servers/{one.id}"] = {"server": told}
    action = of(drain(drill), one)
    assert (reason in words(action)) if reason else action.runnable


def test_shares_and_devices_of_the_host_keep_a_guest_from_moving(cloud: Told, drill: Drill) -> None:
    """A share of Manila, and a port that is a device."""
    shared, direct = cloud.put(), cloud.put()
    cloud.told[f"/servers/{shared.id}/shares"] = {"shares": [{"share_id": "s1"}]}
    port = {"id": "p1", "device_id": direct.id, "device_owner": "compute:nova", "binding:host_id": HOST}
    cloud.told["/ports?binding:host_id"] = {"ports": [{**port, "binding:vnic_type": "direct-physical"}]}
    plan = drain(drill)
    assert "shares of Manila" in words(of(plan, shared))
    assert "device of its host" in words(of(plan, direct))


def test_what_nova_does_not_list_there_is_named(cloud: Told, drill: Drill) -> None:
    """An allocation and a bound port of nobody, and a resize whose source is the host."""
    cloud.put()
    host = cloud.world.hosts[HOST]
    cloud.world.allocate("11111111-1111-4111-8111-111111111111", host.node, {"VCPU": 1})
    moved = cloud.put(host="c02")
    record = cloud.world.migrate("migration", moved, "finished", "c02")
    record.source = HOST
    host.moves.append(record)
    plan = drain(drill)
    said = {action.resource_type: words(action) for action in plan.manual}
    assert "Nova lists no such server there" in said["consumer"]
    assert "keeps its old disk there" in said["server"]


def test_a_server_with_a_finding_stays_until_it_is_mended(cloud: Told, drill: Drill) -> None:
    """The finding is the reason; the others move."""
    harmed, other = cloud.put(), cloud.put()
    drill.findings[harmed.id] = ["info-cache-empty: no NICs are known"]
    plan = drain(drill)
    assert words(of(plan, harmed)).endswith("repair it first: info-cache-empty: no NICs are known")
    drill.apply(plan)
    assert (harmed.host == HOST, other.host == HOST) == (True, False)


def test_a_move_that_is_recorded_as_open_though_nothing_is_under_way_is_looked_at_first(
    cloud: Told, drill: Drill
) -> None:
    """A request would only be waited for: its record never ends."""
    one = cloud.put()
    cloud.world.migrate("live-migration", one, "running", "c02")
    assert "is recorded as running" in words(of(drain(drill), one))


# -- refused as a whole


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"host": "nowhere"}, "there is no compute host nowhere"),
        ({"host": HOST, "to": HOST}, "cannot be drained to itself"),
        ({"host": HOST, "to": "nowhere"}, "there is no compute host nowhere"),
        ({"host": HOST, "on_stall": "pray"}, "must be abort, force-complete or wait"),
        ({}, "needs the argument 'host'"),
    ],
)
def test_mistakes_of_the_operator_are_named(drill: Drill, arguments: Mapping[str, Any], problem: str) -> None:
    """Before anything is asked for."""
    with pytest.raises(UsageError, match=problem):
        drill.plan("drain-host", arguments)


def test_a_host_that_is_down_is_not_drained(cloud: Told, drill: Drill) -> None:
    """It is recovered or evacuated."""
    cloud.put()
    cloud.world.stop(cloud.world.hosts[HOST], machine=True)
    cloud.clock.sleep(120)
    plan = drain(drill)
    assert plan.actions == ()
    assert f"stackmend host evacuate {HOST}" in plan.not_repaired[0].reason


def test_machines_of_ironic_are_not_drained(cloud: Told, drill: Drill) -> None:
    """They cannot be moved, and run on while their nova-compute is away."""
    node = {"id": "n", "hypervisor_type": "ironic", "service": {"host": HOST}}
    cloud.told["/os-hypervisors/detail"] = {"hypervisors": [node]}
    assert "a server there is a machine of its own" in drain(drill).not_repaired[0].reason


def test_without_another_host_nothing_is_begun(cloud: Told, drill: Drill) -> None:
    """Disabled and dead ones count for nothing."""
    for name, host in cloud.world.hosts.items():
        host.disabled = name != HOST
    assert "no other host" in drain(drill).not_repaired[0].reason
    cloud.world.hosts["c02"].disabled = False
    assert "c03 is disabled" in drain(drill, to="c03").not_repaired[0].reason


def test_a_server_that_nova_shows_no_host_of_ends_the_planning(cloud: Told, drill: Drill) -> None:
    """Its cell is down: silence is not taken for no."""
    cloud.told["/servers/detail"] = {"servers": [{"id": "s1", "status": "UNKNOWN"}]}
    with pytest.raises(SourceError, match="its cell is down"):
        drain(drill)


# -- what is done


def test_a_drained_host_is_empty_in_every_service(cloud: Told, drill: Drill) -> None:
    """All that can be moved is moved once, and nothing else is touched."""
    for kind in ("active", "active", "paused", "stopped", "suspended", "locked"):
        cloud.put(kind)
    cloud.put("rescued", host="c02")
    result = drill.apply(drain(drill, cold=True, wake=True))
    assert (result.exit, result.failed) == (Exit.REPAIRED, 0), result.notes
    assert invariants(cloud, drained=[HOST], empty=[HOST]) == []
    assert cloud.world.hosts[HOST].disabled


def test_a_host_that_is_not_empty_is_not_called_so(cloud: Told, drill: Drill) -> None:
    """What stays is named at once, without waiting for what will not come."""
    cloud.put()
    stays = cloud.put("rescued")
    result = drill.apply(drain(drill))
    assert (result.exit, result.failed, result.done) == (Exit.STOPPED, 1, 2)
    assert any(stays.id in note for note in result.notes)
    assert cloud.clock.seconds < 300
    assert invariants(cloud, drained=[HOST]) == []


def test_a_run_that_is_resumed_looks_again_whether_the_host_is_empty(cloud: Told, drill: Drill) -> None:
    """Where nothing is sent a failure is no last word: the server that stood in the way is gone by now."""
    cloud.put()
    stays = cloud.put("rescued")
    plan = drain(drill)
    assert drill.apply(plan).failed == 1
    assert drill.resume(plan).failed == 1
    cloud.send(Request(service="compute", method="DELETE", path=f"/servers/{stays.id}"))
    cloud.clock.sleep(60)
    result = drill.resume(plan)
    assert (result.exit, result.failed) == (Exit.REPAIRED, 0), result.notes
    assert invariants(cloud, drained=[HOST], empty=[HOST]) == []


def test_a_server_that_was_stopped_meanwhile_is_left(cloud: Told, drill: Drill) -> None:
    """The guard tells, and nothing is sent."""
    stopped = cloud.put()
    plan = drain(drill)
    cloud.world.set(stopped, vm_state="stopped", power_state=4)
    result = drill.apply(plan)
    assert (result.stale, cloud.world.migrations) == (1, [])
    assert any("server.vm_state is 'stopped', the plan expects 'active'" in note for note in result.notes)


def test_a_second_drain_finds_nothing_to_do(cloud: Told, drill: Drill) -> None:
    """And a plan that is applied twice moves nothing twice."""
    cloud.put()
    plan = drain(drill)
    assert drill.apply(plan).exit is Exit.REPAIRED
    again = drill.apply(plan)
    assert (again.exit, again.steps) == (Exit.CLEAN, 0)
    assert invariants(cloud, drained=[HOST], empty=[HOST]) == []


@pytest.mark.parametrize(
    ("on_stall", "done", "statuses"),
    [("abort", False, {"cancelled"}), ("force-complete", True, {"completed"}), ("wait", False, {"running"})],
)
def test_a_move_that_stands_still_is_helped_as_told(on_stall: str, done: bool, statuses: set[str]) -> None:
    """Given up and tried elsewhere, forced to its end, or waited for until its time is over."""
    cloud = Told(hosts=4, faults=Faults(stalled=1.0))
    one, drill = cloud.put(), Drill(cloud)
    result = drill.apply(drain(drill, stall=60, on_stall=on_stall, timeout=600))
    assert (one.host != HOST) is done
    assert {record.status for record in cloud.world.migrations} == statuses
    assert len(cloud.world.migrations) == (2 if on_stall == "abort" else 1)
    assert result.in_doubt == (1 if on_stall == "wait" else 0)


def test_a_move_that_fails_in_a_blink_is_tried_elsewhere_and_then_said(cloud: Told, drill: Drill) -> None:
    """No valid host: the record ends before anybody looks, and the note has Nova's reason or the record's status."""
    one = cloud.put()
    plan = drain(drill)
    for name, host in cloud.world.hosts.items():
        host.disabled = name != HOST
    result = drill.apply(plan)
    assert result.failed == 2, result.notes
    assert [record.status for record in cloud.world.migrations] == ["error", "error"]
    assert (one.host, one.task_state) == (HOST, None)
    assert any("migration.status error" in note for note in result.notes)


@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere_and_resumed_it_moves_each_server_once(seed: int) -> None:
    """With calls that fail every tenth time, besides: nothing is lost, nothing moves twice."""
    cloud = Told(hosts=4, seed=seed, faults=Faults(every=10))
    for kind in ("active",) * 6 + ("paused", "stopped", "suspended"):
        cloud.put(kind)
    drill = Drill(cloud)
    plan = drain(drill, cold=True, wake=True)
    result = drill.through(plan, Random(seed), deaths=8)
    for _ in range(5):
        if not result.in_doubt:
            break
        result = drill.resume(plan)
    assert invariants(cloud, drained=[HOST]) == [], f"seed {seed}"
    assert result.in_doubt == 0, (seed, result.notes)


# -- back again


def give_image(cloud: Told) -> None:
    """What a canary is made of."""
    image = {"id": "i1", "name": "tiny", "status": "active", "size": 65536, "min_ram": 0, "min_disk": 0}
    cloud.told["/images"] = {"images": [image]}
    flavors = [
        {"id": f.id, "name": f.name, "ram": f.ram, "disk": f.disk, "vcpus": f.vcpus, "extra_specs": {}} for f in FLAVORS
    ]
    cloud.told["/flavors/detail"] = {"flavors": flavors}


def test_a_host_is_enabled_and_tried_and_the_canary_is_gone(cloud: Told, drill: Drill) -> None:
    """The order: heard of, enabled, canary, judged, deleted, seen to serve."""
    give_image(cloud)
    host = cloud.world.hosts[HOST]
    host.disabled, host.reason = True, "CHG-7"
    plan = drill.plan("return-host", {"host": HOST})
    assert [name for action in plan.actions for name in operations(action)] == [
        "service-up", "agents-alive", "enable-service", "create-canary", "disable-unless-canary", "delete-canary",
        "host-serves",
    ]  # fmt: skip
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert (host.disabled, host.servers, len(cloud.world.deleted)) == (False, {}, 1)


def test_what_a_canary_is_made_of_is_known_before_anything_is_planned(cloud: Told, drill: Drill) -> None:
    """Network, image and flavor by name or id; what is not there, is several or does not fit is a usage error."""
    give_image(cloud)
    nets = {"n1": "tenant-net", "n2": "twin", "n3": "twin", "n4": "empty"}
    cloud.told["/networks"] = {
        "networks": [{"id": n, "name": name, "subnets": [] if name == "empty" else ["s"]} for n, name in nets.items()]
    }
    for asked in ("tenant-net", "n1"):
        plan = drill.plan("return-host", {"host": HOST, "network": asked})
        (made,) = [s for a in plan.actions for s in a.steps if getattr(s, "name", "") == "create-canary"]
        assert made.arguments["network"] == "n1"
    for option, text, words, hint in (
        ("network", "tenant-nt", "there is no network 'tenant-nt'", "tenant-net"),
        ("network", "twin", "2 networks are called 'twin'", "n2, n3"),
        ("network", "empty", "has no subnet", ""),
        ("image", "tinny", "there is no active image 'tinny'", "tiny"),
        ("flavor", "no-such", "there is no flavor 'no-such'", "openstack flavor list"),
    ):
        with pytest.raises(UsageError) as caught:
            drill.plan("return-host", {"host": HOST, option: text})
        assert words in caught.value.message
        assert hint in caught.value.hint


def test_a_host_is_enabled_without_a_canary_where_that_is_asked_for(cloud: Told, drill: Drill) -> None:
    """Nothing is created."""
    cloud.world.hosts[HOST].disabled = True
    plan = drill.plan("return-host", {"host": HOST, "canary": False})
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert (cloud.world.hosts[HOST].disabled, cloud.world.servers) == (False, {})


def test_a_host_that_is_down_is_not_returned(cloud: Told, drill: Drill) -> None:
    """It is started first."""
    cloud.world.stop(cloud.world.hosts[HOST])
    cloud.clock.sleep(120)
    plan = drill.plan("return-host", {"host": HOST})
    assert f"stackmend host start {HOST}" in plan.not_repaired[0].reason


def test_servers_come_back_by_what_they_are_doing_now(cloud: Told, drill: Drill) -> None:
    """Those that run, and those that are stopped; one that is back already is no lane, one that is gone is told."""
    runs, stopped = cloud.put(host="c02"), cloud.put("stopped", host="c03")
    here, rescued = cloud.put(), cloud.put("rescued", host="c04")
    back = [runs.id, stopped.id, here.id, rescued.id, "99999999-9999-4999-8999-999999999999"]
    plan = drill.plan("return-host", {"host": HOST, "canary": False, "back": back})
    assert operations(of(plan, runs)) == ["live-migrate"]
    assert operations(of(plan, stopped)) == ["cold-migrate", "confirm-resize"]
    assert [action for action in plan.actions if action.resource_id == here.id] == []
    assert {action.resource_id for action in plan.manual} == {rescued.id, back[-1]}
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert {runs.host, stopped.host} == {HOST}
    assert invariants(cloud) == []


def test_undo_of_a_drain_enables_the_host_and_leaves_the_servers(cloud: Told, drill: Drill) -> None:
    """What was moved is told as such; the disable is taken back while its reason still stands."""
    cloud.put()
    plan = drain(drill, reason="CHG-7")
    drill.apply(plan)
    actions, lost = undo.inverse(plan.runnable, drill.journal.entries("r1"), frozenset(), describe)
    assert [operations(action) for action in actions] == [["enable-service"]]
    assert len(lost) == 1
    assert "os-migrateLive" in lost[0]
    assert StepState.DONE in {entry.state for entry in drill.journal.entries("r1")}
