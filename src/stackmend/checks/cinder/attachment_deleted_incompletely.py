# SPDX-License-Identifier: Apache-2.0
"""An attachment of a volume is deleted, but its child rows are not.

## What is wrong
Cinder's row of the attachment is marked deleted, but its rows in `attachment_specs` are live, or the row has no
deletion time. The volume itself may be live.

## Why it matters
`cinder-manage db purge` stops at the first deleted attachment with live child rows, for the whole table and from then
on. An attachment without a deletion time is never purged, and blocks the purge of its volume as well.

## How it comes about
Somebody ran `UPDATE volume_attachment SET deleted=1`. Cinder itself sets the deletion time and marks the child rows.

## How to see it by hand
`SELECT id FROM volume_attachment WHERE deleted = 1 AND deleted_at IS NULL`, and `SELECT t.id FROM attachment_specs t
JOIN volume_attachment p ON p.id = t.attachment_id WHERE p.deleted = 1 AND t.deleted = 0`.

## Repair and its risk
`finish-attachment-deletion` sets the missing deletion time (its volume's, or now) and marks the child rows with it.
Nothing in use is touched: these rows describe an attachment that Cinder already considers deleted.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="attachment-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="attachment {attachment} of volume {volume} is deleted, but {children} row(s) of it are not, or its"
    " deletion time is missing",
    resource=("volume", "volume"),
    key=("attachment",),
    needs=frozenset({"cinder"}),
    reads={"cinder_half_deleted": {"parent_id": "attachment"}},
    settle=False,
    explained_by={
        "volume-deleted-incompletely": {"volume": "volume"},
        # an attachment marked deleted while a server still has the volume
        "nova-bdm-cinder-detached": {"volume": "volume"},
    },
    sql="""
        SELECT parent_id AS attachment, MIN(volume_id) AS volume,
               COUNT(CASE WHEN row_id <> parent_id THEN 1 END) AS children
          FROM cinder_half_deleted
         WHERE kind = 'attachment'
         GROUP BY parent_id""",
)
