# SPDX-License-Identifier: Apache-2.0
"""What servers, ports and volumes leave on hosts, and what only looks left behind.

As :mod:`.host_plants`: each plant returns the key of the finding expected.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import Server
from stackmend_lab.plants._volumes import new_volume

from .traced import UNIT, Traced

_IQN = "iqn.2010-10.org.openstack:volume-"

Plant = Callable[[Traced], dict[str, Any]]
Alike = Callable[[Traced], None]


def stem_of(port: str) -> str:
    """What names of devices have of it."""
    return port[:11]


# -- host-interface-orphan


def left_in_ovs(scene: Traced) -> dict[str, Any]:
    """The port was deleted while the agent was down: Open vSwitch still has its interface."""
    host, port = scene.first(), str(uuid.uuid4())
    scene.trees.of(host).ovs({f"tap{stem_of(port)}": port})
    return {"host": host, "stem": stem_of(port)}


def left_hybrid(scene: Traced) -> dict[str, Any]:
    """A guest was undefined by hand: the bridge of iptables and both ends of its pair stay (bug 1460177 and others)."""
    host, port = scene.first(), str(uuid.uuid4())
    for prefix in ("qbr", "qvb", "qvo"):
        scene.trees.of(host).link(f"{prefix}{stem_of(port)}")
    return {"host": host, "stem": stem_of(port)}


def left_by_a_move(scene: Traced) -> dict[str, Any]:
    """Its server is on another host, and so is the binding."""
    server = scene.with_nic()
    other, port = scene.other(server), scene.port(server)
    scene.trees.of(other).ovs({f"qvo{stem_of(port)}": port})
    scene.trees.of(other).link(f"qvo{stem_of(port)}")
    return {"host": other, "stem": stem_of(port)}


def left_by_a_detach(scene: Traced) -> dict[str, Any]:
    """A detach ended halfway: the port belongs to nobody, and its tap is there."""
    server = scene.with_nic()
    port, host = scene.port(server), str(server.host)
    scene.domain(server, nics=())
    scene.trees.of(host).write(f"sys/class/net/tap{stem_of(port)}/carrier", "0\n")
    scene.cloud.update("neutron", "ports", {"id": port}, device_id="", device_owner="")
    scene.cloud.update("neutron", "ml2_port_bindings", {"port_id": port}, host="", vif_type="unbound")
    return {"host": host, "stem": stem_of(port)}


def metadata(scene: Traced) -> None:
    """The tap of OVN's metadata has the id of a network in its name."""
    (network, *_) = scene.cloud.rows("neutron", "SELECT id FROM networks")
    scene.trees.of(scene.first()).link(f"tap{network['id'][:10]}0")


def of_others(scene: Traced) -> None:
    """Devices of other programs are called otherwise, and their interfaces have no port."""
    for name in ("tap0", "vnet3", "o-hm0", "qvo-test"):
        scene.trees.of(scene.first()).link(name)


def held(scene: Traced) -> None:
    """Somebody's process has the tap open."""
    scene.trees.of(scene.first()).link(f"tap{stem_of(str(uuid.uuid4()))}", held=True)


def being_plugged(scene: Traced) -> None:
    """The destination of a live migration has the devices before it has the guest."""
    server = scene.with_nic()
    other, port = scene.other(server), scene.port(server)
    scene.cloud.insert("neutron", "ml2_port_bindings", port_id=port, host=other, vif_type="ovs", vnic_type="normal",
                       status="INACTIVE", profile="", vif_details="")  # fmt: skip
    scene.trees.of(other).ovs({f"tap{stem_of(port)}": port})
    scene.row(server, task_state="migrating")
    scene.move(
        server, source_compute=server.host, dest_compute=other, migration_type="live-migration", status="running"
    )


def of_dhcp(scene: Traced) -> None:
    """The tap of a DHCP port is in Open vSwitch, and no guest has it."""
    (port, *_) = scene.cloud.rows("neutron", "SELECT id FROM ports WHERE device_owner = 'network:dhcp'")
    scene.trees.of(scene.first()).ovs({f"tap{stem_of(port['id'])}": port["id"]})


