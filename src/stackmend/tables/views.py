# SPDX-License-Identifier: Apache-2.0
"""Views over the collected tables: the catalogue's guards and existence rules, each defined once.

Besides the views there is a table of one row, ``clock(now)``: the time from which ages are counted.

A check that uses a view names the tables behind it in its ``reads``; the functions below return those scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: terminal states of a migration (G-MIG)
TERMINAL = ("completed", "confirmed", "reverted", "error", "failed", "cancelled", "done")
_MARKER = "'00000000-0000-0000-0000-000000000000'"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view: its SQL and the labels it needs."""

    sql: str
    needs: tuple[str, ...]


VIEWS: Mapping[str, View] = {
    # live servers that the API would list: neither the R4 marker nor the hidden half of a cross-cell resize (G-XCELL)
    "servers": View(
        needs=("nova_instances",),
        sql=f"""
            SELECT cell, uuid, project_id, host, node, compute_id, vm_state, task_state, power_state,
                   created_at, launched_at, COALESCE(updated_at, created_at) AS changed_at, cell = 'cell0' AS in_cell0
              FROM nova_instances
             WHERE NOT deleted AND uuid <> {_MARKER} AND NOT COALESCE(hidden, FALSE)""",
    ),
    # migrations in progress (G-MIG)
    "moves": View(
        needs=("nova_migrations",),
        sql=f"""
            SELECT cell, id, uuid, instance_uuid, status, migration_type, source_compute, source_node,
                   dest_compute, dest_node, COALESCE(updated_at, created_at) AS changed_at
              FROM nova_migrations WHERE NOT deleted AND status NOT IN {TERMINAL}""",
    ),
    # servers with an operation in progress, by instance_actions (read only when confirming)
    "acting_servers": View(
        needs=("nova_instance_actions", "nova_instance_actions_events"),
        sql="""
            SELECT a.instance_uuid AS uuid FROM nova_instance_actions a, clock c
             WHERE a.start_time > c.now - INTERVAL 2 MINUTE
            UNION
            SELECT a.instance_uuid
              FROM nova_instance_actions a
              JOIN nova_instance_actions_events e ON e.action_id = a.id AND e.cell = a.cell
             WHERE e.finish_time IS NULL AND e.start_time > (SELECT now FROM clock) - INTERVAL 2 HOUR""",
    ),
    # G-IDLE without the age: compare changed_at with $idle
    "idle_servers": View(
        needs=("nova_instances", "nova_migrations", "nova_instance_actions", "nova_instance_actions_events"),
        sql="""
            SELECT s.* FROM servers s
             WHERE s.task_state IS NULL AND COALESCE(s.vm_state, '') <> 'building'
               AND s.uuid NOT IN (SELECT m.instance_uuid FROM moves m WHERE m.instance_uuid IS NOT NULL)
               AND s.uuid NOT IN (SELECT a.uuid FROM acting_servers a WHERE a.uuid IS NOT NULL)""",
    ),
    # cells by the names used here (stackmend.app.discovery); several mappings to one database are one cell, of which
    # one mapping is the main one
    "cells": View(
        needs=("nova_api_cell_mappings",),
        sql=f"""
            SELECT m.id, n.cell, m.id = m.first_id AS main
              FROM nova_api_cell_mappings m
              JOIN (SELECT id, CASE WHEN uuid = {_MARKER} THEN 'cell0'
                                    WHEN COALESCE(name, '') = '' OR ROW_NUMBER() OVER (
                                        PARTITION BY CASE WHEN uuid = {_MARKER} THEN 'cell0' ELSE name END
                                        ORDER BY id) > 1 THEN uuid
                                    ELSE name END AS cell
                      FROM nova_api_cell_mappings) n ON n.id = m.first_id""",
    ),
    # R3: the deleted set (rows still in the table, marked deleted)
    "deleted_servers": View(
        needs=("nova_instances",),
        sql=f"SELECT uuid FROM nova_instances WHERE deleted AND uuid <> {_MARKER}",
    ),
    # R3: the existence set of servers; a server may be in it more than once. A server that nova_api maps to a cell, and
    # that is neither queued for deletion nor marked deleted, exists, whatever the cell shows:
    # instance-mapping-without-server
    "existing_servers": View(
        needs=("nova_instances", "nova_api_build_requests", "nova_api_instance_mappings"),
        sql="""
            SELECT uuid FROM nova_instances WHERE NOT COALESCE(deleted, FALSE)
            UNION ALL
            SELECT b.instance_uuid FROM nova_api_build_requests b
            UNION ALL
            SELECT m.instance_uuid FROM nova_api_instance_mappings m
             WHERE m.cell_id IS NULL AND m.created_at > (SELECT now FROM clock) - INTERVAL 1 HOUR
            UNION ALL
            SELECT m.instance_uuid FROM nova_api_instance_mappings m
              LEFT JOIN deleted_servers d ON d.uuid = m.instance_uuid
             WHERE m.cell_id IS NOT NULL AND NOT COALESCE(m.queued_for_delete, FALSE) AND d.uuid IS NULL""",
    ),
}


