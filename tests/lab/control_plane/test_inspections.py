# SPDX-License-Identifier: Apache-2.0
"""Inspections by the real Nova and Cinder: locks, rescue, copies, release. Guests here have no disks to read."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import IMAGE, create_server, wait, wait_server

WHO = ("--approved-by", "Ann Owner", "--ticket", "CHG-1")
APPROVED = (*WHO, "--method", "rescue")
YES = ("--yes", "--accept", "inspect-disk")
_KEPT = "SELECT value, deleted FROM instance_system_metadata WHERE instance_uuid = %s AND `key` = 'locked_reason'"
_ATTACHED = (
    "SELECT a.attach_mode, a.attach_status, m.value FROM volume_attachment a LEFT JOIN volume_admin_metadata m"
    " ON m.volume_id = a.volume_id AND m.`key` = 'readonly' WHERE a.instance_uuid = %s AND a.deleted = 0"
)
#: the properties that Nova requires of an image to rescue a server that boots from a volume
_STABLE = {"hw_rescue_bus": "virtio", "hw_rescue_device": "disk"}


class Rescued:
    """Servers of the lab that are deleted afterwards, and an image with which to rescue them."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.sdk: Any = plane.connect()
        self.image = str(self.sdk.image.find_image(IMAGE).id)
        self.servers: list[str] = []

    def server(self) -> str:
        name = create_server(self.sdk, f"rescue-{uuid.uuid4().hex[:6]}", [], f"nova:{self.plane.hosts[0]}")
        self.servers.append(name)
        wait_server(self.sdk, name)
        return name

    def of_volume(self) -> str:
        disk = {
            "uuid": self.image, "source_type": "image", "destination_type": "volume", "volume_size": 1,
            "boot_index": 0, "delete_on_termination": True,
        }  # fmt: skip
        made = self.sdk.compute.create_server(
            name=f"rescue-{uuid.uuid4().hex[:6]}", flavor_id=self.sdk.compute.find_flavor("small").id,
            networks="none", block_device_mapping=[disk],
        )  # fmt: skip
        self.servers.append(str(made.id))
        wait_server(self.sdk, made.id)
        return str(made.id)

    def run(self, *words: str) -> int:
        return main(["--config", str(self.plane.toml), *words])

    def copies(self, server: str) -> dict[str, str]:
        """Kind -> status of the snapshot and the volume that an inspection has made of a server's volume."""
        name, store = f"stackmend-inspect-{server}", self.sdk.block_storage
        found = {"snapshot": list(store.snapshots()), "volume": list(store.volumes())}
        return {kind: one.status for kind, every in found.items() for one in every if one.name == name}

    def shown(self, server: str) -> tuple[str, bool]:
        found = self.sdk.compute.get_server(server)
        return found.status, found.is_locked

    def close(self) -> None:
        for server in self.servers:
            self.sdk.compute.unlock_server(server)
            self.sdk.compute.delete_server(server)
        for server in self.servers:
            wait(lambda name=server: self.sdk.compute.find_server(name) is None, f"server {server} to be gone")


@pytest.fixture(scope="module")
def lab(plane: Plane) -> Iterator[Rescued]:
    """The real services."""
    made = Rescued(plane)
    yield made
    made.close()


@pytest.mark.parametrize("status", ["ACTIVE", "SHUTOFF"])
def test_a_server_is_rescued_and_released(lab: Rescued, capsys: pytest.CaptureFixture[str], status: str) -> None:
    """The server is locked with the reason where the check looks for it; after release it is as before."""
    server = lab.server()
    if status == "SHUTOFF":
        lab.sdk.compute.stop_server(server)
        wait_server(lab.sdk, server, status)
    assert lab.run("disk", "inspect", server, *APPROVED, "--image", lab.image, *YES) == Exit.REPAIRED
    assert lab.shown(server) == ("RESCUE", True)
    (kept,) = lab.plane.sql("cell:cell1", _KEPT, [server])
    assert (kept["value"][:46], kept["deleted"]) == ("stackmend disk inspect: ticket CHG-1, approved", 0)
    capsys.readouterr()
    assert lab.run("disk", "list", "-f", "json") == Exit.FINDINGS
    assert server in [one["server"] for one in json.loads(capsys.readouterr().out)]

    audit = ("audit", "--check", "inspection-left-behind", "--server", server, "--include-young", "-f", "json")
    lab.run(*audit)
    assert server in capsys.readouterr().out
    assert lab.run("disk", "release", server, "--yes") == Exit.REPAIRED
    assert lab.shown(server) == (status, False)
    assert [one["deleted"] for one in lab.plane.sql("cell:cell1", _KEPT, [server])] != [0]
    capsys.readouterr()
    assert lab.run(*audit) == Exit.CLEAN


