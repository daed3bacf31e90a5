# SPDX-License-Identifier: Apache-2.0
"""The state of a server, as operations of several services read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stackmend.drivers.api.operations import ResourceReader
from stackmend.drivers.api.session import segment
from stackmend.model.operations.compute import ServerOfHostSeen
from stackmend.model.operations.servers import ServerSeen

#: 2.1 shows an administrator host and states, in every release; if a cell is down it returns an error, never a 404
SERVER = "2.1"


def read(reader: ResourceReader, server: object) -> Any:
    """The server, or None if Nova has none with that id."""
    body = reader.get("compute", f"/servers/{segment(server)}", SERVER)
    return None if body is None else body["server"]


def busier(first: Any, last: Any) -> Any:
    """Of two readings of a server, with others in between, the decisive one: the last, unless the first had a task."""
    task = "OS-EXT-STS:task_state"
    return first if last and first and first.get(task) is not None and last.get(task) is None else last


def picture(found: Any) -> ServerSeen:
    """The state that guards compare: whether the server exists, its host, vm_state and task_state."""
    if found is None:
        return {"server": "absent"}
    return {
        "server": "present",
        "server.host": found.get("OS-EXT-SRV-ATTR:host"),
        "server.vm_state": found.get("OS-EXT-STS:vm_state"),
        "server.task_state": found.get("OS-EXT-STS:task_state"),
    }


def host(reader: ResourceReader, found: Any) -> ServerOfHostSeen:
    """``host``: whether nova-compute on the server's host is "up" or "down", None if it has no host."""
    name = (found or {}).get("OS-EXT-SRV-ATTR:host")
    if not name:
        return {"host": None}
    body = reader.get("compute", f"/os-services?host={segment(name)}&binary=nova-compute", SERVER)
    states = [service["state"] for service in (body or {}).get("services", ())]
    return {"host": states[0] if states else None}


class LastAction(NamedTuple):
    """The latest of some actions of a server."""

    name: str = ""
    id: str = ""  #: request id
    state: str = ""  #: "asked" until nova-compute starts it, "open", "error", "over"; "" if there is none


def last_action(reader: ResourceReader, server: object, names: Iterable[str]) -> LastAction:
    """The latest action of a server with one of these names, as recorded by Nova."""
    base, wanted = f"/servers/{segment(server)}/os-instance-actions", frozenset(names)
    listed = (reader.get("compute", base, SERVER) or {}).get("instanceActions", ())
    mine = [one for one in listed if one["action"] in wanted]
    last = max(mine, key=lambda one: str(one["start_time"]), default=None)
    if last is None:
        return LastAction()
    body = reader.get("compute", f"{base}/{segment(last['request_id'])}", SERVER)
    events: list[Mapping[str, Any]] = [] if body is None else body["instanceAction"].get("events") or []
    state = "over" if events else "asked"
    if any(event.get("result") == "Error" for event in events):
        state = "error"
    if any(not event.get("finish_time") for event in events):
        state = "open"
    return LastAction(str(last["action"]), str(last["request_id"]), state)


def macs(found: Any) -> frozenset[str]:
    """The MAC addresses in its network cache; NICs without an address are not included."""
    return frozenset(
        str(address["OS-EXT-IPS-MAC:mac_addr"]).lower()
        for network in (found or {}).get("addresses", {}).values()
        for address in network
        if "OS-EXT-IPS-MAC:mac_addr" in address
    )


def lower(some: Iterable[object]) -> frozenset[str]:
    """The texts in lower case."""
    return frozenset(str(one).lower() for one in some)
