# SPDX-License-Identifier: Apache-2.0
"""Disks made to harm who reads them: nothing escapes, nothing hangs, nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.app.objects.inspection import copy_out
from stackmend.drivers.disks.export import BEGINS
from stackmend.drivers.disks.exporter import Layer, argv
from stackmend.drivers.disks.sandbox import Opened
from stackmend.model.errors import SourceError, StackmendError, UsageError
from stackmend.model.objects.inspection import Journal, Kind

from ...support import guest_disks as made
from ...support.guest_disks import MIB, digest
from .conftest import CRASH, opened, raw

Fresh = Callable[[str], Path]
#: an ext4 of which directories can be made by hand
BARE = ("-b", "4096", "-O", "^metadata_csum,^dir_index")


@pytest.mark.attack("names with control characters, slashes, dots and bytes that are no text")
def test_names_are_escaped(fresh: Fresh) -> None:
    """What is printed can be printed, has no slash, and is never ``..``; by it the file is found again."""
    names = [b"a\nb", b"\x1b[31mred", b"caf\xc3\xa9", b"\xff\xfe", b"back\\slash", "\u202eevil".encode()]
    path = made.ext4(fresh("names"), {b"d/" + name: name for name in names})
    with opened(raw(path)) as disk:
        found = [one.name for one in disk.entries("/d")[1]]
        said = {name: b"".join(disk.read(f"/d/{name}")) for name in found if "x0a" not in name}

    assert all(name.isprintable() and "/" not in name for name in found)
    assert said["café"] == b"caf\xc3\xa9"
    assert said["\\xff\\xfe"] == b"\xff\xfe"
    assert said["back\\\\slash"] == b"back\\slash"
    assert said["\\x1b[31mred"] == b"\x1b[31mred"


@pytest.mark.attack("a directory whose entries are called .. and ../../etc/passwd")
def test_entries_lead_nowhere_else(fresh: Fresh) -> None:
    """A name with a slash is shown escaped; a path goes up to the top of the guest and no further."""
    path = made.ext4(fresh("evil"), {b"etc/passwd": b"guest:x:0:0\n"}, 32 * MIB, *BARE)
    made.directory_of(path, "/evil", [b".", b"..", b"../../../../etc/passwd", b"..", b"/etc/shadow"])
    with opened(raw(path)) as disk:
        names = [one.name for one in disk.entries("/evil")[1]]
        passwd = b"".join(disk.read("/../../evil/../etc/passwd"))

    assert names == ["..\\x2f..\\x2f..\\x2f..\\x2fetc\\x2fpasswd", "\\x2fetc\\x2fshadow"]
    assert passwd == b"guest:x:0:0\n"


@pytest.mark.attack("a directory that holds the directory that it is in")
def test_a_tree_in_a_circle_is_copied_up_to_a_limit(fresh: Fresh) -> None:
    """A copy of it ends, says why, and has made plain files in its own folder alone."""
    path = made.ext4(fresh("circle"), {b"file": b"1"}, 32 * MIB, *BARE)
    made.directory_of(path, "/again", [b".", b"..", b"x", b"y"], inode=2)
    with opened(raw(path)) as disk:
        done = copy_out(disk, "/", fresh("copied"), most=1 << 20, files=60)
    assert done.cut
    assert done.files <= 60
    copies = [one for one in fresh("copied").rglob("*") if one.is_file()]
    assert len(copies) == done.files
    assert {one.read_bytes() for one in copies} == {b"1"}


@pytest.mark.attack("links out of the tree, and links in a circle")
def test_links_stay_inside(fresh: Fresh) -> None:
    """A link to /etc/hostname is the guest's, never this machine's; a circle ends."""
    files = {b"out": b"-> /../../../etc/hostname", b"etc/hostname": b"guest\n", b"a": b"-> b", b"b": b"-> a",
             b"dir": b"-> ../../etc", b"gone": b"-> /nowhere"}  # fmt: skip
    with opened(raw(made.ext4(fresh("links"), files))) as disk:
        assert b"".join(disk.read("/out")) == b"guest\n"
        assert b"".join(disk.read("/dir/hostname")) == b"guest\n"
        for path, words in (("/a", "too many links"), ("/gone", "there is no /gone")):
            with pytest.raises(UsageError, match=words):
                b"".join(disk.read(path))
        links = {one.name: one.target for one in disk.entries("/")[1] if one.kind is Kind.LINK}
    assert links["out"] == "/../../../etc/hostname"


@pytest.mark.attack("a directory with a million entries")
@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_million_entries_end(fresh: Fresh, count: int) -> None:
    """As many as were asked for are shown, and that there are more; looking for one that is not there ends."""
    path = made.ext4(fresh("many"), {b"one": b"1"}, 64 * MIB, *BARE)
    made.directory_of(path, "/many", [b".", b"..", *(b"f%07d" % number for number in range(count))])
    with opened(raw(path)) as disk:
        began = time.monotonic()
        _, entries, more, _ = disk.entries("/many", most=1000)
        assert time.monotonic() - began < 30
        with pytest.raises(StackmendError, match=r"there is no|was ended after"):
            disk.entries("/many/nothing")

    assert (len(entries), more) == (1000, True)


@pytest.mark.attack("a file system that is cut short")
def test_a_truncated_file_system_is_told(fresh: Fresh, system: Path) -> None:
    """An error that says what is the matter, or what is left; never a crash and never half a file for a whole one."""
    path = fresh("short")
    path.write_bytes(system.read_bytes()[: 3 * MIB])
    with opened(raw(path)) as disk:
        (found,) = disk.layout().volumes
        with pytest.raises(StackmendError):
            b"".join(disk.read("/var/log/crash"))
    assert found.journal is not Journal.CLEAN


@pytest.mark.attack("an xfs that is cut short, or of which the superblock lies")
@pytest.mark.parametrize("how", ["short", "lies"])
def test_a_truncated_xfs_is_told(fresh: Fresh, clean_xfs: Path, how: str) -> None:
    """An error, or what is left; never half a file for a whole one."""
    path = fresh("xfs")
    data = bytearray(clean_xfs.read_bytes())
    if how == "short":
        del data[MIB:]
    else:
        # sb_agblocks, sb_agcount, sb_rootino
        data[84:92], data[56:64] = b"\xff" * 8, b"\x7f" * 8
    path.write_bytes(data)
    with opened(raw(path), appliance=0) as disk:
        (found,) = disk.layout().volumes
        try:
            said = b"".join(disk.read("/notes"))
        except StackmendError as problem:
            said = problem.message.encode()
    assert said == b"written before\n" or b"cannot" in said or b"no file system" in said
    assert how == "short" or found.journal is not Journal.CLEAN or found.problem or said != b"written before\n"


@pytest.mark.attack("a config drive with links out of its tree, in a circle, and names that are none")
def test_a_config_drive_stays_inside(fresh: Fresh) -> None:
    """It is extracted by bsdtar: nothing leaves the folder of the sandbox, and links are the guest's."""
    tree = fresh("tree")
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "hostname").write_text("guest\n")
    (tree / "out").symlink_to("/../../../etc/hostname")
    (tree / "up").symlink_to("../../../../../../etc")
    (tree / "circle").symlink_to("circle")
    (tree / "evil\n\x1b[31m").write_text("x")
    path = fresh("drive.iso")
    made.tool("genisoimage", "-quiet", "-R", "-o", path, tree)
    with opened(raw(path)) as disk:
        names = {one.name for one in disk.entries("/")[1]}
        assert b"".join(disk.read("/out")) == b"guest\n"
        assert b"".join(disk.read("/up/hostname")) == b"guest\n"
        with pytest.raises(UsageError, match="too many links"):
            b"".join(disk.read("/circle"))
    assert "evil\\x0a\\x1b[31m" in names
    assert {"out", "up", "circle", "etc"} <= names


