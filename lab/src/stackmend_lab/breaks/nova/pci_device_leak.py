# SPDX-License-Identifier: Apache-2.0
"""A PCI device of one host is allocated for a server on another."""

from __future__ import annotations

import uuid
from typing import Any

from stackmend_lab.breaks import Break
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane

BREAK = Break(
    "pci-device-leak",
    "pci-device-leak",
    "sql",
    "a server was evacuated, and the device that it had on its old host is still allocated for it",
)


def make(plane: Plane) -> dict[str, Any]:
    """The old host is the last one of the first cell: nova-compute frees such a device when it starts."""
    scene = Scene(plane, BREAK.name)
    server = scene.server()
    address = f"0000:{uuid.uuid4().hex[:2]}:00.1"
    scene.sql(
        scene.cell,
        "INSERT INTO pci_devices (created_at, deleted, uuid, compute_node_id, address, product_id, vendor_id, dev_type,"
        " dev_id, label, status, extra_info, instance_uuid, request_id)"
        " SELECT UTC_TIMESTAMP() - INTERVAL 3 HOUR, 0, %s, id, %s, '10ed', '8086', 'type-PCI', 'pci', 'l', 'allocated',"
        " '{}', %s, %s FROM compute_nodes WHERE host = %s AND deleted = 0",
        str(uuid.uuid4()), address, server, str(uuid.uuid4()), scene.aside,
    )  # fmt: skip
    device = scene.sql(scene.cell, "SELECT id FROM pci_devices WHERE address = %s AND deleted = 0", address)[0]["id"]
    scene.past(servers=server)
    return {"server": server, "cell": "cell1", "device": device}
