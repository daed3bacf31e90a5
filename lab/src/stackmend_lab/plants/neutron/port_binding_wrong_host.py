# SPDX-License-Identifier: Apache-2.0
"""Ports bound to a host that their server is not on (catalogue A10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows
from stackmend_lab.plants._servers import bind, neighbour, touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """An evacuation failed half way: the port is still bound to the old host."""
    server = cloud.pick("active")
    bind(cloud, server.ports[0], str(neighbour(cloud, server)["host"]))
    return {"server": server.uuid, "port": server.ports[0]}


def inactive_there(cloud: CloudRows) -> dict[str, Any]:
    """The right host has an INACTIVE binding left by a live migration: the primary key is taken."""
    server = cloud.pick("active")
    bind(cloud, server.ports[0], str(neighbour(cloud, server)["host"]))
    cloud.insert(
        "neutron", "ml2_port_bindings", port_id=server.ports[0], host=server.host, vif_type="ovs", vnic_type="normal",
        profile='{"migrating_to": "x"}', vif_details="{}", status="INACTIVE",
    )  # fmt: skip
    return {"server": server.uuid, "port": server.ports[0]}


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {"inactive_there": inactive_there}


def live_migrating(cloud: CloudRows) -> None:
    """A live migration: an ACTIVE and an INACTIVE binding."""
    cloud.pick("live_migrating")


def offloaded(cloud: CloudRows) -> None:
    """A server offloaded by an old release: its ports stay bound to the host that it was on."""
    server = cloud.pick("shelved_offloaded")
    bind(cloud, server.ports[0], "c0001")


def baremetal(cloud: CloudRows) -> None:
    """A baremetal port is bound to the node, while the server is on the service's host."""
    cloud.pick("ironic")


def spelling(cloud: CloudRows) -> None:
    """The same host in different case."""
    server = cloud.pick("active")
    bind(cloud, server.ports[0], str(server.host).upper())


def just_moved(cloud: CloudRows) -> None:
    """The server was moved a minute ago."""
    server = cloud.pick("active")
    bind(cloud, server.ports[0], str(neighbour(cloud, server)["host"]))
    touch(cloud, server, 60)


def resized(cloud: CloudRows) -> None:
    """A resize is waiting for its confirmation."""
    cloud.pick("resized")


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "live_migrating": live_migrating,
    "offloaded": offloaded,
    "baremetal": baremetal,
    "spelling": spelling,
    "just_moved": just_moved,
    "resized": resized,
}
