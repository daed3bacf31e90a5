# SPDX-License-Identifier: Apache-2.0
"""Cinder's API: volumes and attachments (cinder/api/v3)."""

from __future__ import annotations

from typing import Any

from stackmend_lab.simulated.compute import linked, page
from stackmend_lab.simulated.things import Attachment, Json, Query, Refused
from stackmend_lab.simulated.world import PROJECT, World


def answer(world: World, method: str, parts: list[str], query: Query) -> tuple[int, Any]:
    """(status, body)."""
    kind, rest = parts[0], parts[1:]
    if kind == "attachments":
        return _attachments(world, method, rest, query)
    if kind == "volumes" and method == "GET":
        if rest and rest[0] != "detail":
            if rest[0] not in world.volumes:
                raise Refused(404, f"Volume {rest[0]} could not be found.")
            return 200, {"volume": _volume(world, rest[0])}
        chosen, more = page(list(world.volumes), query, lambda one: one)
        path = f"/{'/'.join(parts)}"
        return 200, linked("volumes", [_volume(world, v) for v in chosen], path, query, chosen[-1] if more else "")
    if kind == "os-services" and method == "GET":
        return 200, {"services": []}
    raise Refused(404, "The resource could not be found.")


def _volume(world: World, name: str) -> Json:
    held = [world.attachments[one] for one in sorted(world.volumes[name])]
    return {
        "id": name,
        "name": "",
        "size": 10,
        "status": "in-use" if held else "available",
        "bootable": "false",
        "multiattach": False,
        "migration_status": None,
        "os-vol-mig-status-attr:migstat": None,
        "os-vol-host-attr:host": "cinder@simulated#pool",
        "os-vol-tenant-attr:tenant_id": PROJECT,
        "metadata": {},
        "attachments": [
            {
                "id": name, "volume_id": name, "attachment_id": one.id, "server_id": one.server,
                "host_name": one.host, "device": "/dev/vdb", "attached_at": world.clock.text(0),
            }
            for one in held
        ],
    }  # fmt: skip


def _attachment(one: Attachment, *, detail: bool) -> Json:
    found: Json = {"id": one.id, "status": "attached", "instance": one.server, "volume_id": one.volume}
    if detail:
        found |= {"attach_mode": "rw", "attached_at": "", "detached_at": "", "connection_info": {"driver": "simulated"}}
    return found


def _attachments(world: World, method: str, rest: list[str], query: Query) -> tuple[int, Any]:
    if rest and rest[0] not in ("detail", "summary"):
        found = world.attachments.get(rest[0])
        if found is None:
            raise Refused(404, f"Volume attachment could not be found with filter: attachment_id = {rest[0]}.")
        if method == "DELETE":
            world.detach(found.id)
            return 200, {"attachments": []}
        return 200, {"attachment": _attachment(found, detail=True)}
    if "instance_id" in query:
        servers = [world.servers[name] for name in query["instance_id"] if name in world.servers]
        names = [one for server in servers for volume in server.volumes for one in sorted(world.volumes[volume])]
    elif "volume_id" in query:
        names = [one for volume in query["volume_id"] for one in sorted(world.volumes.get(volume, ()))]
    else:
        names = sorted(world.attachments)
    chosen, more = page(names, query, lambda one: one)
    made = [_attachment(world.attachments[name], detail="detail" in rest) for name in chosen]
    return 200, linked("attachments", made, f"/{'/'.join(['attachments', *rest])}", query, chosen[-1] if more else "")
