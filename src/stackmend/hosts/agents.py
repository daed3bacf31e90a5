# SPDX-License-Identifier: Apache-2.0
"""Moves routers and networks off the agents of a host before maintenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackmend.cloud import network
from stackmend.model.operations.network import GiveNetwork, GiveRouter, SetAgent, TakeNetwork, TakeRouter
from stackmend.model.protocols import Api
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.workflow import LaneDraft, Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """The objects served by one kind of agent."""

    agent: str  #: agent_type
    serves: Callable[[Api, str], Sequence[Mapping[str, object]]]
    thing: str
    moved: Callable[[str, str, str], tuple[Step, Step]]  #: the steps that move an object from one agent to another


def _router(router: str, agent: str, other: str) -> tuple[Step, Step]:
    """Neutron allows a router that is not highly available on only one agent."""
    return (
        TakeRouter(router=router, agent=agent).call(inverse=GiveRouter(router=router, agent=agent).call()),
        GiveRouter(router=router, agent=other).call(inverse=TakeRouter(router=router, agent=other).call()),
    )


def _network(name: str, agent: str, other: str) -> tuple[Step, Step]:
    """A network may be on several agents: the interruption is shorter if the new one starts first."""
    return (
        GiveNetwork(network=name, agent=other).call(inverse=TakeNetwork(network=name, agent=other).call()),
        TakeNetwork(network=name, agent=agent).call(inverse=GiveNetwork(network=name, agent=agent).call()),
    )


_KINDS = (
    _Kind(agent="L3 agent", serves=network.routers_of, thing="router", moved=_router),
    _Kind(agent="DHCP agent", serves=network.networks_of, thing="network", moved=_network),
)


def lanes(sight: Sight, host: str, stage: int) -> Iterator[LaneDraft]:
    """A lane for each agent that serves something: its objects go to other agents, then it is disabled.

    The order matters because undo reverses it: Neutron schedules nothing to an agent that is down (404).
    """
    mine = network.agents(sight.api, host)
    for kind in _KINDS:
        every = network.agents_of(sight.api, kind.agent)
        others = [one for one in every if one["alive"] and one["admin_state_up"] and one["host"] != host]
        for agent in mine:
            if agent["agent_type"] == kind.agent:
                yield _lane(sight.api, agent, kind, others, stage)


def _lane(
    api: Api, agent: Mapping[str, object], kind: _Kind, others: list[Mapping[str, object]], stage: int
) -> LaneDraft:
    host, name = str(agent["host"]), str(agent["id"])
    served = [one for one in kind.serves(api, name) if not (one.get("ha") or one.get("distributed"))]
    steps: list[Step] = []
    for number, one in enumerate(served):
        thing = str(one["id"])
        if not others:
            return LaneDraft(
                resource_type="agent", resource_id=name, message=f"{kind.agent} stays enabled on {host}", stage=stage,
                steps=(Manual(text=f"{kind.agent} of {host} serves {len(served)} {kind.thing}s, and no other agent of"
                                   " this type is alive"),),
                risk=Risk.MANUAL,
            )  # fmt: skip
        other = str(others[number % len(others)]["id"])
        steps += kind.moved(thing, name, other)
    steps.append(SetAgent(agent=name, up=False).call({"agent": "present"}, SetAgent(agent=name, up=True).call()))
    return LaneDraft(
        resource_type="agent", resource_id=name, stage=stage, steps=tuple(steps),
        message=f"{kind.agent} of {host}: its {len(served)} {kind.thing}s move to other agents",
        target={"agent": name, "host": host, kind.thing: [str(one["id"]) for one in served]},
    )  # fmt: skip
