# SPDX-License-Identifier: Apache-2.0
"""Volumes of servers, inspected by the command line: copies on disk, attached to a real guest of a real libvirtd."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend.model.operations.volume_copies import NAME
from stackmend_lab.cloud import Cloud, Server, build

from ..drivers.api.fake import Reply
from ..drivers.api.serving import serving
from ..support.guest_disks import digest
from ..support.libvirt_daemon import Libvirt, daemon
from .test_inspection import APPROVED, YES, Locking, guest, printed

__all__ = ["guest"]
_CINDER = "/volume/v3"


class Copying(Locking):
    """Cinder that makes snapshots and copies of files, and Nova that attaches them to guests."""

    libvirt: Libvirt

    def begin(self, guest: Path, folder: Path) -> None:
        """Forget what was made."""
        self.source, self.store = guest, folder
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.copies: dict[str, dict[str, Any]] = {}
        self.refuses, self.network = "", False
        self.locks.clear()

    def lists(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        one, more = "([^/?]+)", r"(?:\?(.*))?"
        yield "GET", f"{_CINDER}/snapshots/detail{more}", lambda *_: (200, {"snapshots": list(self.snapshots.values())})
        yield "POST", f"{_CINDER}/snapshots", self.make_snapshot
        yield "DELETE", f"{_CINDER}/snapshots/{one}", self.drop_snapshot
        yield "POST", f"{_CINDER}/volumes", self.make_copy
        yield from super().lists()

    def make_snapshot(self, body: Any) -> Reply:
        if self.refuses == "snapshot":
            return 413, {"overLimit": {"message": "SnapshotLimitExceeded", "code": 413}}
        made = {**body["snapshot"], "id": str(uuid.uuid4()), "status": "available"}
        shutil.copyfile(self.source, self.store / made["id"])
        self.snapshots[made["id"]] = made
        return 202, {"snapshot": made}

    def drop_snapshot(self, _: Any, name: str) -> Reply:
        self.snapshots.pop(name)
        (self.store / name).unlink()
        return 202, None

    def make_copy(self, body: Any) -> Reply:
        if self.refuses == "copy":
            return 413, {"overLimit": {"message": "VolumeLimitExceeded", "code": 413}}
        asked = body["volume"]
        made = {**asked, "id": str(uuid.uuid4()), "status": "available", "attachments": [], "metadata": {}}
        shutil.copyfile(self.store / asked["snapshot_id"], self.store / made["id"])
        self.copies[made["id"]] = made
        return 202, {"volume": made}

    def list_volumes(self, _: Any, query: str) -> Reply:
        code, body = super().list_volumes(_, query)
        return code, {"volumes": [*body["volumes"], *self.copies.values()]}

    def volume_action(self, body: Any, name: str) -> Reply:
        if "os-update_readonly_flag" in body:
            self.copies[name]["metadata"] = {"readonly": str(body["os-update_readonly_flag"]["readonly"])}
            return 202, None
        return super().volume_action(body, name)

    def delete_volume(self, _: Any, name: str) -> Reply:
        if name not in self.copies:
            return super().delete_volume(_, name)
        assert not self.copies.pop(name)["attachments"], "Cinder deletes nothing that is attached"
        (self.store / name).unlink()
        return 202, None

    def attach(self, body: Any, server: str) -> Reply:
        name = body["volumeAttachment"]["volumeId"]
        copy = self.copies[name]
        if not self.network:
            self.libvirt.virsh("attach-device", server, str(self._device(name)))
        copy.update(status="in-use", attachments=[{"server_id": server}])
        return 200, {"volumeAttachment": {"volumeId": name}}

    def drop_mapping(self, _: Any, server: str, volume: str) -> Reply:
        if volume not in self.copies:
            return super().drop_mapping(_, server, volume)
        if not self.network:
            self.libvirt.virsh("detach-device", server, str(self._device(volume)))
        self.copies[volume].update(status="available", attachments=[])
        return 202, None

    def _device(self, name: str) -> Path:
        path = self.store / f"{name}.xml"
        readonly = "<readonly/>" if self.copies[name]["metadata"].get("readonly") == "True" else ""
        # a guest without a system lets go of no other bus
        path.write_text(
            f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{self.store / name}'/>"
            f"<target dev='sda' bus='usb'/>{readonly}<serial>{name}</serial></disk>"
        )
        return path


class Site:
    """A server with a volume, a helper whose guest is real, and their services."""

    def __init__(self, cloud: Cloud, services: Copying, folder: Path) -> None:
        self.cloud, self.services, self.folder = cloud, services, folder
        self.server = next(one for one in iter(lambda: cloud.pick("active"), None) if len(one.volumes) == 1)
        self.helper: Server = cloud.pick("active")
        path = folder / "stackmend.toml"
        hosts = (
            f'[hosts]\ntransport = "local"\nlocal = ["{self.server.host}", "{self.helper.host}"]\n'
            f"container = {json.dumps(list(services.libvirt.inside))}\n"
        )
        state = f'[state]\ndirectory = "{folder}/state"\n'
        path.write_text(cloud.toml().partition("[state]")[0] + services.toml() + hosts + state)
        self.toml = str(path)

    def run(self, *words: str) -> int:
        """A command line: SERVER and HELPER stand for those."""
        names = {"SERVER": self.server.uuid, "HELPER": self.helper.uuid}
        return main(["--config", self.toml, *(names.get(word, word) for word in words)])

    @property
    def left(self) -> list[Any]:
        """Snapshots, copies, locks."""
        return [*self.services.snapshots, *self.services.copies, *self.services.locks]


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    """A daemon for all of these tests."""
    found = daemon(tmp_path_factory.mktemp("libvirt"))
    yield found
    found.stop()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, libvirt: Libvirt) -> Iterator[tuple[Cloud, Copying]]:
    """A small cloud with its services."""
    folder = tmp_path_factory.mktemp("volumes")
    cloud = build(folder / "cloud", servers=120, seed=31, hosts=4)
    services = Copying(cloud, folder)
    services.locks, services.libvirt = {}, libvirt
    with serving(services):
        yield cloud, services
    cloud.close()


@pytest.fixture
def site(standing: tuple[Cloud, Copying], guest: Path, tmp_path: Path, libvirt: Libvirt) -> Iterator[Site]:
    """A server whose volume holds the file system of a guest that crashed."""
    cloud, services = standing
    services.begin(guest, tmp_path)
    found = Site(cloud, services, tmp_path)
    own = tmp_path / "helper"
    own.write_bytes(bytes(1 << 20))
    libvirt.start(found.helper.uuid, own, "raw")
    yield found
    libvirt.virsh("destroy", found.helper.uuid)


SNAPSHOT = (*APPROVED, "--method", "snapshot", "--helper", "HELPER")


def test_a_volume_is_read_in_a_copy_and_the_copy_deleted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Snapshot, copy, attached read-only; read with its journal replayed; nothing is left, the server goes on."""
    before = digest(site.services.source)
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "--helper", "HELPER") == Exit.FINDINGS
    said = " ".join(capsys.readouterr().out.split())
    assert "method snapshot" in said
    assert "not by copy: " in said
    assert '"volumeId": "(the copy)"' in said
    assert site.run("disk", "inspect", "SERVER", *SNAPSHOT, *YES) == Exit.REPAIRED
    (copy,) = site.services.copies.values()
    assert copy["name"] == f"{NAME}{site.server.uuid}"
    assert "<readonly/>" in site.services.libvirt.virsh("dumpxml", site.helper.uuid)
    image = digest(site.folder / copy["id"])
    capsys.readouterr()
    assert site.run("disk", "show", "SERVER", "-f", "json") == Exit.CLEAN
    (root,) = printed(capsys, "guest-disks")
    assert [(v["type"], v["journal"], v["os"]) for v in root["volumes"]] == [
        ("ext4", "replayed in a copy", "Demo Linux 7")
    ]
    assert site.run("disk", "log", "SERVER") == Exit.CLEAN
    assert "Kernel panic" in capsys.readouterr().out
    assert digest(site.folder / copy["id"]) == image
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.left == []
    assert "readonly" not in site.services.libvirt.virsh("dumpxml", site.helper.uuid)
    assert digest(site.services.source) == before


