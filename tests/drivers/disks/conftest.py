# SPDX-License-Identifier: Apache-2.0
"""Guests' disks, created once, and a way to open them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackmend.drivers.disks.exporter import Layer, argv
from stackmend.drivers.disks.sandbox import Opened
from stackmend.model.objects.inspection import LIBGUESTFS

from ...support import guest_disks as made
from ...support.guest_disks import MIB, digest

SYSTEM = {b"etc/os-release": b'NAME="Demo"\nPRETTY_NAME="Demo Linux 7"\n', b"var/log/syslog": b"all is well\n"}
CRASH = b"kernel panic - not syncing\n"


@contextmanager
def opened(*layers: Layer, appliance: float = LIBGUESTFS) -> Iterator[Opened]:
    """Open a disk as on a host, and verify afterwards that its files are unchanged."""
    before = {layer.path: digest(Path(layer.path)) for layer in layers}
    try:
        with Opened(argv(layers), patience=120, appliance=appliance) as disk:
            yield disk
    finally:
        assert {layer.path: digest(Path(layer.path)) for layer in layers} == before


def raw(path: Path) -> Layer:
    """A raw disk."""
    return Layer(str(path), "raw")


@pytest.fixture(scope="session", autouse=True)
def _sandboxed() -> None:
    """Every test here opens a disk."""
    made.needs_sandbox()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the disks."""
    return tmp_path_factory.mktemp("guests")


@pytest.fixture(scope="session")
def system(folder: Path) -> Path:
    """An ext4 with an operating system, whose last file is only in the journal."""
    path = made.ext4(folder / "system.ext4", SYSTEM)
    return made.crashed(path, "/var/log/crash", CRASH)


@pytest.fixture(scope="session")
def with_lvm(folder: Path, system: Path) -> Path:
    """A raw disk: GPT, /boot, and LVM with a system in two parts in reverse order, and swap."""
    boot = made.ext4(folder / "boot.ext4", {b"grub/grub.cfg": b"set default=0\n"}, 8 * MIB)
    swap = made.sparse(folder / "swap", 4 * MIB)
    made.tool("mkswap", "-q", swap)
    physical = made.physical_volume(folder / "pv", "vg0", {
        "root": (system, [5, 6, 7, 8, 0, 1, 2, 3]), "swap": (swap, [4]),
    })  # fmt: skip
    return made.partitioned(folder / "gpt.raw", "gpt", [(made.LINUX, boot), (made.LVM, physical)])


@pytest.fixture(scope="session")
def clean_xfs(folder: Path) -> Path:
    """An xfs that was unmounted."""
    return made.xfs(folder / "clean.xfs", {"notes": b"written before\n", "empty": b""})


@pytest.fixture(scope="session")
def dirty_xfs(folder: Path, clean_xfs: Path) -> Path:
    """An xfs with a file that is only in its log: this needs the kernel's own driver, and a loop device."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("an xfs with a dirty log is made by mounting one: root and loop devices are needed")
    path, at = folder / "dirty.xfs", folder / "mounted"
    made.tool("cp", "--sparse=always", clean_xfs, path)
    at.mkdir()
    made.tool("mount", "-o", "loop", path, at)
    try:
        (at / "late").write_bytes(b"written last\n")
        made.tool("xfs_io", "-x", "-c", "shutdown -f", at)
    finally:
        made.tool("umount", at)
    return path


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[str], Path]:
    """A folder for the disks of one test."""
    return tmp_path.joinpath
