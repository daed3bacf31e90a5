# SPDX-License-Identifier: Apache-2.0
"""Disks of guests that run, by a real libvirtd and QEMU: a copy of the moment, or torn; the guest goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.drivers.disks.exporter import Layer
from stackmend.drivers.disks.exporter import argv as served
from stackmend.drivers.disks.sandbox import Opened
from stackmend.hosts.inspection.copies import EXPORT, argv
from stackmend.hosts.inspection.guest_copy import MARK
from stackmend.model.errors import SourceError, StackmendError
from stackmend.model.objects.inspection import Journal

from ...support import guest_disks as made
from ...support.guest_disks import MIB, digest
from ...support.libvirt_daemon import Libvirt, daemon
from ..hosts.conftest import Host, until
from .conftest import CRASH
from .test_hostile import naming
from .test_over_ssh import there

__all__ = ["there"]

GUEST = "0024be5f-001d-400a-8000-0000000000aa"
#: of the file system of a guest: its superblock lies in the first of them
BLOCK = 64 << 10


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    """A daemon for all of these tests."""
    found = daemon(tmp_path_factory.mktemp("libvirt"))
    yield found
    found.stop()


@pytest.fixture
def disk(libvirt: Libvirt, system: Path, tmp_path: Path) -> Iterator[Path]:
    """The disk of a guest that runs."""
    path = tmp_path / "disk"
    made.overlay(path, system)
    libvirt.start(GUEST, path)
    yield path
    libvirt.virsh("destroy", GUEST)


def copied(libvirt: Libvirt, disk: Path) -> tuple[str, ...]:
    """What serves a copy of it."""
    return (*libvirt.inside, *argv("serve", GUEST, str(disk.parent), str(disk)))


def gone(libvirt: Libvirt, disk: Path) -> bool:
    """Whether nothing of a copy is left on the host: no job, no process, no file."""
    files = [*disk.parent.glob(f"{MARK}*"), *Path("/var/lib/libvirt/qemu").glob(f"*/{MARK}*")]
    return not libvirt.job(GUEST) and not naming(f"serve {GUEST}") and not files


def test_a_copy_is_of_the_moment_and_the_guest_goes_on(libvirt: Libvirt, disk: Path, system: Path) -> None:
    """What the guest overwrites meanwhile is not seen; it is neither paused nor changed, and nothing is left."""
    before = digest(system)
    chain = made.tool("qemu-img", "info", "-U", "--backing-chain", disk)
    with Opened(copied(libvirt, disk), export=EXPORT) as opened:
        # its whole file system is overwritten after the copy was begun
        libvirt.write(GUEST, 0, 32 * MIB, 0xEE)
        (found,) = opened.layout().volumes
        said = b"".join(opened.read("/var/log/crash"))
        assert libvirt.virsh("domstate", GUEST).strip() == "running"
        assert "copy-before-write" in libvirt.virsh("qemu-monitor-command", GUEST, "--hmp", "info block")

    assert (found.type, found.journal, found.torn, said) == ("ext4", Journal.REPLAYED, False, CRASH)
    assert gone(libvirt, disk)
    assert libvirt.virsh("domstate", GUEST).strip() == "running"
    assert "copy-before-write" not in libvirt.virsh("qemu-monitor-command", GUEST, "--hmp", "info block")
    # the guest has what it wrote, and its disk is as long a chain as it was
    with Opened(copied(libvirt, disk), export=EXPORT) as opened:
        assert opened.layout().volumes[0].type == ""
    assert made.tool("qemu-img", "info", "-U", "--backing-chain", disk).count("image:") == chain.count("image:")
    assert digest(system) == before


def test_the_bytes_of_a_disk_whose_guest_writes_nothing_are_the_same(libvirt: Libvirt, disk: Path) -> None:
    """A copy that is read and thrown away leaves every byte of the image."""
    before = digest(disk)
    with Opened(copied(libvirt, disk), export=EXPORT) as opened:
        assert b"".join(opened.read("/var/log/crash")) == CRASH
    assert digest(disk) == before


@pytest.mark.attack("kill -9 of whoever reads a copy, or of what serves it, at any moment")
@pytest.mark.parametrize("who", ["reader", "server"])
def test_a_copy_ends_with_its_reader(libvirt: Libvirt, disk: Path, who: str) -> None:
    """The backup is ended, scratch file and socket are gone, the guest runs, and another copy can be made at once."""
    before = digest(disk)
    program = (
        "import sys\nfrom stackmend.drivers.disks.sandbox import Opened\n"
        f"with Opened(sys.argv[1:], export={EXPORT!r}) as disk:\n    print('open', flush=True)\n"
        "    while True: disk.entries('/var/log')\n"
    )
    for wait in (0.1, 0.3, 0.5, None):
        child = subprocess.Popen(
            [sys.executable, "-c", program, *copied(libvirt, disk)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        if wait is None:
            assert child.stdout.readline() == b"open\n"
        else:
            time.sleep(wait)
        if who == "server":
            for number in _serving():
                os.kill(number, signal.SIGKILL)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        end = time.monotonic() + 20
        while not gone(libvirt, disk):
            assert time.monotonic() < end, (libvirt.job(GUEST), naming(GUEST), list(disk.parent.iterdir()))
            time.sleep(0.05)
    assert digest(disk) == before
    assert libvirt.virsh("domstate", GUEST).strip() == "running"
    with Opened(copied(libvirt, disk), export=EXPORT) as opened:
        assert b"".join(opened.read("/var/log/crash")) == CRASH


def _serving() -> list[int]:
    """The process that serves, without the one that guards it: that has a session of its own."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                session = int((process / "stat").read_text().rpartition(")")[2].split()[3])
            except OSError:
                continue
            if b"serve" in words and GUEST.encode() in words and session != int(process.name):
                found.append(int(process.name))
    return found


