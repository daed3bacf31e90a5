# SPDX-License-Identifier: Apache-2.0
"""Neutron's database, ML2 (services 1.3)."""

from __future__ import annotations

from collections.abc import Collection

from stackmend.tables import Column, ColumnType, Table, bools, ints, text, times

#: tables of the resources that every Neutron has, whatever extensions it loads; ``standardattributes.resource_type`` is
#: the name of the table
RESOURCES = (
    "floatingips", "networks", "networksegments", "ports", "routers", "securitygrouprules", "securitygroups",
    "subnetpools", "subnets",
)  # fmt: skip

#: owners of ports that have a binding for each host (neutron/plugins/ml2/models.py: DistributedPortBinding)
DISTRIBUTED = (
    "network:router_interface_distributed", "network:router_centralized_snat",
    "network:ha_router_replicated_interface",
)  # fmt: skip

#: entries with which an owner shares something: table -> the table of what is shared
SHARING = {
    "addressgrouprbacs": "address_groups",
    "addressscoperbacs": "address_scopes",
    "networkrbacs": "networks",
    "qospolicyrbacs": "qos_policies",
    "securitygrouprbacs": "securitygroups",
    "subnetpoolrbacs": "subnetpools",
}


def sharing_target(columns: Collection[str]) -> str:
    """The column of these tables with the project that something is shared with: its name until Xena was another."""
    return "target_project" if "target_project" in columns else "target_tenant"


#: bindings of QoS policies: table -> (the table of what has the policy, the column with its id)
QOS_BINDINGS = {
    "qos_fip_policy_bindings": ("floatingips", "fip_id"),
    "qos_network_policy_bindings": ("networks", "network_id"),
    "qos_port_policy_bindings": ("ports", "port_id"),
    "qos_router_gw_policy_bindings": ("routers", "router_id"),
}

