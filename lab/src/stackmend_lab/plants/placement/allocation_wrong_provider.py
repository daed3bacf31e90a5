# SPDX-License-Identifier: Apache-2.0
"""Allocations on hosts other than the server's (catalogue E2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import OLD, neighbour, new_consumer, provider, touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A migration was reverted halfway: the server only has allocations on the other host."""
    server = cloud.pick("active")
    node = _elsewhere(cloud, server)
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


def _elsewhere(cloud: CloudRows, server: Server) -> dict[str, Any]:
    node = neighbour(cloud, server)
    there = provider(cloud, str(node["uuid"]))
    cloud.update("placement", "allocations", {"consumer_id": server.uuid}, resource_provider_id=there)
    return node


def both(cloud: CloudRows) -> dict[str, Any]:
    """The source of an evacuation never came back to release its allocation, and the record of it is gone."""
    server = cloud.pick("stopped")
    node = neighbour(cloud, server)
    there = provider(cloud, str(node["uuid"]))
    sql = "SELECT resource_class_id, used FROM allocations WHERE consumer_id = :c"
    for row in cloud.rows("placement", sql, {"c": server.uuid}):
        cloud.insert("placement", "allocations", resource_provider_id=there, consumer_id=server.uuid, **row)
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


def other_amounts(cloud: CloudRows) -> dict[str, Any]:
    """A resize failed in its last step: the allocation is elsewhere, with the amounts of the previous flavor."""
    server = cloud.pick("active")
    node = _elsewhere(cloud, server)
    for number, used in ((1, 1), (2, 512), (3, 1)):
        cloud.update("placement", "allocations", {"consumer_id": server.uuid, "resource_class_id": number}, used=used)
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


def amounts_that_nobody_can_tell(cloud: CloudRows) -> dict[str, Any]:
    """Its flavor requests more than Nova's three resource classes."""
    server = cloud.pick("active")
    node = _elsewhere(cloud, server)
    flavor = cloud.rows(
        server.database, "SELECT flavor FROM instance_extra WHERE instance_uuid = :u", {"u": server.uuid}
    )
    text = flavor[0]["flavor"].replace('"extra_specs": {}', '"extra_specs": {"resources_NET:CUSTOM_NET": "1"}')
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=text)
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


def offloaded(cloud: CloudRows) -> dict[str, Any]:
    """An unshelve failed, and its allocation was not released."""
    server = cloud.pick("shelved_offloaded")
    node = neighbour(cloud, server)
    new_consumer(cloud, server.uuid, provider(cloud, str(node["uuid"])))
    action = cloud.insert(
        server.database, "instance_actions", action="unshelve", instance_uuid=server.uuid, request_id="req-unshelve",
        start_time=cloud.ago(OLD), finish_time=cloud.ago(OLD), message="Error", deleted=0,
    )  # fmt: skip
    cloud.insert(
        server.database, "instance_actions_events", event="compute_unshelve_instance", action_id=action,
        start_time=cloud.ago(OLD), finish_time=cloud.ago(OLD), result="Error", host=node["host"], deleted=0,
    )  # fmt: skip
    return {"server": server.uuid, "wrong_provider": node["uuid"]}


def source_deleted(cloud: CloudRows) -> dict[str, Any]:
    """The source of an evacuation was removed from the cloud: nobody is left to release its allocation."""
    server = cloud.pick("evacuated")
    where = {"instance_uuid": server.uuid, "migration_type": "evacuation"}
    (old,) = cloud.rows(server.database, "SELECT * FROM migrations WHERE instance_uuid = :u", {"u": server.uuid})
    gone, uuid = f"gone-{server.uuid[:8]}", f"{server.uuid[:-4]}90e0"
    like = cloud.rows(server.database, "SELECT * FROM compute_nodes WHERE host = :h", {"h": old["source_compute"]})[0]
    own = {k: v if isinstance(v, int | float | str | None) else str(v) for k, v in like.items() if k != "id"}
    own |= {"host": gone, "hypervisor_hostname": gone, "uuid": uuid, "deleted_at": cloud.ago(OLD)}
    number = cloud.insert(server.database, "compute_nodes", **own)
    cloud.update(server.database, "compute_nodes", {"id": number}, deleted=number)
    cloud.update(server.database, "migrations", where, source_compute=gone, source_node=gone)
    left = cloud.insert("placement", "resource_providers", uuid=uuid, name=gone, generation=1)
    cloud.update("placement", "resource_providers", {"id": left}, root_provider_id=left)
    held = {"consumer_id": server.uuid, "resource_provider_id": provider(cloud, str(like["uuid"]))}
    cloud.update("placement", "allocations", held, resource_provider_id=left)
    return {"server": server.uuid, "wrong_provider": uuid}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "both": both,
    "other_amounts": other_amounts,
    "amounts_that_nobody_can_tell": amounts_that_nobody_can_tell,
    "offloaded": offloaded,
    "source_deleted": source_deleted,
}
NOT_REPAIRED = {"amounts_that_nobody_can_tell": "cannot be derived from its flavor"}


def evacuated(cloud: CloudRows) -> None:
    """The source of an evacuation has not come back yet: its allocation is legitimate."""
    cloud.pick("evacuated")


def resized(cloud: CloudRows) -> None:
    """A resize awaits its confirmation."""
    cloud.pick("resized")


def live_migrating(cloud: CloudRows) -> None:
    """A live migration: the server already has the allocation on the target."""
    cloud.pick("live_migrating")


def baremetal(cloud: CloudRows) -> None:
    """Nodes move between the hosts of the service."""
    cloud.pick("ironic")


def just_moved(cloud: CloudRows) -> None:
    """The server was moved a minute ago."""
    server = cloud.pick("active")
    _elsewhere(cloud, server)
    touch(cloud, server, 60)


def unshelving(cloud: CloudRows) -> None:
    """An offloaded server is being unshelved: it has an allocation, but no host yet."""
    server = cloud.pick("shelved_offloaded")
    new_consumer(cloud, server.uuid, provider(cloud, str(neighbour(cloud, server)["uuid"])), age=30)
    cloud.update(server.database, "instances", {"uuid": server.uuid}, task_state="unshelving")
    touch(cloud, server, 30)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "evacuated": evacuated,
    "resized": resized,
    "live_migrating": live_migrating,
    "baremetal": baremetal,
    "just_moved": just_moved,
    "unshelving": unshelving,
}
