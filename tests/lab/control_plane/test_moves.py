# SPDX-License-Identifier: Apache-2.0
"""Operations that move servers, or that change the state of servers and hosts, each on the real services."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.app.apis import SystemClock
from stackmend.drivers.api.executor import ApiExecutor
from stackmend.drivers.api.session import ApiSession
from stackmend.model.operations import operation_of
from stackmend.model.operations.compute import RebootHard, ServerGone
from stackmend.model.step import StepState
from stackmend.model.writer import StepResult
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server

from ...support.carried_out import carried_out


class Operator:
    """Makes calls on one server."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.sdk = plane, plane.connect()
        self.executor = ApiExecutor(lambda: ApiSession.open("lab", plane.clouds_yaml), SystemClock())
        sdk: Any = self.sdk
        network = [{"uuid": sdk.network.find_network("net1").id}]
        self.host, self.other = plane.hosts[:2]
        self.server = create_server(self.sdk, f"moves-{uuid.uuid4().hex[:6]}", network, f"nova:{self.host}")
        wait_server(self.sdk, self.server)

    def close(self) -> None:
        """Delete the server."""
        sdk: Any = self.sdk
        sdk.compute.delete_server(self.server, force=True)
        wait(lambda: sdk.compute.find_server(self.server) is None, "the server to be deleted")
        self.executor.close()

    def do(self, operation: str, /, of: str = "compute", **arguments: Any) -> StepResult:
        """Make one call: it must be pending before and done after, and is not made twice."""
        given = arguments or {"server": self.server}
        step = operation_of(of, operation, given).call()
        assert self.executor.probe(step) is StepState.PLANNED, operation
        outcome = carried_out(self.executor, step, f"req-{uuid.uuid4()}")
        assert (outcome.state, outcome.already) == (StepState.DONE, False), f"{operation}: {outcome.note}"
        again = carried_out(self.executor, step, f"req-{uuid.uuid4()}")
        assert (again.state, again.already) == (StepState.DONE, True), f"{operation}: {again.note}"
        return outcome

    def service(self, host: str) -> dict[str, str]:
        """The arguments that name a host's nova-compute."""
        sdk: Any = self.sdk
        return {"service": next(iter(sdk.compute.services(binary="nova-compute", host=host))).id, "host": host}

    def look(self, operation: str, /, of: str = "compute", **arguments: Any) -> dict[str, Any]:
        """The state that an operation finds."""
        return dict(self.executor.ready().look(operation_of(of, operation, arguments)))


@pytest.fixture(scope="module")
def operator(plane: Plane) -> Iterator[Operator]:
    """An operator with a server on the first host."""
    made = Operator(plane)
    try:
        yield made
    finally:
        made.close()


def test_what_a_server_does_is_changed_and_changed_back(operator: Operator) -> None:
    """Every simple change works both ways; the states are those that Nova shows."""
    for there, back in (("stop", "start"), ("suspend", "resume")):
        operator.do(there)
        operator.do(back)
    operator.do("lock", server=operator.server, reason="CHG-7")
    assert operator.look("lock", server=operator.server)["locked_reason"] == "CHG-7"
    operator.do("unlock")


def test_a_shelved_server_leaves_its_host(plane: Plane) -> None:
    """If nova-compute does not offload a shelved server by itself, the operation does."""
    own = Operator(plane)
    name = f"compute-{own.host}"
    plane.configure(name, {"DEFAULT": {"shelved_offload_time": -1}})
    try:
        plane.stop(f"nova-{name}")
        _start(plane, f"nova-{name}")
        own.sdk.compute.shelve_server(own.server)  # type: ignore[attr-defined]
        wait_server(own.sdk, own.server, "SHELVED")
        own.do("shelve-offload")
        assert own.look("shelve-offload", server=own.server)["server.host"] is None
    finally:
        plane.reset_options()
        _start(plane, f"nova-{name}")
        own.close()


def _start(plane: Plane, service: str) -> None:
    plane.start(service)
    plane.wait()


