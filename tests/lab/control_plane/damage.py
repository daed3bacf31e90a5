# SPDX-License-Identifier: Apache-2.0
"""Damage as the old recipes and crashes leave it, made by SQL: a second object for the second strategy of a repair.

The breaks of the lab cause the same damage through the services themselves, but need restarts for it.
"""

from __future__ import annotations

from typing import Any

from stackmend_lab.breaks._scene import Scene
from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import wait

Json = dict[str, Any]


def stale_mapping(plane: Plane) -> Json:
    """Cinder has let go of a volume, Nova's mapping stays."""
    key = _volume_of(plane, "way-mapping")
    scene = Scene(plane, "way-mapping")
    _detached_in_cinder(scene, key["volume"])
    bdm = "SELECT id FROM block_device_mapping WHERE volume_id = %s AND deleted = 0"
    return {**key, "bdm": scene.sql(scene.cell, bdm, key["volume"])[0]["id"]}


def detaching(plane: Plane) -> Json:
    """A volume says that it is being detached; mapping and attachment are there."""
    key = _volume_of(plane, "way-detaching")
    plane.sql("cinder", "UPDATE volumes SET status = 'detaching' WHERE id = %s", [key["volume"]])
    return key


def detaching_mapping_gone(plane: Plane) -> Json:
    """Nova's part of a detach is done, Cinder's is not."""
    key = detaching(plane)
    gone = "UPDATE block_device_mapping SET deleted = id, deleted_at = UTC_TIMESTAMP() WHERE volume_id = %s"
    plane.sql("cell:cell1", gone, [key["volume"]])
    return key


def detaching_attachment_gone(plane: Plane) -> Json:
    """Cinder's attachment is gone, its status and Nova's mapping are not."""
    key = detaching(plane)
    _detached_in_cinder(Scene(plane, "way-detaching"), key["volume"], "detaching")
    return key


def detaching_both_gone(plane: Plane) -> Json:
    """Only the status was left behind."""
    key = detaching_attachment_gone(plane)
    gone = "UPDATE block_device_mapping SET deleted = id, deleted_at = UTC_TIMESTAMP() WHERE volume_id = %s"
    plane.sql("cell:cell1", gone, [key["volume"]])
    return {"volume": key["volume"]}


def volume_of_nobody(plane: Plane) -> Json:
    """A server was deleted, Cinder's attachment to it lives on."""
    key = _volume_of(plane, "way-nobody")
    scene = Scene(plane, "way-nobody")
    alive = "SELECT id FROM volume_attachment WHERE volume_id = %s AND deleted = 0"
    attachment = scene.sql("cinder", alive, key["volume"])[0]["id"]
    scene.cloud.compute.delete_server(key["server"])
    gone = "SELECT uuid FROM instances WHERE uuid = %s AND deleted = id"
    wait(lambda: scene.sql(scene.cell, gone, key["server"]), f"server {key['server']} to be deleted")
    scene.sql("cinder", "UPDATE volume_attachment SET deleted = 0, deleted_at = NULL, detach_time = NULL,"
              " attach_status = 'attached' WHERE id = %s", attachment)  # fmt: skip
    statement = "UPDATE volumes SET status = 'in-use', attach_status = 'attached' WHERE id = %s"
    scene.sql("cinder", statement, key["volume"])
    scene.past(servers=key["server"], volumes=key["volume"])
    return {"volume": key["volume"]}


def stale_port(plane: Plane) -> Json:
    """A port is deleted from Neutron's tables by hand, and Nova hears nothing of it."""
    scene = Scene(plane, "way-port")
    server = scene.server([{"uuid": scene.network()}, {"uuid": scene.network(1)}])
    port = next(p.id for p in scene.cloud.network.ports(device_id=server, network_id=scene.network(1)))
    addresses = "SELECT ip_address, subnet_id FROM ipallocations WHERE port_id = %s"
    for row in scene.sql("neutron", addresses, port):
        free = (
            "DELETE a FROM ipamallocations a JOIN ipamsubnets s ON s.id = a.ipam_subnet_id"
            " WHERE a.ip_address = %s AND s.neutron_subnet_id = %s"
        )
        scene.sql("neutron", free, row["ip_address"], row["subnet_id"])
    mine = "(SELECT standard_attr_id FROM ports WHERE id = %s)"
    scene.sql("neutron", f"DELETE FROM standardattributes WHERE id = {mine}", port)
    scene.past(servers=server)
    return {"server": server, "port": port}


def freed_port(plane: Plane) -> Json:
    """A port is taken off a running server in Neutron's tables by hand: the account of Nova is not changed."""
    scene = Scene(plane, "way-freed")
    server = scene.server([{"uuid": scene.network()}, {"uuid": scene.network(1)}])
    port = next(p.id for p in scene.cloud.network.ports(device_id=server, network_id=scene.network(1)))
    scene.sql("neutron", "DELETE FROM ml2_port_binding_levels WHERE port_id = %s", port)
    unbound = "UPDATE ml2_port_bindings SET host = '', vif_type = 'unbound', vif_details = '' WHERE port_id = %s"
    scene.sql("neutron", unbound, port)
    scene.sql("neutron", "UPDATE ports SET device_id = '', device_owner = '', status = 'DOWN' WHERE id = %s", port)
    scene.past(servers=server)
    return {"server": server, "port": port}


