# SPDX-License-Identifier: Apache-2.0
"""Return a host to service after maintenance, once a canary server has run on it.

## What it does
Waits until the host has cleaned up after evacuations, its nova-compute reports again and its agents are alive. Then the
host is enabled and a canary, a small test server, is created on it, with a network and a volume if requested. If the
canary does not come up with its ports in use, the host is disabled again; the canary is deleted in any case. With
`--back-from RUN` the servers that a drain moved away come back, each from its current host.

The host is enabled before the canary is created, because Placement offers no disabled host, not even to an
administrator who names it. Until the canary is done, other servers can be scheduled there too.

## Guards
nova-compute must have reported after the plan was made; the forced-down flag of a host that was declared dead is
removed only when every evacuation from it is completed. Flavor, image and network of the canary must exist and fit each
other before anything is planned. A server comes back only if it is unchanged, on another host and in a state that can
be moved.

## Undo
Disables the host again with its previous reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from stackmend.cloud import canaries, hosts, servers
from stackmend.cloud.hosts import Compute
from stackmend.cloud.servers import Server
from stackmend.cloud.states import IN_MEMORY
from stackmend.hosts import moving
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


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """Lanes: the host is back, it is enabled, the canary runs, and the servers come back."""
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
            f"nova-compute on {own.host} is down (last report: {own.heartbeat or 'never'}): start it with"
            f" 'stackmend host start {own.host}'"
        )
    steps += [
        ServiceUp(service=own.service, host=own.host, after=own.heartbeat).call(),
        AgentsAlive(host=own.host).call(),
    ]
    told = f"{len(waiting)} evacuations are completed, " if waiting else ""
    return LaneDraft(
        resource_type="host", resource_id=own.host, stage=_BACK, required=True, steps=tuple(steps),
        message=f"{own.host} is back: {told}its nova-compute reports, its agents are alive",
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
        steps=(Gate(name=f"enable-{own.host}", text=f"{own.host} is up. Allow servers on it?"), enable),
        target={"status": own.status, "reason": own.reason},
    )  # fmt: skip


# -- the canary


def _tried(sight: Sight, own: Compute, arguments: Row) -> Iterator[LaneDraft]:
    size = whole(arguments.get("volume") or 0)
    image = canaries.image(sight.api, str(arguments.get("image") or ""), size)
    flavor = canaries.flavor(sight.api, str(arguments.get("flavor") or ""), image, size)
    network = canaries.network(sight.api, str(arguments.get("network") or ""))
    digest = hashlib.sha256(f"{own.host} {sight.now}".encode()).hexdigest()[:8]
    name = f"stackmend-canary-{own.host}-{digest}"
    sight.facts["canary"] = {"name": name, "flavor": flavor["name"], "image": image["name"], **_network_value(network)}
    reason = own.reason or "the stackmend canary did not start"
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


def _network_value(network: Mapping[str, object]) -> dict[str, object]:
    return {"network": network.get("name") or network["id"]} if network else {}


# -- back again


def _home(sight: Sight, own: Compute, wanted: list[str], arguments: Row) -> Iterator[LaneDraft]:
    """The servers to bring back: running ones by live migration, stopped ones by cold migration."""
    if not wanted:
        return
    groups = servers.groups(sight.api)
    images: dict[str, Mapping[str, object]] = {}
    wishes = moving.MoveOptions(
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
            yield _stays(name, own, "it is on no host: unshelve it, and Nova places it where there is room")
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
