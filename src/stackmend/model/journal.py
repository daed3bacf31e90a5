# SPDX-License-Identifier: Apache-2.0
"""What the journal keeps: runs, their steps, what became of each, and the memory of findings and waivers.

The journal is append-only: a step's state is that of its last entry. An intent is on disk before the transaction that
it announces commits, an outcome follows the commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from stackmend.model.errors import Exit
from stackmend.model.plan import Limits
from stackmend.model.step import StepState


class RunState(StrEnum):
    """Where a run is."""

    RUNNING = "running"
    CUT_OFF = "cut off"  #: it has not ended, and nobody holds its lease: its process is gone; never written down
    DONE = "done"
    STOPPED = "stopped"  #: a lane was stale or failed
    IN_DOUBT = "in doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run as the journal knows it."""

    id: str
    kind: str  #: "apply" or "undo"
    plan: str  #: id of the plan
    sha256: str  #: of the plan
    cloud: str
    version: str
    operator: str
    host: str
    pid: int
    created_at: str  #: ISO 8601, UTC
    ended_at: str = ""
    state: RunState = RunState.RUNNING
    undoes: str = ""  #: run that this one takes back
    limits: Limits = field(default_factory=Limits)


class Entry(NamedTuple):
    """One line of the journal. A tuple, for there are two of them for every row that is changed.

    ``image`` of an intent: what undo needs and the plan does not say: ``{"value": n}`` (a counter before), ``{"row":
    {...}, "sealed": "..."}`` (a row that is deleted). Of an outcome: ``{"pk": {...}}`` of an inserted row, ``{"value":
    n}`` (the counter after), ``{"rows": {...}}``. None where the step itself says it all.
    """

    step: int  #: number in the run, from 0
    state: StepState
    image: Mapping[str, object] | None = None
    note: str = ""
    batch: int = 0  #: intents with the same number were one transaction
    at: str = ""  #: ISO 8601, UTC; the journal fills it in


class Remark(NamedTuple):
    """What happened to a run as a whole: it was told to stop, taken up again, its terminal went away."""

    at: str  #: ISO 8601, UTC
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingHistory:
    """What is known of a finding from earlier audits."""

    fingerprint: str
    check: str
    first_seen: str  #: ISO 8601, UTC
    since: str  #: start of the unbroken row of audits that found it
    last_seen: str
    gone: str = ""  #: when an audit first missed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A finding, or all findings of a check on a resource, that the operator accepts for a while."""

    id: str
    reason: str
    owner: str
    created_at: str  #: ISO 8601, UTC
    expires: str  #: ISO 8601, UTC; "" never
    fingerprint: str = ""
    check: str = ""
    resource: str = ""  #: "" any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of a run. The numbers count actions; an action counts as the worst of its steps."""

    run: str
    done: int
    stale: int
    failed: int
    in_doubt: int
    exit: Exit
    already: int = 0  #: of those done: nothing was left to do
    left: int = 0  #: never begun, for the run stopped before
    steps: int = 0  #: row changes and calls that were made
    remaining: tuple[str, ...] = ()  #: fingerprints that the checks still find
    waiting: tuple[str, ...] = ()  #: of these others, which only wait for what is in ``manual``: no failure
    left_out: tuple[str, ...] = ()  #: ids of actions that were not begun for want of consent
    undoable: bool = True  #: whether ``run undo`` would take anything back
    notes: tuple[str, ...] = ()  #: reasons of what is not done, one line an action
    manual: tuple[str, ...] = ()  #: what is left for a human
    held: tuple[str, ...] = ()  #: names of gates that wait to be acknowledged

    def as_dict(self) -> dict[str, object]:
        """The shape of ``plan apply -f json`` and ``run undo -f json``."""
        return {
            "run": self.run,
            "done": self.done,
            "stale": self.stale,
            "failed": self.failed,
            "in_doubt": self.in_doubt,
            "exit": int(self.exit),
            "already": self.already,
            "left": self.left,
            "steps": self.steps,
            "remaining": list(self.remaining),
            "waiting": list(self.waiting),
            "left_out": list(self.left_out),
            "notes": list(self.notes),
            "manual": list(self.manual),
            "held": list(self.held),
        }
