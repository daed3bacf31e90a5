# SPDX-License-Identifier: Apache-2.0
"""What has to be so just before disks are copied or moved aside: nothing is sent."""

from __future__ import annotations

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers
from stackmend.model.step import StepState


def _server(reader: Reader, arguments: Arguments) -> Picture:
    return _servers.picture(_servers.read(reader, arguments["server"]))


def _stays(picture: Picture, arguments: Arguments) -> StepState:
    """Still a server of the host, and nothing is being done with it."""
    same = picture.get("server.host") == arguments["host"] and picture.get("server.task_state") is None
    return StepState.DONE if same else StepState.FAILED


def _away(picture: Picture, arguments: Arguments) -> StepState:
    """No server, or one of another host or of none, with which nothing is being done."""
    if picture["server"] == "absent":
        return StepState.DONE
    busy = picture["server.task_state"] is not None or picture["server.vm_state"] == "building"
    return StepState.FAILED if busy or picture["server.host"] == arguments["host"] else StepState.DONE


OPERATIONS = (
    Operation(
        service="compute", name="server-stays", requests=lambda _: [], look=_server, judge=_stays, microversion="2.1",
        again=True, limit=30, waits="see that server {server} is still one of {host}, and nothing is done with it",
    ),
    Operation(
        service="compute", name="server-away", requests=lambda _: [], look=_server, judge=_away, microversion="2.1",
        again=True, limit=30, waits="see that {host} has no server {server}",
    ),
)  # fmt: skip
