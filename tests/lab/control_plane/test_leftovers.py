# SPDX-License-Identifier: Apache-2.0
"""Leftovers of a failed build beside the NIC of a running server, on the real services."""

from __future__ import annotations

from stackmend.model.errors import Exit
from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane.seed import wait_server

from .proofs import Desk


def test_a_cache_rebuilt_beside_leftovers_boots_the_nic_alone(plane, tmp_path):
    """A running server has an empty cache and two leftovers: rebuilt and hard-rebooted, its guest has its old NIC."""
    scene, desk = Scene(plane, "leftovers"), Desk(plane, tmp_path)
    server = scene.server()
    wanted = set(scene.ports(server))
    assert set(plane.guests(scene.host)[server]["vifs"]) == wanted
    late = {"name": "", "device_id": server, "device_owner": "compute:nova"}
    leftovers = [scene.own_port(**late), scene.own_port(**late, binding_host_id=scene.other_host())]
    scene.sql(scene.cell, "UPDATE instance_info_caches SET network_info = '[]' WHERE instance_uuid = %s", server)
    scene.past(servers=server)
    found = {f["check"] for f in desk.audit().values() if server in f["key"].values()}
    assert found == {"info-cache-empty", "extra-ports-on-server"}
    desk.run("server", "cache", "rebuild", server, "--via", "db", "--allow-db", "--yes", codes=(Exit.REPAIRED,))
    scene.cloud.compute.reboot_server(server, "HARD")
    wait_server(scene.connection, server)
    assert set(plane.guests(scene.host)[server]["vifs"]) == wanted
    scene.cloud.compute.delete_server(server)
    scene.cloud.compute.wait_for_delete(scene.cloud.compute.get_server(server))
    for port in leftovers:
        scene.cloud.network.delete_port(port, ignore_missing=True)
