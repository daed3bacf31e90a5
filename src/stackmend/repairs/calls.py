# SPDX-License-Identifier: Apache-2.0
"""API calls that several repairs make, each with what it expects to find and, where there is one, its inverse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from stackmend.model.protocols import Api, Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import ApiCall

Found = Mapping[str, Any]

#: what must not have changed about a server when a call is made that concerns it
SERVER = ("server", "server.host", "server.vm_state", "server.task_state")


def api_of(live: Live, *operations: tuple[str, str]) -> Api:
    """The services' APIs; CannotRepair where the cloud lacks one of these (service, operation)."""
    if live.api is None:
        raise CannotRepair("no API is at hand")
    for service, operation in operations:
        if why := live.api.lacks(service, operation):
            raise CannotRepair(why)
    return live.api


def call(service: str, operation: str, **arguments: Any) -> ApiCall:
    """A call without guards."""
    return ApiCall(service=service, operation=operation, arguments=arguments)


def guarded(made: ApiCall, found: Found, names: Iterable[str], **more: Any) -> ApiCall:
    """The call with these values of what was found as its guards; ``more``: those that are to be something else."""
    expect = {name: found[name] for name in names if name in found}
    return replace(made, expect={**expect, **more})


def shown(found: Found, what: str) -> None:
    """CannotRepair unless the API shows the thing (``port``, ``volume``, ``server``, ``attachment``)."""
    if found.get(what) == "absent":
        raise CannotRepair(f"its API does not show the {what}")


def idle(found: Found, server: object) -> None:
    """CannotRepair while Nova shows something going on with the server."""
    if found.get("server") != "present":
        raise CannotRepair(f"Nova's API does not show server {server}")
    if found["server.task_state"] is not None or found["server.vm_state"] == "building":
        raise CannotRepair(f"server {server} is busy: {found['server.vm_state']}, {found['server.task_state']}")


def nobody(found: Found, server: object) -> None:
    """CannotRepair when Nova shows a server that should not be."""
    if found.get("server") == "present":
        raise CannotRepair(f"Nova's API shows server {server}, which its rows do not: look at its mapping to a cell")


def port_updated(port: str, values: Found, before: Found, expect: Found) -> ApiCall:
    """Set attributes of a port; taken back, those get the values of ``before`` where they still are as set."""
    inverse = ApiCall(
        service="network",
        operation="update-port",
        arguments={"port": port, "values": {name: before[name] for name in values}},
        expect=dict(values),
    )
    made = call("network", "update-port", port=port, values=dict(values))
    return replace(made, expect=dict(expect), inverse=inverse)


def allocations_set(consumer: str, wanted: Mapping[str, Any], found: Found, guards: Iterable[str]) -> ApiCall:
    """Give a consumer these allocations, none for {}; taken back, it gets those that it had."""
    owner = {"project": found["project"], "user": found["user"]}
    # an empty set takes the consumer with it; else its generation counts on
    after = found["generation"] + 1 if wanted else None
    made = call(
        "placement", "set-allocations", consumer=consumer, allocations=wanted, generation=found["generation"], **owner
    )
    inverse = ApiCall(
        service="placement",
        operation="set-allocations",
        arguments={"consumer": consumer, "allocations": found["allocations"], "generation": after, **owner},
        expect={"allocations": wanted, "generation": after},
    )
    return replace(guarded(made, found, ("allocations", "generation", *guards)), inverse=inverse)
