# SPDX-License-Identifier: Apache-2.0
"""Operations on servers relocated by database: the first start on the new host, and the way back."""

from __future__ import annotations

from typing import cast

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, OfServer, ResourceReader, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute import BootRelocated, BootSeen, Relocated
from stackmend.model.operations.network import PortSeen, ReturnPort
from stackmend.model.step import StepState

#: Nova's power_state of a running guest
_RUNNING = 1


def _server(reader: ResourceReader, asked: OfServer) -> BootSeen:
    found = _servers.read(reader, asked.server)
    power = None if found is None else found.get("OS-EXT-STS:power_state")
    return cast("BootSeen", {**_servers.picture(found), "server.power_state": power})


def _boot(asked: BootRelocated) -> list[Request]:
    path = f"/servers/{segment(asked.server)}/action"
    body = {"reboot": {"type": "HARD"}}
    return [Request(service="compute", method="POST", path=path, body=body, microversion="2.1")]


def _booted(picture: BootSeen, _: OfServer) -> StepState:
    if picture["server"] == "absent" or picture["server.vm_state"] == "error":
        return StepState.FAILED
    if picture["server.task_state"] is not None:
        return StepState.INTENT
    runs = picture["server.vm_state"] == "active" and picture["server.power_state"] == _RUNNING
    return StepState.DONE if runs else StepState.PLANNED


def _whole(reader: ResourceReader, asked: Relocated) -> BootSeen:
    """``lacking``: what is not on the host yet, in words; "" once the server is there with its ports and volumes."""
    picture = _server(reader, asked)
    ports = reader.get("network", f"/ports?device_id={segment(asked.server)}") or {"ports": []}
    lacking = [
        f"port {port['id']} is {port['status']} on {port.get('binding:host_id') or 'no host'}"
        for port in ports["ports"]
        if str(port.get("device_owner", "")).startswith("compute:")
        and (port.get("binding:host_id") != asked.host or port["status"] != "ACTIVE")
    ]
    for volume in asked.volumes:
        hosts = _attached(reader, volume, asked.server)
        if hosts != [asked.host]:
            lacking.append(f"volume {volume} is attached on {', '.join(map(str, hosts)) or 'no host'}")
    if picture["server"] == "present" and picture["server.host"] != asked.host:
        lacking.append(f"the server is on {picture['server.host']}")
    return {**picture, "lacking": "; ".join(sorted(lacking))}


def _attached(reader: ResourceReader, volume: str, server: str) -> list[object]:
    body = reader.get("block-storage", f"/volumes/{segment(volume)}", "3.0")
    held = [] if body is None else body["volume"].get("attachments") or []
    return [one.get("host_name") for one in held if one.get("server_id") == server]


def _is_whole(picture: BootSeen, asked: Relocated) -> StepState:
    state = _booted(picture, asked)
    if state is StepState.DONE and picture["lacking"]:
        return StepState.PLANNED
    return state


def _port(reader: ResourceReader, asked: ReturnPort) -> PortSeen:
    body = reader.get("network", f"/ports/{segment(asked.port)}")
    if body is None:
        return {"port": "absent"}
    return cast("PortSeen", {"port": "present", **{name: body["port"].get(name) for name in asked.values}})


def _returned(picture: PortSeen, asked: ReturnPort) -> StepState:
    """If the agent of the host is dead, Neutron sets the host but the binding fails: no more can be expected."""
    if picture["port"] == "absent":
        return StepState.FAILED
    right = all(picture.get(name) == value for name, value in asked.values.items())
    return StepState.DONE if right else StepState.PLANNED


def _return(asked: ReturnPort) -> list[Request]:
    body = {"port": dict(asked.values)}
    return [Request(service="network", method="PUT", path=f"/ports/{segment(asked.port)}", body=body)]


OPERATIONS = (
    Implementation(
        of=BootRelocated, requests=_boot, look=_server, judge=_booted, microversion="2.1",
        again=False, limit=600,
        # Nova sets the task_state before it responds
        at_once=True,
    ),
    Implementation(
        of=Relocated, requests=nothing, look=_whole, judge=_is_whole, microversion="2.1",
        again=True, limit=300,
        waits="wait until server {server} runs on {host} with its ports ACTIVE there and its volumes {volumes}",
    ),
    Implementation(
        of=ReturnPort, requests=_return, look=_port, judge=_returned, again=True,
    ),
)  # fmt: skip