TABLES = (
    Table(
        service="neutron",
        name="ports",
        columns=(
            *text("id", "project_id", "device_id", "device_owner", "mac_address", "network_id", "status"),
            *bools("admin_state_up"),
            *ints("standard_attr_id"),
            Column("named", ColumnType.BOOL, expr="t.name IS NOT NULL AND t.name <> ''"),
            # what names of its devices have of its id (neutron_lib/constants.py: LINUX_DEV_LEN)
            Column("stem", expr="SUBSTR(t.id, 1, 11)"),
        ),
    ),
    Table(
        service="neutron",
        name="standardattributes",
        columns=(
            *ints("id", "revision_number"),
            *times("created_at", "updated_at"),
            Column("described", ColumnType.BOOL, expr="t.description IS NOT NULL AND t.description <> ''"),
        ),
        where="t.resource_type = 'ports'",
    ),
    Table(
        service="neutron",
        name="ml2_port_bindings",
        columns=(
            *text("port_id", "host", "vif_type", "vnic_type", "status"),
            Column("migrating", ColumnType.BOOL, expr="t.profile LIKE '%migrating_to%'"),
        ),
    ),
    # where Nova has allocated the bandwidth guaranteed to a port: nothing of the profile before that is read
    Table(
        service="neutron",
        name="ml2_port_bindings",
        label="neutron_port_allocations",
        columns=(
            *text("port_id", "host"),
            Column("allocation", expr="SUBSTR(t.profile, INSTR(t.profile, '\"allocation\"'), 400)"),
        ),
        where="t.profile LIKE '%\"allocation\"%'",
    ),
    # what Neutron waits for before a port becomes ACTIVE: no rows for nearly all ports
    Table(
        service="neutron",
        name="provisioningblocks",
        columns=(*ints("standard_attr_id"), *text("entity")),
        join="JOIN standardattributes a ON a.id = t.standard_attr_id",
        where="a.resource_type = 'ports'",
    ),
    # set on a port only by its owner: evidence that it existed before Nova used it (services 2.3)
    Table(service="neutron", name="allowedaddresspairs", columns=text("port_id", "ip_address")),
    # not dns_name, which Nova sets
    Table(service="neutron", name="portdnses", columns=text("port_id", "dns_domain"), optional=True),
    Table(service="neutron", name="qos_port_policy_bindings", columns=text("port_id"), optional=True),
    Table(service="neutron", name="trunks", columns=text("id", "port_id")),
    Table(service="neutron", name="subports", columns=text("port_id", "trunk_id")),
    Table(
        service="neutron",
        name="tags",
        columns=(*ints("standard_attr_id"), *text("tag")),
        join="JOIN standardattributes a ON a.id = t.standard_attr_id",
        where="a.resource_type = 'ports'",
        optional=True,
    ),
    Table(
        service="neutron",
        name="floatingips",
        columns=(
            *text(
                "id",
                "floating_ip_address",
                "floating_network_id",
                "floating_port_id",
                "fixed_port_id",
                "fixed_ip_address",
                "router_id",
                "status",
            ),
            *ints("standard_attr_id"),
        ),
    ),
    Table(service="neutron", name="portforwardings", columns=text("id", "floatingip_id"), optional=True),
    Table(service="neutron", name="routers", columns=text("id", "gw_port_id")),
    Table(service="neutron", name="routerports", columns=text("router_id", "port_id", "port_type")),
    # the times of resources other than ports
    Table(
        service="neutron",
        name="standardattributes",
        label="neutron_other_attributes",
        columns=(*ints("id"), *text("resource_type"), *times("created_at", "updated_at")),
        where="t.resource_type <> 'ports'",
    ),
    *(
        Table(
            service="neutron",
            name=name,
            label="neutron_resources",
            columns=ints("standard_attr_id"),
            constant=("resource", name),
        )
        for name in RESOURCES
    ),
    Table(
        service="neutron",
        name="ml2_distributed_port_bindings",
        columns=text("port_id", "host", "router_id"),
        optional=True,
    ),
    *(
        Table(
            service="neutron",
            name=name,
            label="neutron_sharing",
            constant=("child", name),
            columns=(*text("id", "target_project"), Column("unowned", ColumnType.BOOL, expr="o.id IS NULL")),
            join=f"LEFT JOIN {shared} o ON o.id = t.object_id",
            absent={"target_project": "t.target_tenant"},
            optional=True,
        )
        for name, shared in SHARING.items()
    ),
    # foreign keys rule these rows out, unless they were written without checks: usually there are none
    *(
        Table(
            service="neutron",
            name=name,
            label="neutron_unbound_policies",
            constant=("child", name),
            columns=(
                Column("bound_id", expr=f"t.{column}"),
                *text("policy_id"),
                Column("policy_gone", ColumnType.BOOL, expr="q.id IS NULL"),
            ),
            join=f"LEFT JOIN {bound} o ON o.id = t.{column} LEFT JOIN qos_policies q ON q.id = t.policy_id",
            where="o.id IS NULL OR q.id IS NULL",
            optional=True,
        )
        for name, (bound, column) in QOS_BINDINGS.items()
    ),
    Table(service="neutron", name="ml2_port_binding_levels", columns=text("port_id", "host", "segment_id")),
    Table(
        service="neutron",
        name="networksegments",
        columns=(
            *text("id", "network_id", "network_type"),
            Column("physical_network", expr="COALESCE(t.physical_network, '')"),
            *ints("segmentation_id", "standard_attr_id"),
            *bools("is_dynamic"),
        ),
    ),
    # of tunnels only the ids in use: there may be millions of others
    *(
        Table(
            service="neutron",
            name=f"ml2_{kind}_allocations",
            label="neutron_segment_allocations",
            columns=(
                Column("network_type", expr=f"'{kind}'"),
                Column("physical_network", expr="t.physical_network" if kind == "vlan" else "''"),
                Column("number", ColumnType.INT, expr=f"t.{number}"),
                *bools("allocated"),
            ),
            where="" if kind == "vlan" else "t.allocated",
            optional=True,
        )
        for kind, number in (
            ("vlan", "vlan_id"),
            ("vxlan", "vxlan_vni"),
            ("geneve", "geneve_vni"),
            ("gre", "gre_id"),
        )
    ),
    Table(
        service="neutron",
        name="agents",
        columns=(*text("id", "agent_type", "host"), *bools("admin_state_up"), *times("heartbeat_timestamp")),
    ),
    Table(
        service="neutron",
        name="ha_router_agent_port_bindings",
        columns=text("router_id", "l3_agent_id", "state"),
        optional=True,
    ),
    # twice: what is scheduled to an agent, and who else serves that
    *(
        Table(service="neutron", name=name, label=label, columns=text(*columns), optional=True)
        for name, columns, fellows in (
            ("networkdhcpagentbindings", ("network_id", "dhcp_agent_id"), "neutron_dhcp_fellows"),
            ("routerl3agentbindings", ("router_id", "l3_agent_id"), "neutron_l3_fellows"),
        )
        for label in (f"neutron_{name}", fellows)
    ),
    Table(service="neutron", name="portsecuritybindings", columns=(*text("port_id"), *bools("port_security_enabled"))),
    Table(service="neutron", name="securitygroupportbindings", columns=text("port_id")),
    Table(service="neutron", name="subnets", columns=text("id", "network_id", "cidr")),
    Table(service="neutron", name="networks", columns=text("id")),
    # what OVN is to have of each resource, and how far it has followed Neutron: no rows without OVN
    *(
        Table(
            service="neutron",
            name="ovn_revision_numbers",
            label=label,
            columns=(
                *text("resource_uuid", "resource_type"),
                *ints("standard_attr_id", "revision_number"),
                Column("neutron_revision", ColumnType.INT, expr="a.revision_number"),
                Column("created_at", ColumnType.TIME, expr="a.created_at"),
                Column("changed_at", ColumnType.TIME, expr="COALESCE(a.updated_at, a.created_at)"),
            ),
            join="LEFT JOIN standardattributes a ON a.id = t.standard_attr_id",
            where=where,
            optional=True,
        )
        for label, where in (
            ("neutron_ovn_revisions", "t.resource_type IN ('networks', 'ports', 'routers')"),
            ("neutron_ovn_drift", "a.revision_number <> t.revision_number"),
        )
    ),
    # who has which address; and Neutron's own IPAM, which no foreign key joins to it
    Table(service="neutron", name="ipallocations", columns=text("port_id", "ip_address", "subnet_id", "network_id")),
    Table(service="neutron", name="ipamsubnets", columns=text("id", "neutron_subnet_id")),
    Table(service="neutron", name="ipamallocations", columns=text("ip_address", "ipam_subnet_id")),
)
