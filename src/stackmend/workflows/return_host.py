# SPDX-License-Identifier: Apache-2.0
"""Let servers onto a host again after its maintenance, once a canary has shown that it can run one.

## What it does
Waits until the host has cleaned up after evacuations, until its nova-compute is heard of again and its agents are
alive. Then the host is enabled and a canary, a small server of our own, is created on it, with a network and a volume
where that is asked for. If it does not come up with its ports in use, the host is disabled again; the canary is deleted
in any case. With `--back-from RUN` the servers that a drain moved away come back, each from where it is now.

The host is enabled before the canary because Placement offers no disabled host, not even to an administrator who names
it. For as long as the canary takes, other servers can be scheduled there too.

## Guards
nova-compute must be up at a time later than the plan; a host that was declared dead is given back only when every
evacuation from it is completed. Flavor, image and network of the canary are looked for, and must fit each other, before
anything is planned. A server comes back only if it is as it was seen, elsewhere and in a state that moves.

## Undo
Disables the host again with the reason that it had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from stackmend.cloud import compute, hosts, network, servers
from stackmend.cloud import image as glance
from stackmend.cloud.hosts import Compute
from stackmend.cloud.servers import Server
from stackmend.cloud.states import IN_MEMORY
from stackmend.hosts import moving
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute_hosts import (
    CreateCanary,
    DeleteCanary,
    DisableService,
    DisableUnlessCanary,
    EnableService,
    EvacuationsCompleted,
    ForceDown,
    ForceUp,
    HostServes,
    ServiceUp,
)
from stackmend.model.operations.network import AgentsAlive
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Gate, Manual, Risk, Step
from stackmend.model.values import real, text, texts, whole
from stackmend.model.workflow import LaneDraft, Sight, Workflow

_BACK, _ENABLE, _CANARY, _JUDGE, _CLEAN, _SERVES, _HOME = range(7)
_GIB = 1024**3
_NETWORKS = "See 'openstack network list'."


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """Really back, enabled, tried by a canary, and the servers that are wanted back."""
    host = str(arguments["host"])
    own = hosts.compute(hosts.computes(sight.api), host)
    wanted = list(texts(arguments.get("back")))
    sight.facts.update(host=host, service={"status": own.status, "reason": own.reason, "state": own.state})
    yield _really_back(sight, own)
    yield _enabled(own)
    if arguments.get("canary", True):
        yield from _tried(sight, own, arguments)
    yield LaneDraft(
        resource_type="host", resource_id=host, message=f"{host} is up and enabled", stage=_SERVES, required=True,
        steps=(HostServes(service=own.service, host=own.host).call(),),
    )  # fmt: skip
    yield from _home(sight, own, wanted, arguments)


def _really_back(sight: Sight, own: Compute) -> LaneDraft:
    steps: list[Step] = []
    waiting = hosts.evacuations(sight.api, own.host)
    if waiting:
        steps.append(EvacuationsCompleted(host=own.host).call())
    if own.forced_down:
        back = ForceDown(service=own.service, host=own.host).call()
        steps.append(ForceUp(service=own.service, host=own.host).call({"service": "present"}, back))
    elif own.state != "up":
        raise CannotRepair(
            f"nova-compute on {own.host} is down (last heard of {own.heartbeat or 'never'}): start it, 'stackmend host"
            f" start {own.host}'"
        )
    steps += [
        ServiceUp(service=own.service, host=own.host, after=own.heartbeat).call(),
        AgentsAlive(host=own.host).call(),
    ]
    told = f"{len(waiting)} evacuations are completed, " if waiting else ""
    return LaneDraft(
        resource_type="host", resource_id=own.host, stage=_BACK, required=True, steps=tuple(steps),
        message=f"{own.host} is back: {told}its nova-compute is heard of, its agents are alive",
    )  # fmt: skip


def _enabled(own: Compute) -> LaneDraft:
    reason = own.reason or "disabled again by stackmend"
    back = DisableService(service=own.service, host=own.host, reason=reason).call({"service": "present"})
    enable = EnableService(service=own.service, host=own.host).call(
        {"service": "present", "state": "up", "reason": own.reason}, back
    )
    return LaneDraft(
        resource_type="host", resource_id=own.host, stage=_ENABLE, required=True,
        message=f"{own.host} is enabled (it is {own.status}{f': {own.reason}' if own.reason else ''})",
        steps=(Gate(name=f"enable-{own.host}", text=f"{own.host} is up. Let servers onto it?"), enable),
        target={"status": own.status, "reason": own.reason},
    )  # fmt: skip


# -- the canary


def _tried(sight: Sight, own: Compute, arguments: Row) -> Iterator[LaneDraft]:
    image = _image(sight, str(arguments.get("image") or ""))
    size = whole(arguments.get("volume") or 0)
    if size and size < _gigabytes(image):
        raise UsageError(f"--volume {size}: image {image['name']} needs {_gigabytes(image)} GiB", "Name more, or none.")
    flavor = _flavor(sight, str(arguments.get("flavor") or ""), image, size)
    network = _network(sight, str(arguments.get("network") or ""))
    digest = hashlib.sha256(f"{own.host} {sight.now}".encode()).hexdigest()[:8]
    name = f"stackmend-canary-{own.host}-{digest}"
    sight.facts["canary"] = {"name": name, "flavor": flavor["name"], "image": image["name"], **_told(network)}
    reason = own.reason or "the canary of stackmend did not start"
    create = CreateCanary(
        name=name, host=own.host, flavor=str(flavor["id"]), image=str(image["id"]), network=text(network.get("id")),
        volume=size,
    ).call()  # fmt: skip
    judge = DisableUnlessCanary(service=own.service, host=own.host, name=name, reason=reason).call()
    delete = DeleteCanary(name=name, host=own.host).call()
    told = (
        (_CANARY, f"server {name} (flavor {flavor['name']}, image {image['name']}) runs on {own.host}", create),
        (_JUDGE, f"{own.host} is disabled again unless the canary runs", judge),
        (_CLEAN, f"server {name} is deleted", delete),
    )
    for stage, message, step in told:
        yield LaneDraft(resource_type="host", resource_id=own.host, message=message, stage=stage, steps=(step,))


def _told(network: Mapping[str, object]) -> dict[str, object]:
    return {"network": network.get("name") or network["id"]} if network else {}


def _named(what: str, wanted: str, every: Sequence[Mapping[str, object]], hint: str) -> Mapping[str, object]:
    """The one of this id, else of this name; UsageError for none, with near names, and for several, with their ids."""
    found = [one for one in every if wanted == one["id"]] or [one for one in every if wanted == one.get("name")]
    if not found:
        near = get_close_matches(wanted, [str(one.get("name") or "") for one in every])
        raise UsageError(f"there is no {what} {wanted!r}", f"Did you mean {', '.join(near)}?" if near else hint)
    if len(found) > 1:
        ids = ", ".join(sorted(str(one["id"]) for one in found))
        raise UsageError(f"{len(found)} {what}s are called {wanted!r}", f"Name one by its id: {ids}.")
    return found[0]


def _network(sight: Sight, wanted: str) -> Mapping[str, object]:
    """The network of this name or id; {} where none is asked for."""
    if not wanted:
        return {}
    found = _named("network", wanted, network.networks(sight.api), _NETWORKS)
    if found.get("subnets") == []:
        raise UsageError(f"network {wanted} has no subnet: Nova makes no server there", "Name another one.")
    return found


def _image(sight: Sight, wanted: str) -> Mapping[str, object]:
    """The one of this name or id, else the smallest."""
    every = glance.active(sight.api)
    if wanted:
        return _named("active image", wanted, every, "See 'openstack image list --all'.")
    plain = [one for one in every if not one.get("block_device_mapping")]
    if not plain:
        raise UsageError("there is no active image for a canary", "Name one by --image, or leave out the canary.")
    return min(plain, key=lambda one: (whole(one.get("size") or 0), str(one["id"])))


def _gigabytes(image: Mapping[str, object]) -> int:
    """What a disk of this image takes."""
    return max(whole(image.get("min_disk") or 0), -(-whole(image.get("size") or 0) // _GIB))


def _flavor(sight: Sight, wanted: str, image: Mapping[str, object], volume: int) -> Mapping[str, object]:
    """The one of this name or id, else the smallest that the image fits in and that asks for nothing special."""
    found = compute.flavors(sight.api)

    def holds(one: Mapping[str, object]) -> bool:
        room = volume or whole(one["disk"]) == 0 or whole(one["disk"]) >= _gigabytes(image)
        return bool(whole(one["ram"]) >= whole(image.get("min_ram") or 0) and room)

    if wanted:
        named = _named("flavor", wanted, found, "See 'openstack flavor list --all'.")
        if not holds(named):
            raise UsageError(f"image {image['name']} does not fit flavor {wanted}", "Name another one of the two.")
        return named
    fits = [
        one for one in found
        if holds(one) and not one.get("extra_specs") and not one.get("OS-FLV-DISABLED:disabled")
    ]  # fmt: skip
    if not fits:
        raise UsageError(
            "no flavor without extra specs fits the image of the canary", "Name one by --flavor, or --no-canary."
        )
    return min(fits, key=lambda one: (one["ram"], one["disk"], one["vcpus"], str(one["id"])))


# -- back again


def _home(sight: Sight, own: Compute, wanted: list[str], arguments: Row) -> Iterator[LaneDraft]:
    """The servers that are wanted back: those that run move while they run, those that are stopped cold."""
    if not wanted:
        return
    groups = servers.groups(sight.api)
    images: dict[str, Mapping[str, object]] = {}
    wishes = moving.Wishes(
        to=own.host, cold=True, stage=_HOME, limit=real(arguments.get("timeout") or 3600),
        stall=real(arguments.get("stall") or 900), on_stall=str(arguments.get("on_stall") or "abort"),
    )  # fmt: skip
    for name in dict.fromkeys(wanted):
        found = servers.server(sight.api, name)
        if found is None:
            yield _stays(name, own, "it was deleted")
        elif found.host == own.host:
            continue
        elif found.host is None:
            yield _stays(name, own, "it is on no host: unshelve it, and Nova puts it where there is room")
        else:
            one = replace(found, groups=tuple(groups.get(name, ())))
            yield moving.lane(one, wishes, "; ".join(_hindered(sight, one, own, images)))


def _hindered(sight: Sight, one: Server, own: Compute, images: dict[str, Mapping[str, object]]) -> Iterator[str]:
    if one.task_state is None and one.vm_state in IN_MEMORY:
        yield from servers.immovable(sight.api, one, servers.image_of(sight.api, one, images))
    yield from servers.crowded(sight.api, one, [own.host], {})


def _stays(name: str, own: Compute, why: str) -> LaneDraft:
    return LaneDraft(
        resource_type="server", resource_id=name, message=f"{name} does not come back to {own.host}", stage=_HOME,
        steps=(Manual(text=f"server {name}: {why}"),), risk=Risk.MANUAL, why=why,
    )  # fmt: skip


WORKFLOW = Workflow(name="return-host", risk=Risk.SAFE, lanes=lanes)
