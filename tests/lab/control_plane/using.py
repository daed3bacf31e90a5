# SPDX-License-Identifier: Apache-2.0
"""What is done with a mended thing, by the real services, and how they must behave."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from stackmend_lab.control_plane import Plane
from stackmend_lab.control_plane.seed import NETWORKS, wait, wait_server, wait_volume
from stackmend_lab.mariadb import LabError

from . import sdk_errors

Json = dict[str, Any]
#: a NIC as its owner knows it: MAC and addresses
Nic = tuple[str, tuple[str, ...]]
_LEFT = (
    "SELECT b.host FROM ml2_port_bindings b JOIN ports p ON p.id = b.port_id"
    " WHERE p.device_id = %s AND b.status = 'INACTIVE'"
)


def _nic(port: Any) -> Nic:
    return port.mac_address, tuple(ip["ip_address"] for ip in port.fixed_ips)


class Thing:
    """A server, port, volume or consumer that was broken, and what Neutron showed at that time."""

    def __init__(self, plane: Plane, key: Mapping[str, Any]) -> None:
        self.plane, self.key = plane, dict(key)
        self.cloud: Any = plane.connect()
        self.volume = str(key.get("volume") or "")
        self.port = str(key.get("port") or "")
        self.server = str(key.get("server") or self._its_server())
        self.nics: dict[str, Nic] = self.nics_now() if self.server else {}
        self.own = self.owned() if self.server else ""  #: the server's port that its owner created
        found = self.cloud.network.find_port(self.port) if self.port else None
        self.port_was: Nic = _nic(found) if found else ("", ())
        self.port_network = str(found.network_id) if found else ""

    def _its_server(self) -> str:
        """The live server of its port, or the consumer that is one; "" if there is none."""
        owner = [self.key.get("consumer")]
        owner += [
            row["device_id"] for row in self.sql("neutron", "SELECT device_id FROM ports WHERE id = %s", self.port)
        ]
        live = "SELECT uuid FROM instances WHERE deleted = 0 AND uuid = %s"
        cells = self.plane.layout.cells
        found = [row for cell in cells for one in owner for row in self.sql(f"cell:{cell}", live, one)]
        return str(found[0]["uuid"]) if found else ""

    @property
    def names(self) -> set[str]:
        """Every UUID by which it is known: for --server, and to recognise its findings."""
        found = {str(v) for k, v in self.key.items() if k in ("server", "port", "volume", "consumer")}
        return (found | {self.server} | self.migrations()) - {""}

    def concerns(self, finding: Mapping[str, Any]) -> bool:
        """True for a finding that names one of its UUIDs or one of its ports."""
        return bool((self.names | set(self.nics)) & {str(value) for value in finding["evidence"].values()})

    def migrations(self) -> set[str]:
        """UUIDs of the server's migrations: they are consumers of Placement."""
        statement = "SELECT uuid FROM migrations WHERE instance_uuid = %s"
        rows = [row for cell in self.plane.layout.cells for row in self.sql(f"cell:{cell}", statement, self.server)]
        return {str(row["uuid"]) for row in rows} if self.server else set()

    def sql(self, database: str, statement: str, *parameters: Any) -> list[Json]:
        """Rows of a database."""
        return self.plane.sql(database, statement, parameters)

    # ---- what the services show ----

    def nics_now(self) -> dict[str, Nic]:
        """Port -> MAC and addresses, for the ports that Neutron has for the server."""
        return {port.id: _nic(port) for port in self.cloud.network.ports(device_id=self.server)}

    def owned(self) -> str:
        """The server's port that its owner created (it has a name), or ""."""
        return next((str(port.id) for port in self.cloud.network.ports(device_id=self.server) if port.name), "")

    def host(self) -> str:
        """The server's host, as Nova shows it."""
        return str(self.cloud.compute.get_server(self.server).compute_host)

    def shown(self) -> set[str]:
        """The addresses in 'server show'."""
        networks = self.cloud.compute.get_server(self.server).addresses
        return {address["addr"] for some in networks.values() for address in some}

    def providers(self) -> set[str]:
        """The resource providers with allocations for the server or its migrations."""
        statement = (
            "SELECT DISTINCT p.name FROM allocations a JOIN resource_providers p ON p.id = a.resource_provider_id"
            f" WHERE a.consumer_id IN ({', '.join(['%s'] * len(self.names))})"
        )
        return {row["name"] for row in self.sql("placement", statement, *sorted(self.names))}

    def whole(self, nics: Mapping[str, Nic] | None = None) -> None:
        """Assert that all agree: the same NICs, plugged and ACTIVE on its host, shown, and allocated only there."""
        nics = self.nics if nics is None else nics
        host = self.host()
        assert self.nics_now() == nics
        assert set(self.plane.guests(host)[self.server]["vifs"]) == set(nics), "the guest has other NICs"
        wait(lambda: self._active(host), f"the ports of {self.server} to be ACTIVE on {host}", 60)
        assert self.shown() == {ip for _, ips in nics.values() for ip in ips}
        # a nova-compute that has moved a server away frees what it held there after the server is ACTIVE
        wait(lambda: self.providers() == {host}, f"{self.server} to have allocations on {host} alone", 60)

    def _active(self, host: str) -> bool:
        ports = list(self.cloud.network.ports(device_id=self.server))
        return all(p.status == "ACTIVE" and p.binding_host_id == host for p in ports)

    # ---- what is done with it ----

    def reboot(self) -> None:
        """Hard-reboot: the guest is defined again from the databases."""
        self.cloud.compute.reboot_server(self.server, "HARD")
        wait_server(self.cloud, self.server)

    def move(self) -> None:
        """Live-migrate the server to another host of its cell, if there is one.

        A host for which a failed migration has left an inactive binding is not used: Neutron refuses a second one.
        """
        here, cells = self.host(), self.plane.layout.hosts
        left = {row["host"] for row in self.sql("neutron", _LEFT, self.server)}
        others = [host for host, cell in cells.items() if cell == cells[here] and host not in {here, *left}]
        if not others:
            assert list(cells.values()).count(cells[here]) == 1
            return
        there = others[0]
        self.cloud.compute.live_migrate_server(self.server, host=there, block_migration="auto")
        wait(lambda: self.host() == there, f"server {self.server} to be on {there}", 120)
        wait_server(self.cloud, self.server)
        wait(lambda: self.providers() == {there}, f"the allocation of {self.server} to be on {there} alone", 60)

    def plug(self) -> None:
        """Attach one more NIC and detach it again."""
        network = self.cloud.network.find_network(list(NETWORKS)[1]).id
        made = self.cloud.compute.create_server_interface(self.server, net_id=network)
        wait(lambda: made.port_id in self.plane.guests(self.host())[self.server]["vifs"], "the NIC to be plugged", 60)
        self.cloud.compute.delete_server_interface(made, server=self.server)
        wait(lambda: self.cloud.network.find_port(made.port_id) is None, "its port to be gone", 60)

    def attach(self, volume: str = "") -> None:
        """Attach a volume."""
        volume = volume or self.volume
        self.cloud.compute.create_volume_attachment(self.server, volume_id=volume)
        wait_volume(self.cloud, volume, "in-use")

    def detach(self) -> None:
        """Detach its volume: it is available in Cinder, and no mapping or attachment is left."""
        self.cloud.compute.delete_volume_attachment(self.server, self.volume)
        wait_volume(self.cloud, self.volume)
        alive = "SELECT id FROM volume_attachment WHERE volume_id = %s AND deleted = 0"
        assert self.sql("cinder", alive, self.volume) == []
        mapping = "SELECT id FROM block_device_mapping WHERE volume_id = %s AND deleted = 0"
        # Nova does its part after Cinder
        wait(lambda: self.sql("cell:cell1", mapping, self.volume) == [], f"the mapping of {self.volume} to go", 60)

    def attached_on(self) -> set[str]:
        """The hosts to which Cinder exports its volume."""
        alive = "SELECT attached_host FROM volume_attachment WHERE volume_id = %s AND deleted = 0"
        return {row["attached_host"] for row in self.sql("cinder", alive, self.volume)}

    def delete(self, keeps: str = "") -> None:
        """Delete the server: nothing is left of it but its owner's port, which is unbound."""
        mine, host = set(self.nics_now()), self.host()
        self.cloud.compute.delete_server(self.server)
        wait(self.gone, f"server {self.server} to be gone", 120)
        assert self.server not in self.plane.guests(host)
        if keeps:
            # the agent reports it a moment later
            wait(lambda: self.cloud.network.get_port(keeps).status == "DOWN", f"port {keeps} to be DOWN", 60)
            port = self.cloud.network.get_port(keeps)
            assert (port.device_id, port.device_owner) == ("", "")
            assert _nic(port) == self.nics[keeps]
            self.cloud.network.delete_port(keeps)
            mine.remove(keeps)
        assert [port for port in mine if self.cloud.network.find_port(port)] == []
        wait(lambda: self.providers() == set(), f"no allocation of {self.server}", 60)
        assert self.sql("cinder", "SELECT id FROM volume_attachment WHERE instance_uuid = %s AND deleted = 0",
                        self.server) == []  # fmt: skip

    def gone(self) -> bool:
        """True once Nova's API no longer knows the server."""
        try:
            self.cloud.compute.get_server(self.server)
        except sdk_errors.NotFoundException:
            return True
        return False

    def remove_volume(self) -> None:
        """Delete the volume through Cinder's API."""
        self.cloud.block_storage.delete_volume(self.volume)
        wait(lambda: self.cloud.block_storage.find_volume(self.volume) is None, f"volume {self.volume} to go", 60)


