# SPDX-License-Identifier: Apache-2.0
"""Remove the marks of an import that is over from an image.

## What it does
Marks the properties `os_glance_import_task`, `os_glance_importing_to_stores` and `os_glance_stage_host` of the image
deleted, as Glance does at the end of an import. Staged data on the node that `os_glance_stage_host` names is not
removed; the plan says where it is.

## Guards
The image is live and unchanged, and so is each property. The task that they name has not changed for two hours, which
is checked again when they are written.

## Undo
All rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Manual, Record, Risk, Step
from stackmend.repairs.common import change, moment
from stackmend.tables.glance import IMPORT_MARKS

_RECENT = timedelta(hours=2)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Glance's database; none if there are no marks."""
    image: Record | None = live.row("glance", "images", {"id": str(target["image"])})
    if image is None or image["deleted"]:
        raise CannotRepair(f"Glance has no live image {target['image']}")
    marks = live.rows("glance", "image_properties", {"image_id": image["id"], "name": list(IMPORT_MARKS), "deleted": 0})
    if not marks:
        return
    values = {str(row["name"]): row["value"] for row in marks}
    if task := values.get(IMPORT_MARKS[0]):
        yield from _task_over(live, str(task))
    if host := values.get(IMPORT_MARKS[2]):
        yield Manual(
            text=f"look for staged data of image {image['id']} in os_glance_staging_store on {host}, and remove it"
        )
    expect = {name: image[name] for name in ("deleted", "status", "updated_at")}
    yield ExpectRow(database="glance", table="images", pk={"id": image["id"]}, expect=expect)
    now = live.now()
    for row in marks:
        yield change(live, "glance", "image_properties", row, {"deleted": 1, "deleted_at": now}, ("name", "value"))


def _task_over(live: Live, name: str) -> Iterator[Step]:
    task: Record | None = live.row("glance", "tasks", {"id": name, "deleted": 0})
    if task is None:
        return
    written = task["updated_at"] or task["created_at"]
    if moment(written) > moment(live.now()) - _RECENT:
        raise CannotRepair(f"import task {name} is {task['status']}, and changed at {written}")
    expect = {column: task[column] for column in ("status", "updated_at")}
    yield ExpectRow(database="glance", table="tasks", pk={"id": name}, expect=expect)


REPAIR = Repair(
    name="drop-import-marks",
    risk=Risk.SAFE,
    removes={"image_properties": "only marked deleted, as Glance does when an import is over"},
    resource="image",
    checks=("image-import-lock-stale",),
    strategies={"db": db},
    no_api="Glance's API does not let anybody change these properties; only a new import replaces them",
)
