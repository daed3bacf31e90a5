# SPDX-License-Identifier: Apache-2.0
"""What operations of several services want to know of a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from stackmend.drivers.api.operations import ResourceReader
from stackmend.drivers.api.session import segment
from stackmend.model.operations.compute import ServerOfHostSeen
from stackmend.model.operations.servers import ServerSeen

#: 2.1 shows an administrator host and states, in every release; a cell that is down is an error in it, never a 404
SERVER = "2.1"


def read(reader: ResourceReader, server: object) -> Any:
    """The server, or None if Nova has none of that id."""
    body = reader.get("compute", f"/servers/{segment(server)}", SERVER)
    return None if body is None else body["server"]


def busier(first: Any, last: Any) -> Any:
    """Of two looks at a server, with others between them, the one that tells: the last, unless the first had a task."""
    task = "OS-EXT-STS:task_state"
    return first if last and first and first.get(task) is not None and last.get(task) is None else last


def picture(found: Any) -> ServerSeen:
    """What guards are made of: whether there is a server, where, and what is being done with it."""
    if found is None:
        return {"server": "absent"}
    return {
        "server": "present",
        "server.host": found.get("OS-EXT-SRV-ATTR:host"),
        "server.vm_state": found.get("OS-EXT-STS:vm_state"),
        "server.task_state": found.get("OS-EXT-STS:task_state"),
    }


def host(reader: ResourceReader, found: Any) -> ServerOfHostSeen:
    """``host``: whether nova-compute of the server's host is "up" or "down", None if it has no host."""
    name = (found or {}).get("OS-EXT-SRV-ATTR:host")
    if not name:
        return {"host": None}
    body = reader.get("compute", f"/os-services?host={segment(name)}&binary=nova-compute", SERVER)
    states = [service["state"] for service in (body or {}).get("services", ())]
    return {"host": states[0] if states else None}


class LastAction(NamedTuple):
    """The last of some actions of a server."""

    name: str = ""
    id: str = ""  #: of the request
    state: str = ""  #: "asked" while nova-compute has not taken it, "open", "error", "over"; "" where there is none


def last_action(reader: ResourceReader, server: object, names: Iterable[str]) -> LastAction:
    """The last action of a server that has one of these names, as Nova recorded it."""
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
    """MAC addresses that its network cache lists; a NIC without address is not among them."""
    return frozenset(
        str(address["OS-EXT-IPS-MAC:mac_addr"]).lower()
        for network in (found or {}).get("addresses", {}).values()
        for address in network
        if "OS-EXT-IPS-MAC:mac_addr" in address
    )


def lower(some: Iterable[object]) -> frozenset[str]:
    """Texts in small letters."""
    return frozenset(str(one).lower() for one in some)
