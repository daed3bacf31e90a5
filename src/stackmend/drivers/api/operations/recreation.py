# SPDX-License-Identifier: Apache-2.0
"""Operations to delete a server and create it again on the same ports (nova/compute/api.py, nova/network/neutron.py).

With a server, Nova deletes every port that Neutron has for it at that time, unless the cache marks it to be preserved.
A port detached from the server before is not affected, whatever the cache says. Just before the deletion it is verified
that the server has no ports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from stackmend.cloud import network
from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader, nothing
from stackmend.drivers.api.operations.waiting import connected
from stackmend.drivers.api.session import Request, segment
from stackmend.model.errors import SourceError
from stackmend.model.operations.recreation import (
    OF_OLD,
    OF_SNAPSHOT,
    DeleteServer,
    DoomedSeen,
    DropFailed,
    DropSnapshot,
    EndOfRecreated,
    EndSeen,
    FailedSeen,
    KeptSeen,
    NewEndSeen,
    ParkedSeen,
    ParkPort,
    PartsKept,
    RecreatedSeen,
    RecreatedServes,
    RecreateServer,
    ServesSeen,
    SetVolumeEnd,
    SnapshotSeen,
    SnapshotServer,
    UnclaimedSeen,
    UnclaimPort,
    UnparkPort,
    UntagRecreated,
    digest,
)
from stackmend.model.step import StepState

#: shows delete_on_termination of attached volumes; allows changing it
_ENDS, _SET_END = "2.79", "2.85"
#: shows whether a server is locked
_LOCKED = "2.73"
#: the first version with tags for a new server, and the first that shows user data
_TAGGED, _USER_DATA = "2.52", "2.3"
#: tags as resources
_TAGS = "2.26"
_FIELDS = "".join(
    f"&fields={name}" for name in
    ("id", "device_id", "device_owner", "mac_address", "fixed_ips", "status", "binding:host_id")
)  # fmt: skip
#: statuses of an image being created
_COMING = ("queued", "saving", "importing", "uploading")
_FREE = ("available",)


# -- reading


def _port(reader: ResourceReader, port: str) -> Mapping[str, Any] | None:
    body = reader.get("network", f"/ports/{segment(port)}")
    return None if body is None else body["port"]


def _shown(port: Mapping[str, Any] | None) -> ParkedSeen:
    if port is None:
        return {"port": "absent", "device_id": ""}
    return {
        "port": "present",
        "device_id": str(port.get("device_id") or ""),
        "mac_address": port.get("mac_address"),
        "addresses": network.addresses(port),
        "binding": str(port.get("binding:host_id") or ""),
    }


def _ports_of(reader: ResourceReader, server: object) -> list[Mapping[str, Any]]:
    return list(reader.every("network", f"/ports?device_id={segment(server)}{_FIELDS}", "ports"))


def _new(reader: ResourceReader, tag: str) -> Mapping[str, Any] | None:
    """The server with this tag."""
    path = f"/servers/detail?all_tenants=1&tags={segment(tag)}"
    return next(iter(reader.every("compute", path, "servers", _TAGS)), None)


def _of(new: Mapping[str, Any]) -> dict[str, object]:
    """The state of the new server; ``launched``: whether it was ever running."""
    launched = bool(new.get("OS-SRV-USG:launched_at"))
    return {**_servers.picture(new), "id": str(new["id"]), "launched": launched}


def _mappings(reader: ResourceReader, server: object) -> list[Mapping[str, Any]]:
    body = reader.get("compute", f"/servers/{segment(server)}/os-volume_attachments", _ENDS) or {}
    return list(body.get("volumeAttachments") or ())


def _doomed(reader: ResourceReader, server: object) -> DoomedSeen:
    """What would be deleted with a server."""
    return {
        "ports": sorted(str(port["id"]) for port in _ports_of(reader, server)),
        "volumes": sorted(
            str(one["volumeId"]) for one in _mappings(reader, server) if one.get("delete_on_termination")
        ),
    }


def _image(reader: ResourceReader, name: str) -> Mapping[str, Any] | None:
    """The image with this name."""
    found = reader.every("image", f"/images?name={segment(name)}", "images")
    return next((one for one in found if one["name"] == name), None)


# -- the old server


def _snapshot(reader: ResourceReader, asked: SnapshotServer | DropSnapshot) -> SnapshotSeen:
    server = _servers.picture(_servers.read(reader, asked.server))
    image = _image(reader, asked.image)
    if image is None:
        return {**server, "image": "absent", "image_id": None}
    return {**server, "image": str(image["status"]), "image_id": str(image["id"])}


def _snapshot_made(picture: SnapshotSeen, _: SnapshotServer) -> StepState:
    """The server has its task_state until its host has finished."""
    if picture["server"] == "absent":
        return StepState.FAILED
    if str(picture["server.task_state"] or "").startswith("image_") or picture["image"] in _COMING:
        return StepState.INTENT
    return {"active": StepState.DONE, "absent": StepState.PLANNED}.get(picture["image"], StepState.FAILED)


def _make_snapshot(asked: SnapshotServer) -> list[Request]:
    body = {"createImage": {"name": asked.image, "metadata": {"stackmend_recreated_server": asked.server}}}
    path = f"/servers/{segment(asked.server)}/action"
    return [Request(service="compute", method="POST", path=path, body=body, microversion="2.1")]


def _drop_snapshot(_: DropSnapshot) -> list[Request]:
    return [Request(service="image", method="DELETE", path="/images/(the one of this name)")]


def _at_image(request: Request, picture: SnapshotSeen) -> Request:
    return replace(request, path=f"/images/{segment(str(picture['image_id']))}")


def _end_of(reader: ResourceReader, server: object, volume: str) -> bool | None:
    mine = [one for one in _mappings(reader, server) if one["volumeId"] == volume]
    return bool(mine[0].get("delete_on_termination")) if mine else None


def _end(reader: ResourceReader, asked: SetVolumeEnd) -> EndSeen:
    server = _servers.picture(_servers.read(reader, asked.server))
    return {**server, "ends": _end_of(reader, asked.server, asked.volume) if server["server"] == "present" else None}


def _ended(picture: EndSeen | NewEndSeen, asked: SetVolumeEnd | EndOfRecreated) -> StepState:
    if picture["ends"] is None:
        return StepState.FAILED
    return StepState.DONE if picture["ends"] is asked.ends else StepState.PLANNED


def _set_end(server: str, volume: str, *, ends: bool) -> list[Request]:
    body = {"volumeAttachment": {"volumeId": volume, "delete_on_termination": ends}}
    path = f"/servers/{server}/os-volume_attachments/{segment(volume)}"
    return [Request(service="compute", method="PUT", path=path, body=body, microversion=_SET_END)]


def _parking(reader: ResourceReader, asked: ParkPort | UnparkPort) -> ParkedSeen:
    return {**_shown(_port(reader, asked.port)), **_servers.picture(_servers.read(reader, asked.server))}


def _parked(picture: ParkedSeen, _: ParkPort) -> StepState:
    if picture["port"] == "absent":
        return StepState.FAILED
    return StepState.PLANNED if picture["device_id"] else StepState.DONE


def _unparked(picture: ParkedSeen, asked: UnparkPort) -> StepState:
    if picture["port"] == "absent" or picture["server"] == "absent":
        return StepState.FAILED
    mine = (picture["device_id"], picture["binding"]) == (asked.server, asked.host)
    return StepState.DONE if mine else StepState.PLANNED


def _put(port: str, device: str, owner: str, host: str) -> list[Request]:
    body = {"port": {"device_id": device, "device_owner": owner, "binding:host_id": host}}
    return [Request(service="network", method="PUT", path=f"/ports/{segment(port)}", body=body)]


def _deleting(reader: ResourceReader, asked: DeleteServer) -> DoomedSeen:
    body = reader.get("compute", f"/servers/{segment(asked.server)}", _LOCKED)
    if body is None:
        return {"server": "absent", "ports": [], "volumes": []}
    server = body["server"]
    return {**_servers.picture(server), "locked": bool(server.get("locked")), **_doomed(reader, asked.server)}


def _deleted(picture: DoomedSeen, _: DeleteServer) -> StepState:
    if picture["server"] == "absent":
        return StepState.DONE
    under_way = picture["server.task_state"] == "deleting" or picture["server.vm_state"] == "deleted"
    return StepState.INTENT if under_way else StepState.PLANNED


def _force_delete(server: str) -> list[Request]:
    """Not DELETE, after which Nova may keep the server for days, with its volumes (reclaim_instance_interval)."""
    path = f"/servers/{server}/action"
    return [Request(service="compute", method="POST", path=path, body={"forceDelete": None}, microversion="2.1")]


def _keeping(reader: ResourceReader, asked: PartsKept) -> KeptSeen:
    gone: list[str] = []
    busy: list[str] = []
    for name, (mac, *addresses) in asked.ports.items():
        port = _port(reader, name)
        if port is None:
            gone.append(f"port {name} with {', '.join(addresses)} is gone")
        elif (port.get("mac_address"), network.addresses(port)) != (mac, sorted(addresses)):
            gone.append(f"port {name} has {port.get('mac_address')} and {', '.join(network.addresses(port))} now")
        elif port.get("device_id"):
            busy.append(f"port {name} is of {port['device_id']}")
    for name in asked.volumes:
        body = reader.get("block-storage", f"/volumes/{segment(name)}", "3.0")
        if body is None:
            gone.append(f"volume {name} is gone")
        elif body["volume"]["status"] not in _FREE:
            busy.append(f"volume {name} is {body['volume']['status']}")
    if asked.image and ((_image(reader, asked.image) or {}).get("status") != "active"):
        gone.append(f"there is no image {asked.image} that is active")
    return {"lacking": "; ".join([*gone, *busy]), "gone": bool(gone)}


def _kept(picture: KeptSeen, _: PartsKept) -> StepState:
    if picture["gone"]:
        return StepState.FAILED
    return StepState.INTENT if picture["lacking"] else StepState.DONE


# -- the new server


def _recreating(reader: ResourceReader, asked: RecreateServer) -> RecreatedSeen:
    found = _new(reader, asked.tag)
    if found is not None:
        seen = cast("RecreatedSeen", _of(found))
        if failure := str((found.get("fault") or {}).get("message") or ""):
            seen["failure"] = failure[:300]
        return seen
    image = _image(reader, asked.image) if asked.image else None
    return {
        "server": "absent",
        "claimed": sorted(name for name in asked.ports if (_port(reader, name) or {}).get("device_id")),
        "image": None if image is None else str(image["id"]),
        "user_data": [_user_data(reader, asked)] if asked.user_data else [],
    }


def _user_data(reader: ResourceReader, asked: RecreateServer) -> str:
    """The old server's user data, shown to administrators until its row is archived; SourceError if it is not."""
    path = f"/servers/detail?all_tenants=1&deleted=true&uuid={segment(asked.server)}"
    for one in reader.every("compute", path, "servers", _USER_DATA):
        data = str(one.get("OS-EXT-SRV-ATTR:user_data") or "")
        if one["id"] == asked.server and digest(data) == asked.user_data:
            return data
    raise SourceError(
        f"Nova does not show the user data of server {asked.server} any more: its row is archived, or this account is"
        " no administrator",
        "Make the server by hand, with the user data from where its owner has it.",
    )