def test_a_hard_reboot_is_told_from_one_before_it(operator: Operator) -> None:
    """By the server's history: the same call counts as done after it, and a call for a later reboot as pending."""
    found: Any = operator.executor.ready().get("compute", f"/servers/{operator.server}/os-instance-actions", "2.1")
    after = max(one["start_time"] for one in found["instanceActions"])
    time.sleep(1.1)  # Nova counts whole seconds
    operator.do("reboot-hard", server=operator.server, after=after)
    step = RebootHard(server=operator.server, after="9999-01-01T00:00:00").call()
    assert operator.executor.probe(step) is StepState.PLANNED


def test_a_cold_move_is_taken_back_or_confirmed(operator: Operator) -> None:
    """Reverted or confirmed, the server is in one place, with one allocation."""
    about = {"server": operator.server, "from": operator.host, "to": operator.other, "elsewhere": []}
    operator.do("cold-migrate", **about)
    operator.do("revert-resize", server=operator.server, **{"from": operator.host})
    operator.do("cold-migrate", **about)
    operator.do("confirm-resize", server=operator.server, **{"from": operator.host})
    text = (
        "SELECT DISTINCT p.name FROM allocations a JOIN resource_providers p ON p.id = a.resource_provider_id"
        " WHERE a.consumer_id = %s"
    )
    rows = operator.plane.sql("placement", text, (operator.server,))
    assert [row["name"] for row in rows] == [operator.other]
    operator.do("live-migrate", server=operator.server, **{"from": operator.other, "to": operator.host}, elsewhere=[])


def test_a_move_that_no_host_takes_says_why_at_once(operator: Operator) -> None:
    """The move is accepted and fails before anybody looks; Nova's own reason is shown, and the server has not moved."""
    third = operator.service(operator.plane.hosts[2])
    operator.do("disable-service", **third, reason="no move")
    try:
        about = {"server": operator.server, "from": operator.host, "to": operator.plane.hosts[2], "elsewhere": []}
        step = operation_of("compute", "live-migrate", about).call()
        outcome = carried_out(operator.executor, step, f"req-{uuid.uuid4()}")
    finally:
        operator.do("enable-service", **third)
    assert outcome.state is StepState.FAILED
    assert "it was started and failed" in outcome.note
    assert "No valid host was found" in outcome.note
    assert operator.executor.probe(step) is StepState.PLANNED


def test_a_service_is_disabled_and_declared_dead_and_back(operator: Operator) -> None:
    """A service is disabled with a reason and enabled again, and forced down and up again."""
    about = operator.service(operator.plane.hosts[2])
    operator.do("disable-service", **about, reason="CHG-7")
    assert operator.look("enable-service", **about)["reason"] == "CHG-7"
    operator.do("enable-service", **about)
    operator.do("force-down", **about)
    operator.do("force-up", **about)


def test_an_agent_is_set_down_and_up(operator: Operator) -> None:
    """An agent is set down and up with admin_state_up."""
    sdk: Any = operator.sdk
    agent = next(iter(sdk.network.agents(host=operator.host))).id
    operator.do("set-agent", "network", agent=agent, up=False)
    assert sdk.network.get_agent(agent).is_admin_state_up is False
    operator.do("set-agent", "network", agent=agent, up=True)
    assert sdk.network.get_agent(agent).is_admin_state_up is True


def test_what_is_waited_for(operator: Operator) -> None:
    """The waits see a deleted server, and a host that is not empty."""
    left = operator.look("host-empty", host=operator.host)
    assert (left["left"] >= 1, left["moving"]) == (True, False)
    nodes = {
        one["service"]["host"]: one["id"]
        for one in operator.executor.ready().every("compute", "/os-hypervisors/detail", "hypervisors", "2.53")
    }
    held = operator.look("host-empty", "placement", host=operator.host, providers=[nodes[operator.host]])
    assert held["left"] >= 1
    bound = operator.look("host-empty", "network", host=operator.host, agents=False)
    assert bound["left"] >= 1
    other = create_server(operator.sdk, f"moves-{uuid.uuid4().hex[:6]}", [], f"nova:{operator.host}")
    wait_server(operator.sdk, other)
    sdk: Any = operator.sdk
    sdk.compute.delete_server(other)
    gone = ServerGone(server=other).call()
    assert carried_out(operator.executor, gone, "").state is StepState.DONE
