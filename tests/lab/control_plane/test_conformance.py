# SPDX-License-Identifier: Apache-2.0
"""Real services behave as the scenes in tests/lab/simulated say, and so like the simulated cloud."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from stackmend.drivers.api.session import ApiSession
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import IMAGE, NETWORKS, wait

from ..simulated.scenes import SCENES, Scene
from ..simulated.stage import Stage
from . import sdk_errors
from .lost_hosts import switched


class Real:
    """Two hosts of one cell of the lab; the others accept no servers meanwhile."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.session = ApiSession.open("lab", plane.clouds_yaml)
        self.cloud: Any = plane.connect()
        cells = plane.layout.hosts
        cell = Counter(cells.values()).most_common(1)[0][0]
        self.source, self.target = [host for host, one in cells.items() if one == cell][:2]

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def wish(self, host: str) -> dict[str, Any]:
        return {
            "name": "scene", "flavorRef": self.cloud.compute.find_flavor("small").id,
            "imageRef": self.cloud.image.find_image(IMAGE).id, "availability_zone": f"nova:{host}",
            "networks": [{"uuid": self.cloud.network.find_network(next(iter(NETWORKS))).id}],
        }  # fmt: skip

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nothing is scheduled to other hosts."""
        others = [
            service for service in self.cloud.compute.services(binary="nova-compute")
            if service.host not in (self.source, self.target) and service.status == "enabled"
        ]  # fmt: skip
        for service in others:
            self.cloud.compute.disable_service(service)
        try:
            yield
        finally:
            for service in others:
                self.cloud.compute.enable_service(service)

    @contextmanager
    def failing(self, when: str) -> Iterator[None]:
        place, action = {
            "before": (self.target, "pre_live_migration"), "half-way": (self.source, "live_migration"),
            "at its end": (self.source, "post_live_migration_at_source"), "when it is built": (self.target, "spawn"),
        }[when]  # fmt: skip
        self.plane.lever(place, action, "fail")
        try:
            yield
        finally:
            self.plane.release(place, action)

    @contextmanager
    def standing(self) -> Iterator[None]:
        self.plane.lever(self.source, "live_migration", "hold")
        try:
            yield
        finally:
            self.plane.release(self.source, "live_migration")

    @contextmanager
    def dead(self) -> Iterator[None]:
        name = f"nova-compute-{self.source}"
        self.plane.kill(name)
        self.plane.force_down(self.source, True)
        try:
            yield
        finally:
            self.plane.start(name)
            # refused until the host has cleaned up after the evacuations
            wait(self._up, f"{self.source} to be taken for up", 120)
            self.plane.wait()

    @contextmanager
    def restarted(self) -> Iterator[None]:
        options = f"compute-{self.source}"
        self.plane.configure(options, {"DEFAULT": {"sync_power_state_interval": -1}})
        try:
            switched(self.plane, self.source)
            self.plane.wait()
            yield
        finally:
            self.plane.configure(options, {})
            self.plane.stop(f"nova-{options}")
            self.plane.start(f"nova-{options}")
            self.plane.wait()

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.plane.lever(self.source, "agent", "silent")
        try:
            yield
        finally:
            self.plane.release(self.source, "agent")

    def boots(self, server: str, text: str) -> None:
        self.plane.boots(self.source, server, text)

    def _up(self) -> bool:
        with suppress(sdk_errors.SDKException):
            self.plane.force_down(self.source, False)
            return True
        return False


@pytest.fixture(scope="module")
def bed(plane: Plane) -> Iterator[Real]:
    """The two hosts."""
    made = Real(plane)
    with made.alone():
        yield made
    made.session.close()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_on_real_services(scene: Scene, bed: Real, plane: Plane) -> None:
    """The scene passes as it does on the simulated cloud."""
    stage = Stage(bed)
    try:
        scene.play(stage)
    finally:
        plane.release_all()
        stage.clear()
    assert [one for one in stage.servers if stage.send("GET", f"/servers/{one}").status != 404] == []
