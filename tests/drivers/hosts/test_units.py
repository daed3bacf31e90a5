# SPDX-License-Identifier: Apache-2.0
"""Services are stopped for good and given back exactly, whoever manages them: through the real shell and transport."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from stackmend.app.apis import SystemClock
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.hosts.units import hook, start, stop, units
from stackmend.model.errors import HostUnreachable
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand, StepState

from ...support.carried_out import carried_out
from .booted import Booted, Docked, NotHereError
from .managers import HOST, Machine, RedHat

NOVA = "nova-compute"
Make = Callable[[Machine], None]

#: what runs it -> (how it is made, what configuration management does, whether it runs)
RUNNING: dict[str, Make] = {
    "systemd": lambda m: m.unit("nova-compute.service"),
    "systemd, Red Hat's name": lambda m: m.unit("openstack-nova-compute.service"),
    "systemd, a unit in /etc": lambda m: m.unit("kolla-nova_compute-container.service", own=True),
    "docker": lambda m: m.container("nova_compute"),
    "docker, with a count": lambda m: m.container("nova_compute", policy="on-failure:5"),
    "podman": lambda m: m.container("nova_compute", by="podman", policy="always"),
    "init": lambda m: m.script(NOVA),
}
STOPPED: dict[str, Make] = {
    "systemd": lambda m: m.unit("nova-compute.service", active=False),
    "systemd, a unit in /etc": lambda m: m.unit("nova-compute.service", own=True, active=False),
    "docker": lambda m: m.container("nova_compute", running=False),
    "init": lambda m: m.script(NOVA, running=False),
}


#: with fakes, and with the real things
HOSTS = {"fake": Machine, "red hat": RedHat, "systemd": Booted, "docker": Docked}


def cases(kinds: Iterable[str]) -> list[tuple[str, str]]:
    """(host, kind): with a fake all kinds, and each again where the real thing can be begun."""
    real = {"systemd": "systemd", "init": "systemd", "docker": "docker"}
    known = [(real[word], kind) for kind in kinds if (word := kind.partition(",")[0]) in real]
    return [*(("fake", kind) for kind in kinds), ("red hat", "init"), *known]


@pytest.fixture(params=["fake", "systemd"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A host without any service: the fakes must do what the real things do."""
    of = HOSTS[request.param]
    if why := of.why_not():
        pytest.skip(why)
    try:
        made = of(tmp_path / "machine")
    except NotHereError as why_not:
        pytest.skip(str(why_not))
    yield made
    made.close()


def do(machine: Machine, step: HostCommand, mark: str = "") -> tuple[StepState, bool]:
    """Carry it out: (state, whether it was done already)."""
    outcome = carried_out(HostExecutor(machine.transport, SystemClock()), step, mark)
    assert outcome.state is StepState.DONE, outcome.note
    return outcome.state, outcome.already


def unit(machine: Machine):
    """The service as it is now."""
    return units(machine.transport, HOST, [NOVA])[NOVA]


def managed(machine: Machine) -> None:
    """Configuration management passes by, and the host begins anew."""
    found = unit(machine)
    machine.managed(found.manager, found.name)


@pytest.mark.parametrize(("machine", "kind"), cases(RUNNING), indirect=["machine"])
def test_stopped_for_good_and_given_back(machine: Machine, kind: str) -> None:
    """Nothing starts it while it is held; afterwards every file of the host is as it was."""
    RUNNING[kind](machine)
    before = machine.state()
    step = stop(HOST, unit(machine))
    assert do(machine, step) == (StepState.DONE, False)
    assert not machine.runs()
    managed(machine)
    assert not machine.runs()
    assert do(machine, step) == (StepState.DONE, True)
    assert unit(machine).held
    assert do(machine, start(HOST, unit(machine))) == (StepState.DONE, False)
    assert machine.runs()
    assert machine.state() == before


@pytest.mark.parametrize(("machine", "kind"), cases(RUNNING), indirect=["machine"])
def test_undo_gives_back_the_same(machine: Machine, kind: str) -> None:
    """The inverse of the step is the reverse without looking again."""
    RUNNING[kind](machine)
    before = machine.state()
    step = stop(HOST, unit(machine))
    do(machine, step)
    assert step.inverse is not None
    do(machine, HostCommand(host=HOST, argv=step.inverse))
    assert machine.state() == before


