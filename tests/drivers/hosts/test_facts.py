# SPDX-License-Identifier: Apache-2.0
"""What a host says of itself: read from a real one, and judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stackmend.drivers.hosts.facts import facts
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.errors import HostUnreachable, SourceError
from stackmend.model.objects.facts import HostFacts, Mount
from stackmend.model.protocols import Completed

from .conftest import Host

BEFORE = HostFacts(
    host="c01",
    boot_id="one",
    uptime=86400.0,
    mounts=(
        Mount(source="/dev/sda1", target="/", kind="ext4", options=("rw",)),
        Mount(source="tmpfs", target="/run", kind="tmpfs", options=("rw",)),
        Mount(source="nfs1:/nova", target="/var/lib/nova/instances", kind="nfs4", options=("rw", "hard")),
    ),
    ahead=0.0,
    within=0.1,
)


@pytest.mark.parametrize("way", ["ssh", "local"])
def test_a_real_host_says_what_its_files_say(way: str, request: pytest.FixtureRequest) -> None:
    """Boot id and uptime are those of the kernel, the root is mounted, and its clock is ours."""
    transport = request.getfixturevalue("host").transport() if way == "ssh" else Transport()
    found = facts(transport, "c01" if way == "ssh" else "")
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < found.uptime <= float(Path("/proc/uptime").read_text().split()[0])
    assert found.mount("/").target == "/"
    assert abs(found.ahead) <= found.within
    assert found.lacks(found) == ()
    transport.close()


def test_a_clock_that_is_wrong() -> None:
    """The difference is measured against ours, with how well it is known."""
    found = facts(Transport(), "", now=lambda: time.time() + 90)
    assert abs(found.ahead + 90) <= found.within + 1
    assert [line for line in found.lacks(found) if "behind" in line]


class Saying:
    """A host that prints this, whatever it is asked."""

    def __init__(self, out: bytes) -> None:
        self._out = out

    def run(self, host: str, argv: Sequence[str], *, limit: float = 60.0, stdin: bytes = b"") -> Completed:
        return Completed(0, self._out, b"")


def test_a_mount_with_a_space_on_a_small_system() -> None:
    """The kernel writes the space as an octal number; without nanoseconds the time is known to the second."""
    mounts = rb"/dev/sdb1 /mnt/my\040disk\134x ext4 rw,relatime 0 0"
    found = facts(Saying(b"abc\n==\n10.5 20\n==\n1000.%N\n==\n" + mounts + b"\n"), "c01", now=lambda: 1000.5)
    options = ("rw", "relatime")
    assert found.mounts == (Mount(source="/dev/sdb1", target="/mnt/my disk\\x", kind="ext4", options=options),)
    assert (found.boot_id, found.uptime, found.ahead, found.within) == ("abc", 10.5, 0.0, 0.5)


@pytest.mark.parametrize("out", [b"", b"something else\n", b"a\n==\nb\n==\nc\n==\nd\n", b"a\n==\n1 2\n==\n1.1\n"])
def test_a_host_that_says_half(out: bytes) -> None:
    """Half an answer is none."""
    with pytest.raises(SourceError, match="does not report its boot time"):
        facts(Saying(out), "c01")


def test_a_host_that_is_off(host: Host) -> None:
    """It is unreachable, which is not the same as not restarted."""
    host.stop()
    with pytest.raises(HostUnreachable):
        facts(host.transport(), "c01")
    with pytest.raises(HostUnreachable):
        facts(Transport(Routes()), "c01")


def test_it_is_back_as_it_was() -> None:
    """Another boot id is a restart; what lasts is mounted, and the clock is right."""
    after = replace(BEFORE, boot_id="two", uptime=60.0)
    assert after.restarted(BEFORE.boot_id)
    assert after.lacks(BEFORE) == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mounts": BEFORE.mounts[:2]}, "/var/lib/nova/instances was on nfs4 nfs1:/nova, now it is not mounted"),
        (
            {"mounts": (replace(BEFORE.mounts[0], options=("ro",)), *BEFORE.mounts[1:])},
            "/ is mounted read-only",
        ),
        ({"ahead": 30.0}, "its clock is 30.0 s ahead"),
        ({"ahead": -30.0}, "its clock is 30.0 s behind"),
    ],
)
def test_it_is_not_back_as_it_was(change: dict[str, object], says: str) -> None:
    """An instances folder that is not mounted looks empty, and a server that is started there would be rebuilt."""
    assert replace(BEFORE, **change).lacks(BEFORE) == (says,)


def test_what_comes_and_goes_is_not_missed() -> None:
    """Mounts that hold no data may be others after a restart; a path may be asked about by name."""
    after = replace(BEFORE, mounts=(BEFORE.mounts[0], BEFORE.mounts[2]))
    assert after.lacks(BEFORE) == ()
    assert after.lacks(BEFORE, ("/run",)) == ("/run was on tmpfs tmpfs, now it is not mounted",)
