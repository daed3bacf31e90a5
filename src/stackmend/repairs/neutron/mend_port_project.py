# SPDX-License-Identifier: Apache-2.0
"""Give a port to the project of the server that has it.

## What it does
Sets `project_id` of the port to that of the server, increments the port's revision number, and lets Neutron count the
ports of both projects again. Nova finds the port again the next time it builds the server's network cache.

## Guards
The server is alive and still in that project, and the port is still its own, with the same device, owner and network.
Refused if the project may not use the port's network or one of its security groups (neither its own nor shared with
it), if the port is the parent of a trunk, or if the project's quota of ports is used up. A quota that is only in
`neutron.conf` is not seen.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step, Value
from stackmend.repairs.common import change, revised, the_server
from stackmend.tables.neutron import sharing_target


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the port is gone, or belongs to the server's project."""
    database, server = the_server(target, live)
    port = live.row("neutron", "ports", {"id": str(target["port"]), "device_id": server["uuid"]})
    if port is None or port["project_id"] == server["project_id"]:
        return
    project = server["project_id"]
    if not project:
        raise CannotRepair(f"server {server['uuid']} has no project")
    if not str(port["device_owner"]).startswith("compute:"):
        raise CannotRepair(f"port {port['id']} is not Nova's: its device owner is {port['device_owner']}")
    _usable(live, port, project)
    _fits(live, project)
    names = ("uuid", "project_id", "deleted")
    expect = {name: server[name] for name in names}
    yield ExpectRow(database=database, table="instances", pk={"id": server["id"]}, expect=expect)
    guards = ("device_id", "device_owner", "network_id")
    yield change(live, "neutron", "ports", port, {"project_id": project}, guards)
    yield revised(live, port["standard_attr_id"])
    if live.columns("neutron", "quotausages"):
        both = {"project_id": [port["project_id"], project], "resource": "port"}
        for row in live.rows("neutron", "quotausages", both):
            if not row["dirty"]:
                yield change(live, "neutron", "quotausages", row, {"dirty": 1})


def _usable(live: Live, port: Record, project: Value) -> None:
    """CannotRepair unless the project may have such a port."""
    network = live.row("neutron", "networks", {"id": port["network_id"]})
    if network is None or not _shared(live, "networkrbacs", network, project):
        raise CannotRepair(
            f"project {project} may not use network {port['network_id']}: openstack network rbac create --type network"
            f" --action access_as_shared --target-project {project} {port['network_id']}"
        )
    for row in live.rows("neutron", "securitygroupportbindings", {"port_id": port["id"]}):
        group = live.row("neutron", "securitygroups", {"id": row["security_group_id"]})
        if group is None or not _shared(live, "securitygrouprbacs", group, project):
            raise CannotRepair(
                f"security group {row['security_group_id']} of port {port['id']} is not one of project {project}: give"
                f" it groups of that project first: openstack port set --no-security-group --security-group <group>"
                f" {port['id']}"
            )
    for trunk in live.rows("neutron", "trunks", {"port_id": port["id"]}):
        raise CannotRepair(
            f"port {port['id']} is the parent of trunk {trunk['id']} of project {trunk['project_id']}, with"
            " its subports"
        )


def _shared(live: Live, table: str, thing: Record, project: Value) -> bool:
    """Whether the project has this, or it is shared with it."""
    if thing["project_id"] == project:
        return True
    columns = live.columns("neutron", table)
    where = {"object_id": thing["id"], "action": "access_as_shared", sharing_target(columns): ["*", project]}
    return bool(columns) and bool(live.rows("neutron", table, where))


def _fits(live: Live, project: Value) -> None:
    """CannotRepair if the project has as many ports as it may."""
    for quota in live.rows("neutron", "quotas", {"project_id": project, "resource": "port"}):
        limit, used = int(str(quota["limit"])), len(live.rows("neutron", "ports", {"project_id": project}))
        if 0 <= limit <= used:
            raise CannotRepair(
                f"project {project} has {used} ports, and its quota is {limit}: openstack quota set --ports <more>"
                f" {project}"
            )


REPAIR = Repair(
    name="mend-port-project",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("port-foreign-project",),
    strategies={"db": db},
    no_api="Neutron's API does not change the project of a port",
    why="the project that has the port can no longer see or delete it, which matters if it only lends it to the server",
)
