# SPDX-License-Identifier: Apache-2.0
"""A source, or whoever owns the target's directory, that wants something else written: on real files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackmend.app import runs
from stackmend.model.errors import Exit
from stackmend.model.objects.disks import QUARANTINE, WORK

from .instances import MIB, qemu
from .test_disks import Move, all_done, move
from .test_salvage_host import Site, site, standing

__all__ = ["move", "site", "standing"]

#: what an attacker would like to have overwritten, owned, or read
SECRET = "root:x:0:0\n" * 100


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the target host that is none of Nova's."""
    path = tmp_path / "victim"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def untouched(victim: Path) -> bool:
    """Whether nothing was written to it, and nobody else may read it."""
    state = victim.stat()
    return victim.read_text() == SECRET and stat.S_IMODE(state.st_mode) == 0o600 and state.st_uid == os.getuid()


@contextmanager
def again_and_again(act: Callable[[int], None]) -> Iterator[list[int]]:
    """Somebody does this all the time; how often he did."""
    over, times = threading.Event(), [0]

    def loop() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                act(times[0])
            times[0] += 1

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join()


def links_below(path: Path) -> list[Path]:
    """What below a folder is neither a plain file nor a directory."""
    return [p for p in path.rglob("*") if p.is_symlink() or not (p.is_file() or p.is_dir())]


