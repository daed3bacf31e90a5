# SPDX-License-Identifier: Apache-2.0
"""Recovery after a reboot: what ran before, what is started in which order, and what did not come up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stackmend.cloud.consoles import TROUBLES, shown
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend.model.plan import Limits, Plan
from stackmend_lab.simulated import invariants
from stackmend_lab.simulated.things import RUNNING, Host, Server

from ..simulation.hosts import machine
from ..simulation.plans import lane, manual, operations, refused
from ..support.simulated_runs import Drill
from ..support.simulated_servers import HOST, Told


class Site:
    """A host of a simulated cloud that is restarted, and an operator who can read its kernel and its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cloud = Told(hosts=2)
        self.journal = DatabaseJournal(f"sqlite:///{folder}/journal.db")
        self.drill = Drill(self.cloud, self.journal, Limits(parallel=4), hosts=machine(folder, HOST))
        self.booted(self.cloud.clock.now())

    @property
    def host(self) -> Host:
        """The one that is restarted."""
        return self.cloud.world.hosts[HOST]

    def booted(self, at: datetime) -> None:
        """What its kernel says."""
        (self.folder / "stat").write_text(f"cpu 1\nbtime {int(at.timestamp())}\n")

    def log(self, *lines: str) -> None:
        """What nova-compute has written."""
        (self.folder / "log").write_text("".join(f"{line}\n" for line in lines))

    def put(self, name: str, kind: str = "active") -> Server:
        """A server there that boots from a volume."""
        return self.cloud.put(kind, volume=True, name=name)

    def restart(self, *, sync: bool = True) -> datetime:
        """The machine is restarted, which takes a minute; half a minute later, or after the power sync. Since when."""
        self.cloud.world.power_sync = sync
        self.cloud.world.stop(self.host, machine=True)
        self.cloud.clock.sleep(60)
        at = self.cloud.clock.now()
        self.booted(at)
        self.cloud.world.start(self.host)
        self.cloud.clock.sleep(120 if sync else 30)
        return at

    def plan(self, **more: Any) -> Plan:
        """The plan."""
        return self.drill.plan("recover-host", {"host": HOST, **more})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A host without servers."""
    made = Site(tmp_path)
    yield made
    made.journal.close()


def to_do(plan: Plan, server: Server) -> str:
    """What is made of it."""
    return str(plan.facts["servers"][server.id]["to_do"])


# -- what ran before


def test_what_the_power_sync_stopped_is_started(site: Site) -> None:
    """A stop that nobody asked for, since the boot or while the host went down; it runs, whole, afterwards."""
    before = site.put("before")
    site.restart()
    after = site.put("after")
    site.restart()
    assert (before.vm_state, after.vm_state) == ("stopped", "stopped")
    plan = site.plan()
    assert operations(plan, after) == ["start", "await-whole"]
    assert site.drill.apply(plan).exit is Exit.REPAIRED
    assert (before.vm_state, after.vm_state) == ("active", "active")
    assert site.host.guests == {before.id: RUNNING, after.id: RUNNING}
    assert invariants(site.cloud) == []


def test_what_somebody_stopped_stays_off(site: Site) -> None:
    """Its owner's stop, one of nobody from before the boot, and one that its owner started and stopped again."""
    owner, old = site.put("owner"), site.put("old")
    site.cloud.act(owner, **{"os-stop": None})
    site.restart()
    site.cloud.clock.sleep(3600)
    later = site.put("later")
    site.restart()
    assert {one.vm_state for one in (owner, old, later)} == {"stopped"}
    site.cloud.act(later, **{"os-start": None})
    site.cloud.act(later, **{"os-stop": None})
    plan = site.plan()
    assert plan.actions == ()
    assert {to_do(plan, server) for server in (owner, old, later)} == {"leave"}
    assert "a user stopped it (stop at 2026-11-21 03:00:00)" in str(plan.facts["servers"][owner.id])
    assert "it had stopped before the host was rebooted" in str(plan.facts["servers"][old.id])


def test_what_was_done_beside_does_not_hide_the_stop(site: Site) -> None:
    """A volume was attached, the server was locked: its power is as the sync left it."""
    server = site.put("db")
    site.restart()
    site.cloud.world.acted(server, "attach_volume", "req-00000000-0000-4000-8000-00000000abcd")
    site.cloud.act(server, lock=None)
    assert to_do(site.plan(), server) == "start"


