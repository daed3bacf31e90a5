# SPDX-License-Identifier: Apache-2.0
"""Copying, placing and setting aside: the steps of salvage, carried out on real files."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from stackmend.app.apis import SystemClock
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Routes, carried
from stackmend.hosts import disks, inventory
from stackmend.hosts.disk_scripts import IDENTITY
from stackmend.model.objects.disks import QUARANTINE, WORK
from stackmend.model.step import HostCommand, StepState
from stackmend.model.writer import StepResult

from ..drivers.hosts.conftest import answering
from ..support.carried_out import carried_out
from .instances import MIB, Instances, here, qemu, tool

HOME = "/var/lib/nova/instances"


class Move:
    """Two hosts, and the steps between them."""

    def __init__(self, tmp: Path) -> None:
        #: nobody else's: who runs these tests at the same time is not waited for
        self.mark = f"stackmend-{uuid.uuid4()}"
        self.old = Instances(tmp / "dead" / "var/lib/nova/instances", HOME)
        self.new = Instances(tmp / "alive" / "srv/instances")
        self.hosts = here("c01", "c02")
        settings = {"hosts.local": ["c01", "c02"]}
        self.source = disks.InstancesDirectory.of(settings, "c01", str(self.old.path), home=HOME)
        self.target = disks.InstancesDirectory.of(settings, "c02", str(self.new.path))

    def steps(self, name: str) -> list[HostCommand]:
        """What salvages one server: its bases, its directory, and putting that in place."""
        found = inventory.inventory(self.hosts, "c01", str(self.old.path), home=HOME)
        folder = found.folder(name)
        bases = list(dict.fromkeys(path for disk in folder.disks for path in disk.chain))
        copies = [disks.copy_file(self.source, self.target, path, found.base(path).image.size, "t") for path in bases]
        return [
            *copies,
            disks.copy_folder(self.source, self.target, folder, name, "t"),
            disks.put_in_place(self.source, self.target, folder, name, found, "t"),
        ]

    def do(self, step: HostCommand) -> StepResult:
        """Carry out one."""
        return carried_out(HostExecutor(self.hosts, SystemClock()), step, self.mark)

    def probe(self, step: HostCommand) -> StepState:
        """What its probe says."""
        return HostExecutor(self.hosts, SystemClock()).probe(step)

    def back(self, step: HostCommand) -> StepResult:
        """Take it back, as an undo run does."""
        assert step.inverse is not None
        return self.do(HostCommand(host=step.host, argv=step.inverse))


@pytest.fixture
def move(tmp_path: Path) -> Move:
    """A dead host and a target with another instances_path."""
    return Move(tmp_path)


def picture(path: Path) -> dict[str, str]:
    """Every file below a path, ours left out, with its checksum."""
    return {
        os.fsdecode(os.fsencode(file.relative_to(path))): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and WORK not in file.parts
    }


def made(path: Path) -> str:
    """When a file was made: the number of its inode would not last on every file system."""
    return tool("env", "TZ=UTC0", "stat", "-c", "%w", str(path))


def all_done(move: Move, name: str) -> list[StepResult]:
    """Every step of one server."""
    return [move.do(step) for step in move.steps(name)]


def test_a_server_arrives_whole_with_its_base_and_reads_the_same(move: Move) -> None:
    """Holes stay holes, the source is as it was, and the guest's blocks and those of the image are both there."""
    base = move.old.base(size=64 * MIB)
    name = move.old.server(base, write=b"Z")
    odd = ["a 'b' $(touch x)", "-n", "two\nlines", "back\\slash", os.fsdecode(b"\xff\xfe")]
    for one in odd:
        (move.old.path / name / one).write_bytes(one.encode("utf-8", "surrogateescape"))
    (move.old.path / name / "empty").mkdir()
    before = picture(move.old.path)
    outcomes = all_done(move, name)
    assert [outcome.state for outcome in outcomes] == [StepState.DONE] * 3
    assert ["the same checksums as" in outcome.note for outcome in outcomes] == [True, True, False], outcomes
    there = move.new.path / name
    assert picture(move.old.path) == before
    assert {one: (there / one).read_bytes() for one in odd} == {
        one: one.encode("utf-8", "surrogateescape") for one in odd
    }
    assert (there / "empty").is_dir()
    assert (move.new.path / "_base" / base).stat().st_blocks < 1000
    assert json.loads((there / "disk.info").read_text()) == {f"{there}/disk": "qcow2"}
    (chain,) = [json.loads(qemu("info", "-U", "--backing-chain", "--output=json", there / "disk"))]
    assert [one["format"] for one in chain] == ["qcow2", "raw"]
    assert chain[0]["backing-filename"] == f"{move.new.path}/_base/{base}"
    tool("qemu-io", "-r", "-f", "qcow2", "-c", "read -q -P 90 1M 64k", str(there / "disk"))
    assert tool("qemu-io", "-r", "-f", "qcow2", "-c", "read -v 0 16", str(there / "disk")).count("cirros")