def running(plane: Plane) -> dict[str, int | None]:
    """Service -> process id."""
    return {state.name: state.pid for state in plane.status() if state.state == "running"}


# ---- the whole use of one thing ----


def server(thing: Thing) -> None:
    """A server whose NICs and place were in doubt: rebooted, moved, a NIC more and less, deleted."""
    thing.reboot()
    thing.whole()
    thing.move()
    thing.whole()
    thing.plug()
    thing.delete(thing.own)


def restored_server(thing: Thing) -> None:
    """A server that was deleted softly: restored, it has the NICs that it had; rebooted, a NIC more, deleted."""
    thing.cloud.compute.restore_server(thing.server)
    wait_server(thing.cloud, thing.server)
    unmoved_server(thing)


def unshelved_server(thing: Thing) -> None:
    """A server that was shelved: unshelved, it has the NICs that it had; then as others."""
    thing.cloud.compute.unshelve_server(thing.server)
    wait_server(thing.cloud, thing.server)
    server(thing)


def surviving_server(thing: Thing) -> None:
    """A server whose host would have destroyed it: nova-compute starts again and keeps the guest; rebooted, deleted."""
    host = thing.host()
    thing.plane.restart(f"nova-compute-{host}")
    assert thing.server in thing.plane.guests(host)
    thing.reboot()
    thing.whole()
    thing.delete()


