# SPDX-License-Identifier: Apache-2.0
"""Operations on what runs on a host: nova-compute, and the agents of Neutron with the networks and routers they serve.

Nova knows a service by its uuid from 2.53 on; it shows services by host, so both are arguments. Disabling nova-compute
also sets the trait that keeps Placement from offering the host (nova/compute/manager.py, set_host_enabled).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState

SERVICES = "2.53"


def service(reader: Reader, arguments: Arguments) -> Picture:
    """What Nova says of a nova-compute: ``service`` present or absent, then its status, reason, state, forced_down."""
    path = f"/os-services?host={segment(arguments['host'])}&binary=nova-compute"
    every = (reader.get("compute", path, SERVICES) or {}).get("services", ())
    found = next((one for one in every if str(one["id"]) == str(arguments["service"])), None)
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


def _put(arguments: Arguments, body: Any) -> list[Request]:
    path = f"/os-services/{segment(arguments['service'])}"
    return [Request(service="compute", method="PUT", path=path, body=body, microversion=SERVICES)]


def _disable(arguments: Arguments) -> list[Request]:
    reason = arguments.get("reason")
    return _put(arguments, {"status": "disabled", **({"disabled_reason": reason} if reason else {})})


def _reads(name: str, value: Any) -> Callable[[Picture, Arguments], StepState]:
    def judge(picture: Picture, _: Arguments) -> StepState:
        if picture["service"] == "absent":
            return StepState.FAILED
        return StepState.DONE if picture[name] == value else StepState.PLANNED

    return judge


# -- agents of Neutron


def _agent(reader: Reader, arguments: Arguments) -> Picture:
    body = reader.get("network", f"/agents/{segment(arguments['agent'])}")
    if body is None:
        return {"agent": "absent"}
    found = body["agent"]
    return {"agent": "present", "host": found["host"], "up": bool(found["admin_state_up"]), "alive": found["alive"]}


def _agent_set(picture: Picture, arguments: Arguments) -> StepState:
    if picture["agent"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["up"] is bool(arguments["up"]) else StepState.PLANNED


def _set_agent(arguments: Arguments) -> list[Request]:
    body = {"agent": {"admin_state_up": bool(arguments["up"])}}
    return [Request(service="network", method="PUT", path=f"/agents/{segment(arguments['agent'])}", body=body)]


def _serving(kind: str, name: str) -> tuple[Operation, ...]:
    """Operations that give a router or a network to an agent, and take it away: ``kind`` is what the agent calls it."""

    def look(reader: Reader, arguments: Arguments) -> Picture:
        agent, thing = segment(arguments["agent"]), str(arguments[name])
        body = reader.get("network", f"/agents/{agent}/{kind}")
        if body is None:
            return {"agent": "absent", "served": False}
        return {"agent": "present", "served": any(str(one["id"]) == thing for one in body[f"{name}s"])}

    def put(arguments: Arguments) -> list[Request]:
        path = f"/agents/{segment(arguments['agent'])}/{kind}"
        return [Request(service="network", method="POST", path=path, body={f"{name}_id": arguments[name]})]

    def take(arguments: Arguments) -> list[Request]:
        path = f"/agents/{segment(arguments['agent'])}/{kind}/{segment(arguments[name])}"
        return [Request(service="network", method="DELETE", path=path)]

    def judge(wanted: bool) -> Callable[[Picture, Arguments], StepState]:
        return lambda picture, _: StepState.DONE if picture["served"] is wanted else StepState.PLANNED

    return (
        Operation(service="network", name=f"give-{name}", look=look, judge=judge(True), requests=put, again=True),
        Operation(service="network", name=f"take-{name}", look=look, judge=judge(False), requests=take, again=True),
    )


OPERATIONS = (
    Operation(
        service="compute", name="disable-service", look=service, requests=_disable, again=True, at_once=True,
        microversion=SERVICES, judge=_reads("status", "disabled"),
    ),
    Operation(
        service="compute", name="enable-service", look=service, again=True, at_once=True, microversion=SERVICES,
        requests=lambda arguments: _put(arguments, {"status": "enabled"}), judge=_reads("status", "enabled"),
    ),
    Operation(
        service="compute", name="force-down", look=service, again=True, at_once=True, microversion=SERVICES,
        requests=lambda arguments: _put(arguments, {"forced_down": True}), judge=_reads("forced_down", True),
    ),
    Operation(
        service="compute", name="force-up", look=service, again=True, at_once=True, microversion=SERVICES,
        requests=lambda arguments: _put(arguments, {"forced_down": False}), judge=_reads("forced_down", False),
    ),
    Operation(service="network", name="set-agent", look=_agent, judge=_agent_set, requests=_set_agent, again=True),
    *_serving("l3-routers", "router"),
    *_serving("dhcp-networks", "network"),
)  # fmt: skip