@pytest.mark.parametrize(("machine", "kind"), cases(STOPPED), indirect=["machine"])
def test_what_did_not_run_is_not_started(machine: Machine, kind: str) -> None:
    """A service that a human had stopped is held, too, and is given back stopped."""
    STOPPED[kind](machine)
    before = machine.state()
    do(machine, stop(HOST, unit(machine)))
    managed(machine)
    assert not machine.runs()
    do(machine, start(HOST, unit(machine)))
    assert not machine.runs()
    assert machine.state() == before


def test_what_was_masked_stays_masked(machine: Machine) -> None:
    """A unit that somebody else has masked and stopped is left alone: it is not ours, and undo leaves it."""
    machine.unit("nova-compute.service", active=False, masked=True)
    before = machine.state()
    assert do(machine, stop(HOST, unit(machine))) == (StepState.DONE, True)
    assert machine.state() == before


def test_one_that_runs_though_masked_is_given_back_so(machine: Machine) -> None:
    """Masked while it runs, it goes on running until it is stopped: both come back."""
    machine.unit("nova-compute.service", masked=True)
    before = machine.state()
    do(machine, stop(HOST, unit(machine)))
    assert not machine.runs()
    do(machine, start(HOST, unit(machine)))
    assert machine.state() == before


def test_one_that_somebody_else_masked_is_started(machine: Machine) -> None:
    """Without a record, asked for by name, it is freed and started; undo holds it again."""
    machine.unit("nova-compute.service", active=False, masked=True)
    step = start(HOST, unit(machine))
    do(machine, step)
    assert machine.runs()
    assert step.inverse is not None
    do(machine, HostCommand(host=HOST, argv=step.inverse))
    managed(machine)
    assert not machine.runs()


def written_down(machine: Machine) -> HostCommand:
    """A stop that was killed when it had written down what the service is; it, to be done again."""
    held = machine.path(f"/var/lib/stackmend/held/{NOVA}")
    held.parent.mkdir(parents=True)
    held.write_text(unit(machine).line + "\n")
    return stop(HOST, unit(machine))


def test_a_stop_that_was_killed_before_the_unit_was_masked(machine: Machine) -> None:
    """It is held by the condition alone: it does not start, a second stop ends the first, and nothing of it is left."""
    machine.unit("nova-compute.service")
    before = machine.state()
    step = written_down(machine)
    (condition := machine.path("/etc/systemd/system/nova-compute.service.d")).mkdir()
    (condition / "stackmend.conf").write_text("[Unit]\nConditionPathExists=!/\n")
    for words in (("daemon-reload",), ("stop", "nova-compute.service"), ("start", "nova-compute.service")):
        machine.run("systemctl", *words)
    assert not machine.runs()
    assert do(machine, step) == (StepState.DONE, False)
    assert not condition.exists()
    do(machine, start(HOST, unit(machine)))
    assert machine.state() == before


def test_an_interrupted_stop_remembers_what_was_first(machine: Machine) -> None:
    """Killed between masking and stopping, and done again: what is given back is what was before the first time."""
    machine.unit("nova-compute.service")
    before = machine.state()
    step = written_down(machine)
    machine.run("systemctl", "mask", "nova-compute.service")
    assert unit(machine).before == "free"
    do(machine, stop(HOST, unit(machine)))
    do(machine, step)
    do(machine, start(HOST, unit(machine)))
    assert machine.state() == before


@pytest.mark.parametrize("machine", ["systemd"], indirect=True)
@pytest.mark.parametrize("own", [False, True])
def test_a_unit_is_stopped_by_its_own_rules(machine: Booted, own: bool) -> None:
    """What an agent has begun for its networks goes on without it, where its unit says so; ExecStop= is heeded, too."""
    text = (
        "[Unit]\nDefaultDependencies=no\n[Service]\nKillMode=process\nExecStop=/bin/touch /var/lib/told\n"
        "ExecStart=/bin/sh -c 'sleep 1234567 & exec sleep infinity'\n"
    )
    machine.unit("nova-compute.service", own=own, text=text)
    do(machine, stop(HOST, unit(machine)))
    assert machine.run("pgrep", "-f", "^sleep infinity") == 1
    assert machine.run("pgrep", "-f", "^sleep 1234567") == 0
    assert machine.path("/var/lib/told").exists()