def unmoved_server(thing: Thing) -> None:
    """A server whose NICs were in doubt: rebooted, a NIC more and less, deleted."""
    thing.reboot()
    thing.whole()
    thing.plug()
    thing.delete(thing.own)


def bound_server(thing: Thing) -> None:
    """A server whose port Neutron is asked to bind, as the plan says; then rebooted, moved, a NIC more, deleted."""
    thing.cloud.network.update_port(thing.port, binding_host_id=thing.host())
    server(thing)


def server_with_port_back(thing: Thing) -> None:
    """The guest never lost the interface; the port works again once Neutron has told its agents, as the plan says."""
    nics = thing.nics_now()
    assert set(nics) == {*thing.nics, thing.port}
    assert set(thing.plane.guests(thing.host())[thing.server]["vifs"]) == set(nics), "the guest has other NICs"
    for state in (False, True):
        thing.cloud.network.update_port(thing.port, admin_state_up=state)
    thing.whole(nics)
    thing.reboot()
    thing.whole(nics)
    thing.move()
    thing.whole(nics)
    thing.delete(thing.own)


def server_without_port(thing: Thing) -> None:
    """The server has the NICs that it had, without the port; the port's address can be had again."""
    rest = {port: nic for port, nic in thing.nics.items() if port != thing.port}
    thing.reboot()
    thing.whole(rest)
    thing.nics = rest
    thing.plug()
    port(thing)
    thing.delete()


def server_with_volume(thing: Thing) -> None:
    """A volume that Nova and Cinder have: it stays with the server in a reboot and a move, and can be let go of."""
    thing.reboot()
    thing.whole()
    assert thing.attached_on() == {thing.host()}
    thing.move()
    assert thing.attached_on() == {thing.host()}
    thing.detach()
    thing.attach()
    thing.delete()
    thing.remove_volume()


def server_without_volume(thing: Thing) -> None:
    """A volume that was let go of: a reboot does not bring it back, and it can be attached again."""
    thing.reboot()
    thing.whole()
    assert thing.attached_on() == set()
    thing.attach()
    assert thing.attached_on() == {thing.host()}
    thing.detach()
    thing.delete()
    thing.remove_volume()


def free_volume(thing: Thing) -> None:
    """A volume whose server is gone: another server takes it."""
    thing.server = thing.cloud.compute.find_server("web1").id
    thing.attach()
    thing.detach()
    thing.remove_volume()


def no_volume(thing: Thing) -> None:
    """A volume that is gone: no API knows it."""
    assert thing.cloud.block_storage.find_volume(thing.volume) is None