def _recreated(picture: RecreatedSeen, _: RecreateServer) -> StepState:
    if picture["server"] == "absent":
        return StepState.PLANNED
    if picture["server.vm_state"] == "error":
        return StepState.FAILED
    active = (picture["server.vm_state"], picture["server.task_state"]) == ("active", None)
    return StepState.DONE if active else StepState.INTENT


def _recreate(asked: RecreateServer) -> list[Request]:
    """Values known only when the request is sent are shown as words until then."""
    server = {**asked.body, "tags": [*asked.body.get("tags", ()), asked.tag]}
    if asked.user_data:
        server["user_data"] = OF_OLD
    body: dict[str, Any] = {"server": server}
    if hints := server.pop("os:scheduler_hints", None):
        body["os:scheduler_hints"] = hints
    return [Request(service="compute", method="POST", path="/servers", body=body, microversion=asked.microversion)]


def _completed(request: Request, picture: RecreatedSeen) -> Request:
    """With the image id and the user data, which only the services have. SourceError if one is missing."""
    if picture["server"] == "present":
        return request
    text = json.dumps(request.body)
    if json.dumps(OF_SNAPSHOT) in text:
        if not picture.get("image"):
            raise SourceError("the image that was made of the old server is gone", "See 'openstack image list'.")
        text = text.replace(json.dumps(OF_SNAPSHOT), json.dumps(picture["image"]))
    body = json.loads(text)
    if picture.get("user_data"):
        body["server"]["user_data"] = picture["user_data"][0]
    return replace(request, body=body)


