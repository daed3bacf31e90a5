# SPDX-License-Identifier: Apache-2.0
"""Nova's API for reading: servers, services, migrations (nova/api/openstack/compute)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stackmend_lab.simulated import groups
from stackmend_lab.simulated.things import Flavor, Host, Json, Migration, Query, Refused, Server
from stackmend_lab.simulated.world import FLAVORS, PROJECT, USER, World

Version = tuple[int, int]

#: maximum number of members on a page
PAGE = 1000
_STATUS = {
    "active": "ACTIVE", "stopped": "SHUTOFF", "paused": "PAUSED", "suspended": "SUSPENDED", "rescued": "RESCUE",
    "error": "ERROR", "building": "BUILD", "resized": "VERIFY_RESIZE", "shelved": "SHELVED",
    "shelved_offloaded": "SHELVED_OFFLOADED", "soft-delete": "SOFT_DELETED",
}  # fmt: skip
_TASKS = {"rebooting": "REBOOT", "rebooting_hard": "HARD_REBOOT", "migrating": "MIGRATING"}
LIVE = ("queued", "preparing", "running", "post-migrating")


def server_of(world: World, name: str) -> Server:
    """The server, or 404."""
    found = world.servers.get(name)
    if found is None:
        raise Refused(404, f"Instance {name} could not be found.")
    return found


def status(server: Server) -> str:
    """The status that users see, from vm_state and task_state."""
    task = server.task_state or ""
    if server.vm_state == "active" and task in _TASKS:
        return _TASKS[task]
    if server.vm_state in ("active", "stopped") and task.startswith("resize"):
        return "REVERT_RESIZE" if task == "resize_reverting" else "RESIZE"
    if task.startswith("rebuil"):
        return "ERROR" if server.vm_state == "error" else "REBUILD"
    return _STATUS[server.vm_state]


def shown(world: World, server: Server, version: Version) -> Json:
    """A server in detail."""
    text = world.clock.text
    ports = [world.ports[port] for port in server.ports if port in world.ports]
    found: Json = {
        "id": server.id,
        "name": server.name,
        "status": status(server),
        "tenant_id": PROJECT,
        "user_id": USER,
        "metadata": dict(server.metadata),
        "image": {"id": server.image} if server.image else "",
        "flavor": _embedded(server.flavor) if version >= (2, 47) else {"id": server.flavor.id},
        "created": f"{text(server.created)}Z",
        "updated": f"{text(server.updated)}Z",
        "addresses": {"net1": [
            {"addr": p.address, "version": 4, "OS-EXT-IPS-MAC:mac_addr": p.mac, "OS-EXT-IPS:type": "fixed"}
            for p in ports
        ]} if ports else {},
        "OS-EXT-AZ:availability_zone": "nova" if server.host else "",
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
        "OS-EXT-SRV-ATTR:instance_name": f"instance-{server.number:08x}",
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:power_state": server.power_state,
        "OS-SRV-USG:launched_at": text(server.created),
        "OS-SRV-USG:terminated_at": None,
        "os-extended-volumes:volumes_attached": [
            {"id": v, "delete_on_termination": False} if version >= (2, 3) else {"id": v} for v in server.volumes
        ],
        "config_drive": "",
        "key_name": None,
    }  # fmt: skip
    if server.vm_state == "error":
        found["fault"] = {"code": 500, "created": f"{text(server.failed)}Z", "message": server.fault or "broken"}
    elif status(server) in ("ACTIVE", "MIGRATING", "PASSWORD", "REBUILD"):
        found["progress"] = 0
    if version >= (2, 9):
        found["locked"] = server.locked
    if version >= (2, 16):
        found["host_status"] = host_status(world, server)
    if version >= (2, 26):
        found["tags"] = list(server.tags)
    if version >= (2, 71):
        found["server_groups"] = [group.id for group in groups.of(world, server)]
    return found


def host_status(world: World, server: Server) -> str:
    """UP, MAINTENANCE, DOWN, or "" if there is no host."""
    if server.host is None:
        return ""
    host = world.hosts[server.host]
    return "DOWN" if not world.up(host) else "MAINTENANCE" if host.disabled else "UP"


def _embedded(flavor: Flavor) -> Json:
    return {
        "vcpus": flavor.vcpus, "ram": flavor.ram, "disk": flavor.disk, "ephemeral": flavor.ephemeral, "swap": 0,
        "original_name": flavor.name, "extra_specs": dict(flavor.specs),
    }  # fmt: skip


def servers(world: World, query: Query, version: Version, detail: bool) -> Json:
    """A page of servers, the latest first."""
    if (host := _one(query, "host")) is not None:
        some: Iterable[Server] = world.hosts[host].servers.values() if host in world.hosts else ()
    else:
        some = world.servers.values()
    if (wanted := _one(query, "status")) is not None:
        some = [one for one in some if status(one) == wanted.upper()]
    if (name := _one(query, "uuid")) is not None:
        some = [one for one in some if one.id == name]
    newest = sorted(some, key=lambda one: (-one.created, one.id))
    chosen, more = page(newest, query, lambda one: one.id)
    path = "/servers/detail" if detail else "/servers"
    made = [shown(world, s, version) if detail else {"id": s.id, "name": s.name} for s in chosen]
    return linked("servers", made, path, query, chosen[-1].id if more else "")


def page(some: list[Any], query: Query, key: Any) -> tuple[list[Any], bool]:
    """(members of the requested page, whether there are more); 400 if the marker is unknown."""
    start = 0
    if (marker := _one(query, "marker")) is not None:
        keys = [key(one) for one in some]
        if marker not in keys:
            raise Refused(400, f"marker [{marker}] not found")
        start = keys.index(marker) + 1
    limit = min(PAGE, int(_one(query, "limit") or PAGE))
    return some[start : start + limit], len(some) >= start + limit and bool(some[start:])


def linked(name: str, members: list[Json], path: str, query: Query, marker: str) -> Json:
    """The page, with a link to the next one if it is full (Nova does not check whether there is one)."""
    found: Json = {name: members}
    if marker:
        rest = [f"{k}={v}" for k, values in query.items() for v in values if k != "marker"]
        found[f"{name}_links"] = [{"rel": "next", "href": f"{path}?{'&'.join([*rest, f'marker={marker}'])}"}]
    return found


def _one(query: Query, name: str) -> str | None:
    return query[name][-1] if name in query else None


def actions(world: World, server: Server, rest: list[str], query: Query, version: Version) -> Json:
    """The actions requested on it, the latest first; or one of them, with the result of its event."""
    made: list[Json] = [
        {
            "action": deed.action, "request_id": deed.request, "instance_uuid": server.id, "user_id": deed.user,
            "project_id": PROJECT if deed.user else None, "start_time": f"{world.clock.text(deed.at)}.000000",
            "message": deed.message, **({"updated_at": None} if version >= (2, 58) else {}),
        }
        for deed in reversed(server.actions or ())
    ]  # fmt: skip
    if not rest:
        return {"instanceActions": page(made, query, lambda one: one["request_id"])[0] if version >= (2, 58) else made}
    found = next((one for one in made if one["request_id"] == rest[0]), None)
    if found is None:
        raise Refused(404, f"Action for request_id {rest[0]} on instance {server.id} not found")
    result = found["message"] or ("Error" if server.fault else "Success")
    event = {"event": f"compute_{found['action']}", "result": result, "traceback": server.fault or None}
    return {"instanceAction": {**found, "events": [event]}}


# -- migrations


def migration(world: World, one: Migration, version: Version, *, server_view: bool) -> Json:
    """A record, as in the list of all migrations or of those of a server."""
    text = world.clock.text
    found: Json = {
        "id": one.number,
        "status": one.status,
        "source_compute": one.source,
        "source_node": one.source,
        "dest_compute": one.to,
        "dest_node": one.to,
        "dest_host": None,
        "created_at": f"{text(one.created)}.000000",
        "updated_at": f"{text(one.updated)}.000000",
    }
    if server_view:
        total = world.servers[one.server].flavor.ram << 20 if one.status == "running" else 0
        left = one.left << 20 if one.status == "running" else 0
        found |= {
            "server_uuid": one.server,
            "memory_total_bytes": total, "memory_processed_bytes": total - left, "memory_remaining_bytes": left,
            "disk_total_bytes": 0, "disk_processed_bytes": 0, "disk_remaining_bytes": 0,
        }  # fmt: skip
    else:
        found |= {"instance_uuid": one.server, "old_instance_type_id": 1, "new_instance_type_id": 1}
        if version >= (2, 23):
            found["migration_type"] = one.kind
    if version >= (2, 59):
        found["uuid"] = one.id
    if version >= (2, 80):
        found |= {"user_id": USER, "project_id": PROJECT}
    return found


def migrations(world: World, query: Query, version: Version) -> Json:
    """Records by filter; from 2.59 on the latest first, paginated."""
    if (server := _one(query, "instance_uuid")) is not None:
        known = world.servers.get(server)
        some: Iterable[Migration] = (known.migrations or ()) if known else ()
    elif (host := _one(query, "host") or _one(query, "source_compute")) is not None:
        some = world.hosts[host].moves if host in world.hosts else ()
    else:
        some = world.migrations
    tests: dict[str, Callable[[Migration, str], bool]] = {
        "host": lambda m, v: v in (m.source, m.to),
        "source_compute": lambda m, v: m.source == v,
        "status": lambda m, v: m.status == v,
        "migration_type": lambda m, v: m.kind == v,
    }
    wanted = [(test, value) for name, test in tests.items() if (value := _one(query, name)) is not None]
    found = [one for one in some if all(test(one, value) for test, value in wanted)]
    if version < (2, 59):
        return {"migrations": [migration(world, one, version, server_view=False) for one in found]}
    chosen, more = page(found[::-1], query, lambda one: one.id)
    made = [migration(world, one, version, server_view=False) for one in chosen]
    return linked("migrations", made, "/os-migrations", query, chosen[-1].id if more else "")


def of_server(world: World, server: Server, version: Version) -> Json:
    """Its live migrations in progress."""
    some = [m for m in server.migrations or () if m.kind == "live-migration" and m.status in LIVE]
    return {"migrations": [migration(world, one, version, server_view=True) for one in some]}


# -- hosts


def service(world: World, host: Host, version: Version) -> Json:
    """nova-compute of a host."""
    beat = max(world.clock.seconds // 10 * 10 if host.running else host.beat, host.changed)
    found: Json = {
        "id": host.service if version >= (2, 53) else host.number,
        "binary": "nova-compute",
        "host": host.name,
        "zone": "nova",
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if world.up(host) else "down",
        "updated_at": f"{world.clock.text(beat)}.000000",
        "disabled_reason": host.reason,
    }
    if version >= (2, 11):
        found["forced_down"] = host.forced_down
    return found


def services(world: World, query: Query, version: Version) -> Json:
    """The services of one host, or of all."""
    if _one(query, "binary") not in (None, "nova-compute"):
        return {"services": []}
    host = _one(query, "host")
    if host is not None:
        return {"services": [service(world, world.hosts[host], version)] if host in world.hosts else []}
    return {"services": [service(world, one, version) for one in world.hosts.values()]}


def put_service(world: World, name: str, body: Json, version: Version) -> Json:
    """Enable, disable, force down (2.53)."""
    host = world.services.get(name)
    if host is None:
        raise Refused(404, f"Service {name} could not be found.")
    if body.get("status") == "enabled":
        if body.get("disabled_reason"):
            raise Refused(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
        host.disabled, host.reason = False, None
    elif body.get("status") == "disabled":
        host.disabled, host.reason = True, body.get("disabled_reason")
    if "forced_down" in body:
        open_ = [m for m in host.moves if m.kind == "evacuation" and m.source == host.name and m.status == "done"]
        if not body["forced_down"] and open_:
            raise Refused(
                400, f"Unable to force up host {host.name} as `done` evacuation migration records remain associated"
                " with the host.",
            )  # fmt: skip
        host.forced_down = bool(body["forced_down"])
    # the row has one time for every change
    host.changed = world.clock.seconds
    if not {"status", "forced_down"} & set(body):
        raise Refused(400, "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    return {"service": service(world, host, version)}


def hypervisor(world: World, host: Host, version: Version) -> Json:
    """A hypervisor in detail."""
    return {
        "id": host.node if version >= (2, 53) else host.number,
        "hypervisor_hostname": host.name,
        "hypervisor_type": "fake",
        "state": "up" if world.up(host) else "down",
        "status": "disabled" if host.disabled else "enabled",
        "service": {
            "id": host.service if version >= (2, 53) else host.number,
            "host": host.name,
            "disabled_reason": host.reason,
        },
        **(
            {"servers": [{"uuid": s.id, "name": f"instance-{s.number:08x}"} for s in host.servers.values()]}
            if version >= (2, 75) or version < (2, 53)
            else {}
        ),
    }


def hypervisors(world: World, some: list[Host], query: Query, version: Version) -> Json:
    """A page of hypervisors (2.33)."""
    chosen, more = page(some, query, lambda host: host.node) if version >= (2, 33) else (some, False)
    made = [hypervisor(world, host, version) for host in chosen]
    return linked("hypervisors", made, "/os-hypervisors/detail", query, chosen[-1].node if more else "")


def flavors() -> Json:
    """All flavors."""
    return {"flavors": [
        {"id": f.id, "name": f.name, "vcpus": f.vcpus, "ram": f.ram, "disk": f.disk, "extra_specs": {}} for f in FLAVORS
    ]}  # fmt: skip
