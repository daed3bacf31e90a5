# SPDX-License-Identifier: Apache-2.0
"""Steps on Neutron's rows of one port: unbind, bind elsewhere, free, delete (services 1.3, RW6)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.step import DeleteRow, InsertRow, Manual, Record, Step, Value, Values
from stackmend.repairs.common import change, revised

#: child tables deleted with a port; a row in any other table that refers to the port is a reason to refuse
CHILDREN = frozenset(
    {
        "allowedaddresspairs", "evpn_advertised_ports", "extradhcpopts", "ipallocations",
        "ml2_distributed_port_bindings", "ml2_port_binding_levels", "ml2_port_bindings", "portdataplanestatuses",
        "portdeviceprofiles", "portdnses", "porthardwareoffloadtype", "porthints", "portnumaaffinitypolicies",
        "portpvlan", "portsecuritybindings", "porttrusted", "portuplinkstatuspropagation",
        "qos_port_policy_bindings", "securitygroupportbindings",
    }
)  # fmt: skip
#: tables whose rows belong to the ``standardattributes`` row they refer to: provisioning blocks, tags
MARKS = frozenset({"provisioningblocks", "tags"})
#: VNIC types that need no device of their host
PLAIN = frozenset({"normal", "baremetal", "smart-nic"})
#: members of a binding's profile that belong to its former host (nova/network/neutron.py, _unbind_ports)
_OF_HOST = frozenset(
    {
        "allocation", "arq_uuid", "card_serial_number", "device_mac_address", "migrating_to", "pf_mac_address",
        "physical_network", "vf_num",
    }
)  # fmt: skip


def free(live: Live, port: Record) -> Iterator[Step]:
    """Free the port: no device, no host, no DNS name of its server; its address stays."""
    yield change(live, "neutron", "ports", port, {"device_id": "", "device_owner": "", "status": "DOWN"})
    yield from bind(live, port, "")
    for row in (
        live.rows("neutron", "portdnses", {"port_id": port["id"]}) if live.columns("neutron", "portdnses") else ()
    ):
        # only Neutron can withdraw a name from an external DNS service
        if row["dns_name"] and not row["current_dns_name"]:
            yield change(live, "neutron", "portdnses", row, {"dns_name": ""})
    yield revised(live, port["standard_attr_id"])


def bind(live: Live, port: Record, host: str, kind: Value = None) -> Iterator[Step]:
    """Leave the port one binding, ACTIVE and unbound, on ``host`` ("": none). The host is part of the primary key.

    ``kind``: its ``vnic_type``; by default that of its last binding.
    """
    bindings = live.rows("neutron", "ml2_port_bindings", {"port_id": port["id"]})
    levels = live.rows("neutron", "ml2_port_binding_levels", {"port_id": port["id"]})
    active = next((b for b in bindings if b["status"] == "ACTIVE"), None)
    there = next((b for b in bindings if b["host"] == host), None)
    for level in levels:
        key = {name: level[name] for name in ("port_id", "host", "level")}
        yield DeleteRow(database="neutron", table="ml2_port_binding_levels", pk=key, before=level)
    profile = _profile(active)
    unbound: Values = {"vif_type": "unbound", "vif_details": "", "profile": profile, "status": "ACTIVE"}
    for binding in bindings:
        if binding is there:
            continue
        key = {"port_id": binding["port_id"], "host": binding["host"]}
        yield DeleteRow(database="neutron", table="ml2_port_bindings", pk=key, before=binding)
    key = {"port_id": port["id"], "host": host}
    if there is None:
        kind = kind or ((active or bindings[0])["vnic_type"] if bindings else "normal")
        values = {**key, "vnic_type": kind, **unbound}
        yield InsertRow(database="neutron", table="ml2_port_bindings", key=key, values=values)
    elif any(there[name] != value for name, value in unbound.items()):
        yield change(live, "neutron", "ml2_port_bindings", there, unbound)


def told_to_ovn(live: Live, port: Record) -> Iterator[Step]:
    """Manual instructions if OVN has a record of the port, whose rows were changed without its knowledge."""
    ovn = {"resource_uuid": port["id"]}
    if live.columns("neutron", "ovn_revision_numbers") and live.rows("neutron", "ovn_revision_numbers", ovn):
        yield Manual(text="With OVN: run 'neutron-ovn-db-sync-util --ovn-neutron_sync_mode log' and look at this port.")


def alone(live: Live, port: Record, host: str) -> Iterator[Step]:
    """Leave the port only its binding to ``host``: delete inactive ones that a finished move has left.

    Neutron would refuse the next move to such a host, as the port already has a binding there (catalogue A12).
    """
    where: Values = {"port_id": port["id"], "status": "INACTIVE"}
    left = [row for row in live.rows("neutron", "ml2_port_bindings", where) if row["host"] != host]
    for binding in left:
        yield from without(live, binding)
    if left:
        yield revised(live, port["standard_attr_id"])


def without(live: Live, binding: Record) -> Iterator[Step]:
    """Delete one binding of a port, and its levels."""
    key: Values = {"port_id": binding["port_id"], "host": binding["host"]}
    for level in live.rows("neutron", "ml2_port_binding_levels", key):
        pk = {**key, "level": level["level"]}
        yield DeleteRow(database="neutron", table="ml2_port_binding_levels", pk=pk, before=level)
    yield DeleteRow(database="neutron", table="ml2_port_bindings", pk=key, before=binding)


def of_host(name: str) -> bool:
    """Whether a member of a binding's profile belongs to the port's former host."""
    return name in _OF_HOST or name.startswith("pci_")


def _profile(binding: Record | None) -> str:
    """The binding's profile without the members that belong to a host."""
    text = str(binding["profile"]) if binding and binding["profile"] else ""
    try:
        profile = json.loads(text) if text else {}
    except ValueError:
        return ""
    kept = {k: v for k, v in profile.items() if not of_host(k)}
    return text if kept == profile else json.dumps(kept) if kept else ""


