# SPDX-License-Identifier: Apache-2.0
"""The reading chain on real disks: what is found, how new it is said to be, what comes out; and no byte is changed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from stackmend.drivers.disks.exporter import Layer
from stackmend.drivers.disks.sandbox import Opened
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.objects.inspection import Journal, Kind, Volume
from stackmend.report.objects.inspection import how_new

from ...support import guest_disks as made
from ...support.guest_disks import MIB
from .conftest import CRASH, opened, raw


def content(disk: Opened, path: str, volume: str = "") -> bytes:
    """Of a file of a guest."""
    return b"".join(disk.read(path, volume=volume))


def volume(disk: Opened, name: str) -> Volume:
    """One of a disk, by name."""
    found = disk.layout().volume(name)
    assert found is not None
    return found


def test_a_crashed_ext4_is_read_as_of_the_crash(system: Path) -> None:
    """The journal is replayed in a copy: what the guest wrote last is there, and the disk is as it was."""
    with opened(raw(system)) as disk:
        (found,) = disk.layout().volumes
        said = content(disk, "/var/log/crash")
        _, entries, more, _ = disk.entries("/var/log")

    assert (found.name, found.type, found.journal, found.os) == ("disk", "ext4", Journal.REPLAYED, "Demo Linux 7")
    assert said == CRASH
    assert [(one.name, one.kind, one.size) for one in entries] == [
        ("syslog", Kind.FILE, 12),
        ("crash", Kind.FILE, len(CRASH)),
    ]
    assert not more


def test_the_last_boot_is_told(tmp_path: Path) -> None:
    """By wtmp: boots, not logins; a record that the crash has cut off is left out."""
    boots = made.wtmp((2, "2026-11-20T03:14:00"), (2, "2026-11-21T03:14:00"), (7, "2026-11-22T03:14:00"))
    for name, content_, told in (
        ("whole", boots, 1_795_230_840),
        ("cut", boots[:-100], 1_795_230_840),
        ("no", b"x", 0),
    ):
        path = made.ext4(tmp_path / name, {b"var/log/wtmp": content_})
        with opened(raw(path)) as disk:
            assert volume(disk, "disk").booted == told


def test_a_clean_ext4_is_said_to_be_clean(folder: Path) -> None:
    """Nothing is replayed where nothing is to be."""
    with opened(raw(made.ext4(folder / "clean.ext4", {b"a": b"1"}))) as disk:
        assert disk.layout().volumes[0].journal is Journal.CLEAN


def test_partitions_and_logical_volumes_are_found(with_lvm: Path, folder: Path) -> None:
    """A chain of two qcow2 on a raw base: GPT, LVM with a volume in two parts, swap, all named; the root is read."""
    middle = made.overlay(folder / "middle.qcow2", with_lvm)
    top = made.overlay(folder / "top.qcow2", middle, "qcow2")
    with opened(Layer(str(top), "qcow2"), Layer(str(middle), "qcow2"), raw(with_lvm)) as disk:
        layout = disk.layout()
        said = content(disk, "/var/log/crash")
        grub = content(disk, "/grub/grub.cfg", "p1")
        with pytest.raises(UsageError, match="swap: nothing to read"):
            disk.entries("/", volume="vg0/swap")

    assert layout.table == "gpt"
    assert [(one.name, one.type, one.journal) for one in layout.volumes] == [
        ("p1", "ext4", Journal.CLEAN),
        ("p2", "LVM2_member", Journal.NONE),
        ("vg0/root", "ext4", Journal.REPLAYED),
        ("vg0/swap", "swap", Journal.NONE),
    ]
    assert (said, grub) == (CRASH, b"set default=0\n")


def test_an_mbr_with_logical_partitions_is_found(folder: Path, system: Path) -> None:
    """Old disks: primary, extended and logical partitions, and one that is encrypted is told and not opened."""
    locked = made.encrypted(folder / "luks")
    small = made.ext4(folder / "small.ext4", {b"x": b"y"}, 4 * MIB)
    parts = [("83", system), ("83", locked), ("5", 6 * MIB), ("83", small)]
    with opened(raw(made.partitioned(folder / "mbr.raw", "dos", parts))) as disk:
        layout = disk.layout()
        said = content(disk, "/x", "p5")

    assert layout.table == "dos"
    assert [(one.name, one.type, one.problem) for one in layout.volumes] == [
        ("p1", "ext4", ""),
        ("p2", "crypto_LUKS", "it is encrypted: not opened"),
        ("p5", "ext4", ""),
    ]
    assert said == b"y"


def test_a_clean_xfs_is_read(clean_xfs: Path) -> None:
    """By its own tools, without a mount."""
    with opened(raw(clean_xfs)) as disk:
        assert volume(disk, "disk").journal is Journal.CLEAN
        assert content(disk, "/notes") == b"written before\n"
        assert content(disk, "/empty") == b""
        assert [(one.name, one.size) for one in disk.entries("/")[1]] == [("notes", 15), ("empty", 0)]


def test_a_dirty_xfs_is_said_to_be_older(dirty_xfs: Path) -> None:
    """Where the operator forbids libguestfs, what is in the log alone is not shown; that is said, and why."""
    with opened(raw(dirty_xfs), appliance=0) as disk:
        assert volume(disk, "disk").journal is Journal.STALE
        assert volume(disk, "disk").journal.value == "not replayed: older than the crash"
        why = "its log is not replayed: [hosts] libguestfs is 0"
        assert volume(disk, "disk").problem == why
        said = how_new(disk.entries("/")[3])
        assert said == f"disk: xfs, journal: not replayed: older than the crash ({why})"
        assert content(disk, "/notes") == b"written before\n"


@pytest.mark.parametrize("kind", ["iso9660", "vfat"])
def test_a_config_drive_is_read(kind: str, tmp_path: Path) -> None:
    """Both kinds that Nova makes."""
    data = tmp_path / "drive" / "openstack" / "latest" / "meta_data.json"
    data.parent.mkdir(parents=True)
    data.write_text('{"hostname": "web-1"}')
    path = tmp_path / "disk.config"
    if kind == "vfat":
        made.sparse(path, 64 * MIB)
        made.tool("mkfs.vfat", "-n", "config-2", path)
        made.tool("mcopy", "-s", "-i", path, tmp_path / "drive" / "openstack", "::")
    else:
        made.tool("genisoimage", "-quiet", "-J", "-r", "-V", "config-2", "-o", path, tmp_path / "drive")
    with opened(raw(path)) as disk:
        found = volume(disk, "disk")
        said = content(disk, "/openstack/latest/meta_data.json")

    assert (found.type, found.label) == (kind, "config-2")
    assert said == b'{"hostname": "web-1"}'


def test_a_disk_in_use_is_refused(system: Path, tmp_path: Path) -> None:
    """Where a process may write to it, as QEMU does for a guest that runs, nothing is read."""
    socket = tmp_path / "s"
    writer = subprocess.Popen(["qemu-nbd", "--format=raw", f"--socket={socket}", system])
    try:
        while not socket.exists():
            time.sleep(0.01)
        with pytest.raises(SourceError, match="the disk is in use"), opened(raw(system)):
            pass
    finally:
        writer.kill()
        writer.wait()


def test_what_is_missing_is_said(system: Path) -> None:
    """A path that is not there, a directory that is taken for a file, a volume that is not there."""
    with opened(raw(system)) as disk:
        for path, words in (
            ("/var/log/nothing", "there is no /var/log/nothing"),
            ("/var/log", "is not a file but a dir"),
        ):
            with pytest.raises(UsageError, match=words):
                content(disk, path)
        with pytest.raises(UsageError, match="no volume p7"):
            disk.entries("/", volume="p7")
        assert content(disk, "/etc/os-release").startswith(b"NAME=")


def test_a_file_that_is_not_there_is_said() -> None:
    """In the words of the host's own program."""
    with (
        pytest.raises(SourceError, match=r"qemu-nbd: .*No such file"),
        Opened(
            ("python3", "-c", "import sys; sys.stderr.write('qemu-nbd: x: No such file'); sys.exit(1)"), patience=20
        ),
    ):
        pass
