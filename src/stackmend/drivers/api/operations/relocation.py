# SPDX-License-Identifier: Apache-2.0
"""Operations for servers that were relocated by database: their first start on the new host, and the way back."""

from __future__ import annotations

from typing import Any

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState

#: Nova's power state of a guest that runs
_RUNNING = 1


def _server(reader: Reader, arguments: Arguments) -> Picture:
    found = _servers.read(reader, arguments["server"])
    power = None if found is None else found.get("OS-EXT-STS:power_state")
    return {**_servers.picture(found), "server.power_state": power}


def _boot(arguments: Arguments) -> list[Request]:
    path = f"/servers/{segment(arguments['server'])}/action"
    body = {"reboot": {"type": "HARD"}}
    return [Request(service="compute", method="POST", path=path, body=body, microversion="2.1")]


def _booted(picture: Picture, _: Arguments) -> StepState:
    if picture["server"] == "absent" or picture["server.vm_state"] == "error":
        return StepState.FAILED
    if picture["server.task_state"] is not None:
        return StepState.INTENT
    runs = picture["server.vm_state"] == "active" and picture["server.power_state"] == _RUNNING
    return StepState.DONE if runs else StepState.PLANNED


def _whole(reader: Reader, arguments: Arguments) -> Picture:
    """``lacking``: what is not on the host yet, in words; "" when the server with its ports and volumes is there."""
    picture = _server(reader, arguments)
    ports = reader.get("network", f"/ports?device_id={segment(arguments['server'])}") or {"ports": []}
    lacking = [
        f"port {port['id']} is {port['status']} on {port.get('binding:host_id') or 'no host'}"
        for port in ports["ports"]
        if str(port.get("device_owner", "")).startswith("compute:")
        and (port.get("binding:host_id") != arguments["host"] or port["status"] != "ACTIVE")
    ]
    for volume in arguments["volumes"]:
        hosts = _attached(reader, volume, arguments["server"])
        if hosts != [arguments["host"]]:
            lacking.append(f"volume {volume} is attached on {', '.join(map(str, hosts)) or 'no host'}")
    if picture["server"] == "present" and picture["server.host"] != arguments["host"]:
        lacking.append(f"the server is on {picture['server.host']}")
    return {**picture, "lacking": "; ".join(sorted(lacking))}


def _attached(reader: Reader, volume: str, server: str) -> list[Any]:
    body = reader.get("block-storage", f"/volumes/{segment(volume)}", "3.0")
    held = [] if body is None else body["volume"].get("attachments") or []
    return [one.get("host_name") for one in held if one.get("server_id") == server]


def _is_whole(picture: Picture, arguments: Arguments) -> StepState:
    state = _booted(picture, arguments)
    if state is StepState.DONE and picture["lacking"]:
        return StepState.PLANNED
    return state


def _port(reader: Reader, arguments: Arguments) -> Picture:
    body = reader.get("network", f"/ports/{segment(arguments['port'])}")
    if body is None:
        return {"port": "absent"}
    return {"port": "present", **{name: body["port"].get(name) for name in arguments["values"]}}


def _returned(picture: Picture, arguments: Arguments) -> StepState:
    """Neutron notes a host whose agent is dead, with a binding that failed: that is all that can be had."""
    if picture["port"] == "absent":
        return StepState.FAILED
    right = all(picture.get(name) == value for name, value in arguments["values"].items())
    return StepState.DONE if right else StepState.PLANNED


def _return(arguments: Arguments) -> list[Request]:
    body = {"port": dict(arguments["values"])}
    return [Request(service="network", method="PUT", path=f"/ports/{segment(arguments['port'])}", body=body)]


OPERATIONS = (
    Operation(
        service="compute", name="boot-relocated", requests=_boot, look=_server, judge=_booted, microversion="2.1",
        again=False, limit=600,
        # Nova notes what it is about before it answers
        at_once=True,
    ),
    Operation(
        service="compute", name="relocated", requests=lambda _: [], look=_whole, judge=_is_whole, microversion="2.1",
        again=True, limit=300,
        waits="wait until server {server} runs on {host} with its ports ACTIVE there and its volumes {volumes}",
    ),
    Operation(
        service="network", name="return-port", requests=_return, look=_port, judge=_returned, again=True,
    ),
)  # fmt: skip
