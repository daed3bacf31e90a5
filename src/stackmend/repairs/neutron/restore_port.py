# SPDX-License-Identifier: Apache-2.0
"""Re-create a port that Neutron has lost, from the server's network cache.

## What it does
Inserts the port with its old id, MAC, addresses, network and binding, as Neutron writes them, and a row in
`virtual_interfaces` if the server has lost that too. A running guest needs the same id: its interface on the host is
named after it, and the agent knows the port by it. Neutron's API does not accept an id for a new port.

Nova keeps no record of the port's name, tags, QoS policy, allowed address pairs and security groups. The port gets the
groups of the server's other ports, or else the default group of its project. Neutron notifies its agents only when an
attribute that concerns them changes. The description is not one of these; the plan shows which update to make.

Use this repair if Neutron lost the port: rows deleted by SQL, or a database restored from an older dump. If somebody
deleted the port on purpose and the event to Nova was lost, `drop-stale-vif` is right. No row tells the two apart, so
the operator chooses: `plan create --repair restore-port`.

## Guards
The server is idle and where it was, its cache is unchanged since the plan, and no port has this id, MAC or one of these
addresses. Refused if one of them has been reassigned, if a network or subnet no longer exists, or if several servers of
the host have lost all their ports: then Neutron's database looks older than Nova's, and restoring single ports does not
help.

## Undo
The rows are deleted again, as long as they are unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, InsertRow, Manual, Record, Risk, Step
from stackmend.model.values import members, objects
from stackmend.repairs import nics
from stackmend.repairs.common import idle, the_server
from stackmend.repairs.lost_ports import PortRecord, not_wholesale, remembered
from stackmend.repairs.network_info import parsed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database and the server's cell; none if Neutron has the port."""
    database, server = the_server(target, live)
    if live.row("neutron", "ports", {"id": str(target["port"])}) is not None:
        return
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vifs = parsed(cache["network_info"]) if cache else None
    vif = next((v for v in vifs or [] if v.get("id") == target["port"]), None)
    if cache is None or vif is None:
        raise CannotRepair(f"the network cache of server {server['uuid']} does not list port {target['port']}")
    not_wholesale(live, database, server)
    yield from idle(live, database, server)
    seen = {"network_info": cache["network_info"], "deleted": 0}
    yield ExpectRow(database=database, table="instance_info_caches", pk={"id": cache["id"]}, expect=seen)
    port = remembered(live, server, vif)
    yield from _inserted(live, port)
    yield from nics.completed(live, database, server, [port.row])
    yield from _afterwards(live, port, vif)


def _inserted(live: Live, port: PortRecord) -> Iterator[Step]:
    """The rows of the port, parents first."""
    yield _row("standardattributes", port.attribute, "id")
    same = {"network_id": port.row["network_id"], "mac_address": port.row["mac_address"]}
    yield ExpectNone(database="neutron", table="ports", where=same)
    yield _row("ports", port.row, "id")
    for address in port.addresses:
        yield _row("ipallocations", address, "ip_address", "subnet_id", "network_id")
    for address in port.ipam:
        yield _row("ipamallocations", address, "ip_address", "ipam_subnet_id")
    yield _row("ml2_port_bindings", port.binding, "port_id", "host")
    for level in port.levels:
        yield _row("ml2_port_binding_levels", level, "port_id", "host", "level")
    security = {"port_id": port.row["id"], "port_security_enabled": port.secured}
    yield _row("portsecuritybindings", security, "port_id")
    for group in port.groups:
        values = {"port_id": port.row["id"], "security_group_id": group}
        yield _row("securitygroupportbindings", values, "port_id", "security_group_id")
    if live.columns("neutron", "ovn_revision_numbers") and live.rows(
        "neutron", "ovn_revision_numbers", {"resource_type": "networks", "resource_uuid": port.row["network_id"]}
    ):
        now = live.now()
        numbered = {"resource_uuid": port.row["id"], "resource_type": "ports", "revision_number": -1}
        values = {**numbered, "standard_attr_id": port.attribute["id"], "created_at": now, "updated_at": now}
        yield _row("ovn_revision_numbers", values, "resource_uuid", "resource_type")


def _row(table: str, values: Record, *key: str) -> InsertRow:
    return InsertRow(database="neutron", table=table, key={name: values[name] for name in key}, values=values)


def _afterwards(live: Live, port: PortRecord, vif: Row) -> Iterator[Step]:
    name = port.row["id"]
    yield Manual(
        text="Let Neutron notify its agents of the port, which interrupts its traffic for a moment: openstack port set"
        f" --disable {name}, then openstack port set --enable {name}. Check its name, tags and security groups."
    )
    if live.columns("neutron", "ovn_revision_numbers") and live.rows(
        "neutron", "ovn_revision_numbers", {"resource_uuid": port.row["network_id"]}
    ):
        yield Manual(text="With OVN: run 'neutron-ovn-db-sync-util --ovn-neutron_sync_mode log' and check this port.")
    for subnet in objects(members(vif.get("network")).get("subnets")):
        for fixed in objects(subnet.get("ips")):
            for floating in objects(fixed.get("floating_ips")):
                address = floating.get("address")
                yield Manual(
                    text=f"It had the floating IP {address}: openstack floating ip set --port {name}"
                    f" --fixed-ip-address {fixed.get('address')} {address}"
                )


REPAIR = Repair(
    name="restore-port",
    risk=Risk.UNSAFE,
    checks=("info-cache-stale-port",),
    codes=frozenset({"gone"}),
    strategies={"db": db},
    no_api="Neutron's API gives every new port an id of its own, and the guest's interface is named after the old one",
    why="a port that was deleted on purpose is back, with the default security groups if the server has no other port",
)
