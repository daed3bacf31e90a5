# SPDX-License-Identifier: Apache-2.0
"""Inactive bindings left behind by moves (catalogue A12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import new_subport
from stackmend_lab.plants._servers import neighbour, new_port, touch


def plant(cloud: CloudRows) -> dict[str, Any]:
    """nova-compute was killed during a live migration: the server stayed, and the binding on the target is left."""
    server = cloud.pick("active")
    return _left(cloud, server, server.ports[0])


def of_a_stopped_server(cloud: CloudRows) -> dict[str, Any]:
    """The server has been stopped since."""
    server = cloud.pick("stopped")
    return _left(cloud, server, server.ports[0])


def never_bound(cloud: CloudRows) -> dict[str, Any]:
    """The binding on the target failed: it has no levels."""
    server = cloud.pick("active")
    return _left(cloud, server, server.ports[0], kind="unbound")


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "of_a_stopped_server": of_a_stopped_server,
    "never_bound": never_bound,
}


def _left(cloud: CloudRows, server: Server, port: str, *, kind: str = "ovs", nic: str = "normal") -> dict[str, Any]:
    """Add a binding of a port on another host; returns the key of the finding."""
    host = str(neighbour(cloud, server)["host"])
    cloud.insert(
        "neutron", "ml2_port_bindings", port_id=port, host=host, vif_type=kind, vnic_type=nic, profile="{}",
        vif_details="{}", status="INACTIVE",
    )  # fmt: skip
    if kind != "unbound":
        sql = "SELECT level, driver, segment_id FROM ml2_port_binding_levels WHERE port_id = :p"
        level = cloud.rows("neutron", sql, {"p": port})[0]
        cloud.insert("neutron", "ml2_port_binding_levels", port_id=port, host=host, **level)
    return {"server": server.uuid, "port": port, "left_host": host}


def live_migrating(cloud: CloudRows) -> None:
    """A live migration has been in progress for a long time: the guest has a lot of memory."""
    server = cloud.pick("active")
    target = _left(cloud, server, server.ports[0])["left_host"]
    cloud.insert(
        server.database, "migrations", uuid=server.migration[:-4] + "beef", instance_uuid=server.uuid,
        status="running", migration_type="live-migration", source_compute=server.host, source_node=server.node,
        dest_compute=target, deleted=0, created_at=cloud.ago(9000), updated_at=cloud.ago(8000),
    )  # fmt: skip


def just_failed(cloud: CloudRows) -> None:
    """A migration failed a minute ago: it may still be rolled back."""
    server = cloud.pick("active")
    _left(cloud, server, server.ports[0])
    touch(cloud, server, 60)


def resized(cloud: CloudRows) -> None:
    """A resize is waiting for its confirmation."""
    server = cloud.pick("resized")
    _left(cloud, server, server.ports[0])


def baremetal(cloud: CloudRows) -> None:
    """A baremetal port also has a binding for the node, which is not left over from a move."""
    server = cloud.pick("ironic")
    _left(cloud, server, server.ports[0], kind="other", nic="baremetal")


def subport(cloud: CloudRows) -> None:
    """A subport of a trunk: its bindings follow those of the trunk's parent port."""
    server = cloud.pick("premade_port")
    _left(cloud, server, new_subport(cloud, server, str(server.host)))


def share(cloud: CloudRows) -> None:
    """The port of a share server: Manila also binds it on several hosts."""
    server = cloud.pick("active")
    port = new_port(cloud, server, host=str(server.host), device_id=server.project_id, device_owner="manila:share")
    _left(cloud, server, port)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "live_migrating": live_migrating,
    "just_failed": just_failed,
    "resized": resized,
    "baremetal": baremetal,
    "subport": subport,
    "share": share,
}
