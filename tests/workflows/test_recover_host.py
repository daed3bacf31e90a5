# SPDX-License-Identifier: Apache-2.0
"""Recovery after a reboot: what ran before, what is started in which order, and what did not come up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stackmend.drivers.api.operations.consoles import TROUBLES, shown
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend.model.plan import Plan
from stackmend.model.step import ApiCall, Manual, Risk

from .losing import START, Desk, Losing, Shell, lane

HOST = "c01"
BOOT = START - timedelta(minutes=20)
OFF = {"OS-EXT-STS:power_state": 4}
STOPPED = {"OS-EXT-STS:vm_state": "stopped", **OFF}
LOG = "/var/log/nova/nova-compute.log"


@pytest.fixture
def cloud() -> Losing:
    """A host that was restarted twenty minutes ago."""
    made = Losing()
    made.host(HOST)
    return made


@pytest.fixture
def desk(cloud: Losing, tmp_path: Path) -> Desk:
    """A desk that can read the host's kernel."""
    stat = f"cpu 1\nbtime {int(BOOT.timestamp())}\n".encode()
    return Desk(cloud, tmp_path, hosts=Shell({(HOST, "/proc/stat"): stat}))


def recover(desk: Desk, **more: Any) -> Plan:
    """The plan."""
    return desk.plan("recover-host", **{"host": HOST, **more})


def by_sync(cloud: Losing, name: str, **more: Any) -> str:
    """A server that nova-compute found off after the boot."""
    server = cloud.server(name, **STOPPED, **more)
    cloud.did(server, "create", BOOT - timedelta(days=9), "owner")
    cloud.did(server, "stop", BOOT + timedelta(minutes=2), None)
    return server


def refused(plan: Plan) -> str:
    assert plan.actions == ()
    return plan.not_repaired[0].reason


def manual(plan: Plan, server: str) -> str:
    action = lane(plan, server)
    assert action.risk is Risk.MANUAL
    return " ".join(step.text for step in action.steps if isinstance(step, Manual))


def operations(plan: Plan, server: str) -> list[str]:
    return [step.operation for step in lane(plan, server).steps if isinstance(step, ApiCall)]


def to_do(plan: Plan, server: str) -> str:
    return str(plan.facts["servers"][server]["to_do"])


# -- what ran before


def test_what_the_power_sync_stopped_is_started(desk: Desk, cloud: Losing) -> None:
    """A stop that nobody asked for, since the boot or while the host went down; it runs, whole, afterwards."""
    after = by_sync(cloud, "after")
    before = cloud.server("before", **STOPPED)
    cloud.did(before, "stop", BOOT - timedelta(minutes=5), None)
    plan = recover(desk)
    assert operations(plan, after) == ["start", "await-whole"]
    assert desk.run(plan).exit is Exit.REPAIRED
    assert (cloud.state(after)[1], cloud.state(before)[1]) == ("active", "active")


def test_what_somebody_stopped_stays_off(desk: Desk, cloud: Losing) -> None:
    """Its owner's stop, one from before the boot, and one that was started and stopped again by its owner."""
    owner, old, later = (cloud.server(name, **STOPPED) for name in ("owner", "old", "later"))
    cloud.did(owner, "stop", BOOT - timedelta(hours=1), "owner")
    cloud.did(old, "stop", BOOT - timedelta(hours=1), None)
    cloud.did(later, "stop", BOOT + timedelta(minutes=1), None)
    cloud.did(later, "start", BOOT + timedelta(minutes=2), "owner")
    cloud.did(later, "stop", BOOT + timedelta(minutes=3), "owner")
    plan = recover(desk)
    assert plan.actions == ()
    assert {to_do(plan, server) for server in (owner, old, later)} == {"leave"}
    assert "somebody stopped it (stop at 2026-11-21 01:40:00)" in str(plan.facts["servers"][owner])


def test_what_was_done_beside_does_not_hide_the_stop(desk: Desk, cloud: Losing) -> None:
    """A volume was attached, the server was locked: its power is as the sync left it."""
    server = by_sync(cloud, "db")
    cloud.did(server, "attach_volume", BOOT + timedelta(minutes=4), "owner")
    cloud.did(server, "lock", BOOT + timedelta(minutes=5), "owner")
    assert to_do(recover(desk), server) == "start"


def test_active_and_off_gets_a_hard_reboot(desk: Desk, cloud: Losing) -> None:
    """Though Nova's row still says that it runs: the hypervisor is asked."""
    row_says_on = cloud.server("on")
    cloud.living[HOST].discard(row_says_on)
    row_says_off = cloud.server("off", **OFF)
    plan = recover(desk)
    assert operations(plan, row_says_on) == ["reboot-hard", "await-whole"]
    assert desk.run(plan).failed == 0
    assert cloud.living[HOST] == {row_says_on, row_says_off}
    assert sum("reboot" in one for one in cloud.sent) == 2