def of_a_stopped_guest(scene: Traced) -> None:
    """Nova leaves the bridge of a guest that it stops: the guest is defined with that port."""
    server = next(s for s in iter(lambda: scene.server("stopped"), None) if scene.on(s)[s.uuid].nics)
    for prefix in ("qbr", "qvb", "qvo"):
        scene.tree(server).link(f"{prefix}{stem_of(scene.port(server))}")


# -- host-namespace-orphan


def left_network(scene: Traced) -> dict[str, Any]:
    """The network was deleted while its DHCP agent was cut off."""
    name = f"qdhcp-{uuid.uuid4()}"
    scene.trees.of(scene.first()).namespace(name)
    return {"host": scene.first(), "name": name}


def left_router(scene: Traced) -> dict[str, Any]:
    """A router and its SNAT were deleted while the L3 agent was cut off."""
    name = f"snat-{uuid.uuid4()}"
    scene.trees.of(scene.first()).namespace(name)
    return {"host": scene.first(), "name": name}


def _agent(scene: Traced, host: str, kind: str = "DHCP agent") -> str:
    """An agent on a host."""
    name = str(uuid.uuid4())
    now = scene.cloud.ago(10)
    scene.cloud.insert(
        "neutron", "agents", id=name, agent_type=kind, binary="neutron-agent", topic="agent", host=host,
        admin_state_up=1, created_at=now, started_at=now, heartbeat_timestamp=now, configurations="{}", load=0,
    )  # fmt: skip
    return name


def moved_network(scene: Traced) -> dict[str, Any]:
    """A network was given to another agent, and this one did not hear of it."""
    (bound, *_) = scene.cloud.rows("neutron", "SELECT network_id FROM networkdhcpagentbindings ORDER BY network_id")
    _agent(scene, scene.first())
    name = f"qdhcp-{bound['network_id']}"
    scene.trees.of(scene.first()).namespace(name)
    return {"host": scene.first(), "name": name}


def served_here(scene: Traced) -> None:
    """Two agents serve a network, and each has its namespace."""
    (*_, bound) = scene.cloud.rows("neutron", "SELECT network_id FROM networkdhcpagentbindings ORDER BY network_id")
    host = max(scene.standing.guests)
    agent = _agent(scene, host)
    scene.cloud.insert("neutron", "networkdhcpagentbindings", network_id=bound["network_id"], dhcp_agent_id=agent,
                       binding_index=2)  # fmt: skip
    scene.trees.of(host).namespace(f"qdhcp-{bound['network_id']}")


def distributed(scene: Traced) -> None:
    """A router that nobody has scheduled here: distributed routers are wherever their guests are."""
    (router, *_) = scene.cloud.rows("neutron", "SELECT id FROM routers")
    for kind in ("qrouter", "snat"):
        scene.trees.of(scene.first()).namespace(f"{kind}-{router['id']}")


def not_of_neutron(scene: Traced) -> None:
    """Namespaces of others, and those of OVN's metadata agent."""
    for name in (f"ovnmeta-{uuid.uuid4()}", "cni-1234", "qdhcp-test"):
        scene.trees.of(scene.first()).namespace(name)


# -- host-device-orphan


def left_session(scene: Traced) -> dict[str, Any]:
    """A server was force-deleted, and its host is still logged in to the target of its volume."""
    target = f"{_IQN}{uuid.uuid4()}"
    scene.trees.of(scene.first()).session(scene.number(), target)
    return {"host": scene.first(), "name": target}


def left_map(scene: Traced) -> dict[str, Any]:
    """A volume was detached with reset-state: its map is there, and nothing has it open."""
    host = scene.settled()
    return {"host": host, "name": scene.maps(host, "running", "running")}


def dead_map(scene: Traced) -> dict[str, Any]:
    """The storage took the LUN away before the host had flushed the map (bug 2151837)."""
    host = scene.settled()
    return {"host": host, "name": scene.maps(host, "transport-offline", "offline")}


def pinned_map(scene: Traced) -> dict[str, Any]:
    """Likewise, and the host had activated a partition in it, which has it open for ever."""
    host = scene.settled()
    return {"host": host, "name": scene.maps(host, "transport-offline", opened=1, under=True)}


