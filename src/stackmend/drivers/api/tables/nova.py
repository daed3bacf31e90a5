# SPDX-License-Identifier: Apache-2.0
"""Nova's API. It does not show a server's cell: all are in one called "api", except failed builds (cell0).

* Servers of a cell that does not answer have status UNKNOWN in a list without filter and paging, its services always:
  both are checked, and every server that another service knows is requested by id.
* A plain list omits soft-deleted servers: they are requested separately.
* Deleted servers are shown one by one (``deleted=True``), as long as their rows exist.
* A server being built is shown like any other; a mapping without cell or build request is not a server for the API.
* The network cache is visible through the addresses of a server: there are none if it is empty or its row is missing.
  Its VIFs have no ids there, so each is matched to the server's port with its MAC address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from stackmend.drivers.api.reader import ApiTableReader
from stackmend.drivers.api.session import segment
from stackmend.drivers.api.tables import ApiTable, TableRow, Wanted, cinder, moment, neutron, number
from stackmend.model.errors import SourceError

#: the first version that shows unreachable servers as UNKNOWN; from 2.75 servers can no longer be filtered by "uuid"
DOWN = "2.69"
#: hypervisors by UUID; migrations with UUIDs, paginated; actions with the time of their last event
NODES, MIGRATIONS, ACTIONS = "2.53", "2.59", "2.58"
CELL = "api"
_HOST = "OS-EXT-SRV-ATTR:host"
#: (G-IDLE) older events no longer count
_RECENT = timedelta(hours=2)
#: an event after a restart of nova-compute does not update its action's time: this many are inspected anyway
_LATEST = 3


def _server(look: ApiTableReader, name: str) -> Any:
    """A server as shown, with "gone" set if it is deleted; None if there is none. SourceError if that is unknown."""
    body = look.get("compute", f"/servers/{segment(name)}", DOWN)
    if body is not None:
        if body["server"].get("status") == "UNKNOWN":
            raise SourceError(f"the cell of server {name} does not answer")
        return _shown_whole(body["server"])
    path = f"/servers/detail?all_tenants=1&deleted=True&uuid={segment(name)}"
    found = [one for one in look.every("compute", path, "servers", DOWN) if one["id"] == name]
    return {**_shown_whole(found[0]), "gone": True} if found else None


def _shown_whole(server: Mapping[str, Any]) -> Mapping[str, Any]:
    if _HOST not in server or "os-extended-volumes:volumes_attached" not in server:
        raise SourceError(
            "Nova does not show the hosts of servers to this account",
            "The account of [api] cloud needs the role admin.",
        )
    return server


def _all(look: ApiTableReader) -> dict[str, Any]:
    """Every live server by id."""

    def make() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for more in ("", "&status=SOFT_DELETED&soft_deleted=True"):
            for one in look.every("compute", f"/servers/detail?all_tenants=1{more}", "servers", DOWN):
                if one.get("status") == "UNKNOWN":
                    raise SourceError("a cell does not answer: Nova lists servers with status UNKNOWN")
                found[one["id"]] = _shown_whole(one)
        found |= _behind_requests(look, found.values())
        _services(look)
        look.keep("server", found)
        return found

    return look.once("list", "servers", make)


def _behind_requests(look: ApiTableReader, listed: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Servers that Nova lists as being built, as their cells have them.

    A list shows the build request, which may have been left behind; a server asked for by id comes from its cell.
    """
    waiting = [one["id"] for one in listed if one["OS-EXT-STS:vm_state"] == "building" and not one[_HOST]]
    return {str(one["id"]): one for one in look.each(lambda name: _server(look, name), waiting) if one is not None}


def _servers(look: ApiTableReader, names: Iterable[Any] | None) -> list[Mapping[str, Any]]:
    """The servers with these ids, including deleted ones; all live ones for None."""
    if names is None:
        return list(_all(look).values())
    found = look.many("server", [str(name) for name in names], lambda name: _server(look, name))
    if None in found.values():  # "none" counts only if Nova shows everything and every cell answers
        look.once("proof", "compute", lambda: _services(look))
    return [server for server in found.values() if server is not None]


def _live(look: ApiTableReader, names: Iterable[Any] | None) -> list[Mapping[str, Any]]:
    return [server for server in _servers(look, names) if not _deleted(server)]


def _deleted(server: Mapping[str, Any]) -> bool:
    """A restorable server is listed among the deleted ones, but is not deleted."""
    return bool(server.get("gone")) and server["OS-EXT-STS:vm_state"] != "soft-delete"


