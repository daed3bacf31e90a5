# SPDX-License-Identifier: Apache-2.0
"""Mark the remaining rows of a deleted image deleted.

## What it does
Live rows of `image_locations`, `image_properties`, `image_members` and `image_tags` are marked deleted with the
deletion time of their image, locations also with the status `deleted`, as Glance does in one transaction. An image
without a deletion time gets one, and the status `deleted`.

## Guards
The image must still be marked deleted, and every row must be unchanged since the plan. An image in `pending_delete` is
left to the scrubber.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs.common import change
from stackmend.tables.glance import IMAGE_CHILDREN


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Glance's database; none if all rows are marked."""
    image: Record | None = live.row("glance", "images", {"id": str(target["image"])})
    if image is None or not image["deleted"]:
        raise CannotRepair(f"image {target['image']} is not deleted")
    if image["status"] == "pending_delete":
        raise CannotRepair(f"image {image['id']} is pending_delete: glance-scrubber deletes it")
    at = image["deleted_at"] or live.now()
    steps: list[Step] = []
    for table in IMAGE_CHILDREN:
        for row in live.rows("glance", table, {"image_id": image["id"], "deleted": 0}):
            after: Record = {"deleted": 1, "deleted_at": at}
            if table == "image_locations":
                after["status"] = "deleted"
                steps.append(_content(image))
            steps.append(change(live, "glance", table, row, after, ("image_id",)))
    wanted: Record = {"deleted_at": at, "status": "deleted"}
    wrong = {name: value for name, value in wanted.items() if image[name] != value}
    if wrong:
        yield change(live, "glance", "images", image, wrong, ("deleted",))
    elif steps:
        expect = {name: image[name] for name in ("deleted", "deleted_at", "status")}
        yield ExpectRow(database="glance", table="images", pk={"id": image["id"]}, expect=expect)
    yield from steps


def _content(image: Record) -> Manual:
    return Manual(
        text=f"look whether the store still has the content of image {image['id']} (on Ceph: rbd info"
        f" <pool>/{image['id']}; in a filesystem store: the file {image['id']}), and whether volumes or servers"
        " were cloned from it"
    )


REPAIR = Repair(
    name="finish-image-deletion",
    risk=Risk.SAFE,
    removes={
        **dict.fromkeys(IMAGE_CHILDREN, "only marked deleted, as their image is: the rows stay until a purge"),
        "images.status": "a deleted image has the status deleted, whatever it was",
        "image_locations.status": "the location of a deleted image has the status deleted",
    },
    resource="image",
    checks=("image-child-rows-live",),
    strategies={"db": db},
    no_api="Glance's API does not show the rows of an image that is marked deleted",
)
