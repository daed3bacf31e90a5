# SPDX-License-Identifier: Apache-2.0
"""Runs that are told to stop, and runs whose terminal goes away: the program itself, in a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import plans, runs
from stackmend.model.errors import Exit
from stackmend.model.journal import RunState
from stackmend.model.step import StepState
from stackmend_lab.plants.cinder import volume_stuck_detaching
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.placement import allocation_orphan

from ..support.damaged_cloud import Ground
from ..support.planning import plan_for

PROGRAM = Path(sys.executable).with_name("stackmend")
#: the database of each stage, and what is wrong there
STAGES = {
    "placement": allocation_orphan.plant,
    "cinder": volume_stuck_detaching.VARIANTS["attachment_gone"],
    "neutron": port_without_server.VARIANTS["of_the_build"],
}
#: the checks that find it
CHECKS = ("allocation-orphan", "volume-stuck-detaching", "port-without-server")


class Slow:
    """A plan of three stages, the second of which waits while its database is held."""

    def __init__(self, here: Ground) -> None:
        self.here, self.file = here, here.folder / "slow.json"
        for plant in STAGES.values():
            plant(here.cloud)
        self.before = here.cloud.dump()
        plan = plan_for(here.config, checks=CHECKS, allow_db=True, settle=0)
        assert len({action.stage for action in plan.runnable}) == len(plan.actions) == len(STAGES)
        plans.save(plan, self.file)

    def words(self, *words: object) -> list[str]:
        """A command line; whoever runs the tests may ignore signals, and so would all that he begins."""
        front = ("env", "--default-signal=INT,TERM,HUP")
        return [str(word) for word in (*front, PROGRAM, "--config", self.here.toml, *words)]

    @property
    def apply(self) -> list[str]:
        """The command line that applies the plan."""
        return self.words("plan", "apply", self.file, "--yes", "--accept", "all", "-f", "json")

    def changed(self) -> list[bool]:
        """In which of the databases something is changed."""
        now = self.here.cloud.dump()
        return [
            any(now.get(table) != self.before.get(table) for table in {*now, *self.before} if table[0] == database)
            for database in STAGES
        ]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the database of the second stage."""
        holder = sqlite3.connect(self.here.cloud.databases["cinder"].removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.rollback()
            holder.close()

    def at_the_second_stage(self, process: subprocess.Popen[Any]) -> str:
        """Wait until the first stage is done and the second is begun; the run."""
        for _ in range(1200):
            assert process.poll() is None
            run = self.here.last()
            if run is not None:
                with self.here.journal() as journal:
                    states = {entry.state for entry in journal.entries(run.id)}
                if {StepState.DONE, StepState.INTENT} <= states:
                    time.sleep(1)  # from the intent to the lock that it waits for
                    return run.id
            time.sleep(0.05)
        raise AssertionError("the run does not come to its second stage")

    def remarks(self, run: str) -> str:
        """What is noted of a run."""
        with self.here.journal() as journal:
            return "; ".join(remark.text for remark in journal.remarks(run))

    def state(self, run: str) -> RunState:
        """Of a run."""
        with self.here.journal() as journal:
            return journal.run(run).state

    def ended(self, run: str) -> None:
        """Take a run up, and then back: everything is as it was."""
        result = runs.resume(self.here.config, run)
        assert (result.exit, result.done) == (Exit.REPAIRED, 3)
        assert self.changed() == [True] * 3
        assert runs.undo(self.here.config, run).exit is Exit.CLEAN
        assert self.changed() == [False] * 3


@pytest.fixture
def slow(on_sqlite: Ground) -> Slow:
    """The plan, on a cloud in files."""
    return Slow(on_sqlite)


def told(process: subprocess.Popen[str]) -> str:
    """What it says on stderr until it has heard that it is to stop."""
    assert process.stderr is not None
    heard = ""
    while "starting no others" not in heard:
        line = process.stderr.readline()
        assert line, heard
        heard += line
    return heard


@pytest.mark.attack("SIGTERM, SIGHUP or Ctrl-C in the middle of an apply")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_stop(slow: Slow, number: signal.Signals) -> None:
    """The group under way is finished and written down, nothing more is begun; exit 5, and resume goes on."""
    with slow.held():
        process = subprocess.Popen(slow.apply, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        run = slow.at_the_second_stage(process)
        process.send_signal(number)
        heard = told(process)
    out, rest = process.communicate(timeout=60)
    err = heard + rest
    result = json.loads(out)
    assert (process.returncode, result["exit"]) == (Exit.STOPPED, Exit.STOPPED), err
    assert (result["run"], result["done"], result["left"]) == (run, 2, 1)
    assert f"{number.name}: finishing the steps in progress and starting no others" in err
    assert f"asked to stop ({number.name}): the rest was not begun" in err
    assert f"run resume {run}" in err
    assert slow.changed() == [True, True, False]
    assert slow.state(run) is RunState.STOPPED
    assert f"asked to stop ({number.name})" in slow.remarks(run)
    if number is signal.SIGTERM:
        slow.ended(run)


@pytest.mark.attack("SIGTERM, SIGHUP or Ctrl-C in the middle of an apply")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_twice(slow: Slow, number: signal.Signals) -> None:
    """The second time it ends at once, with 128 and the signal; the run is cut off, and resume looks where it was.

    It waits for a lock in a library that knows no signals: it ends all the same.
    """
    with slow.held():
        process = subprocess.Popen(slow.apply, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        run = slow.at_the_second_stage(process)
        process.send_signal(number)
        told(process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert "error: interrupted" in err
    assert "Traceback" not in err
    assert slow.state(run) is RunState.CUT_OFF
    if number is signal.SIGINT:
        slow.ended(run)


@pytest.mark.attack("the terminal goes away in the middle of an apply")
def test_the_terminal_goes(slow: Slow) -> None:
    """A hangup: what is said from then on is dropped, the group is finished, the journal has it all."""
    master, slave = pty.openpty()

    def own() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with slow.held():
        process = subprocess.Popen(
            slow.apply, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=own
        )
        os.close(slave)
        run = slow.at_the_second_stage(process)
        os.close(master)
        time.sleep(2)
    assert process.wait(60) == Exit.STOPPED
    assert slow.state(run) is RunState.STOPPED
    assert slow.changed() == [True, True, False]
    assert "asked to stop (SIGHUP)" in slow.remarks(run)
    assert "stderr could not be written: Input/output error" in slow.remarks(run)


@pytest.mark.attack("stdout or stderr is full, closed or read by nobody while a plan is applied")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("how", ["full", "closed", "pipe"])
def test_nobody_can_be_told(slow: Slow, stream: str, how: str) -> None:
    """The run goes on to its end, with its exit code; that something could not be printed is noted."""
    line = " ".join(f"'{word}'" for word in slow.apply)
    number = {"stdout": 1, "stderr": 2}[stream]
    if how == "pipe":
        reading, writing = os.pipe()
        os.close(reading)
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writing}
        process = subprocess.Popen(slow.apply, text=True, **streams)
        os.close(writing)
    else:
        redirected = f"exec {line} {number}>{'/dev/full' if how == 'full' else '&-'}"
        process = subprocess.Popen(["sh", "-c", redirected], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=60)
    run = slow.here.last()
    assert run is not None
    assert process.returncode == Exit.REPAIRED, err
    assert run.state is RunState.DONE
    if stream == "stderr":
        assert json.loads(out)["done"] == 3
        if how != "closed":  # then there was nothing to write to from the beginning
            assert "stderr could not be written" in slow.remarks(run.id)
    else:
        assert "run show" in err
        assert "the result could not be printed" in slow.remarks(run.id)
    assert slow.changed() == [True] * 3


@pytest.mark.attack("stdout is full or closed while something is read")
@pytest.mark.parametrize("how", ["/dev/full", "&-"])
def test_a_document_that_cannot_be_written(slow: Slow, how: str) -> None:
    """A command that only reads says so, with exit code 1."""
    line = " ".join(f"'{word}'" for word in slow.words("audit", "-f", "json"))
    done = subprocess.run(["sh", "-c", f"exec {line} >{how}"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == Exit.ERROR
    assert "error: the document could not be written to stdout" in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_temporary_folder_is_known_before_a_signal_ends_anything(tmp_path: Path) -> None:
    """Else the file with which tempfile tries a folder is left by a signal in between."""
    told = (
        "import tempfile\n"
        "from stackmend.cli import signals\n"
        "print(tempfile.tempdir)\n"
        "with signals.ending():\n"
        "    print(tempfile.tempdir)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", told],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", str(tmp_path)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_before_signals_are_handled(number: signal.Signals, tmp_path: Path) -> None:
    """While tempfile probes its folder: it waits, and then ends the command like any other, without its probe."""
    told = (
        "import os, sys\n"
        "from stackmend.cli import signals\n"
        "def probing(event, args):\n"
        f"    if event == 'open' and str(args[0]).startswith('{tmp_path}'):\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "sys.addaudithook(probing)\n"
        "try:\n"
        "    with signals.ending():\n"
        "        print('not reached')\n"
        "except KeyboardInterrupt as problem:\n"
        "    print(signals.exit_code(problem))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", told],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [str(128 + number)], "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("takes_it_for", [ValueError, None])
def test_an_interruption_that_somebody_took_for_a_failure(takes_it_for: type[Exception] | None) -> None:
    """A library calls Python, and says in an error of its own, or not at all, that this was interrupted."""
    told = (
        "import signal\n"
        "from stackmend.cli import signals\n"
        "try:\n"
        "    with signals.ending():\n"
        "        try:\n"
        "            signal.raise_signal(signal.SIGTERM)\n"
        "        except KeyboardInterrupt:\n"
        f"            {f'raise {takes_it_for.__name__}' if takes_it_for else 'pass'}\n"
        "except KeyboardInterrupt as problem:\n"
        "    print(signals.exit_code(problem))\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(128 + signal.SIGTERM)]


@pytest.mark.attack("SIGTERM, SIGHUP or Ctrl-C in the middle of an audit")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_audit_that_is_interrupted(
    slow: Slow, number: signal.Signals, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """It ends with 128 and the signal, whatever it is at; nothing of it is left in the temporary folder."""
    delays = (0.0, 0.15, 0.4)
    record_property("tries", len(delays))
    for delay in delays:
        begun = _audit(slow, tmp_path)
        time.sleep(delay)
        begun.send_signal(number)
        out, err = begun.communicate(timeout=60)
        if begun.returncode == -number:  # it came while Python was ending: all is said by then
            assert json.loads(out), err
        else:
            assert begun.returncode in (128 + number, Exit.CLEAN, Exit.FINDINGS), err
        assert begun.returncode != 128 + number or "error: interrupted" in err
        assert not any(word in err for word in ("bug", "Traceback", "rethrown", "Exception")), err
        assert list(tmp_path.iterdir()) == []


def _audit(slow: Slow, folder: Path) -> subprocess.Popen[str]:
    """An audit that has begun to read."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(
        slow.words("audit", "-f", "json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    while process.poll() is None and not any(folder.iterdir()):
        time.sleep(0.01)
    return process


@pytest.mark.attack("SIGTERM, SIGHUP or Ctrl-C in the middle of an audit")
def test_an_audit_that_waits(slow: Slow, tmp_path: Path) -> None:
    """Between its two looks it ends at once, too."""
    process = _audit_settling(slow, tmp_path)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert time.monotonic() - begun < 10
    assert list(tmp_path.iterdir()) == []


def _audit_settling(slow: Slow, folder: Path) -> subprocess.Popen[str]:
    """An audit of a cloud with damage that spans databases, which waits before it looks again."""
    from stackmend_lab.plants.placement import allocation_orphan

    allocation_orphan.plant(slow.here.cloud)
    words = slow.words("audit", "--settle", "600")
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
    )
    for there in (True, False):  # what it collects into
        while process.poll() is None and any(folder.glob("stackmend-audit-*")) is not there:
            time.sleep(0.02)
    time.sleep(1)
    return process
