# SPDX-License-Identifier: Apache-2.0
"""Canaries: servers that stackmend builds to test a cloud. What they are built from, what is left, their story in Nova.

A canary's name consists of its batch and its number. It is also its tag, and the tag of its ports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import NamedTuple

from stackmend.cloud import compute
from stackmend.cloud import image as glance
from stackmend.cloud import network as neutron
from stackmend.model.api import Resource, segment
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.objects.canaries import Attempt
from stackmend.model.protocols import Api
from stackmend.model.values import members, objects, text, texts, whole

Found = Mapping[str, object]

#: name of a canary: the batch, the number
NAME = re.compile(r"stackmend-canary-([0-9a-f]{8})-(\d{4,})")
#: key of the metadata of a canary; its value is the batch
KEY = "stackmend_canary"
_GIB = 1024**3
#: microversions with tags of servers, and with the hosts of an action's events
_TAGS, _EVENTS = "2.26", "2.62"
_BUILD = "compute__do_build_and_run_instance"


def named(batch: str, number: int) -> str:
    """The name of a canary."""
    return f"stackmend-canary-{batch}-{number:04}"


# -- what a canary is built from


def _named(what: str, wanted: str, every: Sequence[Found], hint: str) -> Found:
    """The one with this id, else this name; UsageError for none (with similar names) or several (with their ids)."""
    found = [one for one in every if wanted == one["id"]] or [one for one in every if wanted == one.get("name")]
    if not found:
        near = get_close_matches(wanted, [str(one.get("name") or "") for one in every])
        raise UsageError(f"there is no {what} {wanted!r}", f"Did you mean {', '.join(near)}?" if near else hint)
    if len(found) > 1:
        ids = ", ".join(sorted(str(one["id"]) for one in found))
        raise UsageError(f"{len(found)} {what}s are called {wanted!r}", f"Name one by its id: {ids}.")
    return found[0]


def network(api: Api, wanted: str) -> Found:
    """The network with this name or id; {} if none is requested."""
    if not wanted:
        return {}
    found = _named("network", wanted, neutron.networks(api), "See 'openstack network list'.")
    if found.get("subnets") == []:
        raise UsageError(f"network {wanted} has no subnet: Nova creates no server there", "Name another one.")
    return found


def image(api: Api, wanted: str, volume: int = 0) -> Found:
    """The image with this name or id, else the smallest. ``volume``: size in GiB that it must fit, 0 for no volume."""
    every = glance.active(api)
    if wanted:
        found = _named("active image", wanted, every, "See 'openstack image list --all'.")
    else:
        plain = [one for one in every if not one.get("block_device_mapping")]
        if not plain:
            raise UsageError("there is no active image for a canary", "Name one with --image, or use --no-canary.")
        found = min(plain, key=lambda one: (whole(one.get("size") or 0), str(one["id"])))
    if volume and volume < gigabytes(found):
        raise UsageError(f"--volume {volume}: image {found['name']} needs {gigabytes(found)} GiB", "Use a larger size.")
    return found


def gigabytes(found: Found) -> int:
    """Size of a disk created from this image, in GiB."""
    return max(whole(found.get("min_disk") or 0), -(-whole(found.get("size") or 0) // _GIB))


def flavor(api: Api, wanted: str, image: Found, volume: int) -> Found:
    """The flavor with this name or id, else the smallest without extra specs that the image fits."""
    found = compute.flavors(api)

    def holds(one: Found) -> bool:
        room = volume or whole(one["disk"]) == 0 or whole(one["disk"]) >= gigabytes(image)
        return bool(whole(one["ram"]) >= whole(image.get("min_ram") or 0) and room)

    if wanted:
        chosen = _named("flavor", wanted, found, "See 'openstack flavor list --all'.")
        if not holds(chosen):
            raise UsageError(f"image {image['name']} does not fit flavor {wanted}", "Name another image or flavor.")
        return chosen
    fits = [
        one for one in found
        if holds(one) and not one.get("extra_specs") and not one.get("OS-FLV-DISABLED:disabled")
    ]  # fmt: skip
    if not fits:
        raise UsageError(
            "no flavor without extra specs fits the image of the canary", "Name one with --flavor, or use --no-canary."
        )
    return min(fits, key=lambda one: (whole(one["ram"]), whole(one["disk"]), whole(one["vcpus"]), str(one["id"])))


def lacking(api: Api, flavor: Found, number: int, networks: int, volume: int) -> list[str]:
    """What the quotas of the account's project lack for so many canaries at a time, in words."""
    project = api.account().project
    server = api.get("compute", f"/os-quota-sets/{segment(project)}/detail", "2.1") or {}
    wanted = {
        "instances": number,
        "cores": number * whole(flavor["vcpus"]),
        "ram": number * whole(flavor["ram"]),
    }
    found = [
        words for name, more in wanted.items()
        if (words := _short(name, members(members(server.get("quota_set")).get(name)), "in_use", more))
    ]  # fmt: skip
    if networks:
        ports = members((api.get("network", f"/quotas/{segment(project)}/details.json") or {}).get("quota"))
        found += filter(None, [_short("ports", members(ports.get("port")), "used", number * networks)])
    if volume:
        body = api.get("block-storage", f"/os-quota-sets/{segment(project)}?usage=True", "3.0") or {}
        quota = members(body.get("quota_set"))
        for name, more in (("volumes", number), ("gigabytes", number * volume)):
            found += filter(None, [_short(name, members(quota.get(name)), "in_use", more)])
    return found