def test_what_runs_is_left_alone(desk: Desk, cloud: Losing) -> None:
    """Nova has resumed it by itself."""
    server = cloud.server("db")
    plan = recover(desk)
    assert (plan.actions, to_do(plan, server)) == ((), "leave")


def test_without_the_time_of_the_boot_a_human_is_asked(desk: Desk, cloud: Losing) -> None:
    """A stop of nobody may be a guest that shut itself down a year ago; --since tells."""
    server = by_sync(cloud, "db")
    desk.hosts = None
    assert f"say --since, or --start {server}" in manual(recover(desk), server)
    assert to_do(recover(desk, since="2026-11-21T02:40:00"), server) == "start"
    assert to_do(recover(desk, since="2026-11-21T02:59:30"), server) == "leave"
    with pytest.raises(UsageError):
        recover(desk, since="yesterday")


def test_the_operator_has_the_last_word(desk: Desk, cloud: Losing) -> None:
    """--start for one that its owner stopped, --leave-off for one that ran."""
    wanted, unwanted = cloud.server("wanted", **STOPPED), by_sync(cloud, "unwanted")
    cloud.did(wanted, "stop", BOOT, "owner")
    plan = recover(desk, also=["wanted"], off=["unwanted"])
    assert (to_do(plan, wanted), to_do(plan, unwanted)) == ("start", "leave")


def test_an_error_since_the_boot_is_reset_and_rebooted(desk: Desk, cloud: Losing) -> None:
    """nova-compute gave up on it when it started; one that was in error before is left, with its fault."""
    error = {"OS-EXT-STS:vm_state": "error", **OFF}
    new = cloud.server("new", **error, fault={"message": "VIF plug failed", "created": "2026-11-21T02:42:00Z"})
    old = cloud.server("old", **error, fault={"message": "No valid host", "created": "2026-10-01T00:00:00Z"})
    lines = f"2026-11-21 02:42:00.1 7 ERROR nova.compute.manager [-] [instance: {new}] no such bridge br-int\n"
    assert desk.hosts is not None
    desk.hosts.answers[HOST, LOG] = lines.encode()
    plan = recover(desk)
    assert operations(plan, new) == ["reset-state", "reboot-hard", "await-whole"]
    assert "VIF plug failed; no such bridge br-int" in lane(plan, new).message
    assert "not since the boot: No valid host" in manual(plan, old)
    assert desk.run(plan).failed == 0
    assert cloud.state(new)[1] == "active"


def test_what_nova_is_working_on_is_left(desk: Desk, cloud: Losing) -> None:
    """It takes such tasks up again by itself."""
    server = cloud.server("db", **{"OS-EXT-STS:task_state": "powering-on"}, **OFF)
    assert "look again in a minute" in manual(recover(desk), server)


# -- guards


def test_a_host_that_is_not_back_is_refused(desk: Desk, cloud: Losing) -> None:
    """Down, forced down, silent since the boot, without agents, without RabbitMQ: each with its reason."""
    by_sync(cloud, "db")
    service = cloud.services[HOST]
    good = dict(service)
    for changed, why in (
        ({"state": "down"}, "is down: start it first"),
        ({"forced_down": True}, "is forced down: nothing may be started"),
        ({"updated_at": "2026-11-21T02:00:00"}, "has not reported since the boot"),
    ):
        service |= changed
        assert why in refused(recover(desk))
        service |= good
    cloud.agents[HOST] = False
    assert "Open vSwitch agent" in refused(recover(desk))
    cloud.agents[HOST] = True
    lost = b"x ERROR oslo.messaging._drivers.impl_rabbit [-] AMQP server on 10.0.0.5:5672 is unreachable: timed out\n"
    assert desk.hosts is not None
    desk.hosts.answers[HOST, LOG] = lost
    assert "runs without RabbitMQ" in refused(recover(desk))
    desk.hosts.answers[HOST, LOG] = (
        lost + b"x INFO oslo.messaging._drivers.impl_rabbit [-] Reconnected to AMQP server\n"
    )
    assert recover(desk).runnable


def test_evacuated_servers_are_cleaned_up_after_first(desk: Desk, cloud: Losing) -> None:
    """A host that was evacuated is for host return."""
    cloud.services[HOST]["forced_down"] = True
    cloud.migrations.append(
        {"uuid": "m", "instance_uuid": "x", "source_compute": HOST, "migration_type": "evacuation", "status": "done"}
    )
    assert "has yet to clean up after 1 evacuations" in refused(recover(desk))


def test_a_nova_compute_that_is_deaf_is_told(desk: Desk, cloud: Losing) -> None:
    """It reports, but no message reaches it: what it does not answer is not taken for an answer."""
    cloud.server("db")
    cloud.deaf.add(HOST)
    with pytest.raises(SourceError, match="nova-compute of c01 does not answer"):
        recover(desk)


