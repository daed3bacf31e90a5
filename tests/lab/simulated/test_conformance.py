# SPDX-License-Identifier: Apache-2.0
"""The simulated cloud behaves as scenes.py says; tests/lab/control_plane plays that on real services."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stackmend_lab.simulated import Cloud, Faults, invariants
from stackmend_lab.simulated.world import FLAVORS, IMAGE, NETWORK

from .scenes import SCENES, Scene
from .stage import Stage


class Simulated:
    """A bed of two hosts. Faults come and go by other dice."""

    source, target = "c01", "c02"

    def __init__(self, seed: int) -> None:
        self.session = self.cloud = Cloud(seed, hosts=2, servers_per_host=0)

    def sleep(self, seconds: float) -> None:
        self.cloud.clock.sleep(seconds)

    def wish(self, host: str) -> dict[str, Any]:
        return {
            "name": "scene", "flavorRef": FLAVORS[0].id, "imageRef": IMAGE, "networks": [{"uuid": NETWORK}],
            "availability_zone": f"nova:{host}",
        }  # fmt: skip

    @contextmanager
    def _faults(self, faults: Faults) -> Iterator[None]:
        self.cloud.world.faults = faults
        yield
        self.cloud.world.faults = Faults()

    @contextmanager
    def failing(self, when: str) -> Iterator[None]:
        faults = {
            "before": Faults(rolled_back=1.0), "half-way": Faults(broken=1.0), "at its end": Faults(stranded=1.0),
            "when it is built": Faults(broken=1.0),
        }  # fmt: skip
        with self._faults(faults[when]):
            yield

    @contextmanager
    def standing(self) -> Iterator[None]:
        with self._faults(Faults(stalled=1.0)):
            yield
        for migration in self.cloud.world.migrations:
            migration.stalled = False

    @contextmanager
    def dead(self) -> Iterator[None]:
        host = self.cloud.world.hosts[self.source]
        self.cloud.world.stop(host, machine=True)
        host.forced_down = True
        yield
        self.cloud.world.start(host)
        host.forced_down = False

    @contextmanager
    def restarted(self) -> Iterator[None]:
        world = self.cloud.world
        host = world.hosts[self.source]
        world.power_sync = False
        world.stop(host, machine=True)
        world.clock.sleep(20)
        world.start(host)
        yield
        world.power_sync = True
        world.stop(host)
        world.start(host)

    @contextmanager
    def silent(self) -> Iterator[None]:
        host = self.cloud.world.hosts[self.source]
        self.cloud.world.silence(host)
        yield
        host.agent_running = True

    def boots(self, server: str, text: str) -> None:
        self.cloud.world.servers[server].boots = text


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_on_the_simulated_cloud(scene: Scene, seed: int) -> None:
    """Whatever the dice say."""
    bed = Simulated(seed)
    stage = Stage(bed)
    scene.play(stage)
    bed.sleep(5)
    assert invariants(bed.cloud) == []
    stage.clear()
    assert not bed.cloud.world.consumers
    assert not bed.cloud.world.ports