def test_active_and_off_gets_a_hard_reboot(site: Site) -> None:
    """Though Nova's row still says that it runs: the hypervisor is asked."""
    row_says_on, row_says_off = site.put("on"), site.put("off")
    site.restart(sync=False)
    site.cloud.world.set(row_says_off, power_state=4)
    plan = site.plan()
    assert operations(plan, row_says_on) == ["reboot-hard", "await-whole"]
    assert site.drill.apply(plan).failed == 0
    assert site.host.guests == {row_says_on.id: RUNNING, row_says_off.id: RUNNING}
    assert [set(request.body or {}) for request in site.cloud.sent] == [{"reboot"}, {"reboot"}]


def test_what_runs_is_left_alone(site: Site) -> None:
    """Nova has resumed it by itself."""
    server = site.put("db")
    plan = site.plan()
    assert (plan.actions, to_do(plan, server)) == ((), "leave")


def test_without_the_time_of_the_boot_a_human_is_asked(site: Site) -> None:
    """A stop of nobody may be a guest that shut itself down a year ago; --since tells."""
    server = site.put("db")
    boot = site.restart()
    site.cloud.clock.sleep(1800)
    site.drill.hosts = None
    assert f"give it with --since, or use --start {server.id}" in manual(site.plan(), server)
    for minutes, how in ((0, "start"), (20, "leave")):
        since = (boot + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")
        assert to_do(site.plan(since=since), server) == how
    with pytest.raises(UsageError):
        site.plan(since="yesterday")


def test_the_operator_has_the_last_word(site: Site) -> None:
    """--start for one that its owner stopped, --leave-off for one that ran."""
    wanted, unwanted = site.put("wanted"), site.put("unwanted")
    site.cloud.act(wanted, **{"os-stop": None})
    site.restart()
    plan = site.plan(also=["wanted"], off=["unwanted"])
    assert (to_do(plan, wanted), to_do(plan, unwanted)) == ("start", "leave")


def test_an_error_since_the_boot_is_reset_and_rebooted(site: Site) -> None:
    """nova-compute gave up on it when it started; one that was in error before is left, with its fault."""
    new, old = site.put("new"), site.put("old")
    site.cloud.world.set(old, vm_state="error", fault="No valid host")
    site.restart(sync=False)
    site.cloud.world.set(new, vm_state="error", fault="VIF plug failed")
    site.log(f"2026-11-21 03:01:01.1 7 ERROR nova.compute.manager [-] [instance: {new.id}] no such bridge br-int")
    plan = site.plan()
    assert operations(plan, new) == ["reset-state", "reboot-hard", "await-whole"]
    assert "VIF plug failed; no such bridge br-int" in lane(plan, new).message
    assert "it was in error before the boot: No valid host" in manual(plan, old)
    assert site.drill.apply(plan).failed == 0
    assert (new.vm_state, site.host.guests[new.id]) == ("active", RUNNING)


def test_what_nova_is_working_on_is_left(site: Site) -> None:
    """It takes such tasks up again by itself."""
    server = site.put("db", "stopped")
    site.cloud.world.set(server, task_state="powering-on")
    assert "check again in a minute" in manual(site.plan(), server)


# -- guards


def test_a_host_that_is_not_back_is_refused(site: Site) -> None:
    """Down, silent since the boot, forced down: each with its reason."""
    site.put("db")
    site.cloud.world.stop(site.host, machine=True)
    site.cloud.clock.sleep(30)
    site.booted(site.cloud.clock.now())
    assert "has not reported since the boot" in refused(site.plan())
    site.cloud.clock.sleep(60)
    assert "is down: start it first" in refused(site.plan())
    site.cloud.world.start(site.host)
    site.host.forced_down = True
    assert "is forced down: no server may be started" in refused(site.plan())
    site.host.forced_down = False
    assert site.plan().runnable


def test_a_host_that_cannot_serve_is_refused(site: Site) -> None:
    """Without its network agent, without RabbitMQ; with both again it is recovered."""
    site.put("db")
    site.restart()
    site.cloud.world.silence(site.host)
    site.cloud.clock.sleep(90)
    assert "Open vSwitch agent" in refused(site.plan())
    site.host.agent_running = True
    lost = "x ERROR oslo.messaging._drivers.impl_rabbit [-] AMQP server on 10.0.0.5:5672 is unreachable: timed out"
    site.log(lost)
    assert "runs without RabbitMQ" in refused(site.plan())
    site.log(lost, "x INFO oslo.messaging._drivers.impl_rabbit [-] Reconnected to AMQP server")
    assert site.plan().runnable


def test_evacuated_servers_are_cleaned_up_after_first(site: Site) -> None:
    """A host that was evacuated is for host return."""
    server = site.put("db")
    site.cloud.world.stop(site.host, machine=True)
    site.cloud.clock.sleep(90)
    site.host.forced_down = True
    site.cloud.act(server, evacuate={})
    assert "has yet to clean up after 1 evacuations" in refused(site.plan())


def test_a_nova_compute_that_does_not_answer_is_told(site: Site) -> None:
    """It was heard of a moment ago, but no message reaches it: what it does not answer is not taken for an answer."""
    site.put("db")
    site.restart(sync=False)
    site.cloud.world.stop(site.host)
    with pytest.raises(SourceError, match="nova-compute of c01 does not answer"):
        site.plan()


def test_findings_keep_a_server_off(site: Site) -> None:
    """A start would take its NICs: it is left, with the finding, and the others are started."""
    harmed, other = site.put("harmed"), site.put("other")
    site.restart()
    site.drill.findings[harmed.id] = ["info-cache-empty: no NICs are known"]
    plan = site.plan()
    assert "starting it would do damage: info-cache-empty" in manual(plan, harmed)
    assert site.drill.apply(plan).failed == 0
    assert (harmed.vm_state, other.vm_state) == ("stopped", "active")


def test_what_a_start_would_take_keeps_a_server_off(site: Site) -> None:
    """A NIC that is not in Nova's cache, a volume that Cinder has let go of: seen at once, without any check."""
    nic, disk = site.put("nic"), site.put("disk")
    site.restart()
    empty: dict[str, Any] = {nic.id: {"addresses": {}}}
    site.cloud.told["/servers/detail"] = lambda body: {
        "servers": [one | empty.get(one["id"], {}) for one in body["servers"]]
    }
    site.cloud.world.detach_at(disk, HOST)
    plan = site.plan()
    assert "it would start without that NIC" in manual(plan, nic)
    assert "it would start without that disk" in manual(plan, disk)
    assert plan.runnable == ()


# -- order, consoles, undo


def test_routers_first_then_by_order(site: Site) -> None:
    """Each rank is a stage of its own, and consoles are looked at when all of them have been started."""
    web, dns, router = (site.put(name) for name in ("web", "dns", "router"))
    dns.metadata = {"stackmend:order": "1"}
    site.restart()
    plan = site.plan(first=["router"])
    started = [a.resource_id for a in plan.actions if a.stage < 1000]
    assert started == [router.id, dns.id, web.id]
    assert len([a for a in plan.actions if a.stage == 1000]) == 3
    assert site.drill.apply(plan).failed == 0
    assert [request.path.split("/")[2] for request in site.cloud.sent] == started


def test_a_guest_that_panics_is_reported(site: Site) -> None:
    """It runs for Nova, and did not come up; the others are not held up by it, and nobody types into it."""
    good, bad, silent, still = (site.put(name) for name in ("good", "bad", "silent", "still"))
    good.boots = "[    0.000000] Linux version 6.12\nweb login: "
    bad.boots = "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
    silent.boots, silent.console, still.boots = "", "", ""
    site.restart()
    result = site.drill.apply(site.plan())
    assert {one.vm_state for one in (good, bad, silent, still)} == {"active"}
    assert (result.failed, result.done) == (2, 6)
    assert "shows a kernel" in " ".join(result.notes)
    assert {verb for request in site.cloud.sent for verb in request.body or {}} == {"os-start"}
    # a new plan shows the one that runs and did not come up
    assert "its console shows a kernel" in manual(site.plan(), bad)
    assert lane(site.plan(), bad).runnable is False


def test_consoles_are_left_out_where_that_is_wanted(site: Site) -> None:
    """By --no-console."""
    site.put("db")
    site.restart()
    assert {a.stage for a in site.plan(consoles=False).actions} == {1}


def test_undo_stops_what_was_started(site: Site) -> None:
    """A start is taken back; a hard reboot is not."""
    started = site.put("started")
    site.restart()
    rebooted = site.put("rebooted")
    site.host.guests[rebooted.id] = 4
    assert site.drill.apply(site.plan()).failed == 0
    assert (started.vm_state, site.host.guests[rebooted.id]) == ("active", RUNNING)
    site.drill.undo()
    assert (started.vm_state, rebooted.vm_state) == ("stopped", "active")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[ OK ] Started Getty.\n\nubuntu login: ", "login"),
        ("cirros login: \n", "login"),
        ("Kernel panic - not syncing: Attempted to kill init!", "a kernel panic"),
        ("/dev/vda1: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n", "a file system that needs a manual fsck"),
        ("fsck.ext4 on /dev/vda1 exited with status code 4", "a failed fsck"),
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
    assert all(one.words and not one.words.endswith(".") for one in TROUBLES)
