# SPDX-License-Identifier: Apache-2.0
"""Reserved ports and recovered addresses on the real Neutron."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from stackmend_lab.control_plane import Plane

from ...drivers.api.reservations import Reservations, Shown
from . import sdk_errors

CIDR = ip_network("10.77.0.0/24")
#: for a nearly full network: every further address is a port to create and to delete
SMALL = ip_network("10.77.0.0/28")
GATEWAY = str(CIDR[1])


@dataclass
class LabPlace:
    """A network that was created for one test."""

    network: str
    subnet: str
    gateway: str
    project: str


class LabSite:
    """The real Neutron."""

    domain = "lab.example"

    def __init__(self, plane: Plane) -> None:
        self.toml: Path = plane.toml
        self.sdk: Any = plane.connect()
        self.made: list[str] = []
        self.clouds = plane.clouds_yaml
        self.block = SMALL  #: what is nearly full

    def account(self) -> tuple[str, Path]:
        return "lab", self.clouds

    def place(self, block: str = str(CIDR)) -> LabPlace:
        name = f"reserved-{uuid.uuid4().hex[:6]}"
        network = self.sdk.network.create_network(name=name)
        self.made.append(network.id)
        subnet = self.sdk.network.create_subnet(
            network_id=network.id, ip_version=4, cidr=block, gateway_ip=GATEWAY, enable_dhcp=False
        )
        return LabPlace(network.id, subnet.id, GATEWAY, str(self.sdk.current_project_id))

    def an_address(self, place: LabPlace) -> str:
        del place
        return str(CIDR[200])

    def nearly_full(self, left: int) -> tuple[LabPlace, str]:
        place = self.place(str(self.block))
        hosts = [str(one) for one in self.block.hosts() if str(one) != GATEWAY]
        bodies = [
            {"network_id": place.network, "fixed_ips": [{"subnet_id": place.subnet, "ip_address": address}]}
            for address in hosts[:-left]
        ]
        for begin in range(0, len(bodies), 50):
            self.sdk.network.create_ports(bodies[begin : begin + 50])
        return place, hosts[-1]

    def hold(self, place: LabPlace, address: str, owner: str = "", device: str = "") -> str:
        fixed = [{"subnet_id": place.subnet, "ip_address": address}]
        port = self.sdk.network.create_port(
            network_id=place.network, fixed_ips=fixed, device_owner=owner, device_id=device
        )
        return str(port.id)

    def free(self, port: str) -> None:
        # Neutron's API protects its own ports
        with suppress(sdk_errors.NotFoundException):
            self.sdk.network.update_port(port, device_owner="", device_id="")
            self.sdk.network.delete_port(port)

    def ports(self, place: LabPlace) -> list[Shown]:
        return [
            {"id": one.id, "name": one.name, "project_id": one.project_id, "device_id": one.device_id,
             "description": one.description, "fixed_ips": one.fixed_ips, "dns_name": one.dns_name}
            for one in self.sdk.network.ports(network_id=place.network)
        ]  # fmt: skip

    def allow(self, place: LabPlace, ports: int | None) -> None:
        if ports is None:
            self.sdk.network.update_quota(place.project, ports=-1)
            return
        used = self.sdk.network.get_quota(place.project, details=True).ports["used"]
        self.sdk.network.update_quota(place.project, ports=used + ports)

    def give(self, port: str) -> None:
        """Attach the port to a server."""
        self.sdk.network.update_port(port, device_id=str(uuid.uuid4()), device_owner="compute:nova")

    def clear(self) -> None:
        """Delete everything that was created."""
        for network in self.made:
            for port in self.sdk.network.ports(network_id=network):
                self.free(port.id) if port.device_owner else self.sdk.network.delete_port(port.id)
            self.sdk.network.delete_network(network)


class TestReservations(Reservations):
    """Reservations on the real Neutron."""

    @pytest.fixture
    def site(self, plane: Plane) -> Iterator[LabSite]:
        """The lab, with networks that are deleted afterwards and no port quota."""
        site = LabSite(plane)
        site.sdk.network.update_quota(site.sdk.current_project_id, ports=-1)
        yield site
        site.clear()

    @pytest.mark.long
    def test_drawn_from_250_addresses(self, site: LabSite, typed: Any) -> None:
        """A subnet of usual size, in which all but four addresses are held by ports."""
        site.block = CIDR
        self.test_drawn_until_it_is_there(site, typed)
        left = [port for network in site.made for port in site.sdk.network.ports(network_id=network)]
        assert len(left) == CIDR.num_addresses - 7  # without the network, broadcast, gateway, and four that are free
