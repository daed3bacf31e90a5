# SPDX-License-Identifier: Apache-2.0
"""Disks whose guest lost its QEMU while it wrote: the guest is libguestfs's own Linux, killed in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_FOR_TESTS = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LIBGUESTFS_BACKEND": "direct",
    "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
}  # fmt: skip


def needs_guestfish(monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Skip what needs libguestfs if it, or a kernel for it, is not installed; KVM is not used: it may not work here."""
    if not shutil.which("guestfish") or not list(Path("/boot").glob("vmlinuz-*")):
        pytest.skip("libguestfs replays the logs of xfs: guestfish and a kernel in /boot are not installed")
    if monkeypatch is not None:
        monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")


def killed_while_writing(folder: Path, disks: Sequence[Path], *commands: str) -> None:
    """Run these commands of guestfish on disks, the first one at /, and kill QEMU in the middle of the next.

    What the commands wrote and synchronised is in the logs; the file systems are never unmounted.
    """
    folder.mkdir()
    # the guest goes on to write to /endless when it is killed
    script = ["run", "mount /dev/sda /", *commands, "echo ready", "fill 120 1000000000 /endless"]
    drives = [word for disk in disks for word in ("-a", str(disk))]
    with subprocess.Popen(
        ["guestfish", "--rw", "--format=raw", *drives], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True, env={**_FOR_TESTS, "TMPDIR": str(folder), "HOME": str(folder)},
    ) as guest:  # fmt: skip
        assert guest.stdin is not None
        assert guest.stdout is not None
        guest.stdin.write("\n".join(script).encode() + b"\n")
        guest.stdin.flush()
        said = guest.stdout.readline()
        os.killpg(guest.pid, signal.SIGKILL)
    assert said == b"ready\n"
    shutil.rmtree(folder)
