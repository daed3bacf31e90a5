# SPDX-License-Identifier: Apache-2.0
"""What one source says should be in another: the second witness of every "there is no X".

A database can answer and be the wrong one: freshly migrated, another cell's, a copy of last year, restored from a
dump. Its rows are then no evidence, and least of all those that it lacks. So each source is held against what others
say of it before a check speaks (:mod:`stackmend.engine.auditing.sources`). The statements below do that: each returns
what a source *should* hold, item by item, and whether it does. A row of its own for each new witness; nothing
else to edit.

They are asked twice: in an audit about everything that was collected, and when a plan is made or applied about a
sample that is read anew (``NEWEST``), for a source may have changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stackmend.model.check import NEWEST, Scope

#: items that must be lacking before it is the source that is doubted: one or two servers lose a port, a volume or a
#: row by themselves, and that is a finding
LEAST = 3
#: of what is expected so much must be lacking. A database that is another's has nothing of it. The worst clouds that
#: were described in public had one broken reference in ten; above one in two the reference is not what is broken
SHARE = 0.5
#: where two items or more are expected and none is there, LEAST is not waited for
NONE_OF = 2
#: items created one after another, all of them lacking, while the source has no row of its own of that time: it was
#: put back to an older state. Nobody deletes five things in a row and no other in between by chance
IN_A_ROW = 5
#: seconds that such a time lasts at least: five ports made by one request go by one request, too
GAP = 3600
#: days after which a source is no longer taken for the living one while others were written to: a replica that
#: stopped, a copy. A cell may be switched off for weeks; its services write their heartbeat every ten seconds else
STALE = 30

_ZERO = "'00000000-0000-0000-0000-000000000000'"
#: live servers that have run: what is left of a build that failed may lack anything
_RAN = "NOT COALESCE({0}.deleted, FALSE) AND {0}.launched_at IS NOT NULL AND {0}.uuid <> " + _ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What ``reads`` says of a source.

    ``sql`` returns rows (source, item, made, present): the database that is judged, what it should hold, when that was
    made (NULL: unknown), and whether it is there. ``own`` returns (source, made): when the rows were made that it does
    hold; where it is given, a gap in them is looked for.
    """

    name: str
    reads: Mapping[str, Scope]  #: as those of a check; NEWEST stands for a sample
    what: str  #: what is expected, after a number: "servers that nova_api maps to it"
    cause: str  #: what may be wrong, as a question
    sql: str
    own: str = ""
    least: int = LEAST
    share: float = SHARE
    every_cell: bool = False  #: it says something only where every cell was read and is believed
    says: str = ""  #: instead of "it has none of the <expected> <what>": ``{absent}``, ``{expected}``

    @property
    def of(self) -> str:
        """The service that is judged, as tables name it."""
        return self.name.partition(":")[0]


