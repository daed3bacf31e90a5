# SPDX-License-Identifier: Apache-2.0
"""Operations on a canary: a server of our own that shows whether a host can run one, known by its name alone.

A name of its own for each plan makes its creation repeatable: whoever looks for the name finds what an earlier try
left behind, and it is deleted by the same name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stackmend.drivers.api.operations import Arguments, Operation, Picture, Reader, _servers, host_services
from stackmend.drivers.api.operations.waiting import connected
from stackmend.drivers.api.session import Request, segment
from stackmend.model.step import StepState

#: the first that lets an administrator name a host whose scheduling is done as for any other server
_HOST = "2.74"


def _found(reader: Reader, arguments: Arguments) -> Any:
    """The server of exactly this name, which Nova takes for a pattern."""
    name = str(arguments["name"])
    path = f"/servers/detail?all_tenants=1&name={segment(name)}"
    every = reader.every("compute", path, "servers", _servers.SERVER)
    return next((one for one in every if one["name"] == name), None)


def look(reader: Reader, arguments: Arguments) -> Picture:
    """What a server shows, with whether it runs and how many of its ports are not ACTIVE on its host."""
    found = _found(reader, arguments)
    picture = _servers.picture(found)
    if found is None:
        return picture
    fields = "&fields=id&fields=status&fields=binding:host_id"
    ports = reader.every("network", f"/ports?device_id={segment(found['id'])}{fields}", "ports")
    down = [port for port in ports if not connected(port, picture["server.host"])]
    failure = str((found.get("fault") or {}).get("message") or "")
    return {
        **picture,
        "power": found.get("OS-EXT-STS:power_state"),
        "ports_down": len(down),
        **({"failure": failure[:300]} if failure else {}),
    }


def runs(picture: Picture, arguments: Arguments) -> bool:
    """Whether it runs on the host that it was made for, with its ports in use."""
    return (
        picture["server"] == "present"
        and (picture["server.vm_state"], picture["server.task_state"]) == ("active", None)
        and (picture["server.host"], picture["power"], picture["ports_down"]) == (arguments["host"], 1, 0)
    )


def _created(picture: Picture, arguments: Arguments) -> StepState:
    if picture["server"] == "absent":
        return StepState.PLANNED
    if picture["server.vm_state"] == "error":
        return StepState.FAILED
    return StepState.DONE if runs(picture, arguments) else StepState.INTENT


def _create(arguments: Arguments) -> list[Request]:
    """``network``: uuid or None; ``volume``: GiB of a root volume that is made of the image, 0 for none."""
    network, size = arguments.get("network"), int(arguments.get("volume") or 0)
    server: dict[str, Any] = {
        "name": arguments["name"],
        "flavorRef": arguments["flavor"],
        "host": arguments["host"],
        "networks": [{"uuid": network}] if network else "none",
        "description": "made by stackmend to see whether a host can run servers; may be deleted",
    }
    if size:
        disk = {"boot_index": 0, "uuid": arguments["image"], "source_type": "image", "destination_type": "volume"}
        server["block_device_mapping_v2"] = [{**disk, "volume_size": size, "delete_on_termination": True}]
    else:
        server["imageRef"] = arguments["image"]
    return [Request(service="compute", method="POST", path="/servers", body={"server": server}, microversion=_HOST)]


def _deleting(reader: Reader, arguments: Arguments) -> Picture:
    found = _found(reader, arguments)
    return {**_servers.picture(found), "id": (found or {}).get("id")}


def _deleted(picture: Picture, _: Arguments) -> StepState:
    if picture["server"] == "absent":
        return StepState.DONE
    under_way = picture["server.task_state"] == "deleting" or picture["server.vm_state"] == "deleted"
    return StepState.INTENT if under_way else StepState.PLANNED


def _judged(reader: Reader, arguments: Arguments) -> Picture:
    return {**host_services.service(reader, arguments), "canary": runs(look(reader, arguments), arguments)}


def _closed(picture: Picture, _: Arguments) -> StepState:
    if picture["service"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["canary"] or picture["status"] == "disabled" else StepState.PLANNED


def _close(arguments: Arguments) -> list[Request]:
    body = {"status": "disabled", "disabled_reason": arguments["reason"]}
    path = f"/os-services/{segment(arguments['service'])}"
    return [Request(service="compute", method="PUT", path=path, body=body, microversion=host_services.SERVICES)]


def _delete(_: Arguments) -> list[Request]:
    return [Request(service="compute", method="DELETE", path="/servers/(the one of this name)", microversion="2.1")]


def _aimed(request: Request, picture: Picture) -> Request:
    return replace(request, path=f"/servers/{segment(picture['id'])}")


OPERATIONS = (
    Operation(
        service="compute", name="create-canary", requests=_create, look=look, judge=_created, microversion=_HOST,
        again=False, at_once=True, limit=600,
    ),
    Operation(
        service="compute", name="disable-unless-canary", requests=_close, look=_judged, judge=_closed,
        microversion=host_services.SERVICES, again=True, at_once=True,
    ),
    Operation(
        service="compute", name="delete-canary", requests=_delete, aim=_aimed, look=_deleting, judge=_deleted,
        microversion="2.1", again=True, limit=300,
    ),
)  # fmt: skip
