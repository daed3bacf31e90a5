# SPDX-License-Identifier: Apache-2.0
"""What damage and the recipes that are passed on do on real services: why stackmend does it otherwise.

Each has a server of its own. They mostly wait, so they run side by side.
"""

from __future__ import annotations

import json
import time

import pymysql
import pytest

from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

from . import damage, sdk_errors
from .using import Thing

EMPTY = "UPDATE instance_info_caches SET network_info = '[]' WHERE instance_uuid = %s"
CACHE = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = %s"
#: the third option of the recipe for an empty cache
FORGET = "UPDATE virtual_interfaces SET deleted = 1 WHERE instance_uuid = %s AND deleted = 0"
RELEASE = "UPDATE ports SET device_id = '', device_owner = '' WHERE id = %s"


def _emptied(plane: Plane, name: str) -> Thing:
    """Create a server with one port of its owner's and one of Nova's, and empty its cache."""
    scene = Scene(plane, f"recipe-{name}")
    server = scene.server([{"port": scene.own_port()}, {"uuid": scene.network(1)}])
    thing = Thing(plane, {"server": server})
    # a late event of Neutron about its new ports makes Nova fill the cache once more
    quiet = 0
    while quiet < 5:
        scene.sql(scene.cell, EMPTY, server)
        time.sleep(1)
        quiet = quiet + 1 if json.loads(scene.sql(scene.cell, CACHE, server)[0]["network_info"]) == [] else 0
    return thing


def a_reboot_takes_the_nics(plane: Plane) -> None:
    """A hard reboot with an empty cache gives a guest without NICs and ports that are DOWN; the cache stays empty."""
    thing = _emptied(plane, "reboot")
    thing.reboot()
    assert thing.plane.guests(thing.host())[thing.server]["vifs"] == []
    ports = lambda: list(thing.cloud.network.ports(device_id=thing.server))  # noqa: E731
    wait(lambda: {port.status for port in ports()} == {"DOWN"}, "its ports to be DOWN", 60)
    assert json.loads(thing.sql("cell:cell1", CACHE, thing.server)[0]["network_info"]) == []
    thing.cloud.compute.delete_server(thing.server)


def a_delete_takes_the_owners_port(plane: Plane) -> None:
    """If a server with an empty cache is deleted, its owner's port is deleted with it."""
    thing = _emptied(plane, "delete")
    thing.cloud.compute.delete_server(thing.server)
    wait(thing.gone, f"server {thing.server} to be gone")
    wait(lambda: not any(map(thing.cloud.network.find_port, thing.nics)), f"the ports of {thing.server} to be gone")


def the_first_option_changes_the_address(plane: Plane) -> None:
    """Nova accepts the detach but does not do it; deleted in Neutron and created again, the NIC has another MAC."""
    thing = _emptied(plane, "first")
    novas = next(port for port in thing.nics if port != thing.own)
    thing.cloud.compute.delete_server_interface(novas, server=thing.server)
    failed = (
        "SELECT e.id FROM instance_actions a JOIN instance_actions_events e ON e.action_id = a.id"
        " WHERE a.instance_uuid = %s AND a.action = 'detach_interface' AND e.result = 'Error'"
    )
    wait(lambda: thing.sql("cell:cell1", failed, thing.server), "the detach to fail", 180)
    assert set(thing.nics_now()) == set(thing.nics)
    thing.cloud.network.delete_port(novas)
    network = Scene(plane, "recipe-first").network(1)
    made = thing.cloud.compute.create_server_interface(thing.server, net_id=network)
    assert made.mac_addr != thing.nics[novas][0]
    assert {interface.port_id for interface in thing.cloud.compute.server_interfaces(thing.server)} > {made.port_id}
    thing.cloud.compute.delete_server(thing.server)


def the_third_option_leaves_ports_over(plane: Plane) -> None:
    """A port released by SQL and attached again works, but outlives its server, whoever created it."""
    thing = _emptied(plane, "third")
    novas = next(port for port in thing.nics if port != thing.own)
    thing.sql("cell:cell1", FORGET, thing.server)
    for port in thing.nics:
        thing.sql("neutron", RELEASE, port)
        thing.cloud.compute.create_server_interface(thing.server, port_id=port)
    wait(lambda: set(plane.guests(thing.host())[thing.server]["vifs"]) == set(thing.nics), "both NICs", 60)
    thing.reboot()
    thing.whole()
    # the recipe's mark is not Nova's: the same address cannot be marked like this a second time
    with pytest.raises(pymysql.err.IntegrityError):
        thing.sql("cell:cell1", FORGET, thing.server)
    thing.cloud.compute.delete_server(thing.server)
    wait(thing.gone, f"server {thing.server} to be gone")
    assert thing.cloud.network.get_port(novas).device_id == ""
    for port in thing.nics:
        thing.cloud.network.delete_port(port)


def a_moved_row_leaves_its_allocation(plane: Plane) -> None:
    """If SQL sets host and node, a hard reboot starts the guest there; allocation, attachment and bindings stay."""
    key = damage.plain_volume(plane)
    thing = Thing(plane, key)
    here = thing.host()
    there = Scene(plane, "recipe-move").other_host()
    assert here != there
    thing.sql("cell:cell1", "UPDATE instances SET host = %s, node = %s WHERE uuid = %s", there, there, thing.server)
    thing.reboot()
    assert thing.server in plane.guests(there)
    assert thing.providers() == {here}
    assert thing.attached_on() == {here}
    # if it were on, Nova's cache healer would bind them
    bound = {port.binding_host_id for port in thing.cloud.network.ports(device_id=thing.server)}
    assert bound == {here}
    thing.cloud.compute.delete_server(thing.server)


def a_move_attaches_what_was_let_go_of(plane: Plane) -> None:
    """If Cinder has no attachment for a mapping, a live migration attaches the volume again on the new host."""
    thing = Thing(plane, damage.stale_mapping(plane))
    thing.move()
    assert thing.attached_on() == {thing.host()}
    thing.detach()
    thing.delete()
    thing.remove_volume()


def a_wrong_mark_is_never_reaped(plane: Plane) -> None:
    """With deleted=1 the API forgets a server, but guest, ports and allocation stay; with the row's id it is reaped."""
    thing = Thing(plane, damage.marked_deleted(plane))
    host = next(name for name in plane.hosts if thing.server in plane.guests(name))
    with pytest.raises(sdk_errors.NotFoundException):
        thing.cloud.compute.get_server(thing.server)
    looked = "SELECT 1 FROM services WHERE host = %s AND last_seen_up > %s"
    since = thing.sql("cell:cell1", "SELECT UTC_TIMESTAMP() + INTERVAL 40 SECOND AS t")[0]["t"]
    wait(lambda: thing.sql("cell:cell1", looked, host, since), "two turns of the reaper", 120)
    assert thing.server in plane.guests(host)
    assert thing.nics_now() == thing.nics
    thing.sql("cell:cell1", "UPDATE instances SET deleted = id WHERE uuid = %s", thing.server)
    wait(lambda: thing.server not in plane.guests(host), f"guest {thing.server} to be reaped", 90)


TALES = (
    a_reboot_takes_the_nics,
    a_delete_takes_the_owners_port,
    the_first_option_changes_the_address,
    the_third_option_leaves_ports_over,
    a_moved_row_leaves_its_allocation,
    a_move_attaches_what_was_let_go_of,
    a_wrong_mark_is_never_reaped,
)