EXPECTATIONS: tuple[Expectation, ...] = (
    Expectation(
        name="nova_api:mappings",
        reads={"nova_api_cell_mappings": {}},
        what="cell mappings that every Nova has (cell0, and one for servers)",
        cause="a database that was just made?",
        least=1,
        share=0.0,
        sql=f"""
            SELECT 'nova_api' AS source, 'cell0' AS item, CAST(NULL AS TIMESTAMP) AS made, COUNT(*) > 0 AS present
              FROM nova_api_cell_mappings WHERE uuid = {_ZERO}
            UNION ALL
            SELECT 'nova_api', 'a cell for servers', NULL, COUNT(*) > 0
              FROM nova_api_cell_mappings WHERE uuid <> {_ZERO}""",
    ),
    Expectation(
        name="nova_api:cells",
        reads={
            "nova_api_cell_mappings": {},
            "nova_api_host_mappings": {},
            "nova_api_instance_mappings": {"id": NEWEST + "s.cell_id IS NOT NULL AND s.queued_for_delete = 0"},
        },
        what="cells to which it maps hosts and servers",
        cause="was the row of a cell deleted?",
        least=1,
        share=0.0,
        sql="""
            SELECT 'nova_api' AS source, 'cell ' || u.cell_id AS item, CAST(NULL AS TIMESTAMP) AS made,
                   c.id IS NOT NULL AS present
              FROM (SELECT cell_id FROM nova_api_host_mappings WHERE cell_id IS NOT NULL
                    UNION
                    SELECT cell_id FROM nova_api_instance_mappings WHERE cell_id IS NOT NULL) u
              LEFT JOIN nova_api_cell_mappings c ON c.id = u.cell_id""",
    ),
    Expectation(
        name="nova:servers",
        reads={
            "nova_api_cell_mappings": {},
            "nova_api_instance_mappings": {"id": NEWEST + "s.cell_id IS NOT NULL AND s.queued_for_delete = 0"},
            "nova_instances": {"uuid": "nova_api_instance_mappings.instance_uuid"},
        },
        what="servers that nova_api maps to it",
        cause="wrong database?",
        # queued_for_delete is NULL where an old release never said; a mapping comes before the row of its server
        sql="""
            SELECT 'cell:' || c.cell AS source, m.instance_uuid AS item, m.created_at AS made,
                   i.uuid IS NOT NULL AS present
              FROM nova_api_instance_mappings m
              JOIN cells c ON c.id = m.cell_id
              LEFT JOIN (SELECT DISTINCT cell, uuid FROM nova_instances) i
                ON i.uuid = m.instance_uuid AND i.cell = c.cell
             WHERE NOT m.queued_for_delete AND m.created_at < (SELECT now FROM clock) - INTERVAL 1 HOUR""",
    ),
    Expectation(
        name="nova:hosts",
        reads={
            "nova_api_cell_mappings": {},
            "nova_api_host_mappings": {},
            "nova_services": {},
            "nova_compute_nodes": {},
        },
        what="compute hosts that nova_api maps to it",
        cause="wrong database?",
        share=1.0,  # mappings of hosts that are long gone are common
        sql="""
            SELECT 'cell:' || c.cell AS source, h.host AS item, CAST(NULL AS TIMESTAMP) AS made,
                   s.host IS NOT NULL AS present
              FROM nova_api_host_mappings h
              JOIN cells c ON c.id = h.cell_id
              LEFT JOIN (SELECT cell, host FROM nova_services UNION SELECT cell, host FROM nova_compute_nodes) s
                ON s.host = h.host AND s.cell = c.cell""",
    ),
    Expectation(
        name="nova:own",
        reads={"nova_instances": {"id": NEWEST + "s.deleted = 0"}, "nova_services": {}},
        what="servers and services",
        says="{absent} of its {expected} servers and services are, row for row, those of another cell",
        cause="do two mappings lead to one database, or to a copy?",
        # the halves of a cross-cell resize have ids of their own
        sql="""
            SELECT 'cell:' || a.cell AS source, a.item, CAST(NULL AS TIMESTAMP) AS made, COUNT(b.cell) = 0 AS present
              FROM (SELECT cell, 'server ' || uuid || ' ' || id AS item FROM nova_instances WHERE NOT deleted
                    UNION ALL
                    SELECT cell, 'service ' || host || ' ' || "binary" || ' ' || id FROM nova_services) a
              LEFT JOIN (SELECT cell, 'server ' || uuid || ' ' || id AS item FROM nova_instances WHERE NOT deleted
                         UNION ALL
                         SELECT cell, 'service ' || host || ' ' || "binary" || ' ' || id FROM nova_services) b
                ON b.item = a.item AND b.cell <> a.cell
             GROUP BY a.cell, a.item""",
    ),
    Expectation(
        name="nova_api:providers",
        reads={
            "placement_resource_providers": {},
            "placement_allocations": {"id": NEWEST},
            "placement_resource_classes": {},
            "nova_instances": {"uuid": "placement_allocations.consumer_id"},
            "nova_compute_nodes": {},
        },
        what="compute nodes that Placement has allocations on",
        says="no cell has {absent} of the {expected} compute nodes that Placement has allocations on",
        cause="is a cell missing from cell_mappings, or is Placement another cloud's?",
        share=0.02,
        every_cell=True,
        # the rows of nodes that are gone may be purged while a server that was evacuated is still charged there; shared
        # storage and routed networks are of no compute node
        sql="""
            SELECT 'nova_api' AS source, o.name AS item, CAST(NULL AS TIMESTAMP) AS made,
                   BOOL_OR(n.uuid IS NOT NULL OR i.uuid IS NOT NULL) AS present
              FROM placement_allocations a
              JOIN placement_resource_classes c ON c.id = a.resource_class_id
              JOIN placement_resource_providers r ON r.id = a.resource_provider_id
              JOIN placement_resource_providers o ON o.id = r.root_provider_id
              LEFT JOIN (SELECT DISTINCT uuid FROM nova_compute_nodes) n ON n.uuid = o.uuid
              LEFT JOIN (SELECT DISTINCT uuid FROM nova_instances) i ON i.uuid = a.consumer_id
             WHERE c.name NOT IN ('DISK_GB', 'IPV4_ADDRESS')
             GROUP BY o.name""",
    ),
    Expectation(
        name="neutron:ports",
        reads={
            "nova_instances": {"id": NEWEST + "s.deleted = 0"},
            "nova_virtual_interfaces": {"instance_uuid": "nova_instances.uuid"},
            "nova_instance_info_caches": {"instance_uuid": "nova_instances.uuid"},
            "nova_vifs": {"instance_uuid": "nova_instances.uuid"},
            "neutron_ports": {"id": "nova_vifs.port_id"},
            "neutron_standardattributes": {"id": NEWEST + "s.resource_type = 'ports'"},
        },
        what="ports that the network caches of Nova's servers list",
        cause="wrong database?",
        own="SELECT 'neutron' AS source, created_at AS made FROM neutron_standardattributes",
        sql=f"""
            SELECT 'neutron' AS source, v.port_id AS item, MIN(r.created_at) AS made, MIN(p.id) IS NOT NULL AS present
              FROM nova_vifs v
              JOIN nova_instances i ON i.uuid = v.instance_uuid AND i.cell = v.cell
              LEFT JOIN nova_virtual_interfaces r ON r.uuid = v.port_id AND r.cell = v.cell
              LEFT JOIN neutron_ports p ON p.id = v.port_id
             WHERE {_RAN.format("i")}
             GROUP BY v.port_id""",
    ),
    Expectation(
        name="cinder:volumes",
        reads={
            "nova_block_device_mapping": {"id": NEWEST + "s.deleted = 0 AND s.volume_id IS NOT NULL"},
            "nova_instances": {"uuid": "nova_block_device_mapping.instance_uuid"},
            "cinder_volumes": {"id": "nova_block_device_mapping.volume_id"},
        },
        what="volumes that Nova's servers have",
        cause="wrong database?",
        sql=f"""
            SELECT 'cinder' AS source, b.volume_id AS item, MIN(b.created_at) AS made, MIN(v.id) IS NOT NULL AS present
              FROM nova_block_device_mapping b
              JOIN nova_instances i ON i.uuid = b.instance_uuid AND i.cell = b.cell
              LEFT JOIN cinder_volumes v ON v.id = b.volume_id
             WHERE NOT COALESCE(b.deleted, FALSE) AND b.destination_type = 'volume' AND b.volume_id IS NOT NULL
               AND {_RAN.format("i")}
             GROUP BY b.volume_id""",
        own="SELECT 'cinder' AS source, created_at AS made FROM cinder_volumes",
    ),
    Expectation(
        name="placement:providers",
        reads={"nova_compute_nodes": {}, "placement_resource_providers": {}},
        what="compute nodes of Nova's cells",
        cause="wrong database?",
        sql="""
            SELECT 'placement' AS source, n.uuid AS item, CAST(NULL AS TIMESTAMP) AS made, r.uuid IS NOT NULL AS present
              FROM nova_compute_nodes n
              LEFT JOIN placement_resource_providers r ON r.uuid = n.uuid
             WHERE NOT n.deleted""",
    ),
    Expectation(
        name="keystone:projects",
        reads={
            "nova_instances": {"id": NEWEST + "s.deleted = 0"},
            "keystone_project": {"id": "nova_instances.project_id"},
        },
        what="projects that have servers",
        cause="wrong database?",
        sql=f"""
            SELECT 'keystone' AS source, i.project_id AS item, CAST(NULL AS TIMESTAMP) AS made,
                   MIN(p.id) IS NOT NULL AS present
              FROM nova_instances i
              LEFT JOIN keystone_project p ON p.id = i.project_id
             WHERE {_RAN.format("i")}
             GROUP BY i.project_id""",
    ),
)

#: tables whose newest row tells when a source was written to: label -> its columns, latest first
WRITTEN: Mapping[str, str] = {
    "nova_services": "COALESCE(last_seen_up, updated_at)",
    "nova_instances": "COALESCE(updated_at, created_at)",
    "neutron_standardattributes": "COALESCE(updated_at, created_at)",
    "cinder_volumes": "COALESCE(updated_at, created_at)",
    "placement_allocations": "COALESCE(updated_at, created_at)",
    "nova_api_instance_mappings": "created_at",
}