@pytest.mark.parametrize("machine", ["systemd"], indirect=True)
def test_a_unit_that_does_not_want_to_end(machine: Booted) -> None:
    """It is killed when the time of its unit is over, not before, and nothing starts another one."""
    deaf = "trap : TERM; while :; do sleep 1; done"
    text = f"[Unit]\nDefaultDependencies=no\n[Service]\nTimeoutStopSec=2\nExecStart=/bin/sh -c '{deaf}'\n"
    machine.unit("nova-compute.service", text=text)
    do(machine, stop(HOST, unit(machine)))
    assert not machine.runs()
    managed(machine)
    assert not machine.runs()


def test_of_a_container_and_its_unit_the_unit_counts(machine: Machine) -> None:
    """A container that systemd runs would be started again by it."""
    machine.unit("kolla-nova_compute-container.service", own=True)
    machine.container("nova_compute", policy="no")
    assert unit(machine).manager == "condition"


def test_a_unit_that_is_only_installed_does_not_count(machine: Machine) -> None:
    """A package's unit that does not run hides no container that does."""
    machine.unit("nova-compute.service", active=False)
    machine.container("nova_compute")
    assert unit(machine).manager == "docker"


def test_a_service_that_is_not_there(machine: Machine) -> None:
    """It is refused with what was looked for, and a name that is none never gets to a shell."""
    machine.unit("nova-compute.service")
    with pytest.raises(CannotRepair, match="c01 has no service neutron-l3-agent"):
        units(machine.transport, HOST, [NOVA, "neutron-l3-agent"])
    with pytest.raises(CannotRepair, match="is not a valid service name"):
        units(machine.transport, HOST, ["nova; reboot"])
    with pytest.raises(HostUnreachable):
        units(machine.transport, "c02", [NOVA])


def bmc(folder: Path) -> dict[str, tuple[str, ...]]:
    """Hooks of a machine whose power is a file."""
    program = folder / "bmc"
    program.write_text(
        f"#!/bin/sh\ncd {folder}\n"
        'case $1 in\nstatus) echo "Chassis Power is $(cat power)" ;;\n*) echo $1 >power ;;\nesac\n'
    )
    program.chmod(0o755)
    return {f"hooks.power_{name}": (str(program), name, "{host}") for name in ("on", "off", "status")}


def test_power_by_a_hook(machine: Machine, tmp_path: Path) -> None:
    """The operator's command runs here, is checked by the status, is not repeated, and can be taken back."""
    settings, power = bmc(tmp_path), tmp_path / "power"
    power.write_text("on\n")
    step = hook(settings, "power_off", HOST, back="power_on", wanted="off")
    assert step is not None
    assert (step.host, step.argv[1:]) == ("", ("off", HOST))
    assert do(machine, step) == (StepState.DONE, False)
    assert power.read_text() == "off\n"
    assert do(machine, step) == (StepState.DONE, True)
    assert step.inverse == (*step.argv[:1], "on", HOST)


def test_power_that_cannot_be_told(machine: Machine, tmp_path: Path) -> None:
    """Neither on nor off: nothing is switched."""
    settings, power = bmc(tmp_path), tmp_path / "power"
    power.write_text("unknown\n")
    step = hook(settings, "power_off", HOST, wanted="off")
    assert step is not None
    outcome = carried_out(HostExecutor(machine.transport, SystemClock()), step, "")
    assert outcome.state is StepState.FAILED
    assert "neither on nor off: Chassis Power is unknown" in outcome.note
    assert power.read_text() == "unknown\n"


def test_a_hook_that_is_not_configured() -> None:
    """There is no step then: the workflow asks a human."""
    assert hook({}, "fence", HOST) is None
