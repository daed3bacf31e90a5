# SPDX-License-Identifier: Apache-2.0
"""NICs that cannot be attached: what the real Nova records, and the AppArmor profile of the host."""

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
    """A server and two ports: one belongs to somebody, the other to nobody."""

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
        """Ask Nova to attach a port; returns its answer if it refuses."""
        with pytest.raises(sdk_errors.HttpException) as caught:
            self.sdk.compute.create_server_interface(self.server, port_id=port)
        return caught.value.status_code

    def seen(self) -> Confined:
        """What stackmend says about the server."""
        return confinement.look(load(str(self.toml)), self.server, str(self.tree.root))

    def clear(self) -> None:
        """Delete everything that was created."""
        self.plane.release_all()
        self.sdk.compute.delete_server(self.server)
        wait(lambda: self.sdk.compute.find_server(self.server) is None, f"server {self.server} to be gone")
        self.sdk.network.delete_port(self.port)
        self.sdk.close()


@pytest.fixture
def guest(plane: Plane, tmp_path: Path) -> Iterator[Guest]:
    """A running server whose host is a tree of files."""
    made = Guest(plane, tmp_path)
    yield made
    made.clear()


def test_an_attach_that_the_hypervisor_cannot_do(guest: Guest) -> None:
    """Nova itself answers HTTP 500, and the port belongs to nobody again."""
    guest.plane.lever(guest.host, "attach_interface", "fail")
    assert guest.attach(guest.port) == 500
    found = guest.seen()
    assert found.attach == "failed"
    assert found.fault == f"Failed to attach network adapter device to {guest.server}"
    assert found.kept
    assert guest.sdk.network.get_port(guest.port).device_id == ""


def test_an_attach_that_is_refused(guest: Guest) -> None:
    """If Nova refuses a port that is in use, the hypervisor is not to blame, whatever the profile lacks."""
    (own,) = [one.id for one in guest.sdk.network.ports(device_id=guest.server)]
    assert guest.attach(own) in (400, 409)
    found = guest.seen()
    assert found.attach in ("", "refused")
    assert "Failed to attach" not in found.fault
