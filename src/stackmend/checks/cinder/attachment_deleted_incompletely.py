# SPDX-License-Identifier: Apache-2.0
"""An attachment of a volume is deleted, but rows that belong to it are not.

## What is wrong
Cinder's row of the attachment says deleted, and rows of `attachment_specs` that belong to it are live, or nobody
noted when it was deleted. The volume itself may well be alive.

## Why it matters
`cinder-manage db purge` stops at the first attachment with live rows below it, for the whole table and from then on.
One without a time of deletion is never purged, and holds its volume back as well once that is deleted.

## How it comes about
Somebody ran `UPDATE volume_attachment SET deleted=1`. Cinder marks the attachment with the time, and what belongs to
it.

## How to see it by hand
`SELECT id FROM volume_attachment WHERE deleted = 1 AND deleted_at IS NULL`, and `SELECT t.id FROM attachment_specs t
JOIN volume_attachment p ON p.id = t.attachment_id WHERE p.deleted = 1 AND t.deleted = 0`.

## Repair and its risk
`finish-attachment-deletion` gives it the time of its volume, or now, and marks what belongs to it with the time that
it has. Nothing that works is touched: these rows describe what is gone for Cinder already.
"""

from stackmend.model.check import Check, Severity

CHECK = Check(
    name="attachment-deleted-incompletely",
    catalogue="H26",
    severity=Severity.WARNING,
    message="attachment {attachment} of volume {volume} is deleted, but {children} row(s) of it are not, or the"
    " time is lacking",
    resource=("volume", "volume"),
    key=("attachment",),
    needs=frozenset({"cinder"}),
    reads={"cinder_half_deleted": {"parent_id": "attachment"}},
    settle=False,
    explained_by={
        "volume-deleted-incompletely": {"volume": "volume"},
        # an attachment that was marked deleted under a server that has the volume
        "nova-bdm-cinder-detached": {"volume": "volume"},
    },
    sql="""
        SELECT parent_id AS attachment, MIN(volume_id) AS volume,
               COUNT(CASE WHEN row_id <> parent_id THEN 1 END) AS children
          FROM cinder_half_deleted
         WHERE kind = 'attachment'
         GROUP BY parent_id""",
)