def test_a_copy_tells_how_far_it_is(move: Move) -> None:
    """What is being read, and how much has been sent."""
    _, copy, _ = move.steps(move.old.server(move.old.base()))
    told = subprocess.run(copy.argv, capture_output=True, text=True, check=True).stderr
    words = ("reads the source", "looks what is there", "bytes", "copied", "reads the copy", "it is there")
    assert sorted(words, key=told.index) == list(words), told


def test_what_is_done_is_not_done_again(move: Move) -> None:
    """Every probe says so, and a second run changes nothing."""
    name = move.old.server(move.old.base())
    steps = move.steps(name)
    assert [move.probe(step) for step in steps] == [StepState.PLANNED] * 3
    assert [move.do(step).already for step in steps] == [False] * 3
    first = made(move.new.path / name / "disk")
    assert [move.probe(step) for step in steps] == [StepState.DONE] * 3
    assert [move.do(step).already for step in steps] == [True] * 3
    assert made(move.new.path / name / "disk") == first


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
def test_a_copy_that_is_killed_goes_on_and_ends_the_same(move: Move, after: float) -> None:
    """Whenever kill -9 comes, nothing half is ever under the name that Nova looks for, and the second run is whole."""
    name = move.old.server(move.old.base())
    for number in range(4):
        (move.old.path / name / f"disk.eph{number}").write_bytes(os.urandom(4 * MIB))
    base, copy, place = move.steps(name)
    assert move.do(base).state is StepState.DONE
    with subprocess.Popen(copy.argv, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        time.sleep(after)
        os.killpg(process.pid, signal.SIGKILL)
    assert not (move.new.path / name).exists()
    assert move.do(copy).state is StepState.DONE
    assert move.do(place).state is StepState.DONE
    wrong = ("disk", "disk.info")  # told their new place
    source, there = picture(move.old.path / name), picture(move.new.path / name)
    assert {k: v for k, v in there.items() if k not in wrong} == {k: v for k, v in source.items() if k not in wrong}
    assert set(source) == set(there)


def test_of_a_copy_that_was_cut_off_whole_files_are_not_sent_again(move: Move) -> None:
    """A file that is there with the right checksum stays; one that is half is replaced."""
    name = move.old.server()
    (move.old.path / name / "disk.swap").write_bytes(os.urandom(MIB))
    (copy, place) = move.steps(name)
    half = move.new.path / WORK / f"{name}.new"
    half.mkdir(parents=True)
    (half / "disk").write_bytes((move.old.path / name / "disk").read_bytes())
    (half / "disk.swap").write_bytes((move.old.path / name / "disk.swap").read_bytes()[:1000])
    first = made(half / "disk")
    assert move.do(copy).state is StepState.DONE
    assert made(half / "disk") == first
    assert (half / "disk.swap").stat().st_size == MIB
    assert move.do(place).state is StepState.DONE


def test_a_base_that_is_there_already_is_used_if_it_is_the_same(move: Move) -> None:
    """The same content is not copied; other content under the same name stops every server on it, and stays."""
    same, other = move.old.base("same"), move.old.base("other")
    move.new.base("same")
    (move.new.path / "_base" / other).write_bytes(b"something else")
    first = made(move.new.path / "_base" / same)
    good, bad = move.old.server(same), move.old.server(other)
    assert [outcome.state for outcome in all_done(move, good)] == [StepState.DONE] * 3
    assert made(move.new.path / "_base" / same) == first
    base, copy, place = (move.do(step) for step in move.steps(bad))
    assert (base.state, copy.state, place.state) == (StepState.FAILED, StepState.DONE, StepState.FAILED)
    assert "another file of this name" in base.note
    assert "its base was not verified" in place.note
    assert (move.new.path / "_base" / other).read_bytes() == b"something else"
    assert not (move.new.path / bad).exists()


def test_a_directory_that_somebody_else_made_is_never_touched(move: Move) -> None:
    """Nova may have made one between the plan and the run: the step fails, and says whose it is not."""
    name = move.old.server()
    copy, place = move.steps(name)
    (move.new.path / name).mkdir()
    (move.new.path / name / "disk").write_bytes(b"Nova's")
    for step in (copy, place):
        outcome = move.do(step)
        assert (outcome.state, "none of ours" in outcome.note) == (StepState.FAILED, True)
    assert picture(move.new.path / name) == {"disk": hashlib.sha256(b"Nova's").hexdigest()}


def test_a_source_that_cannot_be_read_is_no_copy(move: Move) -> None:
    """What ends with an error is not noted as copied, and not put in place."""
    name = move.old.server()
    copy, place = move.steps(name)
    (move.old.path / name / "disk").unlink()
    (move.old.path / name).rename(move.old.path / "gone")
    assert move.do(copy).state is StepState.FAILED
    assert "not copied whole" in move.do(place).note
    assert not (move.new.path / name).exists()


def test_taking_it_back_moves_everything_into_quarantine(move: Move) -> None:
    """Nothing is deleted: a directory and the base that came with it lie aside; a base that was there stays."""
    own, there = move.old.base("own"), move.old.base("there")
    move.new.base("there")
    name, second = move.old.server(own), move.old.server(there)
    first, other = move.steps(name), move.steps(second)
    for step in (*first, *other):
        assert move.do(step).state is StepState.DONE
    kept = picture(move.new.path)
    # a base is left in place while a disk is based on it
    assert "is based on" in move.back(first[0]).note
    for step in (*reversed(first), *reversed(other)):
        assert move.back(step).state is StepState.DONE
    aside = move.new.path / QUARANTINE / "t"
    assert sorted(p.name for p in move.new.path.iterdir()) == sorted([QUARANTINE, WORK, "_base", "locks"])
    assert sorted(p.name for p in (move.new.path / "_base").iterdir()) == [there]
    assert picture(aside) == {k: v for k, v in kept.items() if not k.startswith(("locks/", f"_base/{there}"))}
    # asked again, it has nothing to do
    assert [move.back(step).state for step in reversed(first)] == [StepState.DONE] * 3


def test_what_a_guest_has_used_since_is_not_taken_back(move: Move) -> None:
    """A disk that is open, or that has changed, belongs to somebody."""
    name = move.old.server()
    _copy, place = steps = move.steps(name)
    for step in steps:
        assert move.do(step).state is StepState.DONE
    with (move.new.path / name / "disk").open("rb"):
        assert "in use by a process" in move.back(place).note
    tool("qemu-io", "-f", "qcow2", "-c", "write -q 2M 64k", str(move.new.path / name / "disk"))
    assert "has changed since" in move.back(place).note
    assert (move.new.path / name / "disk").exists()


def test_where_it_is_not_known_when_a_file_was_made_its_inode_tells_which_it_is(tmp_path: Path) -> None:
    """As on old file systems; a file that is not there is no file at all."""
    old = 'stat() { if [ "$2" = %W ]; then echo 0; else command stat "$@"; fi; }\n'
    script = f'{IDENTITY}identity "$1"'
    known = tool("sh", "-c", script, "sh", str(tmp_path)).strip()
    assert known == made(tmp_path).strip()
    assert tool("sh", "-c", old + script, "sh", str(tmp_path)).strip() == str(tmp_path.stat().st_ino)
    gone = subprocess.run(["sh", "-c", script, "sh", tmp_path / "gone"], capture_output=True, check=False)
    assert (gone.returncode, gone.stdout) == (1, b"")


def test_an_orphan_goes_aside_and_comes_back(move: Move) -> None:
    """By one rename each; one that is another directory by now, in use, changed or somebody's base is left alone."""
    name = move.old.server()
    based = move.old.server()
    place = disks.InstancesDirectory.of({"hosts.local": ["c01"]}, "c01", str(move.old.path))
    found = inventory.inventory(move.hosts, "c01", str(move.old.path))
    step = disks.aside(place, found.folder(name), "t")
    path, kept = move.old.path / name, move.old.path / QUARANTINE / "t" / name
    before = picture(path)
    with (path / "disk").open("rb"):
        assert "in use by a process" in move.do(step).note
    move.old.rebase(move.old.path / based / "disk", f"{HOME}/{name}/disk")
    assert "is based on a file of" in move.do(step).note
    (move.old.path / based / "disk").unlink()
    assert move.do(step).state is StepState.DONE
    assert (path.exists(), picture(kept)) == (False, before)
    assert move.do(step).already
    assert move.back(step).state is StepState.DONE
    assert (picture(path), kept.exists()) == (before, False)
    (path / "late").write_text("x")
    os.utime(path / "late", (time.time() + 100, time.time() + 100))
    assert "has changed since" in move.do(step).note
    path.rename(move.old.path / "elsewhere")
    path.mkdir()
    assert move.do(step).state is StepState.FAILED


def test_the_data_go_by_ssh_from_one_host_to_the_other(move: Move, tmp_path: Path) -> None:
    """The source and the target are signed in at by the operator's own ssh; a host that is gone is no copy."""
    with answering(tmp_path / "far", 3) as far:
        routes = Routes(transport="ssh", ssh_config=str(far.config))
        settings = {"hosts.carry": carried(routes), "hosts.local": ["c02"]}
        move.source = disks.InstancesDirectory.of(settings, "c01", str(move.old.path), home=HOME)
        base = move.old.base()
        name, second = move.old.server(base), move.old.server()
        (move.old.path / name / "a 'b' $(touch x)").write_bytes(b"odd")
        assert [outcome.state for outcome in all_done(move, name)] == [StepState.DONE] * 3
        assert (move.new.path / name / "a 'b' $(touch x)").read_bytes() == b"odd"
        steps = move.steps(second)
        far.stop()
        outcome = move.do(steps[0])
        assert (outcome.state, "the source cannot be read" in outcome.note) == (StepState.FAILED, True)
        assert not (move.new.path / second).exists()
