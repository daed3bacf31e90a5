# SPDX-License-Identifier: Apache-2.0
"""What the journal stores: runs, their steps with states, and the history of findings and waivers.

The journal is append-only: the state of a step is that of its last entry. An intent is on disk before the transaction
it announces commits; an outcome follows the commit.
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
    """The state of a run."""

    RUNNING = "running"
    CUT_OFF = "cut off"  #: unfinished, and nobody holds its lease: its process is gone; derived, never stored
    DONE = "done"
    STOPPED = "stopped"  #: a lane was stale or failed
    IN_DOUBT = "in doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run in the journal."""

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
    undoes: str = ""  #: the run that this run undoes
    limits: Limits = field(default_factory=Limits)


class JournalEntry(NamedTuple):
    """One line of the journal. A tuple, as there are two for every changed row.

    ``image`` of an intent is what undo needs beyond the plan: ``{"value": n}`` (a counter before), ``{"row": {...},
    "sealed": "..."}`` (a row to be deleted). Of an outcome: ``{"pk": {...}}`` of an inserted row, ``{"value": n}`` (the
    counter after), ``{"rows": {...}}``. None if the step itself is sufficient.
    """

    step: int  #: number in the run, from 0
    state: StepState
    image: Mapping[str, object] | None = None
    note: str = ""
    batch: int = 0  #: intents with the same number belong to one transaction
    at: str = ""  #: ISO 8601, UTC; set by the journal


class Remark(NamedTuple):
    """An event of a whole run: asked to stop, resumed, lost its terminal."""

    at: str  #: ISO 8601, UTC
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingHistory:
    """The history of a finding in earlier audits."""

    fingerprint: str
    check: str
    first_seen: str  #: ISO 8601, UTC
    since: str  #: start of the unbroken series of audits that found it
    last_seen: str
    gone: str = ""  #: when an audit first did not find it


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A finding, or all findings of a check on a resource, accepted by the operator for a time."""

    id: str
    reason: str
    owner: str
    created_at: str  #: ISO 8601, UTC
    expires: str  #: ISO 8601, UTC; "" for never
    fingerprint: str = ""
    check: str = ""
    resource: str = ""  #: "" for any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run. The numbers count actions; an action counts as its worst step."""

    run: str
    done: int
    stale: int
    failed: int
    in_doubt: int
    exit: Exit
    already: int = 0  #: those among ``done`` that had nothing left to do
    left: int = 0  #: never begun, as the run stopped before
    steps: int = 0  #: row changes and calls made
    remaining: tuple[str, ...] = ()  #: fingerprints that the checks still return
    waiting: tuple[str, ...] = ()  #: fingerprints that remain only until ``manual`` is done: not a failure
    left_out: tuple[str, ...] = ()  #: ids of actions not begun for lack of consent
    undoable: bool = True  #: whether ``run undo`` would undo anything
    notes: tuple[str, ...] = ()  #: why actions were not done, one line each
    manual: tuple[str, ...] = ()  #: what remains to be done by hand
    held: tuple[str, ...] = ()  #: names of gates that await acknowledgement

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