def _cell(server: Mapping[str, Any]) -> str:
    unborn = server[_HOST] is None and not server["OS-SRV-USG:launched_at"]
    return "cell0" if unborn and server["OS-EXT-STS:vm_state"] == "error" else CELL


def _instances(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    for server in _servers(look, None if wanted is None else wanted.get("uuid")):
        yield {
            "cell": _cell(server),
            "uuid": server["id"],
            "project_id": server["tenant_id"],
            "user_id": server["user_id"],
            "image_ref": server["image"]["id"] if server["image"] else "",  # one that boots from a volume has ""
            "host": server[_HOST],
            "node": server["OS-EXT-SRV-ATTR:hypervisor_hostname"],
            "vm_state": server["OS-EXT-STS:vm_state"],
            "task_state": server["OS-EXT-STS:task_state"],
            "power_state": server["OS-EXT-STS:power_state"],
            "hidden": False,
            "created_at": moment(server["created"]),
            "updated_at": moment(server["updated"]),
            "launched_at": moment(server["OS-SRV-USG:launched_at"]),
            "terminated_at": moment(server["OS-SRV-USG:terminated_at"]),
            "deleted": _deleted(server),
        }


def _macs(server: Mapping[str, Any]) -> set[str]:
    return {one["OS-EXT-IPS-MAC:mac_addr"] for some in server["addresses"].values() for one in some}


def _caches(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    for server in _live(look, None if wanted is None else wanted.get("instance_uuid")):
        vifs = max(len(_macs(server)), 1) if server["addresses"] else 0
        yield {
            "cell": _cell(server),
            "instance_uuid": server["id"],
            "deleted": False,
            "document": "list" if vifs else "empty",
            "vifs": vifs,
        }


def _vifs(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    names = None if wanted is None else wanted.get("instance_uuid")
    ports = neutron.ports(look, None if names is None else {"device_id": names})
    of: dict[tuple[str, str], str] = {(port["device_id"], port["mac_address"]): port["id"] for port in ports}
    for server in _live(look, names):
        for mac in sorted(_macs(server)):
            if port := of.get((server["id"], mac)):
                yield {"cell": _cell(server), "instance_uuid": server["id"], "port_id": port, "address": mac}


def _mappings(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    """Nova is queried by server: for one volume, the servers named by its attachments and the findings."""
    names: Iterable[Any] | None = None if wanted is None else wanted.get("instance_uuid")
    if wanted is not None and names is None and look.findings:
        of = cinder.attachments(look, {"volume_id": wanted["volume_id"]})
        named = [finding.get("server") for finding in look.findings] + [one["instance"] for one in of]
        names = [name for name in named if name]
    for server in _live(look, names):
        for volume in server["os-extended-volumes:volumes_attached"]:
            yield {
                "cell": _cell(server),
                "instance_uuid": server["id"],
                "volume_id": volume["id"],
                "destination_type": "volume",
                "delete_on_termination": volume.get("delete_on_termination"),
                "deleted": False,
            }


def _migrations(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    names = None if wanted is None else wanted.get("instance_uuid")
    paths = ["/os-migrations"] if names is None else [f"/os-migrations?instance_uuid={segment(n)}" for n in names]
    read = look.each(lambda path: look.every("compute", path, "migrations", MIGRATIONS), paths)
    same = ("id", "uuid", "instance_uuid", "status", "migration_type", "source_compute", "source_node")
    for one in (migration for some in read for migration in some):
        if "source_compute" not in one or one["source_compute"] is None:
            raise SourceError(
                "Nova does not show the hosts of migrations to this account",
                "The account of [api] cloud needs the role admin.",
            )
        yield {
            **{name: one[name] for name in same},
            "cell": CELL,
            "dest_compute": one["dest_compute"],
            "dest_node": one["dest_node"],
            "created_at": moment(one["created_at"]),
            "updated_at": moment(one["updated_at"]),
            "deleted": False,
        }


def _actions(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    """The latest actions of each server: any event started since (G-IDLE) belongs to one of them."""
    since = datetime.now(UTC).replace(tzinfo=None) - _RECENT

    def of(name: str) -> list[TableRow]:
        path = f"/servers/{segment(name)}/os-instance-actions"
        body = look.get("compute", f"{path}?limit=20", ACTIONS) or {"instanceActions": []}
        found = []
        for place, one in enumerate(body["instanceActions"]):
            start, last = moment(one["start_time"]), moment(one.get("updated_at"))
            mark = number(name + one["request_id"])
            row = {"cell": CELL, "id": mark, "instance_uuid": name, "action": one["action"], "start_time": start}
            found.append({**row, "request_id": one["request_id"]})
            if place < _LATEST or max(time for time in (start, last, since) if time) > since:
                whole = look.get("compute", f"{path}/{segment(one['request_id'])}", ACTIONS)
                events = whole["instanceAction"].get("events") or () if whole else ()
                look.keep("events", {f"{mark}": [(mark, event) for event in events]})
        return found

    for some in look.each(of, () if wanted is None else wanted.get("instance_uuid", ())):
        yield from some


def _events(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    """Events of the actions read before."""
    del wanted
    for mark, event in (one for some in look.kept("events").values() for one in some):
        yield {
            "cell": CELL,
            "action_id": mark,
            "event": event["event"],
            "result": event["result"],
            "start_time": moment(event["start_time"]),
            "finish_time": moment(event["finish_time"]),
        }


def _services(look: ApiTableReader) -> list[Mapping[str, Any]]:
    """Nova's services at this moment; SourceError if a cell does not answer."""
    found = look.every("compute", "/os-services", "services", DOWN)
    down = sorted(str(one["host"]) for one in found if one["status"] == "UNKNOWN")
    if down:
        hosts = ", ".join(down[:3]) + (f" and {len(down) - 3} more" if len(down) > 3 else "")
        raise SourceError(f"a cell does not answer: Nova lists the services on {hosts} with status UNKNOWN")
    return found


def _service_rows(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    del wanted
    now = datetime.now(UTC).replace(tzinfo=None)
    for one in _services(look):
        # Nova itself reports which are up: times of several cells must not be compared with each other
        heard = now if one["state"] == "up" else moment(one.get("updated_at"))
        yield {
            "cell": CELL,
            "host": one["host"],
            "binary": one["binary"],
            "disabled": one["status"] == "disabled",
            "forced_down": one.get("forced_down"),
            "updated_at": heard,
            "deleted": False,
        }


def _nodes(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    del wanted
    found = look.every("compute", "/os-hypervisors/detail", "hypervisors", NODES)
    _services(look)  # the list leaves out hypervisors of a cell that is down, without naming it
    for one in found:
        yield {
            "cell": CELL,
            "uuid": one["id"],
            "host": one["service"]["host"],
            "hypervisor_hostname": one["hypervisor_hostname"],
            "hypervisor_type": one["hypervisor_type"],
            "deleted": False,
        }


def _zones(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    del wanted
    for one in look.every("compute", "/os-aggregates", "aggregates", NODES):
        if zone := one["availability_zone"]:
            yield {"id": one["id"], "value": zone}


def _nothing(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    """Part of the list of servers."""
    del look, wanted
    yield from ()


SHOWN = (
    ApiTable(
        label="nova_instances", rows=_instances,
        columns=("uuid", "project_id", "user_id", "image_ref", "host", "node", "vm_state", "task_state", "power_state",
                 "hidden", "created_at", "updated_at", "launched_at", "terminated_at", "deleted"),
    ),
    ApiTable(label="nova_instance_info_caches", rows=_caches, columns=("instance_uuid", "deleted", "document", "vifs")),
    ApiTable(label="nova_vifs", rows=_vifs, columns=("instance_uuid", "port_id", "address")),
    ApiTable(
        label="nova_block_device_mapping", rows=_mappings,
        columns=("instance_uuid", "volume_id", "destination_type", "delete_on_termination", "deleted"),
    ),
    ApiTable(
        label="nova_migrations", rows=_migrations,
        columns=("id", "uuid", "instance_uuid", "status", "migration_type", "source_compute", "source_node",
                 "dest_compute", "dest_node", "created_at", "updated_at", "deleted"),
    ),
    ApiTable(
        label="nova_instance_actions", rows=_actions,
        columns=("id", "instance_uuid", "action", "request_id", "start_time"),
    ),
    ApiTable(
        label="nova_instance_actions_events", rows=_events,
        columns=("action_id", "event", "result", "start_time", "finish_time"),
    ),
    ApiTable(
        label="nova_services", rows=_service_rows,
        columns=("host", "binary", "disabled", "forced_down", "updated_at", "deleted"),
    ),
    ApiTable(
        label="nova_compute_nodes", rows=_nodes,
        columns=("uuid", "host", "hypervisor_hostname", "hypervisor_type", "deleted"),
    ),
    ApiTable(label="nova_api_aggregate_metadata", rows=_zones, columns=("id", "value")),
    ApiTable(label="nova_api_build_requests", rows=_nothing, columns=("instance_uuid",)),
    ApiTable(
        label="nova_api_instance_mappings",
        rows=_nothing,
        columns=("instance_uuid", "cell_id", "created_at", "queued_for_delete"),
    ),
)  # fmt: skip