def delete(live: Live, port: Record) -> Iterator[Step]:
    """Delete the port and all its rows, children first, and give its address back; each row can be restored."""
    for fixed in live.rows("neutron", "ipallocations", {"port_id": port["id"]}):
        yield from given_back(live, fixed)
    for table, column in live.referring("neutron", "ports"):
        for row in live.rows("neutron", table, {column: port["id"]}):
            if table not in CHILDREN:
                raise CannotRepair(f"port {port['id']} is used by {table}: remove it from there first")
            yield removed(live, table, row)
    yield removed(live, "ports", port)
    yield from unmarked(live, port["standard_attr_id"], f"port {port['id']}")
    for row in live.rows("neutron", "standardattributes", {"id": port["standard_attr_id"]}):
        yield removed(live, "standardattributes", row)


def unmarked(live: Live, number: Value, what: str) -> Iterator[Step]:
    """Rows on a ``standardattributes`` row: tags etc. are deleted, OVN's record is only unlinked.

    OVN's maintenance task treats a record without a resource as one to delete in OVN. Tables with the reference outside
    their key are resources themselves and own other rows. ``what`` names the object in a refusal.
    """
    for table, column in live.referring("neutron", "standardattributes"):
        if table == "ovn_revision_numbers":
            for row in live.rows("neutron", table, {column: number}):
                yield change(live, "neutron", table, row, {column: None})
        elif column in live.key("neutron", table):
            for row in live.rows("neutron", table, {column: number}):
                if table not in MARKS:
                    raise CannotRepair(f"{what} is used by {table}: remove it from there first")
                yield removed(live, table, row)


def given_back(live: Live, fixed: Record) -> Iterator[Step]:
    """Delete the IPAM rows of an address: Neutron's IPAM has no foreign keys, so this is where addresses leak."""
    for subnet in live.rows("neutron", "ipamsubnets", {"neutron_subnet_id": fixed["subnet_id"]}):
        where = {"ipam_subnet_id": subnet["id"], "ip_address": fixed["ip_address"]}
        for row in live.rows("neutron", "ipamallocations", where):
            yield removed(live, "ipamallocations", row)


def removed(live: Live, table: str, row: Record) -> DeleteRow:
    """Delete one row of Neutron's database."""
    # a few tables have no primary key, only unique keys (qos_port_policy_bindings)
    key = {name: row[name] for name in live.key("neutron", table)} or dict(row)
    return DeleteRow(database="neutron", table=table, pk=key, before=row)
