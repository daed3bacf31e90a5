# SPDX-License-Identifier: Apache-2.0
"""Servers that run and go on, inspected by the command line: their guests are real ones, of a real libvirtd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.hosts.inspection.guest_copy import MARK
from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud

from ..support import guest_disks as made
from ..support.guest_disks import MIB, digest
from ..support.libvirt_daemon import Libvirt, daemon
from .test_inspection import APPROVED, YES, Locking, Site, guest, placed, printed, standing

__all__ = ["guest", "standing"]


class Running(Site):
    """A server whose guest runs, in what the configuration calls a container."""

    libvirt: Libvirt

    @property
    def toml(self) -> str:
        """The configuration."""
        path = Path(super().toml)
        inside = f"container = {json.dumps(list(self.libvirt.inside))}\n"
        path.write_text(path.read_text().replace("[hosts]\n", f"[hosts]\n{inside}"))
        return str(path)


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    """A daemon for all of these tests."""
    found = daemon(tmp_path_factory.mktemp("libvirt"))
    yield found
    found.stop()


@pytest.fixture
def site(standing: tuple[Cloud, Locking], guest: Path, tmp_path: Path, libvirt: Libvirt) -> Iterator[Running]:
    """A server that runs, with a root disk that its guest has open."""
    found = placed(Running, standing, guest, tmp_path)
    found.libvirt = libvirt
    # without swap: its guest has one disk
    found.disk.with_name("disk.swap").unlink()
    drive = made.ext4(found.disk.with_name("disk.config"), {b"meta_data.json": b"{}\n"}, MIB)
    libvirt.start(found.server.uuid, found.disk, config=drive)
    yield found
    libvirt.virsh("destroy", found.server.uuid)


def test_a_running_server_is_read_and_goes_on(site: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Copy is chosen; what the guest writes afterwards is in the next reading; nothing is left on its host."""
    files = {path: digest(path) for path in site.instances.rglob("*") if path.is_file()}
    assert site.run("disk", "inspect", "SERVER", *APPROVED) == Exit.FINDINGS
    said = " ".join(capsys.readouterr().out.split())
    assert "method copy" in said
    assert "its guest goes on" in said
    assert "os-stop" not in said
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    assert site.state == (
        "active", "stackmend disk inspect: ticket CHG-1, approved by Ann Owner; it ran; by copy"
    )  # fmt: skip
    capsys.readouterr()
    assert site.run("disk", "list", "-f", "json") == Exit.FINDINGS
    assert [one["method"] for one in printed(capsys, "inspections")] == ["copy"]
    assert site.run("disk", "show", "SERVER", "-f", "json") == Exit.CLEAN
    root, _ = printed(capsys, "guest-disks")
    assert [(v["type"], v["journal"], v["os"], v["torn"]) for v in root["volumes"]] == [
        ("ext4", "replayed in a copy", "Demo Linux 7", False)
    ]
    assert site.run("disk", "log", "SERVER", "--lines", "2") == Exit.CLEAN
    assert "Kernel panic" in capsys.readouterr().out
    # what a guest cannot write to is read as it is
    assert site.run("disk", "cat", "SERVER", "/meta_data.json", "--disk", "config") == Exit.CLEAN
    assert capsys.readouterr().out == "{}\n"
    assert {path: digest(path) for path in site.instances.rglob("*") if path.is_file()} == files

    site.libvirt.write(site.server.uuid, 0, MIB, 0xEE)
    assert site.run("disk", "show", "SERVER", "-f", "json") == Exit.CLEAN
    root, _ = printed(capsys, "guest-disks")
    assert [v["type"] for v in root["volumes"]] == [""]
    assert site.libvirt.virsh("domstate", site.server.uuid).strip() == "running"
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.state == ("active", None)
    assert not list(site.instances.rglob(f"{MARK}*"))


@pytest.mark.attack("everything that guards a copy is killed")
def test_release_ends_a_copy_that_outlived_its_guards(site: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """A backup of ours and its file are found on the host and ended; a reading that comes before ends it, too."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    _left(site)
    assert site.run("disk", "show", "SERVER") == Exit.CLEAN
    assert site.libvirt.job(site.server.uuid) == ""
    _left(site)
    capsys.readouterr()
    assert site.run("disk", "release", "SERVER") == Exit.FINDINGS
    assert "its copy ended" in capsys.readouterr().out
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.libvirt.job(site.server.uuid) == ""
    assert not list(site.instances.rglob(f"{MARK}*"))
    assert site.state == ("active", None)


def _left(site: Running) -> None:
    """A backup as a process has begun it that is gone: no process has this number."""
    name, folder = site.server.uuid, site.disk.parent
    request = site.folder / "left.xml"
    request.write_text(
        f"<domainbackup mode='pull'><server transport='unix' socket='{site.folder}/s'/><disks><disk name='vda'"
        f" backup='yes' type='file'><scratch file='{folder}/{MARK}.4194999'/></disk></disks></domainbackup>"
    )
    site.libvirt.virsh("backup-begin", name, str(request))
    assert site.libvirt.job(name)


def test_a_running_server_is_read_torn_with_consent(site: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Each answer says that it is torn; the bytes of the disk are the same; the guest goes on."""
    before = digest(site.disk)
    live = (*APPROVED, "--method", "live", "--consent", "live")
    assert site.run("disk", "inspect", "SERVER", *live) == Exit.FINDINGS
    assert "TORN" in capsys.readouterr().out
    assert site.run("disk", "inspect", "SERVER", *live, *YES) == Exit.REPAIRED
    capsys.readouterr()
    assert site.run("disk", "cat", "SERVER", "/var/log/kern.log") == Exit.CLEAN
    said = capsys.readouterr()
    assert "Kernel panic" in said.out
    assert "replayed in a copy; TORN" in said.err
    assert digest(site.disk) == before
    assert site.libvirt.virsh("domstate", site.server.uuid).strip() == "running"
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.state == ("active", None)


def test_a_server_that_was_stopped_meanwhile_is_read_offline(site: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """An administrator has stopped it: there is nothing to copy from, and nobody writes to its disk."""
    assert site.run("disk", "inspect", "SERVER", *APPROVED, *YES) == Exit.REPAIRED
    capsys.readouterr()
    site.libvirt.virsh("destroy", site.server.uuid)
    site.cloud.update(site.server.database, "instances", {"uuid": site.server.uuid}, vm_state="stopped")
    assert site.run("disk", "log", "SERVER") == Exit.CLEAN
    assert "Kernel panic" in capsys.readouterr().out
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    # it was stopped by somebody else: it is not started
    assert site.state == ("stopped", None)
    site.libvirt.start(site.server.uuid, site.disk)