def outage(scene: Traced) -> None:
    """The storage is away: a guest has a map open none of whose paths works, and waits."""
    scene.maps(scene.settled(), "offline", "offline", opened=1)


def outage_of_the_host(scene: Traced) -> None:
    """Likewise of a map with a logical volume that the host itself has mounted."""
    scene.maps(scene.settled(), "offline", "offline", opened=1, under=True, mounted=True)


def of_nvme(scene: Traced) -> None:
    """Paths of NVMe say that they are live, and some kinds say nothing: the map under a logical volume is not dead."""
    host = scene.settled()
    scene.maps(host, "live", "live", opened=1, under=True)
    scene.maps(host, "", opened=1, under=True)


def in_use(scene: Traced) -> None:
    """A map that a guest, or the host itself, has open, and one that is under another."""
    host = scene.settled()
    scene.maps(host, "running", opened=1)
    number = scene.number()
    scene.trees.of(host).map(
        number, "mpathroot", f"mpath-36{number:030x}", {f"sdz{number}": ("running", "")}, under=True
    )


def of_a_stopped_server(scene: Traced) -> None:
    """An attached volume that no running guest shows: the idle map may be its, whatever its name."""
    server = next(s for s in iter(lambda: scene.server("stopped"), None) if scene.on(s)[s.uuid].disks)
    scene.maps(str(server.host), "running", "offline")


def attached_session(scene: Traced) -> None:
    """The target of a volume that is attached there."""
    server = next(s for s in iter(scene.server, None) if scene.on(s)[s.uuid].disks)
    volume = scene.on(server)[server.uuid].disks[0]["serial"]
    scene.tree(server).session(scene.number(), f"{_IQN}{volume}")


def of_an_array(scene: Traced) -> None:
    """An array has one target for all of its volumes: a session says nothing of any of them."""
    scene.trees.of(scene.first()).session(scene.number(), "iqn.2010-06.com.purestorage:flasharray.3f1", disks=4)


def migrated_session(scene: Traced) -> None:
    """A migration has given an attached volume the target of another id (cinder/volume/drivers/lvm.py)."""
    server = next(s for s in iter(scene.server, None) if scene.on(s)[s.uuid].disks)
    volume, stored = scene.on(server)[server.uuid].disks[0]["serial"], str(uuid.uuid4())
    scene.cloud.update("cinder", "volumes", {"id": volume}, _name_id=stored)
    scene.tree(server).session(scene.number(), f"{_IQN}{stored}")


def copied_session(scene: Traced) -> None:
    """Cinder is at work on a volume that nobody has attached: it may be this host that copies it."""
    volume = new_volume(scene.cloud, status="uploading")
    scene.trees.of(scene.first()).session(scene.number(), f"{_IQN}{volume}")


def session_of_a_copy(scene: Traced) -> None:
    """Likewise on the volume that a migration copies to (cinder/volume/manager.py: _migrate_volume_generic)."""
    volume = new_volume(scene.cloud)
    scene.cloud.update("cinder", "volumes", {"id": volume}, migration_status=f"target:{uuid.uuid4()}")
    scene.trees.of(scene.first()).session(scene.number(), f"{_IQN}{volume}")


def attached_by_hand(scene: Traced) -> None:
    """A guest has the device of a target, and no serial says of which volume."""
    server, volume = scene.server(), str(uuid.uuid4())
    device = f"dev/disk/by-path/ip-10.0.0.9:3260-iscsi-{_IQN}{volume}-lun-0"
    scene.domain(server, disks=(*scene.on(server)[server.uuid].disks, {"image": device, "serial": ""}))
    scene.tree(server).session(scene.number(), f"{_IQN}{volume}")


def of_cinder(scene: Traced) -> None:
    """A host with a cinder-volume of its own attaches volumes to copy them."""
    _copies(scene, max(scene.standing.guests), "cinder-volume")


def of_backups(scene: Traced) -> None:
    """So does one with a cinder-backup (cinder/backup/manager.py: _attach_volume), which no attachment shows."""
    _copies(scene, max(scene.standing.guests), "cinder-backup")


