# SPDX-License-Identifier: Apache-2.0
"""Operations on a canary: our own server, identified by its name, that shows whether a host can run servers.

A name unique to the plan makes its creation repeatable: the result of an earlier attempt is found, and deleted, by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, cast

from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader, host_services
from stackmend.drivers.api.operations.waiting import connected
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.compute_hosts import (
    CanarySeen,
    CreateCanary,
    DeleteCanary,
    DisableUnlessCanary,
    ServiceSeen,
)
from stackmend.model.step import StepState

#: the first version in which an administrator can name a host without bypassing the scheduler
_HOST = "2.74"


class _OfCanary(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def host(self) -> str: ...


def _found(reader: ResourceReader, asked: _OfCanary) -> Any:
    """The server with exactly this name, as Nova treats the name as a pattern."""
    name = str(asked.name)
    path = f"/servers/detail?all_tenants=1&name={segment(name)}"
    every = reader.every("compute", path, "servers", _servers.SERVER)
    return next((one for one in every if one["name"] == name), None)


def look(reader: ResourceReader, asked: _OfCanary) -> CanarySeen:
    """The state of the canary, its power_state, and the number of its ports that are not ACTIVE on its host."""
    found = _found(reader, asked)
    if found is None:
        return {"server": "absent"}
    picture = _servers.picture(found)
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


def runs(picture: CanarySeen, asked: _OfCanary) -> bool:
    """Whether it runs on the host it was created for, with its ports active."""
    return (
        picture["server"] == "present"
        and (picture["server.vm_state"], picture["server.task_state"]) == ("active", None)
        and (picture["server.host"], picture["power"], picture["ports_down"]) == (asked.host, 1, 0)
    )


def _created(picture: CanarySeen, asked: CreateCanary) -> StepState:
    if picture["server"] == "absent":
        return StepState.PLANNED
    if picture["server.vm_state"] == "error":
        return StepState.FAILED
    return StepState.DONE if runs(picture, asked) else StepState.INTENT


def _create(asked: CreateCanary) -> list[Request]:
    """``network``: UUID or None; ``volume``: size in GiB of a root volume created from the image, 0 for none."""
    network, size = asked.network, asked.volume
    server: dict[str, Any] = {
        "name": asked.name,
        "flavorRef": asked.flavor,
        "host": asked.host,
        "networks": [{"uuid": network}] if network else "none",
        "description": "created by stackmend to test whether a host can run servers; may be deleted",
    }
    if size:
        disk = {"boot_index": 0, "uuid": asked.image, "source_type": "image", "destination_type": "volume"}
        server["block_device_mapping_v2"] = [{**disk, "volume_size": size, "delete_on_termination": True}]
    else:
        server["imageRef"] = asked.image
    return [Request(service="compute", method="POST", path="/servers", body={"server": server}, microversion=_HOST)]


def _deleting(reader: ResourceReader, asked: DeleteCanary) -> CanarySeen:
    found = _found(reader, asked)
    return cast("CanarySeen", {**_servers.picture(found), "id": (found or {}).get("id")})


def _deleted(picture: CanarySeen, _: DeleteCanary) -> StepState:
    if picture["server"] == "absent":
        return StepState.DONE
    under_way = picture["server.task_state"] == "deleting" or picture["server.vm_state"] == "deleted"
    return StepState.INTENT if under_way else StepState.PLANNED


def _judged(reader: ResourceReader, asked: DisableUnlessCanary) -> ServiceSeen:
    return {**host_services.service(reader, asked), "canary": runs(look(reader, asked), asked)}


def _closed(picture: ServiceSeen, _: DisableUnlessCanary) -> StepState:
    if picture["service"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["canary"] or picture["status"] == "disabled" else StepState.PLANNED


def _close(asked: DisableUnlessCanary) -> list[Request]:
    body = {"status": "disabled", "disabled_reason": asked.reason}
    path = f"/os-services/{segment(asked.service)}"
    return [Request(service="compute", method="PUT", path=path, body=body, microversion=host_services.SERVICES)]


def _delete(_: DeleteCanary) -> list[Request]:
    return [Request(service="compute", method="DELETE", path="/servers/(the one of this name)", microversion="2.1")]


def _aimed(request: Request, picture: CanarySeen) -> Request:
    return replace(request, path=f"/servers/{segment(picture['id'])}")


OPERATIONS = (
    Implementation(
        of=CreateCanary, requests=_create, look=look, judge=_created, microversion=_HOST,
        again=False, at_once=True, limit=600,
    ),
    Implementation(
        of=DisableUnlessCanary, requests=_close, look=_judged, judge=_closed,
        microversion=host_services.SERVICES, again=True, at_once=True,
    ),
    Implementation(
        of=DeleteCanary, requests=_delete, aim=_aimed, look=_deleting, judge=_deleted,
        microversion="2.1", again=True, limit=300,
    ),
)  # fmt: skip
