# SPDX-License-Identifier: Apache-2.0
"""NICs that cannot be attached: what the real Nova records of it, beside the profile of a host with AppArmor."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.app.objects import confinement
from stackmend.app.objects.confinement import Confined
from stackmend.config.settings import load
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server

from ...workflows.apparmor_tree import Tree
from . import sdk_errors


class Guest:
    """A server, and two ports: one that somebody has, and one that nobody has."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        self.plane, self.sdk = plane, plane.connect()
        net = self.sdk.network.find_network("net1").id
        self.host = plane.hosts[0]
        self.server = create_server(self.sdk, f"attach-{uuid.uuid4().hex[:6]}", [{"uuid": net}], f"nova:{self.host}")
        wait_server(self.sdk, self.server)
        self.port = self.sdk.network.create_port(network_id=net).id
        self.tree = Tree(folder / "host")
        self.tree.guest(self.server, "instance-0000000a")
        toml = folder / "stackmend.toml"
        clouds = f'[api]\ncloud = "lab"\nclouds = "{plane.clouds_yaml}"\n'
        toml.write_text(f'[state]\ndirectory = "{folder}/state"\n{clouds}[hosts]\nlocal = ["{self.host}"]\n')
        self.toml = toml

    def attach(self, port: str) -> Any:
        """Ask Nova to attach a port; its answer where it does not."""
        with pytest.raises(sdk_errors.HttpException) as caught:
            self.sdk.compute.create_server_interface(self.server, port_id=port)
        return caught.value.status_code

    def seen(self) -> Confined:
        """What is said of it."""
        return confinement.look(load(str(self.toml)), self.server, str(self.tree.root))

    def clear(self) -> None:
        """Delete what was made."""
        self.plane.release_all()
        self.sdk.compute.delete_server(self.server)
        wait(lambda: self.sdk.compute.find_server(self.server) is None, f"server {self.server} to be gone")
        self.sdk.network.delete_port(self.port)
        self.sdk.close()


@pytest.fixture
def guest(plane: Plane, tmp_path: Path) -> Iterator[Guest]:
    """It runs, and its host is a tree of files."""
    made = Guest(plane, tmp_path)
    yield made
    made.clear()


def test_an_attach_that_the_hypervisor_cannot_do(guest: Guest) -> None:
    """HTTP 500, by Nova's own words; the port is nobody's again."""
    guest.plane.lever(guest.host, "attach_interface", "fail")
    assert guest.attach(guest.port) == 500
    found = guest.seen()
    assert found.attach == "failed"
    assert found.fault == f"Failed to attach network adapter device to {guest.server}"
    assert found.kept
    assert guest.sdk.network.get_port(guest.port).device_id == ""


def test_an_attach_that_is_refused(guest: Guest) -> None:
    """A port of somebody else: that is not the hypervisor's, whatever the profile lacks."""
    (own,) = [one.id for one in guest.sdk.network.ports(device_id=guest.server)]
    assert guest.attach(own) in (400, 409)
    found = guest.seen()
    assert found.attach in ("", "refused")
    assert "Failed to attach" not in found.fault