def idle(server: str = "server") -> dict[str, dict[str, str]]:
    """Scopes of ``idle_servers`` (and ``servers``, ``moves``), given the finding's column with the server's UUID."""
    return {
        "nova_instances": {"uuid": server},
        "nova_migrations": {"instance_uuid": server},
        "nova_instance_actions": {"instance_uuid": server},
        "nova_instance_actions_events": {"action_id": "nova_instance_actions.id"},
    }


def existence(server: str = "server") -> dict[str, dict[str, str]]:
    """Scopes of ``existing_servers`` and ``deleted_servers``."""
    return {
        "nova_instances": {"uuid": server},
        "nova_api_build_requests": {"instance_uuid": server},
        "nova_api_instance_mappings": {"instance_uuid": server},
    }


def stuck_volumes(status: str) -> str:
    """Two queries for a WITH: ``stuck``, volumes in this status since before $grace, and ``sides``, who records them.

    A row of ``sides`` is an attachment of Cinder's (``whole`` if it is attached) or a block device mapping of Nova's.
    """
    return f"""
        stuck AS (
            SELECT c.id, c.project_id, COALESCE(c.updated_at, c.created_at) AS since
              FROM cinder_volumes c
             WHERE NOT c.deleted AND c.status = '{status}' AND COALESCE(c.updated_at, c.created_at) < $grace
               AND COALESCE(c.migration_status, 'success') IN ('success', 'error')
        ), sides AS (
            SELECT a.volume_id, a.instance_uuid AS server, 1 AS attachments, 0 AS mappings,
                   CASE WHEN a.attach_status = 'attached' THEN 1 ELSE 0 END AS whole
              FROM cinder_volume_attachment a JOIN stuck v ON v.id = a.volume_id
             WHERE NOT a.deleted
            UNION ALL
            SELECT b.volume_id, b.instance_uuid, 0, 1, 0
              FROM nova_block_device_mapping b JOIN stuck v ON v.id = b.volume_id
             WHERE NOT b.deleted AND b.destination_type = 'volume'
        )"""


#: two queries for a WITH: ``beating``, hosts whose nova-compute has sent a heartbeat since $alive, whatever anybody
#: declared it to be; ``acted``, when the last action or event of a server began or ended (read when confirming only)
LAST_SEEN = """
        beating AS (
            SELECT DISTINCT cell, host
              FROM nova_services
             WHERE NOT deleted AND "binary" = 'nova-compute' AND updated_at >= $alive
        ), acted AS (
            SELECT a.instance_uuid AS uuid,
                   MAX(GREATEST(a.start_time, COALESCE(e.start_time, a.start_time),
                                COALESCE(e.finish_time, a.start_time))) AS acted_at
              FROM nova_instance_actions a
              LEFT JOIN nova_instance_actions_events e ON e.action_id = a.id AND e.cell = a.cell
             WHERE a.start_time IS NOT NULL
             GROUP BY a.instance_uuid
        )"""

#: what Nova's API alone cannot tell about a server it does not know, and about one it shows as deleted
LOST = (
    "Nova's API says 'no such server' also of one whose row its cell has lost while nova_api still maps it, and whose"
    " guest may run: name nova_api under [databases], or look for {} on the hosts before anything of it is freed"
)
MARKED = (
    "Nova's API shows a server as deleted also where its row was marked by SQL, and its guest may run: name nova_api"
    " under [databases], or look for {} on the hosts before anything of it is freed"
)

#: what R2 requires before a server may be said not to exist
EVERY_SERVER = frozenset({"nova_api", "cells"})
