# SPDX-License-Identifier: Apache-2.0
"""Register an image without content, so that nobody else gets its id.

## What it does
Through Glance's API: creates an image with that id, private, in the project of the account, named `reserved: content
was deleted`. In the database: inserts the same row, without an owner, so that only administrators see it. Its status
stays `queued`: it has no content. `image-stuck-transitional` leaves it alone.

## Guards
Glance has no row of the image, not even a deleted one, which is checked again when it is created.

## Undo
The image is deleted. Through the API, Glance keeps its row marked as deleted, and nobody gets the id until that is
purged; in the database the row is removed.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.image import DeleteImage, RegisterImage
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import ExpectNone, InsertRow, Record, Risk, Step
from stackmend.repairs.calls import api_of
from stackmend.tables.glance import RESERVED


def api(target: Row, live: Live) -> Iterator[Step]:
    """One call to Glance; none if it has the image."""
    image = str(target["image"])
    services = api_of(live, RegisterImage, DeleteImage)
    asked = RegisterImage(image=image, name=RESERVED)
    if live.row("glance", "images", {"id": image}) is not None or services.look(asked)["image"] == "present":
        return
    yield asked.call({"image": "absent"}, DeleteImage(image=image).call({"status": "queued"}))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Glance's database; none if it has the image."""
    image = str(target["image"])
    if live.row("glance", "images", {"id": image}) is not None:
        return
    known, now = live.columns("glance", "images"), live.now()
    values: Record = {
        "id": image, "name": RESERVED, "status": "queued", "visibility": "private", "owner": None, "min_disk": 0,
        "min_ram": 0, "protected": 0, "os_hidden": 0, "created_at": now, "updated_at": now, "deleted": 0,
    }  # fmt: skip
    key: Record = {"id": image}
    yield ExpectNone(database="glance", table="images", where=key)
    values = {name: value for name, value in values.items() if name in known}
    yield InsertRow(database="glance", table="images", key=key, values=values)


REPAIR = Repair(
    name="reserve-image-id",
    risk=Risk.UNSAFE,
    why="the image cannot be registered anew under its id: its content has to be uploaded into the reserved one",
    resource="image",
    checks=("image-id-reuse-risk",),
    strategies={"api": api, "db": db},
)
