# SPDX-License-Identifier: Apache-2.0
"""Operations on the servers of a host that is dead, or was restarted (nova/compute/api.py: evacuate)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from stackmend.cloud.states import EVACUATED, EVACUATING
from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, ResourceReader, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.errors import SourceError
from stackmend.model.operations.compute import GuestPower, PowerSeen
from stackmend.model.operations.compute_hosts import (
    AwaitSilence,
    AwaitWhole,
    CleanedSeen,
    DeclareDown,
    DeclaredSeen,
    DeclareOperation,
    DeclareUp,
    EvacuationsCompleted,
    LeaveDeadHost,
    LeavingSeen,
    WholeSeen,
)
from stackmend.model.step import StepState

#: shows services by UUID, and forced_down
_SERVICES = "2.53"
#: shows migrations of one server or type, paginated, the latest first
_MIGRATIONS = "2.59"
_RUNNING = 1
#: clock difference allowed between two API hosts, in seconds; nova-compute sends a heartbeat every ten
_SKEW = timedelta(seconds=5)


def service(reader: ResourceReader, host: object) -> DeclaredSeen:
    """nova-compute of a host in Nova: evacuation depends on ``service.state``.

    ``service.changed`` changes with every heartbeat, and with every change of the service through the API.
    """
    body = reader.get("compute", f"/os-services?host={segment(host)}&binary=nova-compute", _SERVICES)
    found = next(iter((body or {}).get("services", ())), None)
    if found is None:
        return {"service": "absent"}
    return {
        "service": "present",
        "service.state": found["state"],
        "service.forced_down": bool(found.get("forced_down")),
        "service.changed": found.get("updated_at"),
    }


def evacuations(reader: ResourceReader, query: str) -> Iterator[Mapping[str, Any]]:
    """The evacuations that match a query, the latest first, from every page."""
    path = f"/os-migrations?migration_type=evacuation&{query}"
    marker = ""
    while True:
        body = reader.get("compute", f"{path}{f'&marker={segment(marker)}' if marker else ''}", _MIGRATIONS)
        page = (body or {}).get("migrations", ())
        yield from page
        more = any(link.get("rel") == "next" for link in (body or {}).get("migrations_links") or ())
        if not more or not page:
            return
        marker = str(page[-1]["uuid"])


def _declared(reader: ResourceReader, asked: AwaitSilence | DeclareOperation) -> DeclaredSeen:
    """The service, and the number of evacuations that its host has not cleaned up yet."""
    pending = [
        one for one in evacuations(reader, f"source_compute={segment(asked.host)}") if one["status"] in EVACUATED
    ]
    return {**service(reader, asked.host), "evacuations": len(pending)}


def _declare(asked: DeclareOperation, down: bool) -> list[Request]:
    path = f"/os-services/{segment(asked.service)}"
    body = {"forced_down": down}
    return [Request(service="compute", method="PUT", path=path, body=body, microversion=_SERVICES)]


def _is_declared(picture: DeclaredSeen, down: bool) -> StepState:
    if picture["service"] == "absent":
        return StepState.FAILED
    return StepState.DONE if picture["service.forced_down"] is down else StepState.PLANNED


def _silent(picture: DeclaredSeen, asked: AwaitSilence) -> StepState:
    """Whether nova-compute has sent no heartbeat since the plan was made."""
    same = picture.get("service.changed") == asked.changed
    return StepState.DONE if same and picture["service.state"] == "down" else StepState.FAILED


# -- evacuating


def _leaving(reader: ResourceReader, asked: LeaveDeadHost) -> LeavingSeen:
    """The server, its latest evacuation not among ``old``, and whether the host it leaves sends heartbeats."""
    found = _servers.read(reader, asked.server)
    if found is None:
        return {"server": "absent"}
    picture = cast("LeavingSeen", _servers.picture(found))
    picture["service.reports"] = _reports(reader, asked)
    query = f"instance_uuid={segment(asked.server)}&source_compute={segment(asked.from_)}"
    newest = next((one for one in evacuations(reader, query) if one["uuid"] not in asked.old), None)
    picture["evacuation"] = newest["status"] if newest else None
    fault = found.get("fault") or {}
    if picture["server.vm_state"] == "error" and fault.get("message"):
        picture["fault"] = str(fault["message"])
    return picture


def _reports(reader: ResourceReader, asked: LeaveDeadHost) -> bool:
    """Whether the service changed after the first evacuation later than ``since``.

    A host that is forced down is down for Nova whatever it sends, and forcing it down changes the record too: but a
    change after an evacuation of this run is a heartbeat of its nova-compute.
    """
    since = _moment(asked.since)
    begun = [_moment(one["created_at"]) for one in evacuations(reader, f"source_compute={segment(asked.from_)}")]
    first = min((at for at in begun if at > since), default=None)
    changed = service(reader, asked.from_).get("service.changed")
    return first is not None and bool(changed) and _moment(changed) > first + _SKEW


def _moment(text: object) -> datetime:
    found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _left(picture: LeavingSeen, asked: LeaveDeadHost) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    if picture["server.host"] != asked.from_:
        return StepState.DONE if picture["server.task_state"] is None else StepState.INTENT
    task = str(picture["server.task_state"] or "")
    if task.startswith("rebuild") or picture["evacuation"] in EVACUATING:
        return StepState.INTENT
    if picture["evacuation"] in ("failed", "error"):
        return StepState.FAILED
    # "done" while the server is still here: Nova updates the migration just before the server
    return StepState.INTENT if picture["evacuation"] == "done" else StepState.PLANNED


def _leave(asked: LeaveDeadHost) -> list[Request]:
    """``version``: from 2.95 on the server is stopped on arrival; a cloud with old hosts refuses that."""
    path = f"/servers/{segment(asked.server)}/action"
    body = {"evacuate": {"host": asked.to} if asked.to else {}}
    versions = [asked.version, "2.68"] if asked.version == "2.95" else [asked.version]
    return [Request(service="compute", method="POST", path=path, body=body, microversion=one) for one in versions]


# -- the state wanted afterwards


def _whole(reader: ResourceReader, asked: AwaitWhole) -> WholeSeen:
    """``lacking``: what is not right yet, in words: host, power, ports, volumes, allocation."""
    found = _servers.read(reader, asked.server)
    if found is None:
        return {"server": "absent"}
    picture = _servers.picture(found)
    power = found.get("OS-EXT-STS:power_state")
    host = str(picture["server.host"] or "")
    lacking = []
    if (asked.at and host != asked.at) or (asked.left and host == asked.left):
        lacking.append(f"it is on {host}")
    if picture["server.vm_state"] == "error":
        lacking.append(f"it is in error: {(found.get('fault') or {}).get('message') or 'no fault is recorded'}")
    if picture["server.task_state"]:
        lacking.append(f"it is {picture['server.task_state']}")
    if asked.running and (power != _RUNNING or picture["server.vm_state"] != "active"):
        lacking.append("it is not running")
    lacking += _ports(reader, asked, host)
    lacking += _volumes(reader, asked, host)
    lacking += _allocation(reader, asked, str(found.get("OS-EXT-SRV-ATTR:hypervisor_hostname") or ""))
    return {**picture, "lacking": "; ".join(lacking)}


def _ports(reader: ResourceReader, asked: AwaitWhole, host: str) -> Iterator[str]:
    if not asked.ports:
        return
    body = reader.get("network", f"/ports?device_id={segment(asked.server)}")
    ports = {str(port["id"]): port for port in (body or {}).get("ports", ())}
    for name in asked.ports:
        port = ports.get(name)
        if port is None:
            yield f"port {name} no longer exists"
        elif port.get("binding:host_id") != host:
            yield f"port {name} is bound to {port.get('binding:host_id') or 'no host'}"
        elif port.get("binding:vif_type") in ("binding_failed", "unbound"):
            yield f"port {name} is {port['binding:vif_type']}"
        elif asked.running and port["status"] != "ACTIVE":
            yield f"port {name} is {port['status']}"


def _volumes(reader: ResourceReader, asked: AwaitWhole, host: str) -> Iterator[str]:
    for name in asked.volumes:
        body = reader.get("block-storage", f"/volumes/{segment(name)}", "3.0")
        if body is None:
            yield f"volume {name} no longer exists"
            continue
        mine = [one for one in body["volume"]["attachments"] if one["server_id"] == asked.server]
        hosts = sorted({str(one.get("host_name") or "no host") for one in mine})
        if body["volume"]["status"] != "in-use" or not mine:
            yield f"volume {name} is {body['volume']['status']}"
        elif hosts != [host]:
            yield f"volume {name} is attached on {' and '.join(hosts)}"


def _allocation(reader: ResourceReader, asked: AwaitWhole, node: str) -> Iterator[str]:
    body = reader.get("placement", f"/allocations/{segment(asked.server)}", "1.14")
    held = set((body or {}).get("allocations", {}))
    found = reader.get("placement", f"/resource_providers?name={segment(node)}", "1.14")
    here = {str(one["uuid"]) for one in (found or {}).get("resource_providers", ())}
    if not held & here:
        yield f"it has no allocation on {node or 'any node'}"


def _is_whole(picture: WholeSeen, _: AwaitWhole) -> StepState:
    if picture["server"] == "absent":
        return StepState.FAILED
    if not picture["lacking"]:
        return StepState.DONE
    if picture["server.vm_state"] == "error" and not picture["server.task_state"]:
        return StepState.FAILED
    return StepState.INTENT


def _cleaned(reader: ResourceReader, asked: EvacuationsCompleted) -> CleanedSeen:
    """``open``: evacuations from the host that its nova-compute has not cleaned up yet."""
    query = f"source_compute={segment(asked.host)}"
    open_ = [one for one in evacuations(reader, query) if one["status"] in EVACUATED]
    servers = sorted({str(one["instance_uuid"]) for one in open_})
    return {"open": len(open_), "servers": ", ".join(servers[:5]) + (" ..." if len(servers) > 5 else "")}


# -- the guest


def _power(reader: ResourceReader, asked: GuestPower) -> PowerSeen:
    """``running``: whether its hypervisor runs it now, according to nova-compute; None if unknown.

    Nova refuses diagnostics of a guest that is off (409). SourceError if nova-compute does not answer.
    """
    found = _servers.read(reader, asked.server)
    if found is None:
        return {"server": "absent", "running": None}
    answer = reader.reply(
        Request(
            service="compute",
            method="GET",
            path=f"/servers/{segment(asked.server)}/diagnostics",
            microversion="2.48",
        )
    )
    if answer.status >= 500 and answer.status != 501:
        raise SourceError(
            f"nova-compute of {found.get('OS-EXT-SRV-ATTR:host')} does not answer: {answer.status} {answer.words}",
            "It is running, but no message reaches it: check its log, and its queue in RabbitMQ.",
        )
    return {**_servers.picture(found), "running": {200: True, 409: False}.get(answer.status)}


def _know(picture: PowerSeen, _: GuestPower) -> StepState:
    return StepState.FAILED if picture["server"] == "absent" else StepState.DONE


OPERATIONS = (
    Implementation(
        of=AwaitSilence, requests=nothing, look=_declared, judge=_silent,
        microversion=_SERVICES, again=True, limit=30,
        waits="check that nova-compute on {host} has not reported since {changed}",
    ),
    Implementation(
        of=DeclareDown, look=_declared, judge=lambda picture, _: _is_declared(picture, True),
        requests=lambda asked: _declare(asked, True), microversion=_SERVICES, again=True,
    ),
    Implementation(
        of=DeclareUp, look=_declared, judge=lambda picture, _: _is_declared(picture, False),
        requests=lambda asked: _declare(asked, False), microversion=_SERVICES, again=True,
    ),
    Implementation(
        of=LeaveDeadHost, requests=_leave, look=_leaving, judge=_left, microversion="2.68",
        release="Rocky", again=False, limit=900, at_once=True,
    ),
    Implementation(
        of=AwaitWhole, requests=nothing, look=_whole, judge=_is_whole, microversion="2.1",
        again=True, limit=300,
        waits="check that server {server} has its ports, volumes and allocation on its host, and runs: {running}",
    ),
    Implementation(
        of=EvacuationsCompleted, requests=nothing, look=_cleaned,
        judge=lambda picture, _: StepState.INTENT if picture["open"] else StepState.DONE,
        microversion=_MIGRATIONS, again=True, limit=900,
        waits="wait until nova-compute on {host} has cleaned up after every evacuation from it",
    ),
    Implementation(
        of=GuestPower, requests=nothing, look=_power, judge=_know, microversion="2.48",
        again=True, waits="ask the hypervisor whether server {server} is running",
    ),
)  # fmt: skip
