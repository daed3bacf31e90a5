# SPDX-License-Identifier: Apache-2.0
"""PCI devices that are claimed for servers that do not use them (catalogue B11)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._hosts import Host, new_host
from stackmend_lab.plants._servers import OLD, migrated, touch


def _device(
    cloud: CloudRows,
    database: str,
    node: int,
    address: str,
    server: str | None,
    status: str = "allocated",
    **values: Any,
) -> int:
    row = {"dev_type": "type-VF", "parent_addr": "0000:81:00.0", "created_at": cloud.ago(OLD), **values}
    return int(
        cloud.insert(
            database, "pci_devices", compute_node_id=node, address=address, product_id="10ed", vendor_id="8086",
            label="l", status=status, instance_uuid=server, request_id=server and str(uuid.uuid4()), deleted=0,
            extra_info="{}", uuid=str(uuid.uuid4()), **row,
        )
    )  # fmt: skip


def _claimed(cloud: CloudRows, host: Host, server: str) -> dict[str, Any]:
    """A virtual function that the server has, beside a free one, and the function that both belong to."""
    number = _device(cloud, host.database, host.node_id, "0000:81:00.1", server)
    _device(cloud, host.database, host.node_id, "0000:81:00.2", None, "available")
    parent: dict[str, Any] = {"dev_type": "type-PF", "parent_addr": None}
    _device(cloud, host.database, host.node_id, "0000:81:00.0", None, "unavailable", **parent)
    return {"server": server, "cell": host.cell, "device": number}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The server was evacuated, and its old host never came back."""
    server = cloud.pick("active")
    return _claimed(cloud, new_host(cloud, server.cell), server.uuid)


def offloaded(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute died while it offloaded the server."""
    server = cloud.pick("shelved_offloaded")
    return _claimed(cloud, new_host(cloud, server.cell), server.uuid)


def unknown(cloud: CloudRows) -> dict[str, Any]:
    """The server was purged by SQL: archiving does not free devices."""
    return _claimed(cloud, new_host(cloud, "cell2"), str(uuid.uuid4()))


def physical(cloud: CloudRows) -> dict[str, Any]:
    """A physical function: none of its virtual functions can be used."""
    host, server = new_host(cloud), str(uuid.uuid4())
    parent: dict[str, Any] = {"dev_type": "type-PF", "parent_addr": None}
    number = _device(cloud, host.database, host.node_id, "0000:81:00.0", server, **parent)
    _device(cloud, host.database, host.node_id, "0000:81:00.1", None, "unavailable")
    return {"server": server, "cell": host.cell, "device": number}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "offloaded": offloaded,
    "unknown": unknown,
    "physical": physical,
}


def in_use(cloud: CloudRows) -> None:
    """A device of a server on its own host."""
    server = cloud.pick("active")
    node = cloud.rows(server.database, "SELECT id FROM compute_nodes WHERE host = :h", {"h": server.host})[0]["id"]
    _device(cloud, server.database, int(node), f"0000:82:{server.uuid[:2]}.1", server.uuid)


def being_moved(cloud: CloudRows) -> None:
    """A live migration: the destination has claimed a device."""
    server = cloud.pick("active")
    host = new_host(cloud, server.cell)
    node = {"host": host.name, "hypervisor_hostname": host.name}
    migrated(cloud, server, node, "running", str(server.host), 60)
    _device(cloud, host.database, host.node_id, "0000:81:00.1", server.uuid, "claimed")


def just_moved(cloud: CloudRows) -> None:
    """The server was moved a minute ago: the source frees its device next."""
    server = cloud.pick("active")
    host = new_host(cloud, server.cell)
    _device(cloud, host.database, host.node_id, "0000:81:00.1", server.uuid)
    touch(cloud, server, 60)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "in_use": in_use,
    "being_moved": being_moved,
    "just_moved": just_moved,
}
