# SPDX-License-Identifier: Apache-2.0
"""A volume is deleted but rows that belong to it are not.

## What is wrong
Cinder's row of the volume says deleted, and attachments, metadata, transfers or snapshots of it are still live
(`live-children`), or nobody noted when it was deleted (`no-deletion-time`).

## Why it matters
`cinder-manage db purge` stops at the first such volume, for the whole table and from then on; without a time of
deletion the row is never purged. A live attachment may also keep Nova believing in the volume.

## How it comes about
Somebody ran `UPDATE volumes SET deleted=1, status='deleted'`. Cinder itself marks volume and children in one
transaction.

## How to see it by hand
`SELECT v.id FROM volumes v JOIN volume_metadata c ON c.volume_id = v.id WHERE v.deleted = 1 AND c.deleted = 0`, and
so on for each table that refers to volumes.

## Repair and its risk
`finish-volume-deletion` marks the children deleted with the time of their volume. Nothing that still works is
touched. The quota that such an UPDATE left used is settled by `cinder-manage quota sync`.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="volume-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="volume {volume} is deleted, but {children} row(s) of it are not ({code})",
    resource=("volume", "volume"),
    key=("volume",),
    needs=frozenset({"cinder"}),
    reads={"cinder_volumes": {"id": "volume"}, "cinder_leftover_children": {"volume_id": "volume"}},
    settle=False,
    sql="""
        SELECT v.id AS volume, v.project_id AS project, v.deleted_at AS deleted_at,
               CASE WHEN c.volume_id IS NULL THEN 'no-deletion-time' ELSE 'live-children' END AS code,
               COALESCE(c.children, 0) AS children
          FROM cinder_volumes v
          LEFT JOIN (SELECT volume_id, COUNT(*) AS children
                       FROM cinder_leftover_children GROUP BY volume_id) c ON c.volume_id = v.id
         WHERE v.deleted AND (c.volume_id IS NOT NULL OR v.deleted_at IS NULL)""",
)
