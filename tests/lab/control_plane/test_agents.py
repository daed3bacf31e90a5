# SPDX-License-Identifier: Apache-2.0
"""When a host is drained with ``--agents``, its routers and networks move to agents on other hosts, and come back."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import create_server, wait, wait_server
from stackmend_lab.control_plane.services import FAKE_BACKENDS

from .draining import Tool

L3, DHCP = "L3 agent", "DHCP agent"


class Routing:
    """An L3 agent and a DHCP agent on each of two hosts, one of which serves a router and a network."""

    def __init__(self, plane: Plane, log: Path) -> None:
        self.sdk: Any = plane.connect()
        self.host, self.other = plane.hosts[:2]
        lab = plane.layout
        argv = (
            f"{lab.services}/bin/python", f"{FAKE_BACKENDS}/lab_routing.py", self.host, self.other,
            "--config-file", f"{lab.configuration}/neutron.conf",
        )  # fmt: skip
        with log.open("wb") as out:
            self._process = subprocess.Popen(argv, stdout=out, stderr=out)
        wait(lambda: len(self.agents()) == 4, "the agents to report")
        tag = uuid.uuid4().hex[:6]
        self.router = self.sdk.network.create_router(name=f"agents-{tag}", ha=False).id
        self.network = self.sdk.network.create_network(name=f"agents-{tag}").id
        mine = self.agents()
        self.sdk.network.add_router_to_agent(mine[L3, self.host], self.router)
        self.sdk.network.add_dhcp_agent_to_network(mine[DHCP, self.host], self.network)
        net1 = [{"uuid": self.sdk.network.find_network("net1").id}]
        self.server = create_server(self.sdk, f"agents-{tag}", net1, f"nova:{self.host}")
        wait_server(self.sdk, self.server)

    def agents(self) -> dict[tuple[str, str], Any]:
        """(kind, host) -> agent, for agents that are alive."""
        every = self.sdk.network.agents()
        return {(one.agent_type, one.host): one for one in every if one.agent_type in (L3, DHCP) and one.is_alive}

    def serving(self) -> set[tuple[str, str]]:
        """(thing, host) for everything that an agent serves."""
        found = set()
        for (kind, host), agent in self.agents().items():
            if kind == L3 and self.router in [one.id for one in self.sdk.network.agent_hosted_routers(agent)]:
                found.add(("router", host))
            if kind == DHCP and self.network in [one.id for one in self.sdk.network.dhcp_agent_hosting_networks(agent)]:
                found.add(("network", host))
        return found

    def up(self) -> set[str]:
        """The hosts whose agents accept work."""
        return {host for (_, host), agent in self.agents().items() if agent.is_admin_state_up}

    def close(self) -> None:
        """Remove everything, in Neutron too."""
        service = next(iter(self.sdk.compute.services(binary="nova-compute", host=self.host)))
        self.sdk.compute.enable_service(service)
        self.sdk.compute.delete_server(self.server, force=True)
        wait(lambda: self.sdk.compute.find_server(self.server) is None, "the server to be deleted")
        self._process.terminate()
        self._process.wait(30)
        self.sdk.network.delete_router(self.router)
        self.sdk.network.delete_network(self.network)
        for agent in self.agents().values():
            self.sdk.network.delete_agent(agent)


@pytest.fixture
def routing(plane: Plane, tmp_path: Path) -> Iterator[Routing]:
    """Agents that serve a router and a network, for one test."""
    made = Routing(plane, tmp_path / "routing.log")
    try:
        yield made
    finally:
        made.close()


def test_what_agents_serve_goes_to_others_and_comes_back(routing: Routing, plane: Plane) -> None:
    """The host's agents accept no more work; undo returns what they served, and the servers come back too."""
    tool, here, there = Tool(plane), routing.host, routing.other
    assert routing.serving() == {("router", here), ("network", here)}
    drained = tool.run("host", "drain", here, "--agents", "--cold", "--wake", "--yes", "--accept", "drain-host")
    assert drained == Exit.REPAIRED, tool.said
    assert routing.serving() == {("router", there), ("network", there)}
    assert routing.up() == {there}
    assert routing.sdk.compute.get_server(routing.server).hypervisor_hostname != here
    run = tool.last_run()
    # undo does not move servers back
    assert tool.run("run", "undo", run, "--yes") == Exit.STOPPED, tool.said
    assert "failed" not in tool.said
    assert routing.serving() == {("router", here), ("network", here)}
    assert routing.up() == {here, there}
    assert tool.run("host", "return", here, "--no-canary", "--back-from", run, "--yes") == Exit.REPAIRED, tool.said
    assert routing.sdk.compute.get_server(routing.server).hypervisor_hostname == here
