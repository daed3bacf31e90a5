# SPDX-License-Identifier: Apache-2.0
"""OVN counts on a chassis that is silent, twice there, or gone.

## What is wrong
A chassis is a host with an `ovn-controller`. The `code` says what is wrong with it:

* `gateway-gone`: a gateway or an external port may be served by a chassis that the southbound database does not have
  (`Gateway_Chassis`, `HA_Chassis`); not `neutron-ovn-invalid-chassis`, which Neutron writes where it found no host;
* `twice`: several chassis have the same host name (those of another OVN that is joined to this one do not count);
* `silent`: it has not reported for at least the age `silence` that it has done what OVN asks for (`nb_cfg` of
  `Chassis_Private` is behind that of `NB_Global`).

## Why it matters
`gateway-gone`: the gateway has one chassis less to move to, and rows like these have kept ports of other networks from
being bound. `twice`: Neutron asks for a host by its name, and OVN may choose the one that is no more: ports of that
host are not claimed. `silent`: no change of any network reaches the host.

## How it comes about
A host was replaced or installed again, with another `system-id`, and its old chassis was not deleted; a network node
was removed while Neutron was not there to move its gateways. `ovn-controller` was stopped, hangs, or cannot reach the
southbound database.

## How to see it by hand
`ovn-sbctl --columns=name,hostname list Chassis`, `ovn-sbctl --columns=name,nb_cfg,nb_cfg_timestamp list
Chassis_Private`, `ovn-nbctl get NB_Global . nb_cfg`, `ovn-nbctl list Gateway_Chassis`, `ovn-nbctl list HA_Chassis`.

## Repair and its risk
By hand. `silent`: look at `ovn-controller` on the host; if the host is gone for good, `openstack network agent delete`
deletes its chassis. `twice`: delete the chassis whose `system-id` is not that of the host (`ovs-vsctl get Open_vSwitch
. external_ids:system-id` there): the wrong one would take all ports of the host down until it registers again.
`gateway-gone`: take the chassis from the gateway (`ovn-nbctl lrp-del-gateway-chassis`) or from the group (`ovn-nbctl
ha-chassis-group-remove-chassis`); its other chassis stay. `ovn-nbctl destroy` of such a row says nothing and does
nothing, as long as a port or a group has it.
`neutron-ovn-db-sync-util` compares none of these.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="ovn-chassis-stale",
    catalogue="I13",
    severity=Severity.WARNING,
    message="chassis {chassis} of OVN: {code}",
    codes={
        "gateway-gone": "gateways or external ports count on it ({where}), and it does not exist",
        "twice": "host {host} has {many} chassis",
        "silent": "host {host} has not followed OVN since {since}",
    },
    resource=("ovn-chassis", "chassis"),
    key=("code", "chassis"),
    needs=frozenset({"neutron"}),
    reads={
        "ovn_chassis": {},
        "ovn_reports": {"name": "chassis"},
        "ovn_global": {},
        "ovn_gateway_chassis": {"chassis": "chassis"},
        "ovn_ha_chassis": {"chassis": "chassis"},
    },
    ages={"silence": 900},
    lasting=frozenset({"silence"}),
    by_hand="{way}",
    sql="""
        WITH gateways AS (SELECT chassis, MIN(id) AS id FROM ovn_gateway_chassis GROUP BY chassis),
        groups AS (SELECT chassis, MIN(id) AS id FROM ovn_ha_chassis GROUP BY chassis),
        relied AS (SELECT chassis FROM gateways UNION SELECT chassis FROM groups),
        many AS (
            SELECT host, COUNT(*) AS many
              FROM ovn_chassis
             WHERE host <> '' AND COALESCE(remote, '') <> 'true'
             GROUP BY host
            HAVING COUNT(*) > 1)
        SELECT 'gateway-gone' AS code, r.chassis, '' AS host, 0 AS many, '' AS since,
               CASE WHEN g.id IS NULL THEN 'HA_Chassis' WHEN h.id IS NULL THEN 'Gateway_Chassis'
                    ELSE 'Gateway_Chassis, HA_Chassis' END AS "where",
               'if the host is gone for good'
               || COALESCE('; for each row of: ovn-nbctl find Gateway_Chassis chassis_name=' || r.chassis
               || '; see which port has it: ovn-nbctl --bare --columns=name find Logical_Router_Port'
               || ' ''gateway_chassis{>=}' || g.id || '''; and: ovn-nbctl lrp-del-gateway-chassis PORT '
               || r.chassis, '')
               || COALESCE('; for each row of: ovn-nbctl find HA_Chassis chassis_name=' || r.chassis
               || '; see which group has it: ovn-nbctl --bare --columns=name find HA_Chassis_Group ''ha_chassis{>=}'
               || h.id || '''; and: ovn-nbctl ha-chassis-group-remove-chassis GROUP ' || r.chassis, '') AS way
          FROM relied r
          LEFT JOIN gateways g ON g.chassis = r.chassis
          LEFT JOIN groups h ON h.chassis = r.chassis
          LEFT JOIN ovn_chassis c ON c.name = r.chassis
         WHERE c.name IS NULL AND r.chassis NOT IN ('', 'neutron-ovn-invalid-chassis')
        UNION ALL
        SELECT 'twice' AS code, c.name AS chassis, c.host, m.many, '' AS since, '' AS "where",
               'compare with the host''s own id (ovs-vsctl get Open_vSwitch . external_ids:system-id); if ' || c.name
               || ' is not it: ovn-sbctl chassis-del ' || c.name AS way
          FROM ovn_chassis c
          JOIN many m ON m.host = c.host
         WHERE COALESCE(c.remote, '') <> 'true'
        UNION ALL
        SELECT 'silent' AS code, c.name AS chassis, c.host, 0 AS many,
               STRFTIME(r.reported_at, '%Y-%m-%d %H:%M') AS since, '' AS "where",
               'see to ovn-controller on ' || c.host || '; if the host is gone for good:'
               || ' openstack network agent delete ' || c.name AS way
          FROM ovn_chassis c
          JOIN ovn_reports r ON r.name = c.name
          JOIN ovn_global g ON g.number > r.number + 1
         WHERE r.reported_at < $silence""",
)
