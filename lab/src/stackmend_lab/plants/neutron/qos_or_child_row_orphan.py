# SPDX-License-Identifier: Apache-2.0
"""Rows of Neutron that belong to something that is gone (catalogue I14)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from stackmend.tables.neutron import QOS_BINDINGS
from stackmend_lab.cloud import CloudRows, Server
from stackmend_lab.plants._floating import new_router
from stackmend_lab.plants._networks import DETAILS, OLD, new_network, new_port, sharing_target, standard
from stackmend_lab.plants._volumes import new_project

_BINDINGS = "ml2_distributed_port_bindings"
_DISTRIBUTED = "network:router_interface_distributed"


def _interface(cloud: CloudRows, router: str, age: float = OLD, owner: str = _DISTRIBUTED) -> tuple[Server, str]:
    """(a server beside it, a port) of the router, which has a record of it."""
    server = cloud.pick("active")
    port = new_port(cloud, server, router, cloud.ago(age), device_owner=owner, status="ACTIVE")
    cloud.insert("neutron", "routerports", router_id=router, port_id=port, port_type=owner)
    return server, port


def _row(port: str, host: str, router: str | None) -> dict[str, Any]:
    return {
        "port_id": port, "host": host, "router_id": router, "vif_type": "ovs", "vif_details": json.dumps(DETAILS),
        "vnic_type": "normal", "profile": "", "status": "ACTIVE",
    }  # fmt: skip


def _bind(cloud: CloudRows, port: str, host: str, router: str | None) -> dict[str, Any]:
    """A distributed binding with a level; the key of its finding."""
    cloud.insert("neutron", _BINDINGS, **_row(port, host, router))
    level = {"port_id": port, "host": host, "level": 0, "driver": "openvswitch", "segment_id": None}
    cloud.insert("neutron", "ml2_port_binding_levels", **level)
    return {"child": _BINDINGS, "row": port, "host": host}


def plant(cloud: CloudRows) -> dict[str, Any]:
    """The port is on another router by now; the binding on one host still names a router that was deleted."""
    server, port = _interface(cloud, new_router(cloud))
    return _bind(cloud, port, str(server.host), str(uuid.uuid4()))


def centralised(cloud: CloudRows) -> dict[str, Any]:
    """A distributed router was made centralised (bug 1976439)."""
    router = new_router(cloud)
    server, port = _interface(cloud, router, owner="network:router_interface")
    return _bind(cloud, port, str(server.host), router)


def host_removed(cloud: CloudRows) -> dict[str, Any]:
    """A compute host was removed with its agents."""
    router = new_router(cloud)
    _, port = _interface(cloud, router)
    return _bind(cloud, port, f"gone-{port[:8]}", router)


def port_lost(cloud: CloudRows) -> dict[str, Any]:
    """A binding was restored from a dump, its port was not."""
    port = str(uuid.uuid4())
    cloud.orphan("neutron", _BINDINGS, **_row(port, "c0001", None))
    return {"child": _BINDINGS, "row": port, "host": "c0001"}


def _entry(cloud: CloudRows, network: str, project: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()), "project_id": uuid.uuid4().hex, sharing_target(cloud): project,
        "action": "access_as_shared", "object_id": network,
    }  # fmt: skip


def shared_with_nobody(cloud: CloudRows) -> dict[str, Any]:
    """A network is shared with a project that was deleted."""
    entry = _entry(cloud, new_network(cloud)[0], uuid.uuid4().hex)
    cloud.insert("neutron", "networkrbacs", **entry)
    return {"child": "networkrbacs", "row": entry["id"], "host": ""}


def shared_and_used(cloud: CloudRows) -> dict[str, Any]:
    """Likewise, and a port of that project is in the network."""
    server = cloud.pick("active")
    port = new_port(cloud, server, "", cloud.ago(OLD), project_id=uuid.uuid4().hex, device_owner="", name="spare")
    row = cloud.rows("neutron", "SELECT network_id, project_id FROM ports WHERE id = :p", {"p": port})[0]
    entry = _entry(cloud, row["network_id"], row["project_id"])
    cloud.insert("neutron", "networkrbacs", **entry)
    return {"child": "networkrbacs", "row": entry["id"], "host": ""}


def nothing_shared(cloud: CloudRows) -> dict[str, Any]:
    """An entry was restored from a dump, its security group was not."""
    entry = _entry(cloud, str(uuid.uuid4()), "*")
    cloud.orphan("neutron", "securitygrouprbacs", **entry)
    return {"child": "securitygrouprbacs", "row": entry["id"], "host": ""}


def _policy(cloud: CloudRows) -> str:
    policy = str(uuid.uuid4())
    number = standard(cloud, "qos_policies", cloud.ago(OLD))
    cloud.insert("neutron", "qos_policies", id=policy, project_id="", name="slow", standard_attr_id=number)
    return policy


def without_policy(cloud: CloudRows) -> dict[str, Any]:
    """The QoS policy of a network was deleted in a database whose foreign key is missing."""
    network, _ = new_network(cloud)
    cloud.orphan("neutron", "qos_network_policy_bindings", policy_id=str(uuid.uuid4()), network_id=network)
    return {"child": "qos_network_policy_bindings", "row": network, "host": ""}


def _of_nothing(table: str) -> Callable[[CloudRows], dict[str, Any]]:
    column = QOS_BINDINGS[table][1]

    def make(cloud: CloudRows) -> dict[str, Any]:
        its = str(uuid.uuid4())
        cloud.orphan("neutron", table, **{"policy_id": _policy(cloud), column: its})
        return {"child": table, "row": its, "host": ""}

    make.__doc__ = f"A row of {table} was left behind in a database whose foreign key is missing."
    return make


VARIANTS: dict[str, Callable[[CloudRows], dict[str, Any]]] = {
    "centralised": centralised,
    "host_removed": host_removed,
    "port_lost": port_lost,
    "shared_with_nobody": shared_with_nobody,
    "shared_and_used": shared_and_used,
    "nothing_shared": nothing_shared,
    "without_policy": without_policy,
    "policy_of_no_port": _of_nothing("qos_port_policy_bindings"),
    "policy_of_no_router": _of_nothing("qos_router_gw_policy_bindings"),
}
MENDED_BY = {"shared_with_nobody": "delete-sharing-entry"}
NOT_REPAIRED = {
    "port_lost": "DELETE FROM ml2_distributed_port_bindings WHERE port_id = ",
    "shared_and_used": "delete that first",
    "nothing_shared": "DELETE FROM securitygrouprbacs WHERE id = ",
    "without_policy": "DELETE FROM qos_network_policy_bindings WHERE network_id = ",
    "policy_of_no_port": "DELETE FROM qos_port_policy_bindings WHERE port_id = ",
    "policy_of_no_router": "DELETE FROM qos_router_gw_policy_bindings WHERE router_id = ",
}


def distributed(cloud: CloudRows) -> None:
    """The interface of a distributed router, bound on a host that has an agent."""
    router = new_router(cloud)
    server, port = _interface(cloud, router)
    _bind(cloud, port, str(server.host), router)


def unbound_by_agent(cloud: CloudRows) -> None:
    """The last guest of a network left the host: Neutron forgets the router of the binding, then its agent unbinds."""
    server, port = _interface(cloud, new_router(cloud))
    _bind(cloud, port, str(server.host), None)


def being_centralised(cloud: CloudRows) -> None:
    """A router is being made centralised: the owner of its port was changed a minute ago."""
    router = new_router(cloud)
    server, port = _interface(cloud, router, age=60, owner="network:router_interface")
    _bind(cloud, port, str(server.host), router)


def shared(cloud: CloudRows) -> None:
    """Networks that are shared with everybody, with a project, and with one that was written with dashes."""
    for project in ("*", new_project(cloud), str(uuid.UUID(new_project(cloud)))):
        cloud.insert("neutron", "networkrbacs", **_entry(cloud, new_network(cloud)[0], project))


def with_a_policy(cloud: CloudRows) -> None:
    """A port and a network with QoS policies that exist."""
    port = new_port(cloud, cloud.pick("active"), "", cloud.ago(OLD), device_owner="", name="spare")
    cloud.insert("neutron", "qos_port_policy_bindings", policy_id=_policy(cloud), port_id=port)
    network = new_network(cloud)[0]
    cloud.insert("neutron", "qos_network_policy_bindings", policy_id=_policy(cloud), network_id=network)


LOOK_ALIKES: dict[str, Callable[[CloudRows], None]] = {
    "distributed": distributed,
    "unbound_by_agent": unbound_by_agent,
    "being_centralised": being_centralised,
    "shared": shared,
    "with_a_policy": with_a_policy,
}
