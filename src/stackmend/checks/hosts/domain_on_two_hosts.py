# SPDX-License-Identifier: Apache-2.0
"""The same server runs on two hypervisors at once.

## What is wrong
Several hypervisors have a process of a domain with this UUID, its server exists in a cell that was read, and no
migration of the server is in progress. (Copies of a server that is deleted or unknown are each a `domain-undead`.)

## Why it matters
Both write to the same disks: their file systems are being destroyed while you read this. Both answer under one address.

## How it comes about
A host was evacuated that was alive, a server was relocated without fencing its old host, or a host came back and its
libvirt started what it had (`autostart`).

## How to see it by hand
`virsh --readonly list --uuid | grep <server>` on each of the hosts; who has the disk: `rbd status <pool>/<image>` lists
the watchers (the finding has them if back ends were read, too: `--hosts --storage`), `lsof` the files; which one users
see: the MAC address that `arping` gets, and the bridge or chassis that has learnt it; `virsh domstats --block
<server>`, twice, shows which of them writes.

## Repair and its risk
Never automatic: which copy is the real one is not in any record, and the one with the newer data may be the one that
Nova does not know. Suspend the other copy at once (`virsh suspend` loses nothing and can be taken back), then find out.
Destroy it with the consent of its owner, undefine it without its storage, and have the file systems checked inside the
guest that stays. Declare the source of an evacuation dead only once it is (`stackmend host evacuate` proves it).
"""

from stackmend.model.check import OutsideCheck, Severity
from stackmend.tables.views import idle

OUTSIDE_CHECK = OutsideCheck(
    name="domain-on-two-hosts",
    catalogue="F3",
    severity=Severity.ERROR,
    message="server {server} runs on several hypervisors at once: {places}; Nova has it on {owner}{opened}",
    resource=("server", "server"),
    key=("server",),
    reads={
        **idle(),
        "host_domains": {"uuid": "server"},
        "host_disks": {"uuid": "server"},
        "storage_clients": {"path": "host_disks.source"},
    },
    spares=frozenset({"storage_clients"}),
    by_hand=(
        "at once, on {others}, and only there: virsh suspend {server}. Then see which copy has the data and the users"
        " (rbd status, arping, virsh domstats --block {server}); destroy the other with the consent of its owner: virsh"
        " destroy {server}; virsh undefine --nvram {server} (never with --remove-all-storage)"
    ),
    sql="""
        WITH twice AS (
            SELECT uuid FROM host_domains WHERE runs AND nova GROUP BY uuid HAVING COUNT(DISTINCT host) > 1),
        owned AS (
            SELECT s.uuid, MAX(s.host) AS host FROM servers s JOIN twice t ON t.uuid = s.uuid GROUP BY s.uuid),
        copies AS (
            SELECT DISTINCT d.uuid, d.host, d.state, o.host AS owner
              FROM host_domains d
              JOIN twice t ON t.uuid = d.uuid
              JOIN owned o ON o.uuid = d.uuid  -- of another cell, migrations in progress are unknown as well
             WHERE d.runs),
        disks AS (
            SELECT DISTINCT h.uuid, h.source FROM host_disks h JOIN twice t ON t.uuid = h.uuid WHERE h.source <> ''),
        opened AS (
            SELECT d.uuid, STRING_AGG(DISTINCT s.path || ' is open at '
                       || CASE WHEN s.watchers = '' THEN 'no client' ELSE s.watchers END
                       || CASE WHEN s.owner = '' THEN '' ELSE ', locked by ' || s.owner END, '; ') AS clients
              FROM disks d
              JOIN storage_clients s ON s.path = d.source
             GROUP BY d.uuid)
        SELECT c.uuid AS server, COALESCE(MAX(c.owner), 'none') AS owner,
               STRING_AGG(c.host || ' (' || c.state || ')', ', ' ORDER BY c.host) AS places,
               STRING_AGG(CASE WHEN c.owner IS NULL OR NULLIF(c.host, c.owner) IS NOT NULL THEN c.host END, ', '
                          ORDER BY c.host) AS others,
               COALESCE('; ' || MAX(o.clients), '') AS opened
          FROM copies c
          LEFT JOIN opened o ON o.uuid = c.uuid
          LEFT JOIN moves m ON m.instance_uuid = c.uuid
          LEFT JOIN acting_servers a ON a.uuid = c.uuid
         WHERE m.instance_uuid IS NULL AND a.uuid IS NULL
         GROUP BY c.uuid""",
)
