# SPDX-License-Identifier: Apache-2.0
"""Neutron's API as an administrator sees it: agents and what they serve, ports, networks.

Every function may raise SourceError, if Neutron does not answer.
"""

from __future__ import annotations

from stackmend.model.api import Resource, segment
from stackmend.model.protocols import Api
from stackmend.model.values import objects


def agents(api: Api, host: str) -> list[Resource]:
    """Agents on a host."""
    return list(api.every("network", f"/agents?host={segment(host)}", "agents"))


def agents_of(api: Api, kind: str) -> list[Resource]:
    """Agents of one type (``L3 agent``) on any host."""
    return list(api.every("network", f"/agents?agent_type={segment(kind)}", "agents"))


def routers_of(api: Api, agent: str) -> list[Resource]:
    """Routers served by an L3 agent."""
    return list((api.get("network", f"/agents/{segment(agent)}/l3-routers") or {}).get("routers", ()))


def networks_of(api: Api, agent: str) -> list[Resource]:
    """Networks served by a DHCP agent."""
    return list((api.get("network", f"/agents/{segment(agent)}/dhcp-networks") or {}).get("networks", ()))


def networks(api: Api) -> list[Resource]:
    """Every network."""
    return list(api.every("network", "/networks", "networks"))


def bound(api: Api, host: str, *fields: str) -> list[Resource]:
    """Ports with a binding on a host, including inactive ones; with these fields, by default all."""
    wanted = "".join(f"&fields={name}" for name in fields)
    return list(api.every("network", f"/ports?binding:host_id={segment(host)}{wanted}", "ports"))


def addresses(port: Resource) -> list[str]:
    """The fixed addresses of a port, in order."""
    return sorted(str(one["ip_address"]) for one in objects(port.get("fixed_ips")))


def ports_of(api: Api, server: str) -> list[Resource]:
    """Ports of a server, wherever they are bound."""
    return list((api.get("network", f"/ports?device_id={segment(server)}") or {}).get("ports", ()))


def few(api: Api) -> list[str]:
    """Ids of some networks, to recognise a cloud."""
    body = api.get("network", "/networks?limit=5") or {}
    return [str(one["id"]) for one in body.get("networks", ())[:5]]


def ports_left(api: Api, project: str) -> int | None:
    """How many more ports a project may have; None if unknown or unlimited."""
    if not project:
        return None
    quota = ((api.get("network", f"/quotas/{segment(project)}/details") or {}).get("quota") or {}).get("port") or {}
    limit = quota.get("limit")
    if limit is None or int(limit) < 0:
        return None
    return int(limit) - int(quota.get("used") or 0) - int(quota.get("reserved") or 0)
