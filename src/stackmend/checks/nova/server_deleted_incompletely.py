# SPDX-License-Identifier: Apache-2.0
"""A server is marked deleted, but not the way Nova deletes one.

## What is wrong
The row in `instances` is marked deleted, but a change that Nova makes with every deletion is missing: the mark is not
the row's own id (`mark`), state or times do not match a deletion (`fields`), child rows are still live (`children`), a
PCI device is still assigned to it (`pci`), or `instance_mappings.queued_for_delete` is not set (`mapping`).

## Why it matters
Without `terminated_at` billing for the server never ends; quotas count it; a PCI device stays claimed; live child rows
stop archiving, or are left behind by it.

## How it comes about
`UPDATE instances SET deleted=1 ...` from a blog post, or a deletion that crashed half way (bug 1784074 and related
ones).

## How to see it by hand
`SELECT id, deleted, vm_state, task_state, deleted_at, terminated_at, cleaned FROM instances WHERE uuid = '<server>';`
and the same uuid in `block_device_mapping`, `virtual_interfaces`, `tags` and the other child tables.

## Repair and its risk
If a port is still bound to the server's host, or a volume attached to it, and no Nova action deleted the server, the
guest may be alive. There are then two ways, and the operator chooses (`plan create --repair`): `revive-server` undoes
the deletion mark, `finish-deletion` completes the deletion. In all other cases only `finish-deletion` is offered.

`finish-deletion` makes the changes Nova would have made, in Nova's order; `cleaned` is left alone. If the row's own
deletion mark was wrong, the right one lets nova-compute see the deletion: with `cleaned = 0` it removes the instance
directory within minutes (rule RW9), so the repair needs consent by name. Ports, volumes and allocations have their own
checks.
"""

from stackmend.cloud.evidence.sights import guest
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="server-deleted-incompletely",
    catalogue="B4",
    severity=Severity.ERROR,
    message="server {server} is marked deleted, but {code}",
    codes={
        "mark": "its deletion mark is not the row's own id, as Nova's is",
        "fields": "its state or times do not match",
        "children": "{children} row(s) that belong to it are not",
        "pci": "{pci} PCI device(s) are still claimed for it",
        "mapping": "its mapping to a cell is not queued for deletion",
    },
    resource=("server", "server"),
    key=("server", "cell"),
    sight=guest(),
    needs=frozenset({"nova_api"}),
    hinders=frozenset({"move", "start", "rebuild"}),
    reads={
        "nova_instances": {"uuid": "server"},
        "nova_leftover_children": {"instance_uuid": "server"},
        "nova_pci_devices": {"instance_uuid": "server"},
        "nova_api_instance_mappings": {"instance_uuid": "server"},
    },
    ages={"idle": 600},
    sql="""
        SELECT server, cell, host, vm_state, cleaned, children, pci,
               CASE WHEN mismarked THEN 'mark' WHEN fields THEN 'fields' WHEN children > 0 THEN 'children'
                    WHEN pci > 0 THEN 'pci' ELSE 'mapping' END AS code
          FROM (SELECT i.uuid AS server, i.cell, i.host, i.vm_state, i.cleaned, i.mismarked,
                       (i.deleted_at IS NULL
                        OR (i.host IS NOT NULL AND (COALESCE(i.vm_state, '') <> 'deleted' OR i.task_state IS NOT NULL
                            OR (i.terminated_at IS NULL AND i.launched_at IS NOT NULL)))) AS fields,
                       COALESCE(c.n, 0) AS children, COALESCE(d.n, 0) AS pci,
                       (m.instance_uuid IS NOT NULL AND l.uuid IS NULL
                        AND NOT COALESCE(m.queued_for_delete, FALSE)) AS mapping
                  FROM nova_instances i
                  LEFT JOIN (SELECT instance_uuid, cell, COUNT(row_id) AS n FROM nova_leftover_children
                              GROUP BY instance_uuid, cell) c ON c.instance_uuid = i.uuid AND c.cell = i.cell
                  LEFT JOIN (SELECT instance_uuid, cell, COUNT(id) AS n FROM nova_pci_devices WHERE NOT deleted
                              GROUP BY instance_uuid, cell) d ON d.instance_uuid = i.uuid AND d.cell = i.cell
                  LEFT JOIN nova_api_instance_mappings m ON m.instance_uuid = i.uuid
                  LEFT JOIN (SELECT DISTINCT uuid FROM nova_instances WHERE NOT deleted) l ON l.uuid = i.uuid
                 WHERE i.deleted AND i.uuid <> '00000000-0000-0000-0000-000000000000'
                   AND NOT COALESCE(i.hidden, FALSE)
                   AND COALESCE(i.deleted_at, i.updated_at, i.created_at) < $idle) judged
         WHERE mismarked OR fields OR children > 0 OR pci > 0 OR mapping""",
)
