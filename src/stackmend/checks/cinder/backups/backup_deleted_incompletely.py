# SPDX-License-Identifier: Apache-2.0
"""A backup of a volume is deleted, but its child rows are not.

## What is wrong
Cinder's row of the backup is marked deleted, but its rows in `backup_metadata` are live, or the row has no deletion
time. The volume itself may be live, or deleted long ago.

## Why it matters
`cinder-manage db purge` stops at the first deleted backup with live child rows, for the whole table and from then on.
A backup without a deletion time is never purged.

## How it comes about
Somebody ran `UPDATE backups SET deleted=1`. Cinder itself sets the deletion time and marks the child rows.

## How to see it by hand
`SELECT id FROM backups WHERE deleted = 1 AND deleted_at IS NULL`, and `SELECT t.id FROM backup_metadata t JOIN backups
p ON p.id = t.backup_id WHERE p.deleted = 1 AND t.deleted = 0`.

## Repair and its risk
`finish-backup-deletion` sets the missing deletion time (now, or its volume's) and marks the child rows with it.
Nothing in use is touched: these rows describe a backup that Cinder already considers deleted.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="backup-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="backup {backup} of volume {volume} is deleted, but {children} row(s) of it are not, or its"
    " deletion time is missing",
    resource=("backup", "backup"),
    key=("backup",),
    needs=frozenset({"cinder"}),
    reads={"cinder_half_deleted": {"parent_id": "backup"}},
    settle=False,
    sql="""
        SELECT parent_id AS backup, MIN(volume_id) AS volume,
               COUNT(CASE WHEN row_id <> parent_id THEN 1 END) AS children
          FROM cinder_half_deleted
         WHERE kind = 'backup'
         GROUP BY parent_id""",
)
