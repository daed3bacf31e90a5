# SPDX-License-Identifier: Apache-2.0
"""Services of a host stopped and started by a plan: planned, applied, resumed after a crash, taken back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stackmend.app import plans, runs, workflows
from stackmend.config.settings import Config, load
from stackmend.model.errors import Exit
from stackmend.model.plan import Plan
from stackmend.model.step import StepState
from stackmend_lab.cloud import build

from .conftest import until
from .managers import HOST, Machine

NAMES = ["nova-compute", "neutron-openvswitch-agent"]


class Desk:
    """A cloud, a host whose services systemd and docker manage, and the configuration of both."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder / "machine")
        self.machine.unit("nova-compute.service")
        self.machine.container("neutron_openvswitch_agent", policy="always")
        self.file = folder / "cloud.toml"
        prefix = json.dumps(self.machine.transport.routes.prefix)
        self.file.write_text(
            build(folder / "cloud", servers=8, seed=5).toml()
            + f'\n[hosts]\ntransport = "local"\nlocal = ["{HOST}"]\nprefix = {prefix}\n'
        )

    @property
    def config(self) -> Config:
        """As it is read."""
        return load(str(self.file))

    def plan(self, name: str, *services: str) -> Plan:
        """The plan of a workflow, with a look at the host; no API is configured, and none is needed."""
        return workflows.plan(self.config, name, {"host": HOST, "services": list(services or NAMES)})

    def state(self) -> dict[str, object]:
        """Of the host's services."""
        return self.machine.state()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A cloud and a host."""
    monkeypatch.setenv("STACKMEND_STATE", str(tmp_path / "state"))
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    return Desk(tmp_path)


def test_a_plan_says_what_it_will_do(desk: Desk, tmp_path: Path) -> None:
    """Every step is shown with its host, can be taken back, and fits into a file; nothing is changed."""
    before = desk.state()
    plan = desk.plan("stop-host")
    (action,) = plan.actions
    assert "nova-compute is systemd's nova-compute.service" in action.message
    assert "neutron-openvswitch-agent is docker's neutron_openvswitch_agent" in action.message
    assert action.strategy == "host"
    assert not action.irreversible
    assert all(statement.startswith(f"[{HOST}] sh -c ") for statement in action.statements)
    assert plan.needs_consent == ()
    plans.save(plan, str(tmp_path / "plan.json"))
    assert plans.load(str(tmp_path / "plan.json")).actions == plan.actions
    assert desk.state() == before


def test_stopped_by_one_run_and_started_by_another(desk: Desk) -> None:
    """The journal has the exit code of each step; what was before comes back by way of the host's own record."""
    before = desk.state()
    result = runs.apply(desk.config, desk.plan("stop-host"))
    assert (result.exit, result.done) == (Exit.REPAIRED, 1)
    _, _, entries, _ = runs.show_run(desk.config, result.run)
    assert [entry.note for entry in entries if entry.state is StepState.DONE] == ["exit code 0"] * 2
    result = runs.apply(desk.config, desk.plan("start-host"))
    assert (result.exit, result.done) == (Exit.REPAIRED, 1)
    assert desk.state() == before


def test_a_run_is_taken_back(desk: Desk) -> None:
    """Undo gives back what this run has stopped, and leaves what was stopped before."""
    desk.machine.run("systemctl", "mask", "--now", "nova-compute.service")
    before = desk.state()
    result = runs.apply(desk.config, desk.plan("stop-host"))
    assert desk.state() != before
    assert runs.undo(desk.config, result.run).exit is Exit.CLEAN
    assert desk.state() == before


def test_applied_twice_nothing_is_left_to_do(desk: Desk) -> None:
    """The second time every step is found done."""
    plan = desk.plan("stop-host")
    runs.apply(desk.config, plan)
    held = desk.state()
    result = runs.apply(desk.config, plan)
    assert (result.exit, result.already) == (Exit.CLEAN, 1)
    assert desk.state() == held


def test_a_run_that_was_killed_is_resumed(desk: Desk, tmp_path: Path) -> None:
    """Killed while a service is being stopped: the command ends by itself, and the next process does not repeat it."""
    stopping, go = tmp_path / "stopping", tmp_path / "go"
    systemctl = desk.machine.programs / "systemctl"
    fast = '[ -z "$now" ] || echo inactive'
    slow = f"echo x >>{stopping}; until [ -e {go} ]; do sleep 0.05; done; echo inactive"
    text = systemctl.read_text()
    assert text.count(fast) == 1
    systemctl.write_text(text.replace(fast, slow))
    plan = desk.plan("stop-host")
    plans.save(plan, str(tmp_path / "plan.json"))
    (program := tmp_path / "first.py").write_text(
        textwrap.dedent(f"""
            from stackmend.app import plans, runs
            from stackmend.config.settings import load
            runs.apply(load({str(desk.file)!r}), plans.load({str(tmp_path / "plan.json")!r}))
        """)
    )
    first = subprocess.Popen([sys.executable, str(program)])
    until(stopping.exists, "it was never begun")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (run,) = runs.list_runs(desk.config)
    go.touch()
    result = runs.resume(desk.config, run.id)
    assert (result.exit, result.done) == (Exit.REPAIRED, 1)
    assert stopping.read_text() == "x\n"
    assert runs.undo(desk.config, run.id).exit is Exit.CLEAN
    assert (desk.machine.folder / "units/nova-compute.service/active").read_text() == "active\n"


def test_a_host_that_has_no_such_service(desk: Desk) -> None:
    """The plan holds nothing and says why."""
    plan = desk.plan("stop-host", "neutron-l3-agent")
    assert plan.actions == ()
    (left,) = plan.not_repaired
    assert "c01 has no service neutron-l3-agent" in left.reason