def _copies(scene: Traced, host: str, binary: str) -> None:
    now = scene.cloud.ago(10)
    name = f"{host}@lvm" if binary == "cinder-volume" else host
    scene.cloud.insert("cinder", "services", host=name, binary=binary, topic=binary, created_at=now, updated_at=now,
                       deleted=0, disabled=0, report_count=1, uuid=str(uuid.uuid4()))  # fmt: skip
    scene.trees.of(host).session(scene.number(), f"{_IQN}{uuid.uuid4()}")
    scene.maps(host, "running")


# -- multipath-paths-mixed


def mixed(scene: Traced) -> dict[str, Any]:
    """A LUN number was used again: one path leads to another volume (bug 2004555)."""
    server = scene.server()
    host = str(server.host)
    number = scene.number()
    return {"host": host, "name": scene.maps(host, "running", "running", opened=1, units=(number, number + 1000))}


def renamed(scene: Traced) -> dict[str, Any]:
    """All paths lead to the new volume, and the map still has the name of the old one."""
    host = scene.first()
    return {"host": host, "name": scene.maps(host, "running", "running", opened=1, units=(scene.number() + 2000,))}


def silent_path(scene: Traced) -> None:
    """A path that does not say where it leads, beside one that does."""
    number = scene.number()
    name = f"36001405{number:025x}"
    paths = {f"sda{number}": ("running", UNIT.format(number)), f"sdb{number}": ("running", "")}
    scene.trees.of(scene.first()).map(number, name, f"mpath-{name}", paths, opened=1)


def other_kinds(scene: Traced) -> None:
    """A map named by its vendor's id: it cannot be compared with the WWID of its paths."""
    number = scene.number()
    paths = {f"sda{number}": ("running", "t10.ATA     QEMU HARDDISK   QM00001")}
    scene.trees.of(scene.first()).map(number, "mpathq", "mpath-1ATA_QEMU_HARDDISK_QM00001", paths, opened=1)


# -- apparmor-vhost-net-denied


def denied(scene: Traced) -> dict[str, Any]:
    """A guest that started without a NIC was refused the device when a port was attached."""
    server = scene.with_nic()
    scene.confined(server).denied(server.uuid)
    return {"server": server.uuid}


def silent_profile(scene: Traced) -> dict[str, Any]:
    """A guest was started while its network cache was empty; nobody has tried to attach its port yet."""
    server = scene.with_nic()
    scene.domain(server, nics=())
    scene.confined(server)
    return {"server": server.uuid}


def never_had_one(scene: Traced) -> None:
    """A server without ports: no rule, and nothing was refused."""
    server = scene.with_nic()
    scene.cloud.update("neutron", "ml2_port_bindings", {"port_id": scene.port(server)}, vnic_type="direct")
    scene.domain(server, nics=())
    scene.confined(server)


def complains(scene: Traced) -> None:
    """A profile that only complains keeps nobody from anything."""
    server = scene.with_nic()
    scene.confined(server, mode="complain").denied(server.uuid)


# -- evacuated-source-not-cleaned


def not_cleaned(scene: Traced) -> dict[str, Any]:
    """The host was cut off and never restarted its nova-compute; somebody undefined the old guest."""
    server = scene.server()
    source = _peer(scene, server)
    reports = {"updated_at": scene.cloud.ago(5)}
    scene.cloud.update(server.database, "services", {"host": source, "binary": "nova-compute"}, **reports)
    scene.trees.of(source).directory(server.uuid)
    scene.move(server, source_compute=source, dest_compute=server.host, migration_type="evacuation", status="done")
    return {"server": server.uuid, "host": source}


def not_cleaned_of_a_deleted_server(scene: Traced) -> dict[str, Any]:
    """Likewise, and the server was deleted since: Nova marks its migrations as deleted with it."""
    key = not_cleaned(scene)
    for database in (name for name in scene.cloud.databases if name.startswith("cell:")):
        for table, column in (("instances", "uuid"), ("migrations", "instance_uuid")):
            for row in scene.cloud.rows(database, f"SELECT id FROM {table} WHERE {column} = :s", {"s": key["server"]}):
                scene.cloud.update(
                    database, table, {"id": row["id"]}, deleted=row["id"], deleted_at=scene.cloud.ago(7200)
                )
    return key