@pytest.mark.attack("quotas that end an inspection half way, and its journal lost")
@pytest.mark.parametrize("where", ["snapshot", "copy"])
def test_what_was_begun_is_released_without_a_journal(site: Site, where: str) -> None:
    """Whatever there is of snapshot and copy is found by its name."""
    site.services.refuses = where
    assert site.run("disk", "inspect", "SERVER", *SNAPSHOT, *YES) == Exit.STOPPED
    assert site.left
    shutil.rmtree(site.folder / "state")
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.left == []


def test_undo_takes_it_all_back(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """As release does, by the journal."""
    assert site.run("disk", "inspect", "SERVER", *SNAPSHOT, *YES) == Exit.REPAIRED
    capsys.readouterr()
    assert site.run("run", "list", "-f", "json") == Exit.CLEAN
    run = json.loads(capsys.readouterr().out)[0]["id"]
    assert site.run("run", "undo", run, "--yes") in (Exit.CLEAN, Exit.REPAIRED)
    assert site.left == []


def test_a_back_end_without_a_device_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What QEMU opens by itself is no device of the host: the way out is the helper."""
    assert site.run("disk", "inspect", "SERVER", *SNAPSHOT, *YES) == Exit.REPAIRED
    (copy,) = site.services.copies.values()
    libvirt, helper = site.services.libvirt, site.helper.uuid
    libvirt.virsh("detach-device", helper, str(site.folder / f"{copy['id']}.xml"))
    request = site.folder / "network.xml"
    request.write_text(
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'><host"
        f" transport='unix' socket='{site.folder}/nbd'/></source><target dev='sda' bus='usb'/><readonly/>"
        f"<serial>{copy['id']}</serial></disk>"
    )
    with site.services.libvirt.exported(site.folder / copy["id"], site.folder / "nbd"):
        libvirt.virsh("attach-device", helper, str(request))
        capsys.readouterr()
        assert site.run("disk", "cat", "SERVER", "/etc/os-release") == Exit.INCOMPLETE
        said = capsys.readouterr().err
        assert "QEMU opens it by itself" in said
        assert f"/dev/disk/by-id/virtio-{copy['id'][:20]}" in said
        libvirt.virsh("detach-device", helper, str(request))
    site.services.network = True
    assert site.run("disk", "release", "SERVER", "--yes") == Exit.REPAIRED
    assert site.left == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "--helper"),
        (("--helper", "SERVER"), "that could be the helper"),
        (("--helper", "HELPER", "--of", "ELSE"), "has no volume"),
    ],
)
def test_what_cannot_be_copied_is_left_alone(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    """With the reason, and before anything is made or locked."""
    other = site.cloud.rows("cinder", "SELECT id FROM volumes WHERE deleted = 0 AND id <> :v LIMIT 1",
                            {"v": site.server.volumes[0]})  # fmt: skip
    given = [other[0]["id"] if word == "ELSE" else word for word in words]
    assert site.run("disk", "inspect", "SERVER", *APPROVED, "--method", "snapshot", *given, *YES) == Exit.STOPPED
    said = capsys.readouterr()
    assert why in " ".join((said.out + said.err).split())
    assert site.left == []
