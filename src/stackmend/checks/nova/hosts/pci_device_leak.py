# SPDX-License-Identifier: Apache-2.0
"""A PCI device is claimed for a server that does not use it.

## What is wrong
`pci_devices` has a device in status `claimed` or `allocated` for a server that is deleted (code `deleted`), that no
cell knows (`unknown`), or that is on another host (`other-host`) or on none (`no-host`).

## Why it matters
The device is lost to the host's capacity: servers that request one are not scheduled there.

## How it comes about
nova-compute died during a claim, a server was evacuated or moved by SQL and its old host never cleaned up, or it was
deleted by SQL.

## How to see it by hand
`SELECT address, status, instance_uuid, request_id FROM pci_devices WHERE deleted = 0 AND instance_uuid = '<server>';`,
beside the server's host. On the host of the device: `virsh dumpxml <domain>` of each domain, and look for the address.

## Repair and its risk
If nova-compute runs on the device's host, restart it: its resource tracker frees devices of servers that it does not
have. `free-pci-device` does the same in the database, for a host that is down. Make sure that no guest has the device:
it would be given to a second one.
"""

from stackmend.model.check import Check, Severity
from stackmend.tables.views import EVERY_SERVER, TERMINAL, existence

CHECK = Check(
    name="pci-device-leak",
    catalogue="B11",
    severity=Severity.WARNING,
    message="PCI device {address} of host {host} is {status} for server {server}: {code}",
    codes={
        "deleted": "the server is deleted",
        "unknown": "no cell knows that server",
        "other-host": "the server is on host {other}",
        "no-host": "the server is on no host",
    },
    resource=("server", "server"),
    key=("server", "cell", "device"),
    needs=EVERY_SERVER,
    reads={
        "nova_pci_devices": {"id": "device"},
        "nova_compute_nodes": {},
        "nova_migrations": {"instance_uuid": "server"},
        **existence(),
    },
    ages={"idle": 900},
    explained_by={
        "server-deleted-incompletely": {"server": "server"},
        "server-wrong-host": {"server": "server"},
        "server-on-nonexistent-host": {"server": "server"},
    },
    sql=f"""
        WITH claims AS (
            SELECT d.cell, d.id AS device, d.address, d.status, d.instance_uuid AS server, n.host
              FROM nova_pci_devices d
              JOIN nova_compute_nodes n ON n.id = d.compute_node_id AND n.cell = d.cell
             WHERE NOT d.deleted AND d.status IN ('claimed', 'allocated') AND d.instance_uuid IS NOT NULL
               AND n.host IS NOT NULL),
        moving AS (
            SELECT DISTINCT c.server
              FROM claims c
              JOIN nova_migrations m ON m.instance_uuid = c.server
             WHERE NOT m.deleted AND m.status NOT IN {TERMINAL}),
        seen AS (
            SELECT c.device, c.cell,
                   MAX(CASE WHEN NOT i.deleted THEN COALESCE(i.host, '') END) AS on_host,
                   MAX(CASE WHEN NOT i.deleted AND NULLIF(i.host, c.host) IS NULL AND i.host IS NOT NULL
                            THEN 1 ELSE 0 END) AS at_home,
                   MAX(CASE WHEN NOT i.deleted AND (i.task_state IS NOT NULL
                                OR COALESCE(i.updated_at, i.created_at) >= $idle) THEN 1 ELSE 0 END) AS busy,
                   MAX(CASE WHEN i.deleted THEN 1 ELSE 0 END) AS gone,
                   MAX(CASE WHEN i.deleted AND COALESCE(i.deleted_at, i.updated_at) >= $idle
                            THEN 1 ELSE 0 END) AS recent
              FROM claims c
              JOIN nova_instances i ON i.uuid = c.server
             GROUP BY c.device, c.cell)
        SELECT c.server, c.cell, c.device, c.address, c.status, c.host, COALESCE(s.on_host, '') AS other,
               CASE WHEN s.device IS NULL THEN 'unknown' WHEN s.on_host IS NULL THEN 'deleted'
                    WHEN s.on_host = '' THEN 'no-host' ELSE 'other-host' END AS code
          FROM claims c
          LEFT JOIN seen s ON s.device = c.device AND s.cell = c.cell
          LEFT JOIN moving m ON m.server = c.server
          LEFT JOIN (SELECT DISTINCT e.uuid FROM existing_servers e JOIN claims k ON k.server = e.uuid) e
            ON e.uuid = c.server
         WHERE m.server IS NULL AND COALESCE(s.at_home, 0) = 0 AND COALESCE(s.busy, 0) = 0
           AND COALESCE(s.recent, 0) = 0
           AND (e.uuid IS NULL OR s.on_host IS NOT NULL)""",
)