@pytest.mark.attack("random damage to the metadata of LVM")
@pytest.mark.parametrize("seed", range(3))
def test_damaged_lvm_is_told(fresh: Fresh, with_lvm: Path, seed: int) -> None:
    """Metadata with a wrong checksum, or that lead out of the disk, are not followed; the other partitions are read."""
    import random

    chance, path = random.Random(seed), fresh("lvm.raw")
    data = bytearray(with_lvm.read_bytes())
    start = data.index(b"LABELONE") - 512
    for _ in range(40):
        data[start + 4096 + chance.randrange(2048)] = chance.randrange(256)
    path.write_bytes(data)
    with opened(raw(path)) as disk:
        layout = disk.layout()
        assert b"".join(disk.read("/grub/grub.cfg", volume="p1")) == b"set default=0\n"
    assert any("metadata of LVM cannot be read" in note for note in layout.notes)
    assert [one.name for one in layout.volumes] == ["p1", "p2"]


@pytest.mark.attack("random damage to a file system")
@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_file_system_ends(fresh: Fresh, system: Path, seed: int) -> None:
    """Whatever is written over its first megabytes, an answer comes in time: what can be read, or an error."""
    import random

    chance = random.Random(seed)
    data = bytearray(system.read_bytes())
    for _ in range(400):
        data[chance.randrange(1024 + 256, 4 * MIB)] = chance.randrange(256)
    path = fresh("damaged")
    path.write_bytes(data)
    said = ""
    with opened(raw(path)) as disk:
        try:
            assert disk.layout().volumes
            disk.entries("/var/log")
            said = "read"
        except StackmendError as problem:
            said = problem.message
    assert said


