# SPDX-License-Identifier: Apache-2.0
"""API calls shared by several repairs, each with the state it expects and, if there is one, its inverse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from stackmend.model.api import Resource
from stackmend.model.operations import ApiCall, Operation, Seen
from stackmend.model.operations.network import PortSeen, PortValues, ReturnPort, UpdatePort
from stackmend.model.operations.placement import Allocations, AllocationsSeen, SetAllocations
from stackmend.model.protocols import Api, Live
from stackmend.model.repair import CannotRepair
from stackmend.repairs.ports import of_host

#: attributes of a server that must be unchanged when a call concerning it is made
SERVER = ("server", "server.host", "server.vm_state", "server.task_state")


def api_of(live: Live, *operations: type[Operation[Seen]]) -> Api:
    """The services' APIs; CannotRepair if the cloud lacks one of these operations."""
    if live.api is None:
        raise CannotRepair("no API is available")
    for operation in operations:
        if why := live.api.lacks(operation):
            raise CannotRepair(why)
    return live.api


def guarded(made: Operation[Seen], found: Seen, names: Iterable[str], inverse: ApiCall | None = None) -> ApiCall:
    """A call that is guarded by the named values as they were read."""
    return made.call(chosen(found, names), inverse)


def chosen(found: Seen, names: Iterable[str]) -> Seen:
    """The named values among those that were read, if present."""
    return cast("Seen", {name: found[name] for name in names if name in found})


def shown(found: Resource, what: str) -> None:
    """CannotRepair unless the API shows the resource (``port``, ``volume``, ``server``, ``attachment``)."""
    if found.get(what) == "absent":
        raise CannotRepair(f"the API does not show the {what}")


def idle(found: Resource, server: object) -> None:
    """CannotRepair while Nova shows an operation in progress on the server."""
    if found.get("server") != "present":
        raise CannotRepair(f"Nova's API does not show server {server}")
    if found["server.task_state"] is not None or found["server.vm_state"] == "building":
        raise CannotRepair(f"server {server} is busy: {found['server.vm_state']}, {found['server.task_state']}")


def server_absent(found: Resource, server: object) -> None:
    """CannotRepair if Nova shows a server that should not exist."""
    if found.get("server") == "present":
        raise CannotRepair(f"Nova's API shows server {server}, but no cell has a row of it: check its cell mapping")


def port_updated(
    port: str, values: PortValues, before: PortSeen, expect: PortSeen, back: type[UpdatePort | ReturnPort] = UpdatePort
) -> ApiCall:
    """Set attributes of a port; undo restores those of ``before`` that are still as set."""
    inverse = back(port=port, values=cast("PortValues", chosen(before, values))).call(cast("PortSeen", values))
    return UpdatePort(port=port, values=values).call(expect, inverse)


def let_go(port: str, found: PortSeen, guards: Iterable[str]) -> ApiCall:
    """Free a port: no device, no host, nothing of the host in its profile; its addresses stay.

    Its DNS name is that of its server and is cleared, as Nova does: a server with another name could not use the port.
    """
    profile = found["binding:profile"] or {}
    kept = {name: value for name, value in profile.items() if not of_host(name)}
    values: PortValues = {"device_id": "", "device_owner": "", "binding:host_id": ""}
    if kept != profile:
        # Neutron lets only services set it
        values["binding:profile"] = kept
    if found.get("dns_name"):
        values["dns_name"] = ""
    return port_updated(port, values, found, chosen(found, ("device_id", "device_owner", "binding:host_id", *guards)))


def allocations(api: Api, consumer: str) -> AllocationsSeen:
    """The allocations of a consumer, as Placement shows them."""
    return api.look(SetAllocations(consumer=consumer, allocations={}, generation=None, project=None, user=None))


def allocations_set(consumer: str, wanted: Allocations, found: AllocationsSeen, guards: Iterable[str]) -> ApiCall:
    """Set a consumer's allocations, none for {}; undo restores the previous ones."""
    held, generation, project, user = found["allocations"], found["generation"], found["project"], found["user"]
    made = SetAllocations(consumer=consumer, allocations=wanted, generation=generation, project=project, user=user)
    # an empty set deletes the consumer as well; otherwise its generation is incremented
    after = generation + 1 if wanted and generation is not None else None
    back = SetAllocations(consumer=consumer, allocations=held, generation=after, project=project, user=user)
    inverse = back.call({"allocations": wanted, "generation": after})
    return guarded(made, found, ("allocations", "generation", *guards), inverse)
