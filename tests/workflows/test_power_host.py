# SPDX-License-Identifier: Apache-2.0
"""A host that is switched off, on, or restarted: who may be cut off, and when it is really back."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.step import HostCommand, irreversible

from ..simulation.hosts import Quick
from ..support.simulated_runs import Drill
from ..support.simulated_servers import HOST, Told


class Machine:
    """A host whose boot id is a file, switched by scripts; and a process that is called nova-compute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("boot_id", "first\n")
        self.write("power", "on\n")
        namespace = ("unshare", "-m") if os.getuid() == 0 else ("unshare", "-rm")
        script = f'mount --bind {folder}/boot_id /proc/sys/kernel/random/boot_id && exec "$@"'
        routes = Routes(transport="local", local=frozenset({HOST}), prefix=(*namespace, "sh", "-c", script, "inside"))
        self.transport = Transport(routes)
        self.compute = subprocess.Popen(["bash", "-c", "exec -a nova-compute sleep 600"])

    def write(self, name: str, text: str) -> None:
        """A file of it."""
        (self.folder / name).write_text(text)

    def read(self, name: str) -> str:
        """What is in a file of it."""
        return (self.folder / name).read_text().strip()

    def hooks(self) -> dict[str, Any]:
        """The operator's commands."""
        at = self.folder
        return {
            "hooks.reboot": ("sh", "-c", f"(sleep 0.3; echo second >{at}/boot_id) & echo $0 >>{at}/asked", "{host}"),
            "hooks.power_off": ("sh", "-c", f"echo off >{at}/power"),
            "hooks.power_on": ("sh", "-c", f"echo on >{at}/power"),
            "hooks.power_status": ("cat", f"{at}/power"),
        }


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A host."""
    made = Machine(tmp_path)
    yield made
    made.compute.kill()
    made.compute.wait()
    made.transport.close()


@pytest.fixture
def cloud() -> Told:
    """A cloud with that host, empty."""
    return Told(hosts=1)


@pytest.fixture
def drill(cloud: Told, machine: Machine, tmp_path: Path) -> Iterator[Drill]:
    """An operator with a way to the host."""
    journal, pace = DatabaseJournal(f"sqlite:///{tmp_path}/journal.db"), Quick(cloud.clock)
    hook = HostExecutor(machine.transport, pace)
    name, settings = f"{uuid.uuid4()}-", machine.hooks()
    yield Drill(cloud, journal, hosts=machine.transport, hook=hook, settings=settings, pace=pace, name=name)
    journal.close()


def power(drill: Drill, **arguments: Any) -> Plan:
    """The plan."""
    return drill.plan("power-host", {"host": HOST, **arguments})


def reason(drill: Drill, **arguments: Any) -> str:
    """Why it is refused."""
    plan = power(drill, **arguments)
    assert plan.actions == ()
    return plan.not_repaired[0].reason


def test_running_servers_are_not_cut_off_unasked(drill: Drill, cloud: Told) -> None:
    """Neither by switching off nor by a restart; switching on harms nobody."""
    web = cloud.put(name="web")
    assert "1 servers are running on c01, for example web" in reason(drill, action="reboot")
    assert "host drain c01" in reason(drill, action="off")
    allowed = power(drill, action="reboot", with_servers=True)
    assert (allowed.facts["cut_off"], allowed.needs_consent) == ([web.id], ("power-host",))
    assert power(drill, action="on").runnable


def test_without_a_hook_nothing_can_be_done(drill: Drill) -> None:
    """The missing line of the configuration is named."""
    drill.settings = {}
    assert reason(drill, action="reboot").startswith("[hooks] reboot is not configured")


def test_a_restart_is_over_when_the_host_is_back(drill: Drill, machine: Machine) -> None:
    """The hook is run once, for this host, and the run ends when the boot id is another one."""
    plan = power(drill, action="reboot")
    (action,) = plan.actions
    assert irreversible(action.steps[0])
    assert not any(irreversible(step) for step in action.steps[1:] if isinstance(step, HostCommand))
    result = drill.apply(plan)
    assert (result.exit, result.done) == (Exit.REPAIRED, 1)
    assert machine.read("asked") == HOST
    assert machine.read("boot_id") == "second"


def test_a_host_that_does_not_restart_is_not_back(drill: Drill, machine: Machine) -> None:
    """The hook's exit code 0 alone proves nothing."""
    drill.settings |= {"hooks.reboot": ("true",)}
    result = drill.apply(power(drill, action="reboot", timeout=20))
    assert (result.exit, result.failed) == (Exit.STOPPED, 1)
    assert "it is not done after 20 s" in result.notes[0]
    assert machine.read("boot_id") == "first"


def test_switched_off_and_on_again_by_undo(drill: Drill, machine: Machine) -> None:
    """power_status decides; what is off already is left, and undo switches on what this run has switched off."""
    plan = power(drill, action="off")
    assert drill.apply(plan).exit is Exit.REPAIRED
    assert machine.read("power") == "off"
    assert drill.undo().exit is Exit.REPAIRED
    assert machine.read("power") == "on"


def test_a_host_without_a_way_to_it_says_what_is_not_known(drill: Drill) -> None:
    """The services still have to report; boot id and mounts are named as not known."""
    drill.hosts = None
    plan = power(drill, action="reboot")
    assert "boot id and mounts" in plan.facts["not_known"]
    assert [step.kind for step in plan.actions[0].steps] == ["command", "api", "api"]