@pytest.mark.attack("somebody else's backup is under way")
def test_a_backup_of_somebody_else_is_not_touched(libvirt: Libvirt, disk: Path, tmp_path: Path) -> None:
    """It is told, and goes on."""
    request = tmp_path / "backup.xml"
    request.write_text(
        f"<domainbackup mode='pull'><server transport='unix' socket='{tmp_path}/s'/><disks>"
        f"<disk name='vda' backup='yes' type='file'><scratch file='{tmp_path}/theirs'/></disk></disks></domainbackup>"
    )
    libvirt.virsh("backup-begin", GUEST, str(request))
    with pytest.raises(SourceError, match="another backup of the guest is under way"):
        Opened(copied(libvirt, disk), export=EXPORT)
    assert f"{tmp_path}/theirs" in libvirt.job(GUEST)
    libvirt.virsh("domjobabort", GUEST)


def test_two_readings_at_a_time_are_refused(libvirt: Libvirt, disk: Path) -> None:
    """libvirt has one backup of a guest: the second reading is told so, and the first one goes on."""
    with Opened(copied(libvirt, disk), export=EXPORT) as opened:
        with pytest.raises(SourceError, match="another command reads a copy"):
            Opened(copied(libvirt, disk), export=EXPORT)
        assert b"".join(opened.read("/var/log/crash")) == CRASH