def _peer(scene: Traced, server: Server) -> str:
    """Another host of its cell."""
    rows = scene.cloud.rows(
        server.database, "SELECT host FROM services WHERE `binary` = 'nova-compute' AND deleted = 0"
    )
    return next(r["host"] for r in rows if r["host"] != server.host and r["host"] in scene.standing.guests)


def still_away(scene: Traced) -> None:
    """nova-compute of the source has not come back: it cleans up when it does."""
    server = scene.server()
    source = _peer(scene, server)
    scene.trees.of(source).directory(server.uuid)
    scene.move(server, source_compute=source, dest_compute=server.host, migration_type="evacuation", status="done")
    scene.cloud.update(server.database, "services", {"host": source}, updated_at=scene.cloud.ago(7200))


def cleaned(scene: Traced) -> None:
    """The record is closed: what is left is instance-dir-orphan's."""
    server = scene.server()
    source = _peer(scene, server)
    scene.trees.of(source).directory(server.uuid)
    scene.move(server, source_compute=source, dest_compute=server.host, migration_type="evacuation", status="completed")


# -- resize-disk-leftover


def beside(scene: Traced) -> dict[str, Any]:
    """The confirmation of a resize on the same host ended halfway (bug 1821594)."""
    server = scene.server()
    scene.tree(server).directory(f"{server.uuid}_resize")
    return {"server": server.uuid}


def only(scene: Traced) -> dict[str, Any]:
    """A resize was cut off after it had renamed the directory."""
    server = scene.server("stopped")
    tree = scene.tree(server)
    tree.directory(f"{server.uuid}_resize")
    (tree.root / "var/lib/nova/instances" / server.uuid).rmdir()
    return {"server": server.uuid}


def awaits(scene: Traced) -> None:
    """A resize that its owner has not confirmed (G-RESIZE)."""
    server = scene.server("resized")
    scene.tree(server).directory(f"{server.uuid}_resize")


def resizing(scene: Traced) -> None:
    """A resize is in progress."""
    server = scene.server()
    scene.tree(server).directory(f"{server.uuid}_resize")
    scene.row(server, task_state="resize_migrating")
    scene.move(server, source_compute=server.host, dest_compute=scene.other(server), migration_type="resize",
               status="migrating")  # fmt: skip


def source_of_another(scene: Traced) -> None:
    """The server is elsewhere: that directory is instance-dir-orphan's."""
    server = scene.server()
    scene.trees.of(scene.other(server)).directory(f"{server.uuid}_resize")


PLANTS: dict[str, tuple[Plant, ...]] = {
    "host-interface-orphan": (left_in_ovs, left_hybrid, left_by_a_move, left_by_a_detach),
    "host-namespace-orphan": (left_network, left_router, moved_network),
    "host-device-orphan": (left_session, left_map, dead_map, pinned_map),
    "multipath-paths-mixed": (mixed, renamed),
    "apparmor-vhost-net-denied": (denied, silent_profile),
    "evacuated-source-not-cleaned": (not_cleaned, not_cleaned_of_a_deleted_server),
    "resize-disk-leftover": (beside, only),
}
LOOK_ALIKES: dict[str, tuple[Alike, ...]] = {
    "host-interface-orphan": (metadata, of_others, held, being_plugged, of_dhcp, of_a_stopped_guest),
    "host-namespace-orphan": (served_here, distributed, not_of_neutron),
    "host-device-orphan": (
        in_use,
        outage,
        outage_of_the_host,
        of_nvme,
        of_a_stopped_server,
        attached_session,
        migrated_session,
        copied_session,
        session_of_a_copy,
        attached_by_hand,
        of_an_array,
        of_cinder,
        of_backups,
    ),
    "multipath-paths-mixed": (silent_path, other_kinds),
    "apparmor-vhost-net-denied": (never_had_one, complains),
    "evacuated-source-not-cleaned": (still_away, cleaned),
    "resize-disk-leftover": (awaits, resizing, source_of_another),
}
#: what is true of their whole host keeps plants on it silent as well
OF_WHOLE_HOSTS: tuple[Alike, ...] = (*LOOK_ALIKES["host-device-orphan"], still_away)
