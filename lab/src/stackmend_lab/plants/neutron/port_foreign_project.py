# SPDX-License-Identifier: Apache-2.0
"""Ports of servers that belong to another project than the server (catalogue A6)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._networks import OLD, attribute, new_network, new_port, sharing_target, standard


def _edited(cloud: CloudRows, server: Server, project: str = "f" * 32) -> dict[str, Any]:
    cloud.update("neutron", "ports", {"id": server.ports[0]}, project_id=project)
    attribute(cloud, server.ports[0], updated_at=cloud.ago(OLD))
    return {"server": server.uuid, "port": server.ports[0]}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The project of the port was edited by SQL: Neutron's counts of ports are wrong, too."""
    server = cloud.pick("active")
    for project in ("f" * 31 + "e", server.project_id):
        where = {"project_id": project, "resource": "port"}
        if not cloud.rows("neutron", "SELECT dirty FROM quotausages WHERE project_id = :p", {"p": project}):
            cloud.insert("neutron", "quotausages", **where, dirty=0, in_use=1, reserved=0)
    return _edited(cloud, server, "f" * 31 + "e")


def stopped(cloud: CloudRows) -> dict[str, Any]:
    """The server is off: it will start without the NIC."""
    return _edited(cloud, cloud.pick("stopped"))


def shared(cloud: CloudRows) -> dict[str, Any]:
    """The network is of a third project, which shares it with everybody."""
    server = cloud.pick("active")
    network = cloud.rows("neutron", "SELECT network_id FROM ports WHERE id = :p", {"p": server.ports[0]})[0]
    owner = {"id": uuid.uuid4().hex, "object_id": network["network_id"], "action": "access_as_shared"}
    cloud.insert("neutron", "networkrbacs", **owner, project_id="e" * 32, **{sharing_target(cloud): "*"})
    return _edited(cloud, server)


def not_shared(cloud: CloudRows) -> dict[str, Any]:
    """The server's project may not use the port's network, which was given to another project."""
    server = cloud.pick("active")
    network, _ = new_network(cloud)
    port = new_port(cloud, server, server.uuid, cloud.ago(OLD), str(server.host), status="ACTIVE",
                    network_id=network, project_id="f" * 32)  # fmt: skip
    return {"server": server.uuid, "port": port}


def foreign_group(cloud: CloudRows) -> dict[str, Any]:
    """The port has a security group of the other project."""
    server, group = cloud.pick("active"), str(uuid.uuid4())
    number = standard(cloud, "securitygroups", cloud.ago(OLD))
    cloud.insert("neutron", "securitygroups", id=group, project_id="f" * 32, name="default", stateful=1,
                 standard_attr_id=number)  # fmt: skip
    cloud.update("neutron", "securitygroupportbindings", {"port_id": server.ports[0]}, security_group_id=group)
    return _edited(cloud, server)


def no_quota(cloud: CloudRows) -> dict[str, Any]:
    """The server's project has no port left of its quota."""
    server = cloud.pick("active")
    quota = {"id": uuid.uuid4().hex, "project_id": server.project_id, "resource": "port", "limit": 1}
    cloud.insert("neutron", "quotas", **quota)
    return _edited(cloud, server)


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "stopped": stopped,
    "shared": shared,
    "not_shared": not_shared,
    "foreign_group": foreign_group,
    "no_quota": no_quota,
}
NOT_REPAIRED = {
    "not_shared": "network rbac create",
    "foreign_group": "--no-security-group",
    "no_quota": "quota set --ports",
}


def just_edited(cloud: CloudRows) -> None:
    """The port was changed half an hour ago: somebody is at it."""
    server = cloud.pick("active")
    _edited(cloud, server)
    attribute(cloud, server.ports[0], updated_at=cloud.ago(1800))


def of_a_container(cloud: CloudRows) -> None:
    """Ports of Kuryr and Zun have an owner like Nova's, and other projects."""
    server = cloud.pick("active")
    values = {"device_owner": "compute:zun", "project_id": "f" * 32, "status": "ACTIVE"}
    new_port(cloud, server, str(uuid.uuid4()), cloud.ago(OLD), host=str(server.host), **values)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "just_edited": just_edited,
    "of_a_container": of_a_container,
}
