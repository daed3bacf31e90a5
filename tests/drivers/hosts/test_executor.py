# SPDX-License-Identifier: Apache-2.0
"""Steps that are commands on hosts, carried out on a real OpenSSH server and on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.app.apis import SystemClock
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.step import HostCommand, StepState
from stackmend.model.writer import Pending, StepResult, mark_of

from ...support.carried_out import carried_out
from .conftest import Host, until

#: no other test session on this machine has the same
MARK = mark_of(f"test-{uuid.uuid4()}", 3)


class Place:
    """A host, and a folder of it."""

    def __init__(self, transport: Transport, host: str, folder: Path) -> None:
        self.transport, self.host, self.folder = transport, host, folder
        self.executor = HostExecutor(transport, SystemClock())

    def step(self, script: str, probe: str = "", limit: float = 60.0) -> HostCommand:
        """A command in that folder."""
        inside = f"cd {self.folder} && "
        looked = ("sh", "-c", inside + probe) if probe else ()
        return HostCommand(host=self.host, argv=("sh", "-c", inside + script), probe=looked, limit=limit)

    def runs(self) -> int:
        """How often a command has written a line to the file ``ran``."""
        ran = self.folder / "ran"
        return len(ran.read_text().splitlines()) if ran.exists() else 0


@pytest.fixture(params=["ssh", "local"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where commands are carried out."""
    folder = tmp_path / "there"
    folder.mkdir()
    if request.param == "ssh":
        made: Host = request.getfixturevalue("host")
        found = Place(made.transport(), made.name, folder)
    else:
        found = Place(Transport(Routes(transport="local")), socket.gethostname(), folder)
    yield found
    found.transport.close()


def test_a_command_is_run_once(place: Place) -> None:
    """Its probe says before that it is to do and after that it is done; the second time nothing is run."""
    step = place.step("echo x >> ran", "test -e ran")
    assert place.executor.probe(step) is StepState.PLANNED
    assert carried_out(place.executor, step, MARK) == StepResult(StepState.DONE, "exit code 0")
    assert place.executor.probe(step) is StepState.DONE
    assert carried_out(place.executor, step, MARK) == StepResult(StepState.DONE, "already done", already=True)
    assert place.runs() == 1


def test_how_far_it_is_is_told(place: Place) -> None:
    """What a command prints last on stderr can be shown while it runs, also where it goes back in its line."""
    step = place.step("printf 'begun\\n10 %%\\r20 %%\\r' >&2; until [ -e go ]; do sleep 0.05; done", limit=30)
    found = place.executor.begin(step, MARK)
    while isinstance(found, Pending) and not found.progress.endswith(": 20 %"):
        found = place.executor.go_on(found)
    assert isinstance(found, Pending), found
    (place.folder / "go").touch()
    while isinstance(found, Pending):
        found = place.executor.go_on(found)
    assert found == StepResult(StepState.DONE, "exit code 0: 20 %")


def test_a_failure_says_why(place: Place) -> None:
    """The note has the exit code and the last line of the errors, without control characters."""
    step = place.step("echo first >&2; printf 'no such \\033[31mservice\\n\\n' >&2; exit 5", "false")
    assert carried_out(place.executor, step, MARK) == StepResult(StepState.FAILED, "exit code 5: no such  [31mservice")


@pytest.mark.parametrize(("code", "state"), [(0, StepState.DONE), (3, StepState.FAILED)])
def test_without_a_probe_the_exit_code_decides(place: Place, code: int, state: StepState) -> None:
    """After a crash it does not: then nobody can tell."""
    step = place.step(f"exit {code}")
    assert carried_out(place.executor, step, MARK) == StepResult(state, f"exit code {code}")
    assert place.executor.probe(step) is StepState.IN_DOUBT


def test_a_failure_that_has_done_it_is_done(place: Place) -> None:
    """What counts is the state of the host, not what a program thinks of itself."""
    assert carried_out(place.executor, place.step("echo x >> ran; exit 1", "test -e ran"), MARK).state is StepState.DONE


def test_a_success_that_has_not_done_it_has_failed(place: Place) -> None:
    """A program that says it is done is not believed when its probe still says no at the end of the limit."""
    outcome = carried_out(place.executor, place.step("true", "test -e ran", limit=1), MARK)
    assert outcome.state is StepState.FAILED
    assert "exit code 0; it is not done after 1 s" in outcome.note


def test_what_takes_effect_later_is_waited_for(place: Place) -> None:
    """A power supply answers at once and goes off some seconds later."""
    step = place.step("(sleep 1; echo x >> ran) >/dev/null 2>&1 &", "test -e ran")
    assert carried_out(place.executor, step, MARK) == StepResult(StepState.DONE, "exit code 0")


def test_a_probe_that_cannot_tell_keeps_it_from_being_begun(place: Place) -> None:
    """Nothing is changed where its state before is unknown."""
    step = place.step("echo x >> ran", "echo 'bus is down' >&2; exit 4")
    outcome = carried_out(place.executor, step, MARK)
    assert outcome.state is StepState.FAILED
    assert outcome.note.startswith("nothing was done: its probe ")
    assert outcome.note.endswith("is inconclusive: exit code 4: bus is down")
    assert place.executor.probe(step) is StepState.IN_DOUBT
    assert place.runs() == 0