def _serving(reader: ResourceReader, asked: RecreatedServes) -> ServesSeen:
    found = _new(reader, asked.tag)
    if found is None:
        return {"server": "absent", "lacking": "it is gone"}
    picture = _servers.picture(found)
    return {**picture, "id": str(found["id"]), "lacking": "; ".join(_lacking(reader, asked, found, picture))}


def _lacking(reader: ResourceReader, asked: RecreatedServes, found: Any, picture: Any) -> Iterator[str]:
    if picture["server.vm_state"] != "active" or found.get("OS-EXT-STS:power_state") != 1:
        yield f"it is {picture['server.vm_state']}, with power state {found.get('OS-EXT-STS:power_state')}"
    mine = {str(port["id"]): port for port in _ports_of(reader, found["id"])}
    for name, (mac, *addresses) in asked.ports.items():
        port = mine.get(name)
        if port is None:
            yield f"port {name} is not its"
        elif (port.get("mac_address"), network.addresses(port)) != (mac, sorted(addresses)):
            yield f"port {name} has {port.get('mac_address')} and {', '.join(network.addresses(port))}"
        elif not connected(port, picture["server.host"]):
            yield f"port {name} is {port.get('status')}, bound to {port.get('binding:host_id') or 'no host'}"
    if others := sorted(set(mine) - set(asked.ports)):
        yield f"it has other ports: {', '.join(others)}"
    there = {str(one["volumeId"]) for one in _mappings(reader, found["id"])}
    for name in asked.volumes:
        body = reader.get("block-storage", f"/volumes/{segment(name)}", "3.0")
        status = None if body is None else body["volume"]["status"]
        if name not in there or status != "in-use":
            yield f"volume {name} is {status or 'gone'}{'' if name in there else ', and not its'}"


