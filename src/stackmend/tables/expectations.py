# SPDX-License-Identifier: Apache-2.0
"""What one source says another should hold: the second witness behind every "does not exist".

A database can answer and still be the wrong one: freshly migrated, another cell's, a year-old copy, restored from a
dump. Then neither its rows nor its missing rows prove anything. So each source is compared with what the others say
about it before any check runs (:mod:`stackmend.engine.auditing.sources`). Each statement below returns what a source
*should* hold, item by item, and whether it does. To add a witness, add an entry here; nothing else changes.

The statements run twice: in an audit over everything collected, and when a plan is made or applied over a fresh sample
(``NEWEST``), as a source may have changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stackmend.model.check import NEWEST, Scope

#: items that must be missing before the source is doubted: single servers do lose a port, a volume or a row, and that
#: is a finding
LEAST = 3
#: share of the expected items that must be missing. Another cloud's database has none of them. In the worst clouds
#: described in public one reference in ten was broken; where every second one is, the references are not at fault
SHARE = 0.5
#: if at least so many items are expected and none is there, LEAST does not apply
NONE_OF = 2
#: so many items created one after another are missing, and the source has no row of its own from that time: it was
#: restored to an older state. Nobody deletes five in a row by chance without touching one in between
IN_A_ROW = 5
#: minimum length of such a gap in seconds: five ports made by one request are also deleted by one request
GAP = 3600
#: days without a write, while other sources were written to, after which a source is no longer taken for the live
#: database: it is a stopped replica, or a copy. A cell may be switched off for weeks; otherwise its services write a
#: heartbeat every ten seconds
STALE = 30

_ZERO = "'00000000-0000-0000-0000-000000000000'"
#: live servers that have run: the remains of a failed build may lack anything
_RAN = "NOT COALESCE({0}.deleted, FALSE) AND {0}.launched_at IS NOT NULL AND {0}.uuid <> " + _ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What ``reads`` says about a source.

    ``sql`` returns rows (source, item, made, present): the database being judged, what it should hold, when that was
    created (NULL: unknown), and whether it is there. ``own`` returns (source, made): when the rows that it does hold
    were created; with it, a gap in those times is searched for.
    """

    name: str
    reads: Mapping[str, Scope]  #: as in a check; NEWEST stands for a sample
    what: str  #: what is expected, to follow a number: "servers that nova_api maps to it"
    cause: str  #: the likely cause, as a question
    sql: str
    own: str = ""
    least: int = LEAST
    share: float = SHARE
    every_cell: bool = False  #: only meaningful if every cell was read and is trusted
    says: str = ""  #: replaces "it has none of the <expected> <what>": ``{absent}``, ``{expected}``

    @property
    def of(self) -> str:
        """The service being judged, named as in tables."""
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
        # queued_for_delete is NULL where an old release did not set it; a mapping is created before the row of its
        # server
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
        share=1.0,  # mappings of hosts removed long ago are common
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
        # the two halves of a cross-cell resize have different ids
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
        # rows of removed nodes may be purged while an evacuated server still has an allocation there; shared storage
        # and routed networks belong to no compute node
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
        name="glance:images",
        reads={
            "nova_instances": {"id": NEWEST + "s.deleted = 0"},
            "glance_images": {"id": "nova_instances.image_ref"},
        },
        what="images that servers of the last month were built from",
        cause="wrong database?",
        # images are purged, if at all, months after their deletion; by server, as one image may be lost
        sql=f"""
            SELECT 'glance' AS source, i.uuid AS item, MIN(i.launched_at) AS made, MIN(g.id) IS NOT NULL AS present
              FROM nova_instances i
              LEFT JOIN glance_images g ON g.id = i.image_ref
             WHERE {_RAN.format("i")} AND i.image_ref <> ''
               AND i.launched_at > (SELECT now FROM clock) - INTERVAL 30 DAY
             GROUP BY i.uuid""",
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

#: tables whose newest row shows when a source was last written to: label -> its columns, latest first
WRITTEN: Mapping[str, str] = {
    "nova_services": "COALESCE(last_seen_up, updated_at)",
    "nova_instances": "COALESCE(updated_at, created_at)",
    "neutron_standardattributes": "COALESCE(updated_at, created_at)",
    "cinder_volumes": "COALESCE(updated_at, created_at)",
    "placement_allocations": "COALESCE(updated_at, created_at)",
    "nova_api_instance_mappings": "created_at",
}
