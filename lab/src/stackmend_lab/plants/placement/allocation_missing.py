# SPDX-License-Identifier: Apache-2.0
"""Servers without an allocation (catalogue E3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._servers import touch


def _drop(cloud: CloudRows, server: Server, *, consumer: bool = True) -> dict[str, Any]:
    cloud.delete("placement", "allocations", {"consumer_id": server.uuid})
    if consumer:
        cloud.delete("placement", "consumers", {"uuid": server.uuid})
    return {"server": server.uuid}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """An audit of Placement deleted the allocation while the server's cell did not answer."""
    return _drop(cloud, cloud.pick("active"))


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """A stopped server keeps its allocation."""
    return _drop(cloud, cloud.pick("stopped"))


def soft_deleted(cloud: CloudRows) -> dict[str, Any]:
    """So does one that can be restored."""
    return _drop(cloud, cloud.pick("soft_deleted"))


def volume_backed(cloud: CloudRows) -> dict[str, Any]:
    """A server that boots from a volume needs no disk on its host."""
    return _drop(cloud, cloud.pick("volume_backed"))


def of_two_kinds(cloud: CloudRows) -> dict[str, Any]:
    """Its flavor requests a second provider."""
    server = cloud.pick("active")
    sql = "SELECT flavor FROM instance_extra WHERE instance_uuid = :u"
    text = cloud.rows(server.database, sql, {"u": server.uuid})[0]["flavor"]
    text = text.replace('"extra_specs": {}', '"extra_specs": {"resources1:VGPU": "1"}')
    cloud.update(server.database, "instance_extra", {"instance_uuid": server.uuid}, flavor=text)
    return _drop(cloud, server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "stopped": stopped,
    "soft_deleted": soft_deleted,
    "volume_backed": volume_backed,
    "of_two_kinds": of_two_kinds,
}
NOT_REPAIRED = {"of_two_kinds": "cannot be derived from its flavor"}


def offloaded(cloud: CloudRows) -> None:
    """A server on no host has none."""
    cloud.pick("shelved_offloaded")


def never_scheduled(cloud: CloudRows) -> None:
    """Neither has one in cell0."""
    cloud.pick("cell0_error")


def just_moved(cloud: CloudRows) -> None:
    """The server was changed a minute ago: Placement was read before."""
    server = cloud.pick("active")
    _drop(cloud, server)
    touch(cloud, server, 60)


def baremetal(cloud: CloudRows) -> None:
    """The allocation of a baremetal server is Ironic's and Nova's affair."""
    _drop(cloud, cloud.pick("ironic"))


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "offloaded": offloaded,
    "never_scheduled": never_scheduled,
    "just_moved": just_moved,
    "baremetal": baremetal,
}
