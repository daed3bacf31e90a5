# SPDX-License-Identifier: Apache-2.0
"""Disks of another host, over ssh: read without leaving anything there, whatever becomes of the connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.drivers.disks.exporter import argv
from stackmend.drivers.disks.sandbox import Opened
from stackmend.model.errors import SourceError

from ...support import guest_disks as made
from ...support.guest_disks import MIB, digest
from ..hosts.conftest import Host, answering, until
from .conftest import CRASH, raw
from .test_hostile import naming


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Host]:
    """A host that answers."""
    with answering(tmp_path / "c01") as host:
        yield host


def served(host: Host, disk: Path) -> tuple[str, ...]:
    """What serves a disk of the host here."""
    return host.transport().piped("c01", argv([raw(disk)]))


def test_a_disk_is_read_over_ssh(there: Host, system: Path) -> None:
    """Also where the login shell of the account prints something before; afterwards nothing runs there."""
    (there.folder / ".bashrc").write_text("echo welcome to this host\n")
    before = digest(system)
    with Opened(served(there, system)) as disk:
        assert b"".join(disk.read("/var/log/crash")) == CRASH
    until(lambda: not naming(str(system)), "something is left behind")
    assert digest(system) == before


@pytest.mark.attack("kill -9 of whoever reads a disk over ssh")
def test_nothing_is_left_behind_there(there: Host, system: Path) -> None:
    """The server on the host ends with the connection; the disk is unchanged."""
    program = (
        "import sys\nfrom stackmend.drivers.disks.sandbox import Opened\n"
        "with Opened(sys.argv[1:]) as disk:\n    print('open', flush=True)\n"
        "    while True: disk.entries('/var/log')\n"
    )
    before = digest(system)
    child = subprocess.Popen([sys.executable, "-c", program, *served(there, system)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    until(lambda: not naming(str(system)), "something is left behind")
    assert digest(system) == before


def test_a_connection_that_breaks_is_an_error(there: Host, folder: Path) -> None:
    """Neither a hang nor half a file for a whole one; what ran on the host ends."""
    content = os.urandom(16 * MIB)
    path = made.ext4(folder / "broken", {b"large": content}, 32 * MIB)
    with Opened(served(there, path), patience=60) as disk:
        there.drop()
        with pytest.raises(SourceError):
            b"".join(disk.read("/large"))
    until(lambda: not naming(str(path)), "something is left behind")


def test_a_host_that_is_not_known_is_an_error(there: Host, system: Path) -> None:
    """In the words of ssh."""
    there.know("other")
    with pytest.raises(SourceError, match=r"Host key verification failed|REMOTE HOST"), Opened(served(there, system)):
        pass
