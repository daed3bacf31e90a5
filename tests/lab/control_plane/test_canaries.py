# SPDX-License-Identifier: Apache-2.0
"""Batches of canaries, on real services."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import IMAGE, NETWORKS, wait

from ...drivers.api.proving import Proving


class LabSite:
    """The lab, with only the canaries of this test."""

    network = next(iter(NETWORKS))

    def __init__(self, plane: Plane, toml: Path) -> None:
        self.plane, self.toml = plane, toml
        self.sdk: Any = plane.connect()
        self.hosts = tuple(host for host, cell in plane.layout.hosts.items() if cell == "cell1")

    def canaries(self) -> list[str]:
        return [one.name for one in self.sdk.compute.servers(all_projects=True, name="stackmend-canary-")]

    def ports(self) -> int:
        return len(list(self.sdk.network.ports()))

    def break_host(self, host: str, broken: bool) -> None:
        self.plane.lever(host, "spawn", "fail") if broken else self.plane.release(host, "spawn")

    def building(self) -> AbstractContextManager[None]:
        return nullcontext()  # builds take seconds

    def alike(self) -> str:
        name = f"stackmend-canary-{uuid.uuid4().hex[:8]}-0001"
        image, flavor = self.sdk.image.find_image(IMAGE), self.sdk.compute.find_flavor("small")
        made = self.sdk.compute.create_server(name=name, image_id=image.id, flavor_id=flavor.id, networks="none")
        self.sdk.compute.wait_for_server(made)
        return name

    def drop(self, name: str) -> None:
        found = self.sdk.compute.find_server(name, ignore_missing=False)
        self.sdk.compute.delete_server(found)
        wait(lambda: self.sdk.compute.find_server(name) is None, f"{name} to be gone", 120)


class TestCanaries(Proving):
    """Canaries on the real Nova, Neutron and Glance."""

    @pytest.fixture
    def site(self, plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabSite]:
        """A site with its own journal; no server of another test has such a name."""
        for name, value in plane.env().items():
            monkeypatch.setenv(name, value)
        toml = tmp_path / "stackmend.toml"
        text = plane.toml.read_text().replace('directory = "stackmend"', f'directory = "{tmp_path}/state"')
        folder = os.fspath(plane.folder)
        text = text.replace('nova = "etc/', f'nova = "{folder}/etc/')
        toml.write_text(text.replace('clouds = "clouds.yaml"', f'clouds = "{folder}/clouds.yaml"'))
        site = LabSite(plane, toml)
        assert site.canaries() == []
        yield site
        for host in site.hosts:
            site.break_host(host, False)
