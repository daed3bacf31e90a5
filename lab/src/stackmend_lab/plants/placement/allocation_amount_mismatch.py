# SPDX-License-Identifier: Apache-2.0
"""Allocations with other amounts than the flavor has (catalogue E7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._hosts import inventory, resource_class
from stackmend_lab.plants._servers import touch


def _set(cloud: CloudRows, server: Server, kind: str, used: int) -> dict[str, Any]:
    where = {"consumer_id": server.uuid, "resource_class_id": resource_class(cloud, kind)}
    cloud.update("placement", "allocations", where, used=used)
    return {"server": server.uuid}


def _drop(cloud: CloudRows, server: Server, kind: str) -> dict[str, Any]:
    where = {"consumer_id": server.uuid, "resource_class_id": resource_class(cloud, kind)}
    cloud.delete("placement", "allocations", where)
    return {"server": server.uuid}


def _add(cloud: CloudRows, server: Server, kind: str, used: int) -> dict[str, Any]:
    sql = "SELECT resource_provider_id FROM allocations WHERE consumer_id = :c ORDER BY id"
    (row, *_) = cloud.rows("placement", sql, {"c": server.uuid})
    provider, number = row["resource_provider_id"], resource_class(cloud, kind)
    sql = "SELECT id FROM inventories WHERE resource_provider_id = :p AND resource_class_id = :k"
    if not cloud.rows("placement", sql, {"p": provider, "k": number}):
        inventory(cloud, provider, number, 1000)
    cloud.insert(
        "placement", "allocations", consumer_id=server.uuid, resource_class_id=number, used=used,
        resource_provider_id=provider,
    )  # fmt: skip
    return {"server": server.uuid}


def _flavor(cloud: CloudRows, server: Server, spec: str) -> None:
    sql = "SELECT flavor FROM instance_extra WHERE instance_uuid = :u"
    text = cloud.rows(server.database, sql, {"u": server.uuid})[0]["flavor"]
    text = text.replace('"extra_specs": {}', f'"extra_specs": {{{spec}}}')
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=text)


def plant(cloud: CloudRows) -> dict[str, Any]:
    """A resize failed in its last step: the allocation has the amounts of the previous flavor."""
    server = cloud.pick("active")
    _set(cloud, server, "VCPU", 32)
    return _set(cloud, server, "MEMORY_MB", 512)


def memory(cloud: CloudRows) -> dict[str, Any]:
    """SQL changed the memory alone."""
    return _set(cloud, cloud.pick("stopped"), "MEMORY_MB", 1)


def nothing(cloud: CloudRows) -> dict[str, Any]:
    """An allocation of nothing."""
    return _set(cloud, cloud.pick("active"), "VCPU", 0)


def one_class_short(cloud: CloudRows) -> dict[str, Any]:
    """The row of one class is gone."""
    return _drop(cloud, cloud.pick("active"), "VCPU")


def twice(cloud: CloudRows) -> dict[str, Any]:
    """Two requests at the same time have created the same row."""
    server = cloud.pick("active")
    sql = "SELECT used FROM allocations WHERE consumer_id = :c AND resource_class_id = :k"
    (row,) = cloud.rows("placement", sql, {"c": server.uuid, "k": resource_class(cloud, "MEMORY_MB")})
    return _add(cloud, server, "MEMORY_MB", row["used"])


def beside_a_device(cloud: CloudRows) -> dict[str, Any]:
    """The server has allocated a special resource on the host itself, which its flavor does not name."""
    server = cloud.pick("active")
    _set(cloud, server, "VCPU", 32)
    return _add(cloud, server, "VGPU", 1)


def pinned_with_other_memory(cloud: CloudRows) -> dict[str, Any]:
    """The memory of a server with dedicated CPUs is as comparable as any."""
    server = cloud.pick("active")
    _flavor(cloud, server, '"hw:cpu_policy": "dedicated"')
    _drop(cloud, server, "VCPU")
    _add(cloud, server, "PCPU", 2)
    return _set(cloud, server, "MEMORY_MB", 512)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "memory": memory,
    "nothing": nothing,
    "one_class_short": one_class_short,
    "twice": twice,
    "beside_a_device": beside_a_device,
    "pinned_with_other_memory": pinned_with_other_memory,
}
NOT_REPAIRED = {
    "beside_a_device": "which its flavor does not request",
    "pinned_with_other_memory": "cannot be derived from its flavor",
}


def resized(cloud: CloudRows) -> None:
    """A resize awaits its confirmation: the row has the new flavor."""
    _set(cloud, cloud.pick("resized"), "VCPU", 32)


def pinned(cloud: CloudRows) -> None:
    """Dedicated CPUs are another resource class, with one more for the emulator."""
    server = cloud.pick("active")
    _flavor(cloud, server, '"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"')
    _drop(cloud, server, "VCPU")
    _add(cloud, server, "PCPU", 3)


def overridden(cloud: CloudRows) -> None:
    """The flavor requests other amounts than its own numbers."""
    server = cloud.pick("active")
    _flavor(cloud, server, '"resources:VCPU": "32"')
    _set(cloud, server, "VCPU", 32)


def other_disk(cloud: CloudRows) -> None:
    """Disk depends on the volumes of the server, and on the hypervisor."""
    server = cloud.pick("active")
    _set(cloud, server, "DISK_GB", 7)


def just_resized(cloud: CloudRows) -> None:
    """The server was changed a minute ago: Placement was read before."""
    server = cloud.pick("active")
    _set(cloud, server, "VCPU", 32)
    touch(cloud, server, 60)


def baremetal(cloud: CloudRows) -> None:
    """A baremetal node is allocated as a whole, whatever its flavor says."""
    cloud.pick("ironic")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "resized": resized,
    "pinned": pinned,
    "overridden": overridden,
    "other_disk": other_disk,
    "just_resized": just_resized,
    "baremetal": baremetal,
}