@pytest.mark.attack("swaps disk.info for a link to a file of the target host, all the time while it is copied")
def test_a_source_that_swaps_a_file_for_a_link(
    site: Site, victim: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whenever it is looked at or copied: the file behind the link is not written to, and no link is put in place."""
    tries, placed = 6, 0
    (server,) = site.servers(1)
    site.old.server(name=server.uuid)
    info = site.old.path / server.uuid / "disk.info"
    whole = info.read_text()
    plan = site.plan(server)

    def swap(turn: int) -> None:
        spare = info.with_name("spare")
        spare.unlink(missing_ok=True)
        if turn % 2:
            spare.symlink_to(victim)
        else:
            spare.write_text(whole)
        spare.rename(info)
        time.sleep(0.003)

    for _ in range(tries):
        with again_and_again(swap) as times:
            result = runs.apply(site.config, plan)
        assert times[0] > 10
        assert untouched(victim)
        there = site.new.path / server.uuid
        if there.exists():
            placed += 1
            assert links_below(there) == []
            assert json.loads((there / "disk.info").read_text()) == {f"{there}/disk": "qcow2"}
            runs.undo(site.config, result.run)
        else:
            assert result.exit is Exit.STOPPED
        shutil.rmtree(site.new.path / WORK, ignore_errors=True)
        shutil.rmtree(site.new.path / QUARANTINE, ignore_errors=True)
        shutil.rmtree(there, ignore_errors=True)
    record_property("tries", tries)


def test_links_and_devices_are_not_salvaged(site: Site, victim: Path) -> None:
    """The plan leaves such a server with its reason."""
    linked, piped = site.servers(2)
    for server in (linked, piped):
        site.old.server(name=server.uuid)
    (site.old.path / linked.uuid / "disk.local").symlink_to(victim)
    os.mkfifo(site.old.path / piped.uuid / "console.fifo")
    plan = site.plan(linked, piped)
    said = {action.resource_id: action.message for action in plan.actions}
    assert "disk.local is a link" in said[linked.uuid]
    assert "is not a regular file (type p)" in said[piped.uuid]


def _symlink(folder: Path, victim: Path) -> None:
    (folder / "disk.info").unlink()
    (folder / "disk.info").symlink_to(victim)


def _disk(folder: Path, victim: Path) -> None:
    (folder / "disk").unlink()
    (folder / "disk").symlink_to(victim)


def _device(folder: Path, victim: Path) -> None:
    del victim
    try:
        os.mknod(folder / "disk.eph0", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    except PermissionError:
        pytest.skip("needs root")


def _pipe(folder: Path, victim: Path) -> None:
    del victim
    os.mkfifo(folder / "console.log.fifo")


def _backing(folder: Path, victim: Path) -> None:
    qemu("rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", str(victim), folder / "disk")


def _more(folder: Path, victim: Path) -> None:
    qemu("create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(victim), folder / "disk.swap")


def _data_file(folder: Path, victim: Path) -> None:
    data = folder.parent / "outside"
    (folder / "disk").unlink()
    qemu("create", "-q", "-f", "qcow2", "-o", f"data_file={data}", folder / "disk", str(8 * MIB))
    data.unlink()
    data.symlink_to(victim)


TRICKS = [_symlink, _disk, _device, _pipe, _backing, _more, _data_file]


@pytest.mark.attack("changes the directory after the plan: links, devices, another backing file or data file")
@pytest.mark.parametrize("trick", TRICKS, ids=[t.__name__[1:] for t in TRICKS])
def test_what_is_other_than_planned_is_not_put_in_place(
    move: Move, victim: Path, trick: Callable[[Path, Path], None]
) -> None:
    """Nova would hand it to the guest, or we would write through it: the copy stays in our own folder."""
    name = move.old.server(move.old.base())
    steps = move.steps(name)
    trick(move.old.path / name, victim)
    outcomes = [move.do(step).state for step in steps]
    assert untouched(victim)
    if trick is _backing and outcomes[-1].value == "done":  # it was to be told its base anyway
        said = json.loads(qemu("info", "-U", "--output=json", move.new.path / name / "disk"))
        assert Path(said["backing-filename"]).parent == move.new.path / "_base"
    else:
        assert outcomes[-1].value != "done"
        assert not (move.new.path / name).exists()


@pytest.mark.attack("has the disk.info say that a raw disk is a qcow2 file, after the plan")
def test_the_formats_are_those_of_the_plan(move: Move) -> None:
    """What decides how Nova opens a disk is written by us, whatever was sent."""
    name = move.old.server()
    steps = move.steps(name)
    (move.old.path / name / "disk.info").write_text(json.dumps({f"{move.old.home}/{name}/disk": "raw"}))
    assert [move.do(step).state.value for step in steps] == ["done"] * len(steps)
    there = move.new.path / name
    assert json.loads((there / "disk.info").read_text()) == {f"{there}/disk": "qcow2"}


def test_hard_links_become_files_of_their_own(move: Move) -> None:
    """A backup with hard links is a good source: the copy has none."""
    name = move.old.server()
    disk = move.old.path / name / "disk"
    os.link(disk, move.old.path / "elsewhere")
    os.link(move.old.path / name / "console.log", move.old.path / name / "console.log.1")
    assert [outcome.state.value for outcome in all_done(move, name)][-1] == "done"
    assert {p.stat().st_nlink for p in (move.new.path / name).iterdir() if p.is_file()} == {1}


@pytest.mark.attack("puts links where our folders or those of bases belong, on the target")
@pytest.mark.parametrize("name", [WORK, "_base"])
def test_folders_that_are_links_are_refused(move: Move, tmp_path: Path, name: str) -> None:
    """Whoever owns the instances directory cannot have us write elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    base = move.old.base()
    server = move.old.server(base)
    shutil.rmtree(move.new.path / name, ignore_errors=True)
    (move.new.path / name).symlink_to(outside)
    outcomes = all_done(move, server)
    assert outcomes[0].state.value == "failed"
    assert "link" in outcomes[0].note or "no folder of ours" in outcomes[0].note or "prepared" in outcomes[0].note
    assert list(outside.iterdir()) == []
    assert not (move.new.path / server).exists()


def test_our_folders_are_closed(move: Move) -> None:
    """What is being copied can be seen by nobody else."""
    name = move.old.server()
    for step in move.steps(name)[:1]:
        move.do(step)
    assert stat.S_IMODE((move.new.path / WORK).stat().st_mode) == 0o700


@pytest.mark.attack("a setuid program among the files of a server")
def test_no_bits_come_along(move: Move) -> None:
    """A copy made as root is no way to a program of root's."""
    name = move.old.server()
    program = move.old.path / name / "console.log"
    program.chmod(0o6755)
    all_done(move, name)
    assert stat.S_IMODE((move.new.path / name / "console.log").stat().st_mode) & 0o7000 == 0