@pytest.mark.attack("a partition table that leads to itself")
def test_a_looping_partition_table_ends(fresh: Fresh) -> None:
    """The partitions up to the loop are shown."""
    began = time.monotonic()
    with opened(raw(made.looping(fresh("loop")))) as disk:
        layout = disk.layout()
    assert layout.table == "dos"
    assert len(layout.volumes) <= 128
    assert time.monotonic() - began < 60


@pytest.mark.attack("a raw disk into which its guest has written a qcow2 header that names a file of the host")
def test_a_header_of_the_guest_is_not_believed(fresh: Fresh) -> None:
    """The disk is opened as what Nova says it is."""
    secret, path = fresh("secret"), fresh("disk")
    made.ext4(secret, {b"secret": b"of the host"})
    made.overlay(path, secret)
    with opened(raw(path)) as disk, pytest.raises(SourceError, match="no file system that can be read"):
        b"".join(disk.read("/secret"))
    plain = fresh("qcow2")
    made.overlay(plain, secret)
    with opened(Layer(str(plain), "qcow2")) as disk:
        # the base that the header names is not the one that it was told: none
        assert not disk.layout().volumes[0].type


@pytest.mark.attack("kill -9 of whoever inspects, at any moment")
def test_nothing_is_left_behind(system: Path) -> None:
    """Its servers and mounts end with it; the disk is unchanged and can be opened at once."""
    before = digest(system)
    program = (
        "import sys, time\nfrom stackmend.drivers.disks.sandbox import Opened\n"
        "with Opened(sys.argv[1:]) as disk:\n    print('open', flush=True)\n"
        "    while True: disk.entries('/var/log')\n"
    )
    for wait in (0.0, 0.3, None, None):
        child = subprocess.Popen([sys.executable, "-c", program, *argv([raw(system)])], stdout=subprocess.PIPE)
        assert child.stdout is not None
        if wait is None:
            assert child.stdout.readline() == b"open\n"
        else:
            time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert_nothing_names(system)

    assert digest(system) == before
    assert "stackmend-disk" not in Path("/proc/self/mounts").read_text()
    with opened(raw(system)) as disk:
        assert b"".join(disk.read("/var/log/crash")) == CRASH


@pytest.mark.attack("the line breaks before a byte was read")
def test_a_server_without_a_client_ends(system: Path) -> None:
    """qemu-nbd alone would go on listening for ever where its client goes before they have agreed."""
    with begun(system) as child:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(30)
    assert_nothing_names(system)


@pytest.mark.attack("what serves the disk is killed while it starts qemu-nbd")
def test_a_server_without_a_parent_ends(system: Path) -> None:
    """Also where it is killed before qemu-nbd could ask to be killed with it."""
    for moment in range(30):
        with begun(system) as child:
            time.sleep(moment / 10_000)
            child.kill()
    assert_nothing_names(system)


def begun(path: Path) -> subprocess.Popen[bytes]:
    """What serves this disk, once it has said that it begins."""
    child = subprocess.Popen(argv([raw(path)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == BEGINS
    return child


def assert_nothing_names(path: Path) -> None:
    """No other process has this path in its arguments, or soon none."""
    end = time.monotonic() + 20
    while left := naming(str(path)):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def naming(word: str) -> list[str]:
    """Processes, this one aside, that have this in their arguments."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if word in line:
                found.append(line)
    return found


def test_the_sandbox_has_no_network(system: Path) -> None:
    """What reads a guest's disk can talk to nobody: it has no interface that is up."""
    with Opened(argv([raw(system)])) as disk:
        worker = disk._worker.pid
        inside = _children(worker)
        assert inside
        assert os.readlink(f"/proc/{inside[0]}/ns/net") != os.readlink("/proc/self/ns/net")


def _children(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
