# SPDX-License-Identifier: Apache-2.0
"""Single calls on a simulated cloud, where the moment matters."""

from __future__ import annotations

import pytest

from stackmend.drivers.api.executor import ApiExecutor
from stackmend.model.operations import operation_of
from stackmend.model.step import ApiCall, StepState
from stackmend.model.writer import Pending
from stackmend_lab.simulated import Cloud, Faults, invariants

from ..support.carried_out import carried_out


def _moves(cloud: Cloud, operation: str) -> ApiCall:
    """A move of the first server, guarded as a plan guards it."""
    server = next(iter(cloud.world.servers.values()))
    arguments = {"server": server.id, "from": server.host, "to": None, "elsewhere": []}
    return operation_of("compute", operation, arguments).call(
        {
            "server": "present", "server.host": server.host, "server.vm_state": server.vm_state,
            "server.task_state": None,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("operation", "state"), [("live-migrate", "active"), ("cold-migrate", "stopped")])
@pytest.mark.parametrize("later", [0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0, 18.0])
def test_a_move_whose_process_died_is_waited_for_by_the_next_one(operation: str, state: str, later: float) -> None:
    """However far it is by then, and though the server is no longer as planned: it is done, and was asked for once."""
    cloud = Cloud(3, hosts=3, servers_per_host=2, states={state: 1})
    call = _moves(cloud, operation)
    first = ApiExecutor(lambda: cloud, cloud.clock).begin(call, "req-1")
    assert isinstance(first, Pending)
    cloud.clock.sleep(later)
    again = ApiExecutor(lambda: cloud, cloud.clock)
    assert again.probe(call) in (StepState.INTENT, StepState.DONE)
    assert carried_out(again, call, "req-1").state is StepState.DONE
    cloud.clock.sleep(60)
    assert len(cloud.world.migrations) == 1
    assert invariants(cloud) == []


def test_a_move_is_not_begun_where_the_server_is_not_as_planned() -> None:
    """The guard holds for what nobody has begun."""
    cloud = Cloud(3, hosts=3, servers_per_host=2)
    call = _moves(cloud, "live-migrate")
    server = cloud.world.servers[str(call.arguments["server"])]
    cloud.world.set(server, vm_state="paused", power_state=3)
    outcome = carried_out(ApiExecutor(lambda: cloud, cloud.clock), call, "req-1")
    assert outcome.state is StepState.STALE
    assert cloud.world.migrations == []


@pytest.mark.parametrize(("relief", "host"), [("abort", "c01"), ("force-complete", "elsewhere")])
def test_a_move_that_stands_still_is_relieved(relief: str, host: str) -> None:
    """Aborted, the server stays and the call has failed; forced, it has arrived."""
    cloud = Cloud(3, hosts=3, servers_per_host=2, faults=Faults(stalled=1.0))
    call = _moves(cloud, "live-migrate")
    arguments = {**call.arguments, "stall": 30, "on_stall": relief}
    outcome = carried_out(
        ApiExecutor(lambda: cloud, cloud.clock), operation_of("compute", "live-migrate", arguments).call(), "req-1"
    )
    server = cloud.world.servers[str(call.arguments["server"])]
    assert (server.host == "c01") is (host == "c01")
    assert outcome.state is (StepState.FAILED if relief == "abort" else StepState.DONE)
    assert cloud.world.migrations[0].status == ("cancelled" if relief == "abort" else "completed")
    cloud.clock.sleep(10)
    assert invariants(cloud) == []