def _serves(picture: ServesSeen, _: RecreatedServes) -> StepState:
    if picture["server"] == "absent" or picture["server.vm_state"] == "error":
        return StepState.FAILED
    return StepState.INTENT if picture["lacking"] else StepState.DONE


def _new_end(reader: ResourceReader, asked: EndOfRecreated) -> NewEndSeen:
    found = _new(reader, asked.tag)
    if found is None:
        return {"server": "absent", "ends": None}
    return {
        **_servers.picture(found),
        "id": str(found["id"]),
        "ends": _end_of(reader, found["id"], asked.volume),
    }


def _tagged(reader: ResourceReader, asked: UntagRecreated) -> RecreatedSeen:
    found = _new(reader, asked.tag)
    return {"server": "absent"} if found is None else cast("RecreatedSeen", _of(found))


def _untag(asked: UntagRecreated) -> list[Request]:
    path = f"/servers/{_OF_TAG}/tags/{segment(asked.tag)}"
    return [Request(service="compute", method="DELETE", path=path, microversion=_TAGS)]


#: placeholder in a path until the server is known
_OF_TAG = "(the one of this tag)"


def _at_new(request: Request, picture: Any) -> Request:
    return replace(request, path=request.path.replace(_OF_TAG, segment(str(picture.get("id")))))


# -- a failed build


def _unclaiming(reader: ResourceReader, asked: UnclaimPort) -> UnclaimedSeen:
    found = _new(reader, asked.tag)
    port = _shown(_port(reader, asked.port))
    if found is None:
        return cast("UnclaimedSeen", {**port, "server": "absent", "launched": False})
    return cast("UnclaimedSeen", {**port, **_of(found)})