def _short(name: str, quota: Found, key: str, more: int) -> str:
    limit = whole(quota.get("limit", -1))
    used = whole(quota.get(key) or 0) + whole(quota.get("reserved") or 0)
    return f"{name}: {used} of {limit} in use, {more} more are needed" if 0 <= limit < used + more else ""


# -- what exists of them


class Left(NamedTuple):
    """A server or port of a canary that exists."""

    canary: str  #: its name
    kind: str  #: "server" or "port"
    id: str
    network: str = ""  #: of a port


def there(api: Api, batch: str = "") -> list[Left]:
    """The servers and ports of a batch's canaries, or of all: servers by name, tag and metadata, ports by their tag."""
    pattern = f"^stackmend-canary-{batch or '[0-9a-f]{8}'}-"
    found = [
        Left(str(one["name"]), "server", str(one["id"]))
        for one in api.every("compute", f"/servers/detail?all_tenants=1&name={segment(pattern)}", "servers", _TAGS)
        if _own(str(one["name"]), batch) and one["name"] in texts(one.get("tags")) and KEY in members(one["metadata"])
    ]
    fields = "".join(f"&fields={name}" for name in ("id", "tags", "network_id"))
    for port in api.every("network", f"/ports?{fields.removeprefix('&')}", "ports"):
        tag = next((tag for tag in texts(port.get("tags")) if _own(tag, batch)), "")
        if tag:
            found.append(Left(tag, "port", str(port["id"]), str(port["network_id"])))
    return found


def _own(name: str, batch: str) -> bool:
    match = NAME.fullmatch(name)
    return match is not None and batch in ("", match[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Nova's record of the build of one canary, available even after its deletion."""

    server: str
    waited: float | None = None  #: seconds until the first host began
    #: all but the last have failed, because another host had to try. Whether the last one failed is not recorded here:
    #: Nova ends the event of a failed build with "Success" (nova/compute/manager.py: _do_build_and_run_instance)
    attempts: tuple[Attempt, ...] = ()
    fault: str = ""  #: Nova's reason for the failure of the build


def stories(api: Api, batch: str) -> dict[str, Story]:
    """Name -> story, for every canary of a batch of which Nova still has a record."""
    found: dict[str, Story] = {}
    name = segment(f"^stackmend-canary-{batch}-")
    for deleted in ("true", "false"):
        path = f"/servers/detail?all_tenants=1&deleted={deleted}&name={name}"
        for one in list(api.every("compute", path, "servers", _TAGS)):
            if _own(str(one["name"]), batch):
                found[str(one["name"])] = _story(api, one)
    return found


def _story(api: Api, shown: Resource) -> Story:
    server, fault = str(shown["id"]), str(members(shown.get("fault")).get("message") or "")[:300]
    base = f"/servers/{segment(server)}/os-instance-actions"
    try:
        listed = objects((api.get("compute", base, _EVENTS) or {}).get("instanceActions"))
        made = next((one for one in listed if one.get("action") == "create"), None)
        body = api.get("compute", f"{base}/{segment(made['request_id'])}", _EVENTS) if made else None
    except SourceError:
        return Story(server=server, fault=fault)  # the story only explains; the verdict does not depend on it
    if made is None or body is None:
        return Story(server=server, fault=fault)
    events = [one for one in objects(body["instanceAction"].get("events")) if one.get("event") == _BUILD]
    events.sort(key=lambda one: str(one.get("start_time")))
    begun = _moment(made.get("start_time"))
    first = _moment(events[0].get("start_time")) if events else None
    return Story(
        server=server,
        waited=round((first - begun).total_seconds(), 1) if first and begun else None,
        attempts=tuple(_attempt(event, last=event is events[-1]) for event in events),
        fault=fault,
    )


def _attempt(event: Resource, *, last: bool) -> Attempt:
    begun, ended = _moment(event.get("start_time")), _moment(event.get("finish_time"))
    return Attempt(
        host=str(event.get("host") or ""),
        seconds=round((ended - begun).total_seconds(), 1) if begun and ended else None,
        failed=not last or event.get("result") == "Error",
    )


def _moment(value: object) -> datetime | None:
    found = text(value)
    return datetime.fromisoformat(found).replace(tzinfo=UTC) if found else None
