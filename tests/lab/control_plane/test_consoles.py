# SPDX-License-Identifier: Apache-2.0
"""Consoles, read through the real Nova; the files belong to the lab's hypervisor."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait_server

from ...drivers.api.consoles import BOOTED, Consoles


class LabSite:
    """Two servers of the lab, created for these tests."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.toml: Path = plane.toml
        self.sdk: Any = plane.connect()
        self.host = plane.hosts[0]
        self.servers = [self._make(), self._make()]
        self.server = self.servers[0]

    def _make(self) -> str:
        made = create_server(self.sdk, f"console-{uuid.uuid4().hex[:6]}", [], f"nova:{self.host}")
        wait_server(self.sdk, made)
        return made

    def write(self, text: str | None) -> None:
        self.plane.console(self.host, self.server, text)

    def stopped(self) -> str:
        other = self.servers[1]
        self.sdk.compute.stop_server(other)
        wait_server(self.sdk, other, "SHUTOFF")
        self.plane.console(self.host, other, BOOTED)
        return other


@pytest.fixture(scope="module")
def made(plane: Plane) -> Iterator[LabSite]:
    """Servers that are deleted afterwards."""
    site = LabSite(plane)
    yield site
    for server in site.servers:
        site.sdk.compute.delete_server(server)


class TestConsoles(Consoles):
    """Consoles of the real Nova."""

    @pytest.fixture
    def site(self, made: LabSite) -> LabSite:
        """The servers, with a console."""
        made.write("")
        return made
