# SPDX-License-Identifier: Apache-2.0
"""Servers re-created on their ports, by the real services."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import IMAGE, wait, wait_server, wait_volume

from ...drivers.api.recreation import USER_DATA, Recreation, Shown, again

_SAME = (
    "name", "description", "key_name", "metadata", "tags", "user_data", "has_config_drive", "hostname",
    "server_groups", "pinned_availability_zone",
)  # fmt: skip
_WIRE = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))
_PUBLIC = f"ssh-ed25519 {base64.b64encode(_WIRE).decode()} tests"


class LabSite:
    """The real services."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.toml: Path = plane.toml
        self.sdk: Any = plane.connect()
        self.sdk.compute.default_microversion = "2.96"
        self.made: list[str] = []
        self.key = self.sdk.compute.create_keypair(name=f"key-{uuid.uuid4().hex[:6]}", public_key=_PUBLIC)
        self.group = self.sdk.compute.create_server_group(name="recreated", policy="soft-anti-affinity")

    def _server(self, **more: Any) -> str:
        name = f"again-{uuid.uuid4().hex[:6]}"
        nets = [{"uuid": self.sdk.network.find_network(one).id} for one in ("net1", "net2")]
        server = self.sdk.compute.create_server(
            name=name, flavor_id=self.sdk.compute.find_flavor("small").id, networks=nets, user_data=USER_DATA,
            description="to be made again", metadata={"role": "web"}, tags=["a", "b"], key_name=self.key.name,
            config_drive=True, hostname=f"host-{name}", scheduler_hints={"group": self.group.id}, **more,
        )  # fmt: skip
        self.made.append(name)
        wait_server(self.sdk, server.id)
        return name

    def of_image(self) -> str:
        return self._server(image_id=self.sdk.image.find_image(IMAGE).id)

    def of_volume(self) -> str:
        image = self.sdk.image.find_image(IMAGE).id
        volumes = [
            self.sdk.block_storage.create_volume(size=1, name="again-root", image_id=image),
            self.sdk.block_storage.create_volume(size=1, name="again-data"),
        ]
        for volume in volumes:
            wait_volume(self.sdk, volume.id)
        mappings = [
            {"boot_index": place, "uuid": volume.id, "source_type": "volume", "destination_type": "volume",
             "delete_on_termination": True}
            for place, volume in zip((0, -1), volumes, strict=True)
        ]  # fmt: skip
        return self._server(block_device_mapping=mappings)

    def shown(self, name: str) -> Shown | None:
        every = list(self.sdk.compute.servers(name=f"^{name}$"))
        assert len(every) < 2
        if not every:
            return None
        server = self.sdk.compute.get_server(every[0].id)
        ports = list(self.sdk.network.ports(device_id=server.id))
        attached = self.sdk.compute.volume_attachments(server)
        facts = {name: getattr(server, name, None) for name in _SAME} | {"flavor": server.flavor.original_name}
        facts["tags"] = sorted(facts["tags"])
        statement = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = %s"
        cells = [f"cell:{cell}" for cell in self.plane.layout.cells]
        rows = [row for cell in cells for row in self.plane.sql(cell, statement, (server.id,))]
        vifs = json.loads(rows[0]["network_info"]) if rows else []
        return Shown(
            id=server.id,
            ports={port.id: _addresses(port) for port in ports},
            volumes={one.volume_id: one.delete_on_termination for one in attached},
            facts=facts,
            image=str((server.image or {}).get("id") or ""),
            status=server.status,
            kept=[vif["id"] for vif in vifs if vif["preserve_on_delete"]],
        )

    def free(self, ports: list[str]) -> dict[str, list[str]]:
        found = [self.sdk.network.find_port(one) for one in ports]
        return {port.id: _addresses(port) for port in found if port is not None and not port.device_id}

    def volume(self, name: str) -> str:
        return str(self.sdk.block_storage.get_volume(name).status)

    def images(self, name: str) -> list[str]:
        return [one.name for one in self.sdk.image.images() if one.name.startswith(name)]

    def build(self, allowed: bool) -> None:
        for service in self.sdk.compute.services(binary="nova-compute"):
            (self.sdk.compute.enable_service if allowed else self.sdk.compute.disable_service)(service)

    def lock(self, server: str, locked: bool) -> None:
        (self.sdk.compute.lock_server if locked else self.sdk.compute.unlock_server)(server)

    def room(self, more: int | None) -> None:
        project = self.sdk.current_project_id
        used = self.sdk.compute.get_quota_set(project, usage=True).usage["instances"]
        self.sdk.compute.update_quota_set(project, instances=-1 if more is None else used + more, force=True)

    def clear(self) -> None:
        """Delete everything that was created."""
        from openstack.exceptions import NotFoundException

        for name in self.made:
            shown = self.shown(name)
            if shown is None:
                continue
            self.sdk.compute.delete_server(shown.id)
            wait(lambda one=name: not list(self.sdk.compute.servers(name=f"^{one}$")), f"{name} to be deleted")
            for port in shown.ports:
                with suppress(NotFoundException):
                    self.sdk.network.delete_port(port)
            for image in self.sdk.image.images():
                if image.name.startswith(name):
                    self.sdk.image.delete_image(image)
        self.sdk.compute.delete_keypair(self.key.name)
        self.sdk.compute.delete_server_group(self.group)


def _addresses(port: Any) -> list[str]:
    return [port.mac_address, *sorted(one["ip_address"] for one in port.fixed_ips)]


class TestRecreation(Recreation):
    """Re-creation by the real services."""

    @pytest.fixture
    def site(self, plane: Plane) -> Iterator[LabSite]:
        """The lab, with servers that are deleted afterwards."""
        site = LabSite(plane)
        yield site
        site.clear()

    @pytest.mark.attack("kills the program when the old server is deleted")
    @pytest.mark.parametrize("step", [5])
    def test_killed(self, site: LabSite, typed: Any, step: int) -> None:
        """A run that was killed is completed by run resume: there is one server, and it is whole."""
        assert again(*self.killed(site, typed, step)).status == "ACTIVE"

    @pytest.mark.long
    @pytest.mark.attack("kills the program at every other step of making a server again")
    @pytest.mark.parametrize("step", [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    def test_killed_at_every_step(self, site: LabSite, typed: Any, step: int) -> None:
        """The same for every step."""
        assert again(*self.killed(site, typed, step)).status == "ACTIVE"
