# SPDX-License-Identifier: Apache-2.0
"""Which ports a server has, and which of them die with it: what no API shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stackmend.app.session import Session
from stackmend.config.settings import Config
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.port import ServerPort
from stackmend.model.protocols import Live
from stackmend.model.snapshot import cell_database


def ports_of(config: Config, server: str) -> tuple[ServerPort, ...]:
    """The ports of a live server, in the order of its cache, then those that only Neutron has.

    UsageError when no cell has the server; SourceError when a cell or Neutron cannot be read, or is not
    believed.
    """
    with Session.of(config).believed().live() as live:
        return _ports(live, server)


def _ports(live: Live, server: str) -> tuple[ServerPort, ...]:
    database = _database(live, server)
    cached = _cached(live, database, server)
    neutron = {str(row["id"]): row for row in live.rows("neutron", "ports", {"device_id": server})}
    found = [_port(live, port, vif, neutron.get(port)) for port, vif in cached.items()]
    found += [_port(live, port, None, row) for port, row in neutron.items() if port not in cached]
    return tuple(found)


def _database(live: Live, server: str) -> str:
    for cell in live.cells():
        if live.rows(cell_database(cell), "instances", {"uuid": server, "deleted": 0}):
            return cell_database(cell)
    raise UsageError(f"there is no server {server}", "No cell has a live one of that uuid.")


def _cached(live: Live, database: str, server: str) -> dict[str, Mapping[str, Any]]:
    """Port -> VIF of the server's cache; SourceError when it cannot be read as one."""
    rows = live.rows(database, "instance_info_caches", {"instance_uuid": server, "deleted": 0})
    try:
        vifs = json.loads(str(rows[0]["network_info"] or "[]")) if rows else []
        return {str(vif["id"]): vif for vif in vifs}
    except (ValueError, TypeError, KeyError):
        raise SourceError(
            f"the network info cache of server {server} cannot be read", "Rebuild it: 'stackmend server cache rebuild'."
        ) from None


def _port(live: Live, port: str, vif: Mapping[str, Any] | None, row: Mapping[str, Any] | None) -> ServerPort:
    addresses = live.rows("neutron", "ipallocations", {"port_id": port}) if row else []
    return ServerPort(
        port=port,
        addresses=tuple(sorted(str(address["ip_address"]) for address in addresses)) or _addresses(vif),
        network=str(row["network_id"]) if row else _network(vif),
        in_cache=vif is not None,
        in_neutron=row is not None,
        preserve_on_delete=None if vif is None else bool(vif.get("preserve_on_delete", False)),
    )


def _network(vif: Mapping[str, Any] | None) -> str | None:
    network = (vif or {}).get("network")
    return str(network["id"]) if isinstance(network, Mapping) and "id" in network else None


def _addresses(vif: Mapping[str, Any] | None) -> tuple[str, ...]:
    network = (vif or {}).get("network")
    subnets = network.get("subnets", []) if isinstance(network, Mapping) else []
    return tuple(str(ip.get("address")) for subnet in subnets for ip in subnet.get("ips", []))