def purgeable_volume(thing: Thing) -> None:
    """Cinder's own purge takes what is left of a volume that was deleted days ago."""
    no_volume(thing)
    for table, column in (("volumes", "id"), ("volume_metadata", "volume_id")):
        back = f"UPDATE {table} SET deleted_at = deleted_at - INTERVAL 3 DAY WHERE {column} = %s AND deleted = 1"
        thing.sql("cinder", back, thing.volume)
    thing.plane.manage("cinder-manage", "db", "purge", "2", file="cinder")
    assert thing.sql("cinder", "SELECT id FROM volumes WHERE id = %s", thing.volume) == []


def purgeable_part(thing: Thing) -> None:
    """Cinder's own purge takes a snapshot or an attachment that was deleted days ago."""
    ((kind, name),) = ((kind, thing.key[kind]) for kind in ("snapshot", "attachment") if kind in thing.key)
    table = {"snapshot": "snapshots", "attachment": "volume_attachment"}[kind]
    back = f"UPDATE {table} SET deleted_at = deleted_at - INTERVAL 3 DAY WHERE id = %s AND deleted = 1"
    thing.sql("cinder", back, name)
    thing.plane.manage("cinder-manage", "db", "purge", "2", file="cinder")
    assert thing.sql("cinder", f"SELECT id FROM {table} WHERE id = %s", name) == []


def port(thing: Thing) -> None:
    """A port that nobody owns: gone, and its address free; or kept, unbound, and good for a server again."""
    found = thing.cloud.network.find_port(thing.port)
    if found is None:
        fixed = [{"ip_address": address} for address in thing.port_was[1]]
        again = thing.cloud.network.create_port(network_id=thing.port_network, fixed_ips=fixed)
        thing.cloud.network.delete_port(again)
        return
    assert (found.device_id, found.device_owner, found.binding_vif_type) == ("", "", "unbound")
    assert _nic(found) == thing.port_was
    other = Thing(thing.plane, {"server": thing.cloud.compute.find_server("web1").id})
    made = thing.cloud.compute.create_server_interface(other.server, port_id=thing.port)
    wait(lambda: thing.port in thing.plane.guests(other.host())[other.server]["vifs"], "the NIC to be plugged", 60)
    thing.cloud.compute.delete_server_interface(made, server=other.server)
    wait(lambda: not thing.cloud.network.get_port(thing.port).device_id, "the port to be free", 60)
    thing.cloud.network.delete_port(thing.port)


def no_server(thing: Thing) -> None:
    """A server that was deleted in the rows: its host reaps the guest, and of its own accord nothing comes back."""
    wait(thing.gone, f"server {thing.server} to be gone", 60)
    hosts = thing.plane.hosts
    wait(lambda: not any(thing.server in thing.plane.guests(h) for h in hosts), f"guest {thing.server} to go", 90)
    wait(lambda: thing.providers() == set(), f"no allocation of {thing.server}", 60)
    if thing.own:
        wait(lambda: not thing.cloud.network.get_port(thing.own).device_id, "the owner's port to be free", 60)
    others = [p for p in thing.nics if p != thing.own]
    wait(lambda: not any(thing.cloud.network.find_port(p) for p in others), "Nova's ports to be gone", 60)


def archived_server(thing: Thing) -> None:
    """A server whose deletion is whole: Nova's own archiving takes all of it, its mapping too."""
    assert thing.gone()
    cell = thing.key["cell"]
    with suppress(LabError):  # its exit code 1 says that something was archived
        thing.plane.manage("nova-manage", "db", "archive_deleted_rows", file=f"manage-{cell}")
    purged_server(thing)


def purged_server(thing: Thing) -> None:
    """No database has it, and no API."""
    assert thing.gone()
    for cell in thing.plane.layout.cells:
        assert thing.sql(f"cell:{cell}", "SELECT id FROM instances WHERE uuid = %s", thing.server) == []
    assert thing.sql("nova_api", "SELECT id FROM instance_mappings WHERE instance_uuid = %s", thing.server) == []


def no_allocation(thing: Thing) -> None:
    """Placement holds nothing for the consumer."""
    consumer = thing.key["consumer"]
    answer = thing.cloud.placement.get(f"/allocations/{consumer}", microversion="1.28")
    assert answer.json()["allocations"] == {}


def kept_port(thing: Thing) -> None:
    """The port outlives its server, with its address."""
    thing.reboot()
    thing.delete(keeps=thing.port)


def released_port(thing: Thing) -> None:
    """The port goes with its server."""
    thing.reboot()
    thing.whole()
    thing.delete()
