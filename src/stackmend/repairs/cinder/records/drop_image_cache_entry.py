# SPDX-License-Identifier: Apache-2.0
"""Delete an entry of Cinder's image cache whose volume is gone.

## What it does
Deletes the row in `image_volume_cache_entries`, as Cinder does when it deletes the volume.

## Guards
Cinder has no live volume with that id, which is checked again when the row is deleted.

## Undo
The row is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import DeleteRow, ExpectNone, Record, Risk, Step


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Cinder's database; none if the entry is gone."""
    row: Record | None = live.row("cinder", "image_volume_cache_entries", {"id": int(str(target["entry"]))})
    if row is None:
        return
    alive: Record = {"id": row["volume_id"], "deleted": 0}
    if live.rows("cinder", "volumes", alive):
        raise CannotRepair(f"volume {row['volume_id']} exists: delete it through Cinder, which removes its entry")
    yield ExpectNone(database="cinder", table="volumes", where=alive)
    yield DeleteRow(database="cinder", table="image_volume_cache_entries", pk={"id": row["id"]}, before=row)


REPAIR = Repair(
    name="drop-image-cache-entry",
    risk=Risk.SAFE,
    removes={"image_volume_cache_entries": "it refers to a volume that no longer exists"},
    resource="volume",
    checks=("image-cache-entry-orphan",),
    codes=frozenset({"volume-gone"}),
    strategies={"db": db},
    no_api="no API shows the entries of the image cache; Cinder removes one only with its volume",
)