def bound_twice(plane: Plane) -> Json:
    """A port has an inactive binding on another host, made as Nova makes it before a live migration."""
    scene = Scene(plane, "way-twice")
    server, host = scene.server(), scene.other_host()
    (port,) = scene.ports(server)
    answer = scene.cloud.network.post(f"/ports/{port}/bindings", json={"binding": {"host": host}})
    assert answer.status_code == 201, answer.text
    scene.past(servers=server)
    return {"server": server, "port": port, "left_host": host}


def emptied_elsewhere(plane: Plane) -> Json:
    """The network cache of a server with a port of Nova's alone becomes [], on the last host."""
    scene = Scene(plane, "way-emptied")
    host, cell = list(plane.layout.hosts.items())[-1]
    server = scene.server(host=host)
    scene.write_cache(server, "[]", f"cell:{cell}")
    scene.past(servers=server)
    return {"server": server}


def error_deleting(plane: Plane) -> Json:
    """A volume that could not be deleted."""
    scene = Scene(plane, "way-undeleted")
    volume = scene.volume()
    scene.sql("cinder", "UPDATE volumes SET status = 'error_deleting' WHERE id = %s", volume)
    scene.past(volumes=volume)
    return {"volume": volume}


# ---- nothing is wrong with these, or nothing that a check may judge: for requested repairs ----


def freed_by_hand(plane: Plane) -> Json:
    """The old recipe's statement on a volume that a server has."""
    key = _volume_of(plane, "way-freed")
    statement = "UPDATE volumes SET attach_status = 'detached', status = 'available' WHERE id = %s"
    plane.sql("cinder", statement, [key["volume"]])
    Scene(plane, "way-freed").past(servers=key["server"], volumes=key["volume"])
    return key


def deleted_under_a_server(plane: Plane) -> Json:
    """A volume is marked deleted while a server has it."""
    key = _volume_of(plane, "way-deleted-volume")
    statement = "UPDATE volumes SET deleted = 1, status = 'deleted', deleted_at = UTC_TIMESTAMP() WHERE id = %s"
    plane.sql("cinder", statement, [key["volume"]])
    Scene(plane, "way-deleted-volume").past(servers=key["server"], volumes=key["volume"])
    return key


def plain_volume(plane: Plane) -> Json:
    """A server with a volume; both are well."""
    return _volume_of(plane, "way-request")


def own_port(plane: Plane) -> Json:
    """A server with a port that its owner made."""
    scene = Scene(plane, "way-own")
    port = scene.own_port()
    server = scene.server([{"port": port}])
    scene.past(servers=server)
    return {"server": server, "port": port}


def novas_port(plane: Plane) -> Json:
    """A server with a port that Nova made, which is to outlive it."""
    scene = Scene(plane, "way-novas")
    server = scene.server()
    scene.past(servers=server)
    return {"server": server, "port": scene.ports(server)[0]}


def half_deleted(plane: Plane) -> Json:
    """A deletion that hangs: Nova's API refuses nothing, and nobody is at work on it."""
    scene = Scene(plane, "way-hanging")
    port = scene.own_port()
    server = scene.server([{"port": port}, {"uuid": scene.network(1)}])
    scene.sql(scene.cell, "UPDATE instances SET task_state = 'deleting' WHERE uuid = %s", server)
    scene.past(servers=server)
    return {"server": server, "port": port, "host": str(scene.cloud.compute.get_server(server).compute_host)}


def long_deleted(plane: Plane) -> Json:
    """A server that was deleted two days ago."""
    scene = Scene(plane, "way-deleted")
    server = scene.server()
    scene.cloud.compute.delete_server(server)
    gone = "SELECT uuid FROM instances WHERE uuid = %s AND deleted = id"
    wait(lambda: scene.sql(scene.cell, gone, server), f"server {server} to be deleted")
    back = "UPDATE instances SET deleted_at = deleted_at - INTERVAL 2 DAY WHERE uuid = %s"
    scene.sql(scene.cell, back, server)
    return {"server": server}


def _volume_of(plane: Plane, name: str) -> Json:
    scene = Scene(plane, name)
    server = scene.server()
    volume = scene.attached(server)
    scene.past(servers=server, volumes=volume)
    return {"volume": volume, "server": server}


def _detached_in_cinder(scene: Scene, volume: str, status: str = "available") -> None:
    scene.sql("cinder", "UPDATE volume_attachment SET deleted = 1, deleted_at = UTC_TIMESTAMP(),"
              " attach_status = 'detached' WHERE volume_id = %s", volume)  # fmt: skip
    statement = "UPDATE volumes SET status = %s, attach_status = 'detached' WHERE id = %s"
    scene.sql("cinder", statement, status, volume)


def marked_deleted(plane: Plane) -> Json:
    """What an old recipe does to a server that cannot be deleted: three columns, and a mark that is not Nova's."""
    scene = Scene(plane, "way-marked")
    port = scene.own_port()
    server = scene.server([{"port": port}, {"uuid": scene.network(1)}])
    scene.past(servers=server)
    statement = "UPDATE instances SET deleted = 1, vm_state = 'deleted', deleted_at = %s WHERE uuid = %s"
    before = scene.sql(scene.cell, "SELECT UTC_TIMESTAMP() - INTERVAL 2 HOUR AS t")[0]["t"]
    scene.sql(scene.cell, statement, before, server)
    return {"server": server}
