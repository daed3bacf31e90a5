# SPDX-License-Identifier: Apache-2.0
"""Operations on the canaries of a batch. A canary is identified by its tag, which is its name; nothing else is touched.

Because each canary has a unique name, its creation can be repeated: what an earlier attempt left behind is found by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from stackmend.cloud.canaries import KEY
from stackmend.cloud.consoles import LOGIN, seen
from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader, consoles, nothing
from stackmend.drivers.api.operations.waiting import connected
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.canaries import (
    BuildCanary,
    BuiltSeen,
    CanaryProved,
    DropCanaryPort,
    LeftPortsSeen,
    MarkCanaryPort,
    MarkedSeen,
    ProvedSeen,
    RemoveCanary,
)
from stackmend.model.step import StepState

#: microversions: with tags of servers; the first that accepts tags and a host when a server is created
_TAGS, _HOST = "2.26", "2.74"
_TAG = "(the one with this tag)"
_PORT_FIELDS = "".join(
    f"&fields={name}" for name in ("id", "status", "binding:host_id", "network_id", "fixed_ips", "tags")
)


def _found(reader: ResourceReader, name: str) -> Any:
    path = f"/servers/detail?all_tenants=1&tags={segment(name)}"
    every = reader.every("compute", path, "servers", _TAGS)
    return next((one for one in every if one["name"] == name), None)


def _picture(found: Any) -> BuiltSeen:
    if found is None:
        return {"server": "absent", "id": None}
    failure = str((found.get("fault") or {}).get("message") or "")[:300]
    return {**_servers.picture(found), "id": str(found["id"]), **({"failure": failure} if failure else {})}


def _look(reader: ResourceReader, asked: BuildCanary | RemoveCanary) -> BuiltSeen:
    return _picture(_found(reader, asked.name))


def _built(picture: BuiltSeen, _: BuildCanary) -> StepState:
    if picture["server"] == "absent":
        return StepState.PLANNED
    if picture["server.vm_state"] == "error":
        return StepState.FAILED
    whole = (picture["server.vm_state"], picture["server.task_state"]) == ("active", None)
    return StepState.DONE if whole else StepState.INTENT


def _build(asked: BuildCanary) -> list[Request]:
    server: dict[str, Any] = {
        "name": asked.name,
        "flavorRef": asked.flavor,
        "networks": [{"uuid": one} for one in asked.networks] or "none",
        "metadata": {KEY: asked.batch},
        "tags": [asked.name],
        "description": "created by stackmend to test whether servers can be built; may be deleted",
        **({"host": asked.host} if asked.host else {}),
    }
    if asked.volume:
        disk = {"boot_index": 0, "uuid": asked.image, "source_type": "image", "destination_type": "volume"}
        server["block_device_mapping_v2"] = [{**disk, "volume_size": asked.volume, "delete_on_termination": True}]
    else:
        server["imageRef"] = asked.image
    return [Request(service="compute", method="POST", path="/servers", body={"server": server}, microversion=_HOST)]


# -- what a canary has


def _ports(reader: ResourceReader, server: object) -> list[Mapping[str, Any]]:
    return list(reader.every("network", f"/ports?device_id={segment(server)}{_PORT_FIELDS}", "ports"))


def _proving(reader: ResourceReader, asked: CanaryProved) -> ProvedSeen:
    found = _found(reader, asked.name)
    lacking = "" if found is None else "; ".join(_lacking(reader, found, asked))
    return {**_picture(found), "lacking": lacking}


def _lacking(reader: ResourceReader, found: Any, asked: CanaryProved) -> Iterator[str]:
    """What differs from the request, and what is not in use yet."""
    host = found.get("OS-EXT-SRV-ATTR:host")
    state, task = found.get("OS-EXT-STS:vm_state"), found.get("OS-EXT-STS:task_state")
    if (state, task, found.get("OS-EXT-STS:power_state")) != ("active", None, 1):
        yield f"it is {task or state}, power state {found.get('OS-EXT-STS:power_state')}"
    if asked.host and host != asked.host:
        yield f"it is on {host}, {asked.host} was asked for"
    if (flavor := (found.get("flavor") or {}).get("id")) not in (None, asked.flavor):
        yield f"its flavor is {flavor}"
    image = (found.get("image") or {}).get("id") if found.get("image") else None
    if image != (None if asked.volume else asked.image):
        yield f"its image is {image}"
    yield from _of_network(_ports(reader, found["id"]), found, asked, host)
    yield from _of_storage(reader, found, asked)
    if asked.console:
        yield from _of_console(reader, found)


def _of_network(ports: list[Mapping[str, Any]], found: Any, asked: CanaryProved, host: object) -> Iterator[str]:
    has, wanted = Counter(str(port["network_id"]) for port in ports), Counter(asked.networks)
    for name in sorted({*has, *wanted}):
        if has[name] != wanted[name]:
            yield f"it has {has[name]} ports on network {name}, {wanted[name]} was asked for"
    down = [str(port["id"]) for port in ports if not connected(port, host)]
    if down:
        yield f"not in use on {host}: {', '.join(f'port {one}' for one in down)}"
    bare = [str(port["id"]) for port in ports if not port.get("fixed_ips")]
    if bare:
        yield f"without an address: {', '.join(f'port {one}' for one in bare)}"
    own = sorted(str(ip["ip_address"]) for port in ports for ip in port.get("fixed_ips") or ())
    shown = sorted(
        str(one["addr"]) for some in (found.get("addresses") or {}).values() for one in some
        if one.get("OS-EXT-IPS:type", "fixed") == "fixed"
    )  # fmt: skip
    if own != shown:
        yield f"Nova shows {', '.join(shown) or 'no address'}, its ports have {', '.join(own) or 'none'}"


def _of_storage(reader: ResourceReader, found: Any, asked: CanaryProved) -> Iterator[str]:
    body = reader.get("compute", f"/servers/{segment(found['id'])}/os-volume_attachments", _servers.SERVER) or {}
    names = [str(one["volumeId"]) for one in body.get("volumeAttachments") or ()]
    if len(names) != int(bool(asked.volume)):
        yield f"it has {len(names)} volumes, {int(bool(asked.volume))} was asked for"
    for name in names:
        shown = (reader.get("block-storage", f"/volumes/{segment(name)}", "3.0") or {}).get("volume") or {}
        held = [str(one.get("server_id")) for one in shown.get("attachments") or ()]
        if shown.get("status") != "in-use" or held != [str(found["id"])]:
            yield f"volume {name} is {shown.get('status') or 'not there'}"
        elif int(shown.get("size") or 0) != asked.volume:
            yield f"volume {name} has {shown.get('size')} GiB, {asked.volume} was asked for"


def _of_console(reader: ResourceReader, found: Any) -> Iterator[str]:
    """The complaint about an empty console; none if the hypervisor has no console logs, which proves nothing."""
    console = consoles.read(reader, str(found["id"]))
    if not console.there:
        return
    last = (seen(console.text) or [("", "")])[-1]
    if not console.text.strip():
        yield "its console shows nothing (--no-console: it need not)"
    elif last[0] not in ("", LOGIN):
        yield f"its console shows {last[1]}"


def _proved(picture: ProvedSeen, _: CanaryProved) -> StepState:
    if picture["server"] == "absent" or picture["server.vm_state"] == "error":
        return StepState.FAILED
    return StepState.INTENT if picture["lacking"] else StepState.DONE


# -- its removal


def _removed(picture: BuiltSeen, _: RemoveCanary) -> StepState:
    if picture["server"] == "absent":
        return StepState.DONE
    under_way = picture["server.task_state"] == "deleting" or picture["server.vm_state"] == "deleted"
    return StepState.INTENT if under_way else StepState.PLANNED


def _remove(_: RemoveCanary) -> list[Request]:
    return [Request(service="compute", method="DELETE", path=f"/servers/{_TAG}", microversion="2.1")]


def _at_server(request: Request, picture: BuiltSeen) -> Request:
    return replace(request, path=f"/servers/{segment(picture['id'])}")


def _marking(reader: ResourceReader, asked: MarkCanaryPort) -> MarkedSeen:
    found = _found(reader, asked.name)
    ports = [] if found is None else _ports(reader, found["id"])
    unmarked = sorted(str(port["id"]) for port in ports if asked.name not in (port.get("tags") or ()))
    return {"marked": len(ports) - len(unmarked), "unmarked": unmarked[0] if unmarked else None}


def _marked(picture: MarkedSeen, asked: MarkCanaryPort) -> StepState:
    over = picture["unmarked"] is None or picture["marked"] >= asked.number
    return StepState.DONE if over else StepState.PLANNED


def _mark(asked: MarkCanaryPort) -> list[Request]:
    return [Request(service="network", method="PUT", path=f"/ports/(one of its own)/tags/{segment(asked.name)}")]


def _at_unmarked(request: Request, picture: MarkedSeen) -> Request:
    return replace(request, path=request.path.replace("(one of its own)", segment(picture["unmarked"])))


def _dropping(reader: ResourceReader, asked: DropCanaryPort) -> LeftPortsSeen:
    path = f"/ports?tags={segment(asked.name)}&fields=id"
    left = sorted(str(port["id"]) for port in reader.every("network", path, "ports"))
    return {"left": len(left), "port": left[0] if left else None}


def _dropped(picture: LeftPortsSeen, asked: DropCanaryPort) -> StepState:
    return StepState.PLANNED if picture["left"] > asked.most else StepState.DONE


def _drop(_: DropCanaryPort) -> list[Request]:
    return [Request(service="network", method="DELETE", path=f"/ports/{_TAG}")]


def _at_port(request: Request, picture: LeftPortsSeen) -> Request:
    return replace(request, path=f"/ports/{segment(picture['port'])}")


OPERATIONS = (
    Implementation(
        of=BuildCanary, requests=_build, look=_look, judge=_built, microversion=_HOST, again=False, at_once=True,
        limit=600,
    ),
    Implementation(
        of=CanaryProved, requests=nothing, look=_proving, judge=_proved, microversion=_TAGS, again=True, limit=120,
        waits="see that server {name} has exactly what it was asked for: ports, addresses, volume, image, console",
    ),
    Implementation(
        of=RemoveCanary, requests=_remove, aim=_at_server, look=_look, judge=_removed, microversion=_TAGS, again=True,
        limit=300,
    ),
    Implementation(of=MarkCanaryPort, requests=_mark, aim=_at_unmarked, look=_marking, judge=_marked, again=True),
    Implementation(
        of=DropCanaryPort, requests=_drop, aim=_at_port, look=_dropping, judge=_dropped, again=True, limit=60,
    ),
)  # fmt: skip
