# SPDX-License-Identifier: Apache-2.0
"""Addresses and ports where no database is configured: Neutron's API tells the same as its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from stackmend.app.objects.addresses import find
from stackmend.app.objects.ports import port_of, ports_of
from stackmend.config.settings import Config, load
from stackmend.model.errors import SourceError
from stackmend_lab.cloud import Cloud, build

from .fake import Reply
from .serving import serving
from .showing import ShowingFake
from .test_collecting import configured

PORTS = (
    "SELECT p.*, b.host, b.vif_type FROM ports p"
    " LEFT JOIN ml2_port_bindings b ON b.port_id = p.id AND b.status = 'ACTIVE' ORDER BY p.id"
)


class NetworkFake(ShowingFake):
    """Neutron lists ports, subnets, networks, routers and floating addresses, and filters them as it does."""

    def lists(self) -> Iterator[tuple[str, str, Callable[..., Reply]]]:
        """Before those of the others."""
        for key in ("ports", "subnets", "networks", "routers", "floatingips"):
            yield "GET", rf"/network/v2.0/{key}(?:\?(.*))?", self._lister(key)
        yield "GET", r"/network/v2.0/subnets/([^/?]+)", self.one_subnet
        yield from super().lists()

    def one_subnet(self, _: Any, name: str) -> Reply:
        pools = self.cloud.rows("neutron", "SELECT * FROM ipallocationpools WHERE subnet_id = :s", {"s": name})
        return 200, {"subnet": {"allocation_pools": [{"start": p["first_ip"], "end": p["last_ip"]} for p in pools]}}

    def _lister(self, key: str) -> Callable[..., Reply]:
        def listed(_: Any, query: str) -> Reply:
            asked = {name: set(values) for name, values in parse_qs(query or "").items() if name not in _PAGING}
            rows = [row for row in getattr(self, f"_{key}")() if all(_fits(row, n, v) for n, v in asked.items())]
            return self.paged(key, f"/network/v2.0/{key}", rows, query)

        return listed

    def _ports(self) -> list[dict[str, Any]]:
        fixed: dict[str, list[dict[str, Any]]] = {}
        for row in self.cloud.rows("neutron", "SELECT * FROM ipallocations"):
            one = {"ip_address": row["ip_address"], "subnet_id": row["subnet_id"]}
            fixed.setdefault(row["port_id"], []).append(one)
        same = ("id", "name", "project_id", "network_id", "mac_address", "status", "device_id", "device_owner")
        return [
            {name: row[name] for name in same}
            | {
                "binding:host_id": row["host"],
                "binding:vif_type": row["vif_type"],
                "fixed_ips": fixed.get(row["id"], []),
            }
            for row in self.cloud.rows("neutron", PORTS)
        ]

    def _subnets(self) -> list[dict[str, Any]]:
        names = ("id", "name", "network_id", "cidr", "gateway_ip")
        return [{name: row[name] for name in names} for row in self.cloud.rows("neutron", "SELECT * FROM subnets")]

    def _networks(self) -> list[dict[str, Any]]:
        sql = (
            "SELECT n.id, n.name, s.network_type, s.segmentation_id, s.physical_network FROM networks n"
            " JOIN networksegments s ON s.network_id = n.id"
        )
        outside = {row["network_id"] for row in self.cloud.rows("neutron", "SELECT network_id FROM externalnetworks")}
        return [
            {"id": row["id"], "name": row["name"], "router:external": row["id"] in outside}
            | {f"provider:{n}": row[n] for n in ("network_type", "segmentation_id", "physical_network")}
            for row in self.cloud.rows("neutron", sql)
        ]

    def _routers(self) -> list[dict[str, Any]]:
        return self.cloud.rows("neutron", "SELECT id, name FROM routers")

    def _floatingips(self) -> list[dict[str, Any]]:
        names = ("id", "project_id", "floating_ip_address", "fixed_ip_address")
        rows = self.cloud.rows("neutron", "SELECT * FROM floatingips")
        return [{n: row[n] for n in names} | {"port_id": row["fixed_port_id"]} for row in rows]


_PAGING = ("limit", "marker", "fields")


def _fits(row: dict[str, Any], name: str, values: set[str]) -> bool:
    if name == "fixed_ips":
        return any(f"ip_address={one['ip_address']}" in values for one in row["fixed_ips"])
    return row[name] in values


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Config, Config]]:
    """A cloud, a configuration with its databases, and one with its APIs alone."""
    folder: Path = tmp_path_factory.mktemp("addresses")
    cloud = build(folder / "cloud", servers=120)
    (folder / "rows.toml").write_text(cloud.toml())
    with serving(NetworkFake(cloud, tmp_path_factory.mktemp("account"))) as fake:
        yield cloud, load(str(folder / "rows.toml"), None), configured(folder, fake)


def test_an_address_by_the_api(served: tuple[Cloud, Config, Config]) -> None:
    """Holders and places are the same; who had it only databases tell, and that is said."""
    cloud, rows, api = served
    row = cloud.rows("neutron", "SELECT * FROM floatingips WHERE fixed_port_id IS NOT NULL LIMIT 1")[0]
    for asked in (row["fixed_ip_address"], row["floating_ip_address"]):
        known, told = find(rows, asked), find(api, asked)
        assert [one.port for one in told.holders] == [one.port for one in known.holders] != []
        assert [one.floating for one in told.holders] == [one.floating for one in known.holders]
        assert told.places == known.places != ()
        assert [one.id for one in told.floating] == [one.id for one in known.floating]
        assert list(told.unread) == ["nova"]
        assert known.unread == {}


def test_ports_by_the_api(served: tuple[Cloud, Config, Config]) -> None:
    """The same ports by server, project, network and host; what becomes of them is unknown, not wrong."""
    cloud, rows, api = served
    server = cloud.pick("active")
    network = cloud.rows("neutron", "SELECT network_id FROM ports WHERE id = :p", {"p": server.ports[0]})[0]
    asked = {
        "server": server.uuid, "project": server.project_id, "network": network["network_id"],
        "host": str(server.host),
    }  # fmt: skip
    for by, name in asked.items():
        known, told = ports_of(rows, by, name), ports_of(api, by, name)
        assert {one.port: one.neutron for one in told} == {one.port: one.neutron for one in known} != {}
        assert {one.fate for one in told} == {None}
        assert [one.differences for one in told] == [()] * len(known)
    page = port_of(api, server.ports[0])
    assert page == replace(port_of(rows, server.ports[0]), listed=page.listed)


def test_neither_rows_nor_api(served: tuple[Cloud, Config, Config]) -> None:
    """A cloud whose Neutron nobody can ask: an error that says what to name."""
    _, rows, _ = served
    databases = {name: url for name, url in rows.databases.items() if name != "neutron"}
    with pytest.raises(SourceError, match="neither from its database nor through its API"):
        find(replace(rows, databases=databases), "10.0.0.5")
