# SPDX-License-Identifier: Apache-2.0
"""Operations on a host's services: nova-compute, and the Neutron agents with their networks and routers.

From 2.53 on Nova identifies a service by UUID but lists services by host, so both are arguments. Disabling nova-compute
also sets the trait that excludes the host in Placement (nova/compute/manager.py, set_host_enabled).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from stackmend.drivers.api.operations import Implementation, ResourceReader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute_hosts import (
    DisableService,
    EnableService,
    ForceDown,
    ForceUp,
    ServiceOperation,
    ServiceSeen,
)
from stackmend.model.operations.network import (
    AgentSeen,
    GiveNetwork,
    GiveRouter,
    NetworkOperation,
    RouterOperation,
    ServedSeen,
    SetAgent,
    TakeNetwork,
    TakeRouter,
)
from stackmend.model.step import StepState

SERVICES = "2.53"
#: routers or networks, as an agent's API names what it serves
_KINDS = {"router": "l3-routers", "network": "dhcp-networks"}

_Serving = RouterOperation | NetworkOperation


def service(reader: ResourceReader, asked: ServiceOperation) -> ServiceSeen:
    """A nova-compute in Nova: ``service`` present or absent, then its status, reason, state, forced_down."""
    path = f"/os-services?host={segment(asked.host)}&binary=nova-compute"
    every = (reader.get("compute", path, SERVICES) or {}).get("services", ())
    found = next((one for one in every if str(one["id"]) == str(asked.service)), None)
    if found is None:
        return {"service": "absent"}
    return {
        "service": "present",
        "status": found["status"],
        "reason": found.get("disabled_reason"),
        "state": found["state"],
        "forced_down": bool(found["forced_down"]),
        "updated_at": found.get("updated_at"),
    }


def _put(asked: ServiceOperation, body: Mapping[str, object]) -> list[Request]:
    path = f"/os-services/{segment(asked.service)}"
    return [Request(service="compute", method="PUT", path=path, body=body, microversion=SERVICES)]


def _disable(asked: DisableService) -> list[Request]:
    reason = asked.reason
    return _put(asked, {"status": "disabled", **({"disabled_reason": reason} if reason else {})})


def _reads(
    name: Literal["status", "forced_down"], value: object
) -> Callable[[ServiceSeen, ServiceOperation], StepState]:
    def judge(picture: ServiceSeen, _: ServiceOperation) -> StepState:
        if picture["service"] == "absent":
            return StepState.FAILED
        return StepState.DONE if picture[name] == value else StepState.PLANNED

    return judge


# -- Neutron agents


def _agent(reader: ResourceReader, asked: SetAgent) -> AgentSeen:
    body = reader.get("network", f"/agents/{segment(asked.agent)}")
    if body is None:
        return {"agent": "absent"}
    found = body["agent"]
    return {"agent": "present", "host": found["host"], "up": bool(found["admin_state_up"]), "alive": found["alive"]}


def _agent_set(picture: AgentSeen, asked: SetAgent) -> StepState:
    if picture["agent"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["up"] is asked.up else StepState.PLANNED


def _set_agent(asked: SetAgent) -> list[Request]:
    body = {"agent": {"admin_state_up": asked.up}}
    return [Request(service="network", method="PUT", path=f"/agents/{segment(asked.agent)}", body=body)]


def _served_path(asked: _Serving) -> str:
    return f"/agents/{segment(asked.agent)}/{_KINDS[asked.changes[0]]}"


def _serving(reader: ResourceReader, asked: _Serving) -> ServedSeen:
    name, thing = asked.changes
    body = reader.get("network", _served_path(asked))
    if body is None:
        return {"agent": "absent", "served": False}
    return {"agent": "present", "served": any(str(one["id"]) == thing for one in body[f"{name}s"])}


def _give(asked: _Serving) -> list[Request]:
    name, thing = asked.changes
    return [Request(service="network", method="POST", path=_served_path(asked), body={f"{name}_id": thing})]


def _take(asked: _Serving) -> list[Request]:
    path = f"{_served_path(asked)}/{segment(asked.changes[1])}"
    return [Request(service="network", method="DELETE", path=path)]


def _given(picture: ServedSeen, _: _Serving) -> StepState:
    return StepState.DONE if picture["served"] else StepState.PLANNED


def _taken(picture: ServedSeen, _: _Serving) -> StepState:
    return StepState.PLANNED if picture["served"] else StepState.DONE


OPERATIONS = (
    Implementation(
        of=DisableService, look=service, requests=_disable, again=True, at_once=True,
        microversion=SERVICES, judge=_reads("status", "disabled"),
    ),
    Implementation(
        of=EnableService, look=service, again=True, at_once=True, microversion=SERVICES,
        requests=lambda asked: _put(asked, {"status": "enabled"}), judge=_reads("status", "enabled"),
    ),
    Implementation(
        of=ForceDown, look=service, again=True, at_once=True, microversion=SERVICES,
        requests=lambda asked: _put(asked, {"forced_down": True}), judge=_reads("forced_down", True),
    ),
    Implementation(
        of=ForceUp, look=service, again=True, at_once=True, microversion=SERVICES,
        requests=lambda asked: _put(asked, {"forced_down": False}), judge=_reads("forced_down", False),
    ),
    Implementation(of=SetAgent, look=_agent, judge=_agent_set, requests=_set_agent, again=True),
    Implementation(of=GiveRouter, look=_serving, judge=_given, requests=_give, again=True),
    Implementation(of=TakeRouter, look=_serving, judge=_taken, requests=_take, again=True),
    Implementation(of=GiveNetwork, look=_serving, judge=_given, requests=_give, again=True),
    Implementation(of=TakeNetwork, look=_serving, judge=_taken, requests=_take, again=True),
)  # fmt: skip