def test_one_that_took_too_long_is_judged_by_its_probe(place: Place) -> None:
    """It was ended; when its probe says that it is to do, it has failed."""
    outcome = carried_out(place.executor, place.step("echo x >> ran; exec sleep 300", "test -e done", limit=1), MARK)
    assert outcome.state is StepState.FAILED
    assert "took longer than 1 s and was ended; it is not done" in outcome.note
    step = place.step("echo x >> ran; echo x > done; exec sleep 300", "test -e done", limit=1)
    assert carried_out(place.executor, step, MARK).state is StepState.DONE


def test_without_a_probe_one_that_took_too_long_is_in_doubt(place: Place) -> None:
    """Nobody knows how far it came."""
    outcome = carried_out(place.executor, place.step("exec sleep 300", limit=1), MARK)
    assert outcome.state is StepState.IN_DOUBT
    assert outcome.note.endswith("it has ended, with an unknown result")


def test_many_go_side_by_side(place: Place) -> None:
    """Each one waits until all have begun: one after the other they would never end."""
    executor, number = place.executor, 5
    script = f"echo $$ >> ran; until [ $(wc -l < ran) -ge {number} ]; do sleep 0.05; done"
    under = [executor.begin(place.step(script), f"{MARK}-{i}") for i in range(number)]
    outcomes: list[StepResult] = []
    while under:
        found = [executor.go_on(one) for one in under if isinstance(one, Pending)]
        outcomes += [one for one in found if isinstance(one, StepResult)]
        under = [one for one in found if isinstance(one, Pending)]
    assert outcomes == [StepResult(StepState.DONE, "exit code 0")] * number


@pytest.mark.parametrize("probe", ["test -e done", ""], ids=["probe", "no probe"])
def test_one_that_another_process_began_is_waited_for(place: Place, probe: str) -> None:
    """A process that was killed leaves its command behind: the next one neither repeats it nor calls it done."""
    script = "echo x >> ran; until [ -e go ]; do sleep 0.05; done; echo x > done"
    step = place.step(script, probe)
    code = f"""
        import time
        from stackmend.app.apis import SystemClock
        from stackmend.drivers.hosts.executor import HostExecutor
        from stackmend.drivers.hosts.transport import Routes, Transport
        from stackmend.model.step import HostCommand
        from stackmend.model.writer import Pending
        executor = HostExecutor(Transport({place.transport.routes!r}), SystemClock())
        found = executor.begin({step!r}, {MARK!r})
        while isinstance(found, Pending):
            time.sleep(0.05)
            found = executor.go_on(found)
    """
    # a file: the mark in an argument list is that of a command
    (program := place.folder.parent / "first.py").write_text(textwrap.dedent(code))
    # what a killed process leaves in the folder for temporary files is removed here
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as left:
        first = subprocess.Popen([sys.executable, str(program)], env={**os.environ, "TMPDIR": left})
        until(lambda: place.runs() == 1, "it was never begun")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    pending = place.executor.begin(step, MARK)
    while isinstance(pending, Pending) and "still running" not in pending.progress:
        pending = place.executor.go_on(pending)
    (place.folder / "go").touch()
    while isinstance(pending, Pending):
        pending = place.executor.go_on(pending)
    assert pending.state is (StepState.DONE if probe else StepState.IN_DOUBT)
    assert "started before" in pending.note
    assert not pending.already
    assert place.runs() == 1


@pytest.mark.parametrize(
    ("end", "probe", "state"),
    [
        ("done", "test -e done", StepState.DONE),
        ("other", "test -e done", StepState.FAILED),
        ("done", "", StepState.IN_DOUBT),
    ],
    ids=["done", "not done", "no probe"],
)
def test_after_a_broken_connection_its_probe_decides(
    host: Host, tmp_path: Path, end: str, probe: str, state: StepState
) -> None:
    """The command goes on without its connection: it is seen to its end first, and not begun twice."""
    place = Place(host.transport(), host.name, tmp_path)
    step = place.step(f"echo x >> ran; until [ -e go ]; do sleep 0.05; done; echo x > {end}", probe)
    found = place.executor.begin(step, MARK)
    while isinstance(found, Pending):
        if place.runs() == 1:
            host.drop()
            break
        found = place.executor.go_on(found)
    while isinstance(found, Pending):
        if "lost" in found.progress:
            (tmp_path / "go").touch()
        found = place.executor.go_on(found)
    assert isinstance(found, StepResult)
    assert found.state is state
    assert "lost c01 while it ran" in found.note
    assert place.runs() == 1


def test_a_host_that_cannot_be_reached(host: Host, tmp_path: Path) -> None:
    """Nothing was done, and that is certain: the step has failed, it is not in doubt."""
    host.stop()
    place = Place(host.transport(), host.name, tmp_path)
    for probe in ("", "test -e ran"):
        outcome = carried_out(place.executor, place.step("echo x >> ran", probe), MARK)
        assert outcome.state is StepState.FAILED
        assert outcome.note.startswith("nothing was done: c01 cannot be reached")
    assert place.executor.probe(place.step("", "true")) is StepState.IN_DOUBT
