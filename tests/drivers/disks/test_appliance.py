# SPDX-License-Identifier: Apache-2.0
"""Logs that only a kernel can replay: libguestfs does it, in a copy; where it is not installed these are left out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stackmend.drivers.disks.exporter import argv
from stackmend.drivers.disks.sandbox import Opened
from stackmend.model.errors import UsageError
from stackmend.model.objects.inspection import Journal

from ...support import appliances
from ...support import guest_disks as made
from ...support.guest_disks import MIB, digest
from .conftest import opened, raw
from .test_hostile import naming

LAST = b"Kernel panic - not syncing\n"


@pytest.fixture(autouse=True)
def _with_guestfish(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the time limit of KVM."""
    appliances.needs_guestfish(monkeypatch)


@pytest.fixture(scope="module")
def crashed_guest(folder: Path) -> tuple[Path, Path]:
    """An xfs and an ext4: their guest wrote, renamed and synchronised, and went on writing when its QEMU was killed."""
    appliances.needs_guestfish()
    root = made.xfs(folder / "killed.xfs", {"notes": b"written before\n"})
    data = made.ext4(folder / "killed.ext4", {b"old": b"written before\n"})
    last = LAST.decode().strip()
    appliances.killed_while_writing(
        folder / "killing", (root, data), "mkdir-p /var/log", f'write /var/log/kern.log "{last}\\n"', "mkdir /etc",
        'write /etc/os-release "PRETTY_NAME=\\"Demo Linux 8\\"\\n"', "mv /notes /moved",
        # made to harm who lists and follows them
        r'touch "/evil\n\x1b[31m"', "ln-s ../../../../etc/hostname /out", 'write /etc/hostname "guest\\n"',
        "ln-s circle /circle", "mkdir /data", "mount /dev/sdb /data", f'write /data/last "{last}\\n"',
        "mv /data/old /data/new", "sync",
    )  # fmt: skip
    return root, data


@pytest.fixture(scope="module")
def killed(crashed_guest: tuple[Path, Path]) -> Path:
    """The xfs of that guest."""
    return crashed_guest[0]


def broken_log(path: Path, source: Path) -> Path:
    """A copy of an xfs whose log holds nonsense in the middle."""
    shutil.copyfile(source, path)
    said = made.tool("xfs_db", "-r", "-c", "sb 0", "-c", "p logstart logblocks blocksize agblklog agblocks", path)
    found = {name: int(value) for name, _, value in (line.partition(" = ") for line in said.splitlines())}
    group, block = divmod(found["logstart"], 1 << found["agblklog"])
    start = (group * found["agblocks"] + block) * found["blocksize"]
    with path.open("r+b") as file:
        file.seek(start)
        log = bytearray(file.read(MIB))
        # headers of records stay, their contents do not
        for at in range(0, len(log), 512):
            if log[at : at + 4] != b"\xfe\xed\xba\xbe":
                log[at + 4 : at + 512] = bytes([at % 251]) * 508
        file.seek(start)
        file.write(log)
    return path


def test_the_log_of_an_xfs_is_replayed_in_a_copy(killed: Path, folder: Path) -> None:
    """What the guest wrote last is there, from two clones and beside a broken one, in one launch; no byte is changed.

    The broken log is told with the kernel's reason, and read as it was; LUKS is told and not opened.
    """
    made.tool("cp", "--sparse=always", killed, folder / "twin.xfs")
    parts = [killed, folder / "twin.xfs", broken_log(folder / "broken.xfs", killed), made.encrypted(folder / "luks2")]
    disk_ = made.partitioned(folder / "xfs.raw", "gpt", [(made.LINUX, part) for part in parts])
    with opened(raw(disk_)) as disk:
        found = {one.name: one for one in disk.layout().volumes}
        said = {name: b"".join(disk.read("/var/log/kern.log", volume=name)) for name in ("p1", "p2")}
        names = {one.name for one in disk.entries("/", volume="p1")[1]}
        followed = b"".join(disk.read("/out", volume="p1"))
        with pytest.raises(UsageError, match="too many links"):
            b"".join(disk.read("/circle", volume="p1"))
        old = {one.name for one in disk.entries("/", volume="p3")[1]}

    assert [found[name].journal for name in ("p1", "p2", "p3")] == [Journal.REPLAYED, Journal.REPLAYED, Journal.STALE]
    assert said == {"p1": LAST, "p2": LAST}
    assert {"moved", "etc", "var"} <= names
    assert "notes" not in names
    assert found["p1"].os == "Demo Linux 8"
    assert re.match(r"its log is not replayed: .*CRC", found["p3"].problem), found["p3"].problem
    assert "notes" in old
    assert all(name.isprintable() and "/" not in name for name in names)
    assert "evil\\x0a\\x1b[31m" in names
    assert followed == b"guest\n"
    assert (found["p4"].type, found["p4"].problem) == ("crypto_LUKS", "it is encrypted: not opened")


def test_an_ext4_whose_qemu_was_killed_is_read_as_of_the_crash(crashed_guest: tuple[Path, Path]) -> None:
    """Its journal takes no libguestfs: e2fsck replays it."""
    with opened(raw(crashed_guest[1]), appliance=0) as disk:
        (found,) = disk.layout().volumes
        assert b"".join(disk.read("/last")) == LAST
        assert {"new", "last"} <= {one.name for one in disk.entries("/")[1]}
    assert found.journal is Journal.REPLAYED


def test_a_launch_has_a_time_limit(killed: Path) -> None:
    """When it is over, the disk is read as it is, and no QEMU is left even while the disk is open."""
    began = time.monotonic()
    with opened(raw(killed)) as _, Opened(argv([raw(killed)]), appliance=5) as disk:
        (found,) = disk.layout().volumes
        assert not [line for line in naming("guestfs") if "qemu-system" in line]
        assert "notes" in {one.name for one in disk.entries("/")[1]}
    assert found.problem == "its log is not replayed: libguestfs failed: it was ended after 5 s"
    assert time.monotonic() - began < 60


@pytest.mark.attack("kill -9 of whoever inspects while libguestfs replays a log")
def test_nothing_is_left_of_a_launch(killed: Path) -> None:
    """QEMU, its sockets and its copies end with the reader; the disk is unchanged."""
    before = digest(killed)
    program = (
        "import sys\nfrom stackmend.drivers.disks.sandbox import Opened\n"
        "with Opened(sys.argv[1:]) as disk:\n    print(disk._folder.name, flush=True)\n    disk.layout()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, *argv([raw(killed)])], stdout=subprocess.PIPE)
    assert child.stdout is not None
    folder = child.stdout.readline().decode().strip()
    end = time.monotonic() + 60
    while not [line for line in naming(folder) if "qemu-system" in line]:
        assert time.monotonic() < end, naming(folder)
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    end = time.monotonic() + 20
    while left := [*naming(folder), *naming(str(killed))]:
        assert time.monotonic() < end, left
        time.sleep(0.05)
    assert digest(killed) == before
    assert not list(Path(folder).glob("*"))
