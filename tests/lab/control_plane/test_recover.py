# SPDX-License-Identifier: Apache-2.0
"""A restarted host, on real services: what ran runs again, and what does not come up is reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

from .lost_hosts import RUNNING, Loss


@pytest.fixture
def loss(plane: Plane, tmp_path: Path) -> Iterator[Loss]:
    """A host that will be restarted."""
    made = Loss(plane, tmp_path)
    yield made
    made.close()


def test_what_ran_is_started_again(loss: Loss) -> None:
    """Before the power sync they are ACTIVE but off, after it stopped by nobody; a stop by the owner is kept.

    A guest that panics is started like the others, and reported because of its console. One whose network cache is
    empty is left off, because a start would remove its NICs.
    """
    for name in ("rebooted", "ran", "bad", "owner", "harmed"):
        loss.make(name)
    loss.ready()
    loss.stop("owner")
    loss.boots("bad", "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n")
    loss.sync(False)
    since = loss.restart()

    # at once: nova-compute has not looked yet, so the hypervisor is asked
    plan = loss.plan("recover-host", since=since)
    todo = {loss.servers[name]: name for name in loss.servers}
    assert {todo[s]: one["to_do"] for s, one in plan.facts["servers"].items() if s in todo} == {
        "rebooted": "reboot", "ran": "reboot", "bad": "reboot", "owner": "leave", "harmed": "reboot",
    }  # fmt: skip
    first = loss.plan("recover-host", since=since, off=[loss.servers[n] for n in ("ran", "bad", "harmed")])
    assert loss.apply(first).exit is Exit.REPAIRED
    assert loss.guests(loss.host)["rebooted"] == RUNNING

    # the power state sync marks the others as stopped
    loss.sync(True)
    for name in ("ran", "bad", "harmed"):
        wait(lambda name=name: loss.show(name).status == "SHUTOFF", f"{name} to be found off", 150)
    cache = "UPDATE instance_info_caches SET network_info = '[]' WHERE instance_uuid = %s"
    loss.plane.sql("cell:cell1", cache, [loss.servers["harmed"]])
    plan = loss.plan("recover-host", since=since)
    assert {todo[s]: one["to_do"] for s, one in plan.facts["servers"].items() if s in todo} == {
        "rebooted": "leave", "ran": "start", "bad": "start", "owner": "leave", "harmed": "start",
    }  # fmt: skip
    # a check waits until the stop is two minutes old; the plan looks for itself
    left = next(action for action in plan.manual if action.resource_id == loss.servers["harmed"])
    assert "it would start without that NIC" in left.why
    result = loss.apply(plan)
    assert result.failed == 1, result.notes
    assert "shows a kernel" in " ".join(result.notes)
    assert {name: loss.show(name).status for name in loss.servers} == {
        "rebooted": "ACTIVE", "ran": "ACTIVE", "bad": "ACTIVE", "owner": "SHUTOFF", "harmed": "SHUTOFF",
    }  # fmt: skip
    assert {name for name, state in loss.guests(loss.host).items() if state == RUNNING} == {"rebooted", "ran", "bad"}

    # a new plan shows which one runs but did not come up
    again = loss.plan("recover-host", since=since)
    assert again.runnable == ()
    assert {action.resource_id for action in again.manual} == {loss.servers["bad"], loss.servers["harmed"]}
