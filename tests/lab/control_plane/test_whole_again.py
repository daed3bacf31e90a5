# SPDX-License-Identifier: Apache-2.0
"""The lab after services were killed, and after it was stopped. All other tests of the lab run before these."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from stackmend_lab.control_plane import layout
from stackmend_lab.control_plane.process import MARK
from stackmend_lab.control_plane.services import table

from .using import running


def test_it_is_whole_again_after_three_were_killed(plane):
    """After ``kill -9`` of any three services, chosen by a seed, ``up`` restarts them and leaves the others alone."""
    seed = int(os.environ.get("STACKMEND_SEED") or time.time())
    victims = random.Random(seed).sample(sorted(running(plane)), 3)
    print(f"STACKMEND_SEED={seed}: {victims}")
    before = running(plane)
    for name in victims:
        plane.kill(name)
    assert {state.name for state in plane.status() if state.state == "died"} == set(victims)

    plane.up()

    after = running(plane)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == set(victims)
    cloud = plane.connect()
    assert {service.state for service in cloud.compute.services()} == {"up"}
    cloud.close()


@pytest.mark.long
@pytest.mark.skipif("STACKMEND_LAB" in os.environ, reason="the lab of a developer stays up")
def test_down_leaves_nothing(plane):
    """``down`` leaves no process, port or mount, and everything that was built comes up again."""
    ports, folder = plane.layout.ports.values(), str(plane.folder)
    plane.down()
    assert [p for p in Path("/proc").glob("[0-9]*/environ") if _marked(p, folder)] == []
    assert [port for port in ports if not layout.is_free(port)] == []
    assert folder not in Path("/proc/mounts").read_text()
    assert {state.state for state in plane.status()} == {"stopped"}

    plane.up()
    assert set(running(plane)) == set(table(plane.layout))


def _marked(environ: Path, folder: str) -> bool:
    try:
        return f"{MARK}={folder}:".encode() in environ.read_bytes()
    except OSError:
        return False
