# SPDX-License-Identifier: Apache-2.0
"""What a workflow is: a pure generator from an operator's request and read-only ports to lanes of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stackmend.model.finding import Row
from stackmend.model.operations import Operation
from stackmend.model.protocols import Api, Hosts, Live
from stackmend.model.repair import Repair
from stackmend.model.step import ApiCall, Manual, Risk, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneDraft:
    """One lane of a workflow, done in order, most often about one server. The planner gives it an id."""

    resource_type: str
    resource_id: str
    message: str
    steps: tuple[Step, ...]
    #: lower ones are over before higher ones begin
    stage: int = 0
    #: unless it is done, no later stage is begun
    required: bool = False
    #: what it occupies while a call of it is under way
    slots: tuple[str, ...] = ()
    #: what was found before: the record that a way back is made from (JSON values)
    target: Row = field(default_factory=dict)
    #: None: what :meth:`Workflow.judged` says of the steps, which it must not contradict
    risk: Risk | None = None
    why: str = ""
    #: what speaks for it and against it, a sentence each
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a workflow may look at while it is planned. Nothing is changed through it.

    A source that cannot be read raises SourceError, which ends the planning: a workflow never takes silence for no.
    """

    api: Api
    live: Live | None  #: None where no database is configured
    hosts: Hosts | None  #: None where no way to the hosts is configured
    now: str  #: ISO 8601, UTC
    #: [hosts], [hooks] and what else of the configuration workflows may know, by dotted name
    settings: Mapping[str, object] = field(default_factory=dict)
    #: server -> findings by which what the workflow does to it would do harm, in words
    findings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: what a workflow notes for the whole plan: ``Plan.facts``
    facts: dict[str, object] = field(default_factory=dict)
    #: name -> repair: a lane may hold the steps of one
    repairs: Mapping[str, Repair] = field(default_factory=dict)


Lanes = Callable[[Row, Sight], Iterator[LaneDraft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One long procedure, under a name that consent is given by. The docstring of its module is its page.

    ``lanes`` raises :class:`stackmend.model.repair.CannotRepair` where the whole may not be begun, with the reason; a
    lane that only a human can do holds one ``Manual`` step. An argument that it asks for in vain is a UsageError.
    """

    name: str
    risk: Risk
    lanes: Lanes
    why: str = ""  #: for unsafe and manual: what may be lost, in one sentence
    #: operations that make a lane of a safe workflow unsafe -> what may be lost by them
    unsafe: Mapping[type[Operation[Any]], str] = field(default_factory=dict)
    #: what it does to servers of its argument ``host``, by the word that checks name: see ``Check.hinders``
    deed: str = ""
    needs_api: bool = True  #: False: it asks hosts alone, and can be planned while no API answers

    def judged(self, steps: Sequence[Step]) -> tuple[Risk, str]:
        """How much consent a lane of these steps wants, and what may be lost: never a matter of what a file says."""
        if all(isinstance(step, Manual) for step in steps):
            return Risk.MANUAL, ""
        for step in steps:
            if isinstance(step, ApiCall) and type(step.operation) in self.unsafe:
                return Risk.UNSAFE, self.unsafe[type(step.operation)]
        return self.risk, self.why