def test_a_server_that_boots_from_a_volume_is_rescued(lab: Rescued, capsys: pytest.CaptureFixture[str]) -> None:
    """It needs an image with the properties for it; without them it is refused before anything is locked."""
    server = lab.of_volume()
    assert lab.run("disk", "inspect", server, *APPROVED, "--image", lab.image, *YES) == Exit.STOPPED
    assert "hw_rescue_bus and hw_rescue_device" in capsys.readouterr().err
    assert lab.shown(server) == ("ACTIVE", False)
    lab.sdk.image.update_image(lab.image, **_STABLE)
    try:
        assert lab.run("disk", "inspect", server, *APPROVED, "--image", lab.image, *YES) == Exit.REPAIRED
        assert lab.shown(server) == ("RESCUE", True)
        assert lab.run("disk", "release", server, "--yes") == Exit.REPAIRED
        assert lab.shown(server) == ("ACTIVE", False)
    finally:
        remove = [{"op": "remove", "path": f"/{name}"} for name in _STABLE]
        kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        lab.sdk.image.patch(f"/images/{lab.image}", json=remove, headers=kind)


@pytest.fixture
def near(lab: Rescued) -> Iterator[None]:
    """Access to hosts is configured, as this method needs it to read afterwards."""
    written = lab.plane.toml.read_text()
    lab.plane.toml.write_text(f'{written}\n[hosts]\ntransport = "local"\n')
    yield
    lab.plane.toml.write_text(written)


@pytest.mark.usefixtures("near")
def test_a_copy_of_a_volume_is_given_to_a_helper(lab: Rescued) -> None:
    """Cinder makes it from a snapshot, while the server runs, and Nova attaches it read-only; release deletes both."""
    server, helper = lab.of_volume(), lab.server()
    words = ("disk", "inspect", server, *WHO, "--method", "snapshot", "--helper", helper, *YES)
    assert lab.run(*words) == Exit.REPAIRED
    assert lab.shown(server) == ("ACTIVE", True)
    assert lab.copies(server) == {"snapshot": "available", "volume": "in-use"}
    (attached,) = lab.plane.sql("cinder", _ATTACHED, [helper])
    assert (attached["attach_mode"], attached["attach_status"], attached["value"]) == ("ro", "attached", "True")
    assert lab.run(*words) == Exit.STOPPED  # one inspection at a time

    assert lab.run("disk", "release", server, "--yes") == Exit.REPAIRED
    assert lab.shown(server) == ("ACTIVE", False)
    assert lab.copies(server) == {}
    assert lab.plane.sql("cinder", _ATTACHED, [helper]) == []
    assert list(lab.sdk.compute.volume_attachments(helper)) == []


@pytest.mark.usefixtures("near")
def test_a_copy_that_cinder_cannot_make(lab: Rescued) -> None:
    """The inspection stops; what exists until then is deleted by the release, and the server is as before."""
    server, helper = lab.of_volume(), lab.server()
    lab.plane.lever("cinder", "create", "fail")
    try:
        words = ("--method", "snapshot", "--helper", helper, *YES)
        assert lab.run("disk", "inspect", server, *WHO, *words) == Exit.STOPPED
    finally:
        lab.plane.release("cinder", "create")
    assert lab.shown(server)[0] == "ACTIVE"
    assert set(lab.copies(server)) <= {"snapshot", "volume"}
    if lab.shown(server)[1]:
        assert lab.run("disk", "release", server, "--yes") == Exit.REPAIRED
    assert lab.shown(server) == ("ACTIVE", False)
    assert lab.copies(server) == {}
