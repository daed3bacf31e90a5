# SPDX-License-Identifier: Apache-2.0
"""A trunk and one of its subports disagree.

## What is wrong
A subport carries one VLAN of a trunk, whose parent port is the NIC of a server. The `code` says what does not fit:

* `owner`: the trunk has the port as a subport, but the port's `device_owner` is not `trunk:subport`;
* `no-row`: the port's owner is `trunk:subport`, but no trunk has it;
* `host`: the subport is bound to another host than the one to which its parent is bound.

A parent that is not bound, or that has bindings to two hosts (live migration), says nothing about its subports.

## Why it matters
The VLAN does not work in the guest. A port that is not marked as a subport can be attached to a server, and one that is
marked without a trunk can be used for nothing.

## How it comes about
Ports were edited by SQL, the Open vSwitch agent restarted during a move (bugs 1988549, 2095152, 2117405), or the
creation of a trunk was interrupted.

## How to see it by hand
`openstack network trunk show <trunk>` lists the subports; `openstack port show <port> -c device_owner
-c binding_host_id` shows the other side.

## Repair and its risk
`mend-subport` binds the subport to its parent's host, or marks it as a subport. For `no-row` nobody knows the VLAN: add
it to its trunk again, or clear its owner. Never delete the parent port: its trunk would be deleted with it.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="trunk-subport-drift",
    catalogue="I4",
    severity=Severity.WARNING,
    message="subport {port}: {code}",
    codes={
        "owner": "trunk {trunk} has it as a subport, but its device owner is '{owner}'",
        "no-row": "its owner says that it is a subport, but no trunk has it",
        "host": "it is bound to {host}, and the parent port of trunk {trunk} to {parent_host}",
    },
    resource=("port", "port"),
    key=("port",),
    needs=frozenset({"neutron"}),
    reads={
        "neutron_ports": {"id": "port"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_subports": {"port_id": "port"},
        "neutron_trunks": {"id": "neutron_subports.trunk_id"},
        "neutron_ml2_port_bindings": {"port_id": "port"},
        "neutron_ml2_port_binding_levels": {"port_id": "neutron_trunks.port_id"},
    },
    ages={"grace": 900},
    by_hand=(
        "if it still belongs to a trunk: openstack network trunk set --subport"
        " port={port},segmentation-type=vlan,segmentation-id=<its VLAN> <trunk>. If it does not: openstack port delete"
        " {port}, which gives its address back"
    ),
    # the host of a parent is that of its binding levels: one port has one scope among the bindings
    sql="""
        WITH members AS (
            SELECT s.port_id, s.trunk_id, t.port_id AS parent
              FROM neutron_subports s
              JOIN neutron_trunks t ON t.id = s.trunk_id),
        parents AS (
            SELECT m.trunk_id, MIN(l.host) AS host, COUNT(DISTINCT l.host) AS hosts
              FROM (SELECT DISTINCT trunk_id, parent FROM members) m
              JOIN neutron_ml2_port_binding_levels l ON l.port_id = m.parent
             GROUP BY m.trunk_id),
        judged AS (
            SELECT p.id, p.standard_attr_id, m.trunk_id, p.device_owner, b.host, a.host AS parent_host,
                   CASE WHEN p.device_owner <> 'trunk:subport' THEN 'owner' ELSE 'host' END AS code
              FROM members m
              JOIN neutron_ports p ON p.id = m.port_id
              LEFT JOIN neutron_ml2_port_bindings b ON b.port_id = m.port_id AND b.status = 'ACTIVE'
              LEFT JOIN parents a ON a.trunk_id = m.trunk_id AND a.hosts = 1
             WHERE p.device_owner <> 'trunk:subport' OR NULLIF(b.host, a.host) IS NOT NULL AND a.host IS NOT NULL
            UNION ALL
            SELECT p.id, p.standard_attr_id, NULL AS trunk_id, p.device_owner, NULL AS host, NULL AS parent_host,
                   'no-row' AS code
              FROM neutron_ports p
              LEFT JOIN members m ON m.port_id = p.id
             WHERE p.device_owner = 'trunk:subport' AND m.port_id IS NULL)
        SELECT j.id AS port, j.trunk_id AS trunk, j.device_owner AS owner, j.host, j.parent_host, j.code
          FROM judged j
          JOIN neutron_standardattributes a ON a.id = j.standard_attr_id
         WHERE COALESCE(a.updated_at, a.created_at) < $grace""",
)