def test_findings_keep_a_server_off(desk: Desk, cloud: Losing) -> None:
    """A start would take its NICs: it is left, with the finding, and the others are started."""
    harmed, other = by_sync(cloud, "harmed"), by_sync(cloud, "other")
    desk.findings[harmed] = ["info-cache-empty: no NICs are known"]
    plan = recover(desk)
    assert "a start would do harm: info-cache-empty" in manual(plan, harmed)
    assert desk.run(plan).failed == 0
    assert (cloud.state(harmed)[1], cloud.state(other)[1]) == ("stopped", "active")


def test_what_a_start_would_take_keeps_a_server_off(desk: Desk, cloud: Losing) -> None:
    """A NIC that is not in Nova's cache, a volume that Cinder has let go of: seen at once, without any check."""
    nic, disk = by_sync(cloud, "nic"), by_sync(cloud, "disk")
    cloud.servers[nic]["addresses"] = {}
    cloud.volumes["volume-disk"]["attachments"] = []
    plan = recover(desk)
    assert "it would start without that NIC" in manual(plan, nic)
    assert "it would start without that disk" in manual(plan, disk)
    assert plan.runnable == ()


# -- order, consoles, undo


def test_routers_first_then_by_order(desk: Desk, cloud: Losing) -> None:
    """Each rank is a stage of its own, and consoles are looked at when all of them have been started."""
    by_sync(cloud, "web")
    by_sync(cloud, "dns", metadata={"stackmend:order": "1"})
    by_sync(cloud, "router")
    plan = recover(desk, first=["router"])
    started = [a.resource_id for a in plan.actions if a.stage < 1000]
    assert started == ["id-router", "id-dns", "id-web"]
    assert len([a for a in plan.actions if a.stage == 1000]) == 3
    desk.run(plan)
    assert [one.split("/")[2] for one in cloud.sent] == started


def test_a_guest_that_panics_is_reported(desk: Desk, cloud: Losing) -> None:
    """It runs for Nova, and did not come up; the others are not held up by it, and nobody types into it."""
    good, bad, silent, still = (by_sync(cloud, name) for name in ("good", "bad", "silent", "still"))
    cloud.consoles = {good: "old", bad: "old", still: "old"}
    cloud.boots = {
        good: "[    0.000000] Linux version 6.12\nweb login: ",
        bad: "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
    }
    plan = recover(desk)
    result = desk.run(plan)
    assert {cloud.state(one)[1] for one in (good, bad, silent, still)} == {"active"}
    assert (result.failed, result.done) == (2, 6)
    told = " ".join(result.notes)
    assert "shows a kernel" in told
    assert not any("Console" in one for one in cloud.sent)
    # a new plan shows the one that runs and did not come up
    assert "its console shows a kernel" in manual(recover(desk), bad)
    assert lane(recover(desk), bad).runnable is False


def test_consoles_are_left_out_where_that_is_wanted(desk: Desk, cloud: Losing) -> None:
    """By --no-console."""
    by_sync(cloud, "db")
    assert {a.stage for a in recover(desk, consoles=False).actions} == {1}


def test_undo_stops_what_was_started(desk: Desk, cloud: Losing) -> None:
    """A start is taken back; a hard reboot is not."""
    started, rebooted = by_sync(cloud, "started"), cloud.server("rebooted", **OFF)
    assert desk.run(recover(desk)).failed == 0
    desk.undo()
    assert (cloud.state(started)[1], cloud.state(rebooted)[1]) == ("stopped", "active")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[ OK ] Started Getty.\n\nubuntu login: ", "login"),
        ("cirros login: \n", "login"),
        ("Kernel panic - not syncing: Attempted to kill init!", "a kernel panic"),
        ("/dev/vda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n", "a file system that wants fsck by hand"),
        ("fsck.ext4 on /dev/vda1 exited with status code 4", "an fsck that failed"),
        ("Give root password for maintenance\n(or press Control-D to continue): ", "an emergency shell"),
        ("You are in emergency mode. After logging in, type", "an emergency shell"),
        ("BusyBox v1.36\n\n(initramfs) ", "an initramfs"),
        ("error: no such partition.\nEntering rescue mode...\ngrub rescue> ", "a boot loader"),
        ("Booting from Hard Disk...\nNo bootable device.\n", "no disk to boot from"),
        ("Last login: Mon Nov 20 from 10.0.0.1\nfsck from util-linux 2.38\n/dev/vda1: clean, 11/64 files", ""),
        ("Kernel panic - not syncing: old\nrebooting\nweb login: ", "login"),
        ("", ""),
    ],
)
def test_what_a_console_shows(text: str, what: str) -> None:
    """The last sign counts; a clean fsck and the words of a session are none."""
    assert shown(text).startswith(what)
    assert bool(shown(text)) is bool(what)


def test_every_trouble_can_be_met() -> None:
    """Each pattern of the table is in a sentence for the report."""
    assert all(what and not what.endswith(".") for _, what in TROUBLES)
