# SPDX-License-Identifier: Apache-2.0
"""Server groups: a policy is kept when servers leave a host, and one that leaves them no host is said before."""

from __future__ import annotations

import pytest

from stackmend.model.errors import Exit
from stackmend.model.plan import Plan

from ..simulation.plans import lane, manual
from ..support.simulated_runs import Drill
from ..support.simulated_servers import HOST, Told


@pytest.fixture
def cloud() -> Told:
    """Four hosts in one cell, without servers."""
    return Told(hosts=4)


@pytest.fixture
def drill(cloud: Told) -> Drill:
    """An operator at it."""
    return Drill(cloud)


def drain(drill: Drill) -> Plan:
    """The plan of a drain."""
    return drill.plan("drain-host", {"host": HOST})


def evacuate(drill: Drill) -> Plan:
    """That of an evacuation, on the operator's word."""
    return drill.plan("evacuate-host", {"host": HOST, "fenced": True})


@pytest.mark.parametrize(
    ("policy", "members", "reason"),
    [
        ("anti-affinity", ("c02", "c03", "c04"), "leaves it no host"),
        ("anti-affinity", ("c02", "c03"), ""),
        ("affinity", (HOST,), "keeps it where it is"),
        ("affinity", (), "keeps it where it is"),
        ("affinity", ("c02",), ""),
        ("soft-anti-affinity", ("c02", "c03", "c04"), ""),
    ],
)
def test_a_server_stays_where_its_group_leaves_no_host(
    cloud: Told, drill: Drill, policy: str, members: tuple[str, ...], reason: str
) -> None:
    """A policy that leaves no host is said; one that leaves some has its members moved one at a time."""
    one = cloud.put()
    group = cloud.group(policy, one, *(cloud.put(host=host) for host in members))
    plan = drain(drill)
    if reason:
        assert reason in manual(plan, one)
    else:
        assert lane(plan, one).runnable
        assert f"group:{group.id}" in lane(plan, one).slots


def test_a_policy_is_kept_while_its_servers_go(cloud: Told, drill: Drill) -> None:
    """Nova looks where the others are, not where they are going: they go one at a time."""
    servers = [cloud.put() for _ in range(3)]
    cloud.group("anti-affinity", *servers)
    assert drill.apply(drain(drill)).failed == 0
    assert len({one.host for one in servers}) == 3
    assert cloud.at_once() == 1


def test_more_of_a_group_fit_on_a_host_where_its_rules_say_so(cloud: Told, drill: Drill) -> None:
    """max_server_per_host."""
    one = cloud.put()
    cloud.group("anti-affinity", one, *(cloud.put(host=host) for host in ("c02", "c03", "c04")), max_server_per_host=2)
    assert lane(drain(drill), one).runnable
    assert drill.apply(drain(drill)).exit is Exit.REPAIRED
    assert one.host != HOST


@pytest.mark.parametrize(("grouped", "most"), [(True, 1), (False, 3)])
def test_of_a_group_one_is_evacuated_at_a_time(cloud: Told, drill: Drill, grouped: bool, most: int) -> None:
    """Nova checks its policy late."""
    servers = [cloud.put(volume=True, name=f"s{number}") for number in range(3)]
    if grouped:
        cloud.group("soft-anti-affinity", *servers)
    cloud.die(HOST)
    assert drill.apply(evacuate(drill)).failed == 0
    assert cloud.at_once() == most


@pytest.mark.parametrize(
    ("policy", "others", "why"),
    [("affinity", (), "keeps it where it is"), ("anti-affinity", ("c02", "c03", "c04"), "leaves it no host"),
     ("affinity", ("c02",), ""), ("anti-affinity", ("c02",), ""), ("soft-affinity", (), "")],
)  # fmt: skip
def test_a_server_is_not_evacuated_where_its_group_leaves_no_host(
    cloud: Told, drill: Drill, policy: str, others: tuple[str, ...], why: str
) -> None:
    """Nova would leave the server in error: it is not asked."""
    server = cloud.put(volume=True)
    cloud.group(policy, server, *(cloud.put(host=host) for host in others))
    cloud.die(HOST)
    plan = evacuate(drill)
    assert (lane(plan, server).runnable, why in lane(plan, server).why) == (not why, True)
    assert drill.apply(plan).failed == 0
    assert (server.host == HOST, server.vm_state) == (bool(why), "active")
