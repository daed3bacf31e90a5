# SPDX-License-Identifier: Apache-2.0
"""Conditions that must hold just before disks are copied or moved aside: nothing is sent."""

from __future__ import annotations

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, OfServer, ResourceReader, nothing
from stackmend.model.operations.compute import ServerAway, ServerStays
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.step import StepState


def _server(reader: ResourceReader, asked: OfServer) -> ServerSeen:
    return _servers.picture(_servers.read(reader, asked.server))


def _stays(picture: ServerSeen, asked: ServerStays) -> StepState:
    """The server is still on the host, and idle."""
    same = picture.get("server.host") == asked.host and picture.get("server.task_state") is None
    return StepState.DONE if same else StepState.FAILED


def _away(picture: ServerSeen, asked: ServerAway) -> StepState:
    """The server does not exist, or is idle on another host or none."""
    if picture["server"] == "absent":
        return StepState.DONE
    busy = picture["server.task_state"] is not None or picture["server.vm_state"] == "building"
    return StepState.FAILED if busy or picture["server.host"] == asked.host else StepState.DONE


OPERATIONS = (
    Implementation(
        of=ServerStays, requests=nothing, look=_server, judge=_stays, microversion="2.1",
        again=True, limit=30, waits="check that server {server} still belongs to {host}, with no task in progress",
    ),
    Implementation(
        of=ServerAway, requests=nothing, look=_server, judge=_away, microversion="2.1",
        again=True, limit=30, waits="check that {host} has no server {server}",
    ),
)  # fmt: skip
