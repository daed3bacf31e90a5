# SPDX-License-Identifier: Apache-2.0
"""Set a volume whose creation was never completed to `error`.

## What it does
Sets `volumes.status` to `error`, as cinder-volume and cinder-scheduler do when a creation fails: through the API with
`os-reset_status`, in the database the one column. Cinder's record that a service works on the volume is
removed with it, as Cinder does. The owner can then delete the volume. Data that the back end may
already have is removed with it.

## Guards
The volume is still in `creating` or `downloading`, has not been updated since the plan, has no live attachment, and no
migration of it is in progress. Consent is required by name: no record shows whether a large image is still being
copied.

## Undo
The status is restored, through the API with `os-reset_status`.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence import attachments
from stackmend.cloud.states import CREATING
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import ResetStatus
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.calls import api_of, guarded, shown
from stackmend.repairs.common import change
from stackmend.repairs.volume_rows import work_dropped


def api(target: Row, live: Live) -> Iterator[Step]:
    """An API call to Cinder; none if the volume is no longer being created."""
    if not list(db(target, live)):
        return
    made = ResetStatus(volume=str(target["volume"]), status="error")
    found = api_of(live).look(made)
    shown(found, "volume")
    back = ResetStatus(volume=made.volume, status=str(found["status"])).call({"status": "error"})
    yield guarded(made, found, ("status", "migration", "attachments"), back)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the volume is no longer being created."""
    seen = attachments.read(live, target["volume"])
    volume = seen.live()
    if volume["status"] not in CREATING:
        return
    if seen.attachments:
        raise CannotRepair(f"volume {seen.volume} has an attachment: find out which server uses it")
    guards = ("host", "migration_status", "deleted", "updated_at")
    yield change(live, "cinder", "volumes", volume, {"status": "error"}, guards)
    yield from work_dropped(live, "Volume", seen.volume)


REPAIR = Repair(
    name="fail-volume-creation",
    risk=Risk.UNSAFE,
    why="no record shows whether a large image is still being copied into the volume",
    resource="volume",
    checks=("volume-stuck-creating",),
    strategies={"api": api, "db": db},
)
