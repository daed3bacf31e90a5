# SPDX-License-Identifier: Apache-2.0
"""A host has network devices of a port that is not there.

## What is wrong
A host has a tap, a bridge or a veth pair (`tap`, `qbr`, `qvb`, `qvo`, `vhu`) or an interface of Open vSwitch with the
id of a port, no guest of that host has it, and no process has the tap open. Code `gone`: Neutron has no such port;
`detached`: the port belongs to nobody; `elsewhere`: it is bound to other hosts, and to this one not even as the
source or destination of a migration.

## Why it matters
An interface in Open vSwitch with the id of a port claims it: with OVN, its traffic goes to the wrong host; otherwise
its flows and its VLAN stay. The next plug of the same port may fail because the name is taken. Bridges and taps of a
host add up until everything that lists them is slow.

## How it comes about
A server was deleted, or moved by SQL, while its host was down; a guest was removed by hand (`virsh undefine` leaves
`qbr`, `qvb` and `qvo`); nova-compute died between the guest and its NICs; a DHCP or L3 agent missed a deletion.

## How to see it by hand
`ip -br link | grep <first eleven characters of the id>`; `ovs-vsctl --columns=name,external_ids find Interface
external_ids:iface-id=<port>`; `openstack port show <port>`; `virsh --readonly domiflist <server>`.

## Repair and its risk
By hand, with the commands of the finding: they remove the devices alone, and Nova and Neutron make them again when
they plug the port. See first that no guest has any of them (`bridge link`, `virsh domiflist`): a guest would lose its
network at once. `neutron-ovs-cleanup` removes **every** port from the bridges, those of running guests included: only
on a host without guests. Devices say nothing of their age, so a finding is only reported once audits have seen it for
an hour (age `seen`). Not judged: devices with other names, trunks' bridges and patches, and the taps of OVN's
metadata, which have the id of a network. Code `elsewhere` waits until the port has not changed for the age `settled`,
and is silent while its server is being moved.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="host-interface-orphan",
    catalogue="G6",
    severity=Severity.WARNING,
    message="{host} has {names}, and no guest of it has them: {code}",
    codes={
        "gone": "there is no port {port}",
        "detached": "port {port} belongs to nobody",
        "elsewhere": "port {port} is bound to {bound}",
    },
    resource=("host", "host"),
    key=("host", "stem"),
    needs=frozenset({"neutron", "cells"}),
    reads={
        "host_links": {"host": "host", "stem": "stem"},
        "host_interfaces": {"host": "host", "stem": "stem"},
        "neutron_ports": {"stem": "stem"},
        "neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"},
        "neutron_ml2_port_bindings": {"port_id": "neutron_ports.id"},
        "neutron_networks": {},
        "nova_migrations": {"instance_uuid": "neutron_ports.device_id"},
    },
    ages={"settled": 900, "seen": 3600},
    explained_by={"port-binding-wrong-host": {"port": "port"}},
    by_hand="see that no guest of {host} uses them (bridge link; virsh domiflist of each); then, there: {commands}",
    sql="""
        WITH there AS (
            SELECT l.host, l.stem, MAX(NULLIF(l.port_id, '')) AS port_id,
                   STRING_AGG(l.name, ', ' ORDER BY l.name) AS names,
                   STRING_AGG(CASE WHEN l.port_id <> '' THEN 'ovs-vsctl --if-exists del-port ' || l.name || '; '
                                   ELSE '' END || 'ip link delete ' || l.name, '; ' ORDER BY l.name DESC) AS commands
              FROM host_links l
             GROUP BY l.host, l.stem
            HAVING MAX(CASE WHEN l.held THEN 1 ELSE 0 END) = 0),
        idle AS (
            SELECT t.host, t.stem, t.port_id, t.names, t.commands FROM there t
              LEFT JOIN host_interfaces i ON i.host = t.host AND i.stem = t.stem
             WHERE i.stem IS NULL),
        ports AS (
            SELECT DISTINCT p.id, p.stem, p.device_id, p.device_owner, p.standard_attr_id
              FROM neutron_ports p JOIN idle t ON t.stem = p.stem),
        bound AS (
            SELECT DISTINCT p.stem, b.host
              FROM ports p JOIN neutron_ml2_port_bindings b ON b.port_id = p.id
             WHERE b.host <> ''),
        places AS (
            SELECT stem, STRING_AGG(host, ', ' ORDER BY host) AS hosts FROM bound GROUP BY stem),
        known AS (
            SELECT p.stem, COUNT(DISTINCT p.id) AS many, MAX(p.id) AS port, MAX(p.device_id) AS server,
                   MAX(p.device_owner) AS owner, MAX(COALESCE(a.updated_at, a.created_at)) AS changed_at,
                   MAX(CASE WHEN m.instance_uuid IS NULL THEN 0 ELSE 1 END) AS moving
              FROM ports p
              LEFT JOIN neutron_standardattributes a ON a.id = p.standard_attr_id
              LEFT JOIN moves m ON m.instance_uuid = p.device_id
             GROUP BY p.stem),
        metadata AS (
            SELECT DISTINCT t.host, t.stem FROM idle t
              JOIN neutron_networks n ON SUBSTR(n.id, 1, 10) = SUBSTR(t.stem, 1, 10)
             WHERE SUBSTR(t.stem, 11, 1) IN ('0', '1')),
        judged AS (
            SELECT t.host, t.stem, t.names, t.commands, COALESCE(k.port, t.port_id, t.stem || '...') AS port, k.server,
                   e.hosts AS bound,
                   CASE WHEN k.stem IS NULL THEN 'gone'
                        WHEN k.many > 1 OR k.moving = 1 OR k.changed_at >= $settled OR h.stem IS NOT NULL THEN NULL
                        WHEN k.server = '' AND k.owner = '' THEN 'detached'
                        WHEN k.owner LIKE 'compute:%' AND k.owner NOT IN ('compute:kuryr', 'compute:zun')
                             AND e.stem IS NOT NULL THEN 'elsewhere' END AS code
              FROM idle t
              LEFT JOIN known k ON k.stem = t.stem
              LEFT JOIN bound h ON h.stem = t.stem AND h.host = t.host
              LEFT JOIN places e ON e.stem = t.stem
              LEFT JOIN metadata d ON d.host = t.host AND d.stem = t.stem
             WHERE d.stem IS NULL OR k.stem IS NOT NULL)
        SELECT DISTINCT host, stem, names, commands, port, server, bound, code FROM judged WHERE code IS NOT NULL""",
)
