# SPDX-License-Identifier: Apache-2.0
"""What a resize or move leaves in the row of a server (catalogue C7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, neighbour

_NOTHING: dict[str, Any] = {"nova_object.name": "PciDeviceList", "nova_object.version": "1.3"}


def _moved(cloud: CloudRows, server: Server, status: str) -> int:
    """A resize of the server from another host, which ended like that."""
    node = neighbour(cloud, server)
    return int(cloud.insert(
        server.database, "migrations", uuid=f"{server.uuid[:-4]}57c7", instance_uuid=server.uuid, status=status,
        migration_type="resize", deleted=0, created_at=cloud.ago(OLD + 60), updated_at=cloud.ago(OLD),
        source_compute=node["host"], source_node=node["hypervisor_hostname"], dest_compute=server.host,
        dest_node=server.node,
    ))  # fmt: skip


def _keep_context(cloud: CloudRows, server: Server, migration: int) -> None:
    """A migration context as Nova serialises it."""
    data = {
        "instance_uuid": server.uuid,
        "migration_id": migration,
        "new_numa_topology": None,
        "old_pci_devices": _NOTHING,
    }
    context = {"nova_object.name": "MigrationContext", "nova_object.version": "1.2", "nova_object.data": data}
    where = {"instance_uuid": server.uuid}
    cloud.update(server.database, "instance_extra", where, migration_context=json.dumps(context))


def _keep_flavors(cloud: CloudRows, server: Server, *names: str) -> None:
    """The current flavor under these names as well."""
    where = {"instance_uuid": server.uuid}
    sql = "SELECT flavor FROM instance_extra WHERE instance_uuid = :u"
    flavors = json.loads(cloud.rows(server.database, sql, {"u": server.uuid})[0]["flavor"])
    flavors |= dict.fromkeys(names, flavors["cur"])
    cloud.update(server.database, "instance_extra", where, flavor=json.dumps(flavors))


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A resize was confirmed, and its context is still there."""
    server = cloud.pick("active")
    _keep_context(cloud, server, _moved(cloud, server, "confirmed"))
    return {"server": server.uuid}


def flavors(cloud: CloudRows) -> dict[str, Any]:
    """Its confirmation failed halfway: context and flavors are still there, and an operator set it to active."""
    server = cloud.pick("active")
    _keep_context(cloud, server, _moved(cloud, server, "error"))
    _keep_flavors(cloud, server, "old", "new")
    return {"server": server.uuid}


def never_begun(cloud: CloudRows) -> dict[str, Any]:
    """No host could take the server: the flavor that it was to get is still noted; the migration was purged."""
    server = cloud.pick("stopped")
    _keep_flavors(cloud, server, "new")
    return {"server": server.uuid}


def failed(cloud: CloudRows) -> dict[str, Any]:
    """The resize failed on its destination: the server is in ERROR."""
    server = cloud.pick("active")
    _keep_context(cloud, server, _moved(cloud, server, "error"))
    _keep_flavors(cloud, server, "old", "new")
    values = {"vm_state": "error", "updated_at": cloud.ago(OLD)}
    cloud.update(server.database, "instances", {"uuid": server.uuid}, **values)
    return {"server": server.uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "flavors": flavors,
    "never_begun": never_begun,
    "failed": failed,
}
NOT_REPAIRED = {"failed": "is in ERROR"}


def awaiting_confirmation(cloud: CloudRows) -> None:
    """A resized server that nobody has confirmed yet (G-RESIZE)."""
    server = cloud.pick("resized")
    _keep_flavors(cloud, server, "old", "new")
    _keep_context(cloud, server, 1)


def moving(cloud: CloudRows) -> None:
    """A live migration in progress, which has a context (G-MIG)."""
    server = cloud.pick("live_migrating")
    _keep_context(cloud, server, 1)


def just_confirmed(cloud: CloudRows) -> None:
    """A resize that was confirmed a minute ago: nova-compute on the source is cleaning up."""
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, updated_at=cloud.ago(60))
    _keep_context(cloud, server, _moved(cloud, server, "confirmed"))


def in_words(cloud: CloudRows) -> None:
    """A flavor whose extra specs hold the words that Nova uses."""
    server = cloud.pick("active")
    sql = "SELECT flavor FROM instance_extra WHERE instance_uuid = :u"
    flavor = json.loads(cloud.rows(server.database, sql, {"u": server.uuid})[0]["flavor"])
    flavor["cur"]["nova_object.data"]["extra_specs"] = {"note": 'was {"old": {}, "new": {}}'}
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=json.dumps(flavor))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "awaiting_confirmation": awaiting_confirmation,
    "moving": moving,
    "just_confirmed": just_confirmed,
    "in_words": in_words,
}
