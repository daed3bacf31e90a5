# SPDX-License-Identifier: Apache-2.0
"""A cell does not answer: its database or its queue is not reached from the API.

## What happens

nova-api and the scheduler read the database of each cell. If a cell does not answer, its servers are listed with status
UNKNOWN or not at all, deletes and lists fail, and the scheduler leaves the cell out.

## How it shows

"Timed out waiting for response from cell", "Error gathering result from cell", ``CellTimeout``, "Cell ... is not
responding".

## What speaks against it

A single timeout that is followed by answers: that was one slow query.

## What to do

From the API host, try to connect to the cell's database with the URL of the cell mapping.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.causes._fits import about, evidence, times
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Story

_CELL = (
    r"Timed out waiting for response from cell|Error gathering result from cell "
    r"(?P<cell>[0-9a-f-]{36})|CellTimeout|Timeout waiting for response from cell|Cell (?P<down>\S+) "
    r"is not responding|did not respond from cell"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame the cell if it did not answer during an operation on this object."""
    found = [m for m in story.find(_CELL) if m.entry.level != "DEBUG"]
    if not found:
        return
    cell = next((m.found["cell"] or m.found["down"] for m in found if m.found["cell"] or m.found["down"]), "")
    yield Verdict(
        statement=(
            f"cell {cell or '(see the message)'} did not answer {times(len(found))} while {about(story)} was worked on"
        ),
        evidence=evidence(found),
        confidence=Confidence.CERTAIN if len(found) > 1 or cell else Confidence.LIKELY,
        confirm=("nova-manage cell_v2 list_cells --verbose, then reach that database from the API's host",),
        against=("it happened only once: one query may have been slow",) if len(found) == 1 else (),
        remedies=("mend the cell's database or network", "stackmend audit  # says which cell cannot be read"),
    )


CAUSE = Cause(
    name="cell-down",
    judge=judge,
    signs=(r"Timed out waiting for response from cell", r"Error gathering result from cell", r"CellTimeout"),
    words=("response from cell", "result from cell"),
    explains=frozenset({"service-down", "database-lost", "no-valid-host"}),
)
