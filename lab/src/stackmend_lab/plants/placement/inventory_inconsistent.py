# SPDX-License-Identifier: Apache-2.0
"""Inventories that allocations or themselves contradict (catalogue E10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import inventory, new_host, resource_class
from stackmend_lab.plants._servers import OLD, card


def _device(cloud: CloudRows, kind: str, used: int, total: int | None, **values: Any) -> dict[str, Any]:
    """A device below a server's host, of which the server has allocated so much."""
    server = cloud.pick("active")
    name, number = card(cloud, server)
    which = resource_class(cloud, kind)
    if total is not None:
        inventory(cloud, number, which, total)
        if values:
            cloud.update("placement", "inventories", {"resource_provider_id": number}, **values)
    cloud.insert(
        "placement", "allocations", resource_provider_id=number, consumer_id=server.uuid, resource_class_id=which,
        used=used, created_at=cloud.ago(OLD),
    )  # fmt: skip
    return {"provider": name, "kind": kind}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """SQL raised what is reserved above what there is."""
    host = new_host(cloud)
    where = {"resource_provider_id": host.provider, "resource_class_id": resource_class(cloud, "MEMORY_MB")}
    cloud.update("placement", "inventories", where, reserved=600_000)
    return {"provider": host.node, "kind": "MEMORY_MB"}


def removed(cloud: CloudRows) -> dict[str, Any]:
    """SQL removed the inventory of a device that a server uses."""
    return _device(cloud, "VGPU", 1, None)


def fewer(cloud: CloudRows) -> dict[str, Any]:
    """The device was configured anew, with fewer parts than are used."""
    return _device(cloud, "VGPU", 4, 2)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"removed": removed, "fewer": fewer}
_BY_HAND = "openstack resource provider inventory class set"
NOT_REPAIRED = {"plant": _BY_HAND, "removed": _BY_HAND, "fewer": _BY_HAND}


def full(cloud: CloudRows) -> None:
    """All there is is allocated."""
    _device(cloud, "VGPU", 4, 4)


def cleaned(cloud: CloudRows) -> None:
    """Ironic reserves a whole node in use while it is in maintenance."""
    _device(cloud, "CUSTOM_BAREMETAL", 1, 1, reserved=1)


def shared(cloud: CloudRows) -> None:
    """More than exists, within the allocation ratio."""
    _device(cloud, "CUSTOM_LICENSE", 4, 2, allocation_ratio=2.0)


def ratio_lowered(cloud: CloudRows) -> None:
    """The allocation ratio was lowered: the servers that were there before may stay."""
    _device(cloud, "MEMORY_MB", 4096, 1024)


def all_reserved(cloud: CloudRows) -> None:
    """A host that is reserved for something else as a whole."""
    where = {"resource_provider_id": new_host(cloud).provider, "resource_class_id": resource_class(cloud, "MEMORY_MB")}
    cloud.update("placement", "inventories", where, reserved=512_000)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "full": full,
    "cleaned": cleaned,
    "shared": shared,
    "ratio_lowered": ratio_lowered,
    "all_reserved": all_reserved,
}