def test_a_copy_wants_room(libvirt: Libvirt, disk: Path, tmp_path: Path) -> None:
    """Where what the guest overwrites could fill up its file system nothing is begun: QEMU would fail its writes."""
    small = tmp_path / "small"
    small.mkdir()
    # in the daemon's own namespace: nobody else sees it
    subprocess.run([*libvirt.inside, "mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=True)
    command = (*libvirt.inside, *argv("serve", GUEST, str(small), str(disk)))
    try:
        with pytest.raises(SourceError, match="are wanted for what it overwrites"):
            Opened(command, export=EXPORT)
    finally:
        subprocess.run([*libvirt.inside, "umount", small], check=True)
    assert libvirt.job(GUEST) == ""


@pytest.mark.attack("a guest that writes without end while its copy is read")
def test_a_copy_ends_before_its_room_is_used_up(libvirt: Libvirt, disk: Path, tmp_path: Path) -> None:
    """The reading ends with the reason; every write of the guest succeeds."""
    small, full = tmp_path / "small", 96
    small.mkdir()
    subprocess.run([*libvirt.inside, "mount", "-t", "tmpfs", "-o", "size=140m", "none", small], check=True)
    libvirt.virsh("blockresize", GUEST, "vda", "128M")
    # zeros take no room
    libvirt.write(GUEST, 32 * MIB, full * MIB, 0x55)
    command = (*libvirt.inside, *argv("serve", GUEST, str(small), str(disk)))
    try:
        # a reader that has agreed with QEMU: from others it parts after 10 s
        with Opened(command, export=EXPORT) as opened:
            for at in range(full):
                libvirt.write(GUEST, (32 + at) * MIB, MIB, 0xEE)
            until(lambda: not libvirt.job(GUEST), "the backup goes on")
            assert opened._exporter.wait(20) == 1
            assert "is filling up" in opened._broken().message
    finally:
        subprocess.run([*libvirt.inside, "umount", small], check=True)
    assert libvirt.virsh("domstate", GUEST).strip() == "running"


def test_a_running_guest_is_read_torn_by_name_alone(libvirt: Libvirt, disk: Path, system: Path) -> None:
    """It says that it is torn; what was read once stays; neither the disk nor its base is changed."""
    layers = [Layer(str(disk), "qcow2"), Layer(str(system), "raw")]
    before = digest(disk), digest(system)
    with pytest.raises(SourceError, match="the disk is in use"):
        Opened((*libvirt.inside, *served(layers)))
    with Opened((*libvirt.inside, *served(layers, torn=True)), torn=True) as opened:
        (found,) = opened.layout().volumes
        assert b"".join(opened.read("/var/log/crash")) == CRASH
    assert (found.torn, found.journal) == (True, Journal.REPLAYED)
    assert (digest(disk), digest(system)) == before
    assert libvirt.virsh("domstate", GUEST).strip() == "running"


@pytest.mark.attack("the connection to the host breaks while a copy is read")
def test_a_copy_over_ssh_ends_with_its_connection(libvirt: Libvirt, disk: Path, there: Host) -> None:
    """On the host the backup is ended, and the guest goes on."""
    command = there.transport().piped("c01", copied(libvirt, disk))
    with Opened(command, export=EXPORT, patience=60) as opened:
        assert b"".join(opened.read("/var/log/crash")) == CRASH
        there.drop()
        until(lambda: gone(libvirt, disk), "something is left behind")
    assert libvirt.virsh("domstate", GUEST).strip() == "running"


@pytest.mark.attack("a running guest that has written a qcow2 header which names a file of the host into its raw disk")
def test_a_header_of_a_running_guest_is_not_believed(libvirt: Libvirt, tmp_path: Path) -> None:
    """Neither a copy nor a torn reading opens what the header names."""
    secret, path = tmp_path / "secret", tmp_path / "disk"
    made.ext4(secret, {b"secret": b"of the host"})
    made.overlay(path, secret)
    libvirt.start(GUEST, path, "raw")
    try:
        for command, export, torn in (
            (argv("serve", GUEST, str(tmp_path), str(path)), EXPORT, False),
            (served([Layer(str(path), "raw")], torn=True), "", True),
        ):
            with (
                Opened((*libvirt.inside, *command), export=export, torn=torn) as opened,
                pytest.raises(SourceError, match="no file system that can be read"),
            ):
                b"".join(opened.read("/secret"))
    finally:
        libvirt.virsh("destroy", GUEST)


@pytest.mark.attack("a running guest whose file system leads out of its tree, and is damaged at random")
@pytest.mark.parametrize("seed", range(2))
def test_a_hostile_running_guest_ends(libvirt: Libvirt, tmp_path: Path, seed: int) -> None:
    """An answer comes in time, links stay inside, and the backup is ended."""
    chance, path = random.Random(seed), tmp_path / "disk"
    made.ext4(path, {b"out": b"-> /../../../etc/hostname", b"etc/hostname": b"guest\n"})
    libvirt.start(GUEST, path, "raw")
    try:
        command = (*libvirt.inside, *argv("serve", GUEST, str(tmp_path), str(path)))
        with Opened(command, export=EXPORT) as opened:
            assert b"".join(opened.read("/out")) == b"guest\n"
        for _ in range(60):
            libvirt.write(GUEST, chance.randrange(3, 2 * MIB // 512) * 512, 512, chance.randrange(256))
        said = ""
        with Opened(command, export=EXPORT) as opened:
            try:
                assert opened.layout().volumes
                opened.entries("/etc")
                said = "read"
            except StackmendError as problem:
                said = problem.message
        assert said
        until(lambda: libvirt.job(GUEST) == "", "the backup goes on")
    finally:
        libvirt.virsh("destroy", GUEST)