def _unclaimed(picture: UnclaimedSeen, _: UnclaimPort) -> StepState:
    """A port is not detached from a server that was ever running, or is being built; its deletion shows the outcome."""
    came_to_nothing = (
        picture["server"] == "present" and not picture["launched"] and picture["server.vm_state"] == "error"
    )
    mine = picture["port"] == "present" and picture["device_id"] == picture.get("id", "")
    return StepState.PLANNED if came_to_nothing and mine else StepState.DONE


def _failing(reader: ResourceReader, asked: DropFailed) -> FailedSeen:
    found = _new(reader, asked.tag)
    if found is None:
        return {"server": "absent", "launched": False}
    return cast("FailedSeen", {**_doomed(reader, found["id"]), **_of(found)})


def _dropped(picture: FailedSeen, _: DropFailed) -> StepState:
    if picture["server"] == "absent" or picture["launched"]:
        return StepState.DONE
    if picture["server.task_state"] == "deleting" or picture["server.vm_state"] != "error":
        return StepState.INTENT
    return StepState.PLANNED


OPERATIONS = (
    Implementation(
        of=SnapshotServer, requests=_make_snapshot, look=_snapshot, judge=_snapshot_made,
        microversion="2.1", again=False, at_once=True, limit=3600,
    ),
    Implementation(
        of=DropSnapshot, requests=_drop_snapshot, aim=_at_image, look=_snapshot, again=True,
        judge=lambda picture, _: StepState.DONE if picture["image"] == "absent" else StepState.PLANNED,
    ),
    Implementation(
        of=SetVolumeEnd, look=_end, judge=_ended, microversion=_SET_END, again=True, release="Ussuri",
        requests=lambda asked: _set_end(segment(asked.server), asked.volume, ends=asked.ends),
        lacking="Before it, a volume's delete_on_termination can be changed in the database alone.",
    ),
    Implementation(
        of=ParkPort, look=_parking, judge=_parked, again=True, requests=lambda asked: _put(asked.port, "", "", ""),
    ),
    Implementation(
        of=UnparkPort, look=_parking, judge=_unparked, again=True,
        requests=lambda asked: _put(asked.port, asked.server, asked.owner, asked.host),
    ),
    Implementation(
        of=DeleteServer, look=_deleting, judge=_deleted, microversion=_ENDS, again=True, limit=600,
        requests=lambda asked: _force_delete(segment(asked.server)),
    ),
    Implementation(
        of=PartsKept, requests=nothing, look=_keeping, judge=_kept, again=True, limit=120,
        waits="see that every port of server {server} is kept with its addresses, and every disk",
    ),
    Implementation(
        of=RecreateServer, requests=_recreate, aim=_completed, look=_recreating, judge=_recreated,
        microversion=_TAGGED, again=False, at_once=True, limit=1800,
    ),
    Implementation(
        of=RecreatedServes, requests=nothing, look=_serving, judge=_serves, microversion=_ENDS, again=True,
        limit=300, waits="see that the new server runs with the same ports, addresses and volumes, all in use",
    ),
    Implementation(
        of=EndOfRecreated, aim=_at_new, look=_new_end, judge=_ended, microversion=_SET_END, again=True,
        requests=lambda asked: _set_end(_OF_TAG, asked.volume, ends=asked.ends),
    ),
    Implementation(
        of=UntagRecreated, requests=_untag, aim=_at_new, look=_tagged, microversion=_TAGS, again=True,
        judge=lambda picture, _: StepState.DONE if picture["server"] == "absent" else StepState.PLANNED,
    ),
    Implementation(
        of=UnclaimPort, look=_unclaiming, judge=_unclaimed, again=True,
        requests=lambda asked: _put(asked.port, "", "", ""),
    ),
    Implementation(
        of=DropFailed, aim=_at_new, look=_failing, judge=_dropped, microversion=_ENDS, again=True, limit=600,
        requests=lambda _: _force_delete(_OF_TAG),
    ),
)  # fmt: skip
