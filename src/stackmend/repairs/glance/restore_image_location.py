# SPDX-License-Identifier: Apache-2.0
"""Mark the last deleted location of an image as live again.

## What it does
The location of the image that was marked deleted last becomes live, with the status `active`.

## Guards
The image is live and has no live location, which is checked again when the row is written. If its last location is not
unique, nothing is done. Consent is required by name: only the store shows whether the content is still there.

## Undo
The row is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs.common import change, moment


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Glance's database; none if the image has a location."""
    image: Record | None = live.row("glance", "images", {"id": str(target["image"])})
    if image is None or image["deleted"]:
        raise CannotRepair(f"Glance has no live image {target['image']}")
    rows = live.rows("glance", "image_locations", {"image_id": image["id"]})
    if any(not row["deleted"] for row in rows):
        return
    last = max((moment(row["deleted_at"]) for row in rows), default=None)
    latest = [row for row in rows if moment(row["deleted_at"]) == last]
    if len(latest) != 1:
        raise CannotRepair(f"image {image['id']} has {len(latest)} locations that were deleted at the same time")
    yield Manual(
        text=f"check first that the store has the content of image {image['id']}: on Ceph rbd info"
        f" <pool>/{image['id']}, in a filesystem store the size of the file {image['id']} ({image['size']} bytes)"
    )
    expect = {name: image[name] for name in ("deleted", "status", "size")}
    yield ExpectRow(database="glance", table="images", pk={"id": image["id"]}, expect=expect)
    yield ExpectNone(database="glance", table="image_locations", where={"image_id": image["id"], "deleted": 0})
    after: Record = {"deleted": 0, "deleted_at": None, "status": "active"}
    yield change(live, "glance", "image_locations", latest[0], after, ("image_id",))


REPAIR = Repair(
    name="restore-image-location",
    risk=Risk.UNSAFE,
    why="if the store no longer has the content, or has another one, users of the image get errors or wrong data",
    resource="image",
    checks=("image-active-without-location",),
    codes=frozenset({"location-deleted"}),
    strategies={"db": db},
    no_api="Glance's API does not show locations that are marked deleted, and adds one only with its whole URL",
)
