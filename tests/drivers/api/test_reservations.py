# SPDX-License-Identifier: Apache-2.0
"""Reserved ports and recovered addresses, of Neutron's rows that speak HTTP."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from stackmend.cloud import reservations
from stackmend.cloud.dns import NO_DOMAIN
from stackmend.model.errors import Exit, UsageError
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants._networks import drop_port, standard

from .fake import RefusedError, Reply
from .reservations import Reservations, Shown, having, reserved
from .serving import serving
from .test_addresses import NetworkFake
from .test_collecting import configured

DOMAIN = "lab.example"


class ReservingFake(NetworkFake):
    """Neutron makes ports: with the address that is asked for, else with the next one that it draws."""

    draws: list[str]
    room: int | None = None
    #: dns_domain of neutron.conf; None: without the extension
    dns_domain: str | None
    shows_domain: bool  #: that ports show it

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.dns_names: dict[str, str] = {}
        self.dns_domain, self.shows_domain = DOMAIN, True

    def lists(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        """Before those of the others."""
        yield "POST", "/network/v2.0/ports", self.create_port
        yield "DELETE", "/network/v2.0/ports/([^/?]+)", self.asked_to_remove
        yield "GET", "/network/v2.0/networks/([^/?]+)", self.one_network
        yield "GET", "/network/v2.0/extensions", self.extensions
        yield "GET", "/network/v2.0/ports/([^/?]+)", self.one_port
        yield "GET", r"/network/v2.0/quotas/([^/?]+)/details", self.quota
        yield from super().lists()

    def extensions(self, *_: Any) -> Reply:
        return 200, {"extensions": [] if self.dns_domain is None else [{"alias": "dns-integration"}]}

    def one_port(self, _: Any, name: str) -> Reply:
        status, body = self.show_port(_, name)
        return status, {"port": body["port"] | self._in_dns({"id": name, "fixed_ips": body["port"]["fixed_ips"]})}

    def _in_dns(self, port: dict[str, Any]) -> dict[str, Any]:
        """As ``DNSExtensionDriver`` shows it, which takes no name as long as the domain is the default."""
        if self.dns_domain is None:
            return {}
        name = self.dns_names.get(port["id"], "")
        assigned = [
            {"ip_address": address, "hostname": host, "fqdn": f"{host}.{self.dns_domain}."}
            for address in (one["ip_address"] for one in port["fixed_ips"])
            for host in [name or f"host-{address.replace('.', '-').replace(':', '-')}"]
        ]
        return {"dns_name": name, "dns_assignment": assigned if name or self.shows_domain else []}

    def one_network(self, _: Any, name: str) -> Reply:
        return 200, {"network": self.need("Network", "neutron", "SELECT id, name FROM networks WHERE id = :n", n=name)}

    def quota(self, _: Any, project: str) -> Reply:
        del project
        used = 100
        limit = -1 if self.room is None else used + self.room
        return 200, {"quota": {"port": {"limit": limit, "used": used, "reserved": 0}}}

    def create_port(self, body: Any, *_: Any) -> Reply:
        asked = body["port"]
        if self.room == 0:
            raise RefusedError(409, "Quota exceeded for resources: ['port'].")
        network = self.need("Network", "neutron", "SELECT * FROM networks WHERE id = :n", n=asked["network_id"])
        wanted = [self._chosen(network["id"], one) for one in asked.get("fixed_ips") or [{}]]
        for address, subnet in wanted:
            taken = "SELECT port_id FROM ipallocations WHERE ip_address = :a AND subnet_id = :s"
            if self.row("neutron", taken, a=address, s=subnet):
                raise RefusedError(409, f"IP address {address} already allocated in subnet {subnet}")
        name = str(uuid.uuid4())
        now = self.cloud.ago(0)
        number = standard(self.cloud, "ports", now)
        self.cloud.update("neutron", "standardattributes", {"id": number}, description=asked.get("description", ""))
        self.cloud.insert(
            "neutron", "ports", id=name, name=asked["name"], project_id=asked.get("project_id", "own"),
            network_id=network["id"], status="DOWN", device_id="", device_owner="", admin_state_up=1,
            mac_address=asked.get("mac_address") or f"fa:16:3e:{name[:2]}:{name[2:4]}:{name[4:6]}",
            standard_attr_id=number, ip_allocation="immediate",
        )  # fmt: skip
        for address, subnet in wanted:
            values = {"ip_address": address, "subnet_id": subnet, "network_id": network["id"]}
            self.cloud.insert("neutron", "ipallocations", port_id=name, **values)
            ipam = self.need("", "neutron", "SELECT id FROM ipamsubnets WHERE neutron_subnet_id = :s", s=subnet)
            self.cloud.insert(
                "neutron", "ipamallocations", ip_address=address, ipam_subnet_id=ipam["id"], status="ALLOCATED"
            )
        if self.dns_domain not in (None, NO_DOMAIN):
            self.dns_names[name] = asked.get("dns_name", "").lower()
        if self.room is not None:
            self.room -= 1
        return 201, {"port": {"id": name}}

    def _chosen(self, network: str, asked: dict[str, str]) -> tuple[str, str]:
        sql = "SELECT * FROM subnets WHERE network_id = :n ORDER BY ip_version"
        subnet = asked.get("subnet_id") or self.need("Subnet", "neutron", sql, n=network)["id"]
        if "ip_address" in asked:
            return asked["ip_address"], subnet
        return self.draws.pop(0), subnet

    def asked_to_remove(self, _: Any, name: str) -> Reply:
        self.as_constrained(self.port(name))
        return self.remove_port(_, name)

    def remove_port(self, _: Any, name: str) -> Reply:
        self.port(name)
        drop_port(self.cloud, name)
        if self.room is not None:
            self.room += 1
        return 204, None

    def _ports(self) -> list[dict[str, Any]]:
        sql = (
            "SELECT p.id, a.description, a.revision_number FROM ports p"
            " JOIN standardattributes a ON a.id = p.standard_attr_id"
        )
        ports = super()._ports()
        # read last: what is made meanwhile has no description here, and is not among the ports
        described = {row.pop("id"): row for row in self.cloud.rows("neutron", sql)}
        return [{**port, **described[port["id"]], **self._in_dns(port)} for port in ports if port["id"] in described]


@dataclass
class FakePlace:
    """A network of the embedded cloud."""

    network: str
    subnet: str
    gateway: str
    project: str
    cidr: str


class FakeSite:
    """Neutron of rows."""

    def __init__(self, cloud: Cloud, fake: ReservingFake, folder: Path) -> None:
        self.cloud, self.fake, self.domain = cloud, fake, DOMAIN
        fake.dns_domain, fake.shows_domain = DOMAIN, True
        configured(folder, fake)
        self.toml = folder / "stackmend.toml"

    def account(self) -> tuple[str, Path]:
        return "fake", self.fake.clouds_yaml()

    def place(self) -> FakePlace:
        server = self.cloud.pick("active")
        port = self.cloud.rows("neutron", "SELECT * FROM ports WHERE id = :p", {"p": server.ports[0]})[0]
        sql = "SELECT * FROM subnets WHERE network_id = :n AND ip_version = 4"
        subnet = self.cloud.rows("neutron", sql, {"n": port["network_id"]})[0]
        self.fake.draws = [self.unused(subnet, n) for n in range(40, 60)]
        self.fake.room = None
        return FakePlace(port["network_id"], subnet["id"], subnet["gateway_ip"], port["project_id"], subnet["cidr"])

    def unused(self, subnet: dict[str, Any], number: int) -> str:
        found = ip_network(subnet["cidr"])
        return str(found[-2 - number])

    def an_address(self, place: FakePlace) -> str:
        return str(ip_network(place.cidr)[-20])

    def nearly_full(self, left: int) -> tuple[FakePlace, str]:
        place = self.place()
        self.fake.draws = self.fake.draws[:left]
        return place, self.fake.draws[left // 2]

    def hold(self, place: FakePlace, address: str, owner: str = "", device: str = "") -> str:
        asked = {"subnet_id": place.subnet, "ip_address": str(ip_address(address))}
        body = {"name": "", "network_id": place.network, "project_id": place.project, "fixed_ips": [asked]}
        _, answer = self.fake.create_port({"port": body})
        name = str(answer["port"]["id"])
        self.fake.cloud.update("neutron", "ports", {"id": name}, device_owner=owner, device_id=device)
        return name

    def free(self, port: str) -> None:
        self.fake.remove_port(None, port)

    def ports(self, place: FakePlace) -> list[Shown]:
        return [port for port in self.fake._ports() if port["network_id"] == place.network]

    def allow(self, place: FakePlace, ports: int | None) -> None:
        del place
        self.fake.room = ports

    def read_rows(self) -> None:
        """Read the databases as well."""
        self.toml.write_text(f'{self.cloud.toml()}[api]\ncloud = "fake"\nclouds = "{self.fake.clouds_yaml()}"\n')

    def with_address(self) -> tuple[Any, dict[str, Any]]:
        """An active server with one port, and that port's IPv4 address, MAC and network."""
        server = next(s for s in self.cloud.servers("active") if len(s.ports) == 1 and self.cloud.rows(
            "neutron", "SELECT 1 FROM ports WHERE id = :p", {"p": s.ports[0]}
        ))  # fmt: skip
        sql = "SELECT a.ip_address, p.mac_address, p.network_id FROM ipallocations a JOIN ports p ON p.id = a.port_id"
        where = "WHERE p.id = :p AND a.ip_address LIKE '%.%'"
        (row,) = self.cloud.rows("neutron", f"{sql} {where}", {"p": server.ports[0]})
        return server, row

    def delete(self, server: Any) -> None:
        """Let Nova have deleted a server an hour ago."""
        when = self.cloud.ago(3600)
        for table, key in (("instances", "uuid"), ("instance_info_caches", "instance_uuid")):
            self.fake.cloud.update(server.database, table, {key: server.uuid}, deleted=1, deleted_at=when)

    def give(self, port: str) -> None:
        """Put a port on a server."""
        self.fake.update_port({"port": {"device_id": "a-server", "device_owner": "compute:nova"}}, port)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, ReservingFake]]:
    """A cloud with its services."""
    folder = tmp_path_factory.mktemp("reservations")
    cloud = build(folder / "cloud", servers=120)
    with serving(ReservingFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield cloud, fake


class TestReservations(Reservations):
    """Of rows that speak HTTP."""

    @pytest.fixture
    def site(self, served: tuple[Cloud, ReservingFake], tmp_path: Path) -> FakeSite:
        """Neutron, with a journal of its own."""
        return FakeSite(*served, tmp_path)

    @pytest.mark.parametrize(
        ("domain", "words"), [(None, "has no DNS names for ports"), (NO_DOMAIN, "drops DNS names of ports")]
    )
    def test_a_neutron_without_names(self, site: FakeSite, typed: Any, domain: str | None, words: str) -> None:
        """Without the extension, or as it is configured by default: nothing is made, and why is said."""
        place = site.place()
        site.fake.dns_domain = domain
        code, _, err = typed("port", "reserve", "--network", place.network, "--name", f"web-1.{DOMAIN}", "--yes")
        assert (code, words in err) == (Exit.USAGE, True), err
        assert reserved(site, place) == []

    @pytest.mark.attack("has Neutron drop the DNS name of a port, which it does without a word")
    def test_a_name_that_is_dropped(self, site: FakeSite, typed: Any) -> None:
        """No port has shown that before: what was made is looked at, and that it has no name is no success."""
        place = site.place()
        site.fake.dns_domain, site.fake.shows_domain = NO_DOMAIN, False
        words = ("--network", place.network, "--name", f"web-1.{DOMAIN}", "--yes", "-f", "json")
        code, out, err = typed("port", "reserve", *words)
        assert code == Exit.STOPPED, err
        assert len(reserved(site, place)) == 1
        assert typed("run", "undo", json.loads(out)["run"], "--yes")[0] == Exit.CLEAN
        assert reserved(site, place) == []

    def test_whose_it_was_is_known_from_rows(self, site: FakeSite, typed: Any) -> None:
        """A guest that lost its port may use the address still; when its server is gone, project and MAC are its."""
        site.read_rows()
        server, row = site.with_address()
        site.free(server.ports[0])
        words = ("port", "recover-ip", row["ip_address"], "--network", row["network_id"], "--yes")
        code, _, err = typed(*words)
        assert code == Exit.STOPPED
        assert f"server {server.uuid} is not deleted and its records still have {row['ip_address']}" in err
        site.delete(server)
        code, _, err = typed(*words)
        assert code == Exit.REPAIRED, err
        place = FakePlace(row["network_id"], "", "", "", "")
        (port,) = having(site, place, row["ip_address"])
        assert (port["project_id"], port["mac_address"]) == (server.project_id, row["mac_address"])

    @pytest.mark.attack("leaves an address in Neutron's IPAM whose port is gone")
    def test_an_address_that_the_ipam_has_kept(self, site: FakeSite, typed: Any) -> None:
        """No port has it, and Neutron refuses it all the same: the plan says why, and port find does."""
        site.read_rows()
        place = site.place()
        address = site.an_address(place)
        sql = "SELECT id FROM ipamsubnets WHERE neutron_subnet_id = :s"
        (ipam,) = site.cloud.rows("neutron", sql, {"s": place.subnet})
        row = {"ip_address": address, "ipam_subnet_id": ipam["id"]}
        site.fake.cloud.insert("neutron", "ipamallocations", **row, status="ALLOCATED")
        try:
            words = (address, "--network", place.network, "--project", place.project, "--yes")
            code, _, err = typed("port", "recover-ip", *words)
            _, out, _ = typed("port", "find", address)
        finally:
            site.fake.cloud.delete("neutron", "ipamallocations", row)
        assert code == Exit.STOPPED
        assert f"no port has {address}, but Neutron's own IPAM says that it is given away" in err
        assert f"ipamallocations of subnet {place.subnet} has it" in out
        assert having(site, place, address) == []

    def test_what_was_a_floating_address(self, site: FakeSite, typed: Any) -> None:
        """Refused, with the way to have it back: a port of its own would lead nowhere."""
        site.read_rows()
        server, row = site.with_address()
        sql = "SELECT id, cidr FROM subnets WHERE network_id = :n AND ip_version = 4"
        subnet = site.cloud.rows("neutron", sql, {"n": row["network_id"]})[0]
        place = FakePlace(row["network_id"], subnet["id"], "", server.project_id, subnet["cidr"])
        address = site.an_address(place)
        where = {"instance_uuid": server.uuid}
        sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u"
        before = site.cloud.rows(server.database, sql, {"u": server.uuid})[0]["network_info"]
        (vif, *rest) = json.loads(before)
        fixed = next(one for subnet in vif["network"]["subnets"] for one in subnet["ips"])
        fixed["floating_ips"] = [{"address": address, "type": "floating", "version": 4, "meta": {}}]
        document = json.dumps([vif, *rest])
        site.fake.cloud.update(server.database, "instance_info_caches", where, network_info=document)
        words = ("port", "recover-ip", address, "--network", place.network, "--project", place.project, "--yes")
        code, _, err = typed(*words)
        site.fake.cloud.update(server.database, "instance_info_caches", where, network_info=before)
        assert code == Exit.STOPPED, err
        made = f"openstack floating ip create --floating-ip-address {address} --project {server.project_id}"
        assert f"{made} {place.network}" in err
        assert having(site, place, address) == []
        assert row["ip_address"] != address

    def test_records_of_another_network_say_nothing(self, site: FakeSite, typed: Any) -> None:
        """Projects use the same ranges: the server that had it elsewhere is of somebody else."""
        site.read_rows()
        server, row = site.with_address()
        site.free(server.ports[0])
        (cache,) = site.cloud.rows(
            server.database, "SELECT * FROM instance_info_caches WHERE instance_uuid = :u", {"u": server.uuid}
        )
        document = cache["network_info"].replace(row["network_id"], "0d0e4f6a-6a4d-4d9e-9d0c-6f3b8f0f2a11")
        where = {"instance_uuid": server.uuid}
        site.fake.cloud.update(server.database, "instance_info_caches", where, network_info=document)
        code, _, err = typed("port", "recover-ip", row["ip_address"], "--network", row["network_id"])
        assert code == Exit.STOPPED
        assert "no record shows which project" in err
        assert server.uuid not in err

    def test_a_cell_that_cannot_be_read_may_have_a_living_server(self, site: FakeSite, typed: Any) -> None:
        """Nothing is made: the guest that uses the address may be there."""
        site.read_rows()
        server, row = site.with_address()
        site.free(server.ports[0])
        site.delete(server)
        (cell,) = site.cloud.rows("nova_api", "SELECT * FROM cell_mappings WHERE name = 'cell2'")
        where = {"id": cell["id"]}
        site.fake.cloud.update("nova_api", "cell_mappings", where, database_connection="sqlite:////nowhere/cell2.db")
        words = ("--network", row["network_id"], "--project", server.project_id, "--yes")
        try:
            code, _, err = typed("port", "recover-ip", row["ip_address"], *words)
        finally:
            site.fake.cloud.update("nova_api", "cell_mappings", where, database_connection=cell["database_connection"])
        assert code == Exit.STOPPED, err
        assert f"cannot determine whether a live server still has {row['ip_address']}: cell:cell2" in err


@pytest.mark.parametrize(
    ("text", "plain"), [("2001:DB8:0::20", "2001:db8::20"), (" 10.0.0.5", "10.0.0.5"), ("::ffff:0:0", "::ffff:0:0")]
)
def test_an_address_is_written_as_neutron_does(text: str, plain: str) -> None:
    """What is compared with what Neutron shows later has to read alike."""
    assert reservations.plain(text) == plain


@pytest.mark.parametrize("text", ["10.0.0.256", "web-1", "10.0.0.0/24", ""])
def test_a_text_that_is_no_address(text: str) -> None:
    """An error of the user that names it."""
    with pytest.raises(UsageError, match="is not an address"):
        reservations.plain(text)
