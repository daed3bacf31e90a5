# SPDX-License-Identifier: Apache-2.0
"""What the steps of a repair delete or overwrite, to compare with what the repair declares (``Repair.removes``)."""

from __future__ import annotations

from collections.abc import Iterable

from stackmend.model.repair import Repair
from stackmend.model.step import ApiCall, DeleteRow, HostCommand, Step, UpdateRow, irreversible

#: columns that record when and how often a row was changed: the service's next change overwrites them too
_BOOKKEEPING = frozenset({"updated_at", "deleted_at", "revision_number", "generation"})


def removed(steps: Iterable[Step]) -> set[str]:
    """What only the journal keeps: ``table`` of rows deleted or marked so, ``table.column`` of overwritten values.

    Also ``service:operation`` for a call, and ``host:command`` for a command, without an inverse.
    """
    found: set[str] = set()
    for step in steps:
        if isinstance(step, DeleteRow):
            found.add(step.table)
        elif isinstance(step, UpdateRow):
            found |= _overwritten(step)
        elif isinstance(step, ApiCall) and irreversible(step):
            found.add(f"{step.service}:{step.name}")
        elif isinstance(step, HostCommand) and irreversible(step):
            found.add(f"host:{step.argv[0]}")
    return found


def undeclared(repair: Repair, steps: Iterable[Step]) -> set[str]:
    """What the steps remove and ``repair.removes`` does not list."""
    return removed(steps) - set(repair.removes)


def _overwritten(step: UpdateRow) -> set[str]:
    """Values replaced that were not empty; a mark of deletion removes the whole row from view."""
    if step.before.get("deleted") == 0 and step.after.get("deleted"):
        return {step.table}
    return {
        f"{step.table}.{column}"
        for column, value in step.after.items()
        if column not in _BOOKKEEPING and step.before[column] not in (None, "", value)
    }
