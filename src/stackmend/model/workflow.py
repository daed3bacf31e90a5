# SPDX-License-Identifier: Apache-2.0
"""A workflow: a pure generator of lanes of steps from an operator's request and read-only ports."""

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
    """One lane of a workflow, executed in order, usually about one server. The planner assigns its id."""

    resource_type: str
    resource_id: str
    message: str
    steps: tuple[Step, ...]
    #: lower stages end before higher ones begin
    stage: int = 0
    #: later stages begin only if it is done
    required: bool = False
    #: occupied while one of its calls is in progress
    slots: tuple[str, ...] = ()
    #: state recorded before, from which a way back is made (JSON values)
    target: Row = field(default_factory=dict)
    #: None: as :meth:`Workflow.judged` decides from the steps; it must not contradict that
    risk: Risk | None = None
    why: str = ""
    #: evidence for and against it, a sentence each
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a workflow may read while it is planned: read-only.

    A source that cannot be read raises SourceError, which ends the planning: a workflow never takes silence for a no.
    """

    api: Api
    live: Live | None  #: None if no database is configured
    hosts: Hosts | None  #: None if no access to the hosts is configured
    now: str  #: ISO 8601, UTC
    #: [hosts], [hooks] and other configuration available to workflows, by dotted name
    settings: Mapping[str, object] = field(default_factory=dict)
    #: server -> findings that make the workflow's operation harmful to it, in words
    findings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: what a workflow records for the whole plan: ``Plan.facts``
    facts: dict[str, object] = field(default_factory=dict)
    #: name -> repair, as a lane may hold the steps of one
    repairs: Mapping[str, Repair] = field(default_factory=dict)


Lanes = Callable[[Row, Sight], Iterator[LaneDraft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One long procedure, with the name under which consent is given. The docstring of its module is its page.

    ``lanes`` raises :class:`stackmend.model.repair.CannotRepair` with the reason if the workflow must not be begun; a
    lane that only a human can do holds one ``Manual`` step. An argument naming something that does not exist is a
    UsageError.
    """

    name: str
    risk: Risk
    lanes: Lanes
    why: str = ""  #: for unsafe and manual: what may be lost, in one sentence
    #: operations that make a lane of a safe workflow unsafe -> what they may lose
    unsafe: Mapping[type[Operation[Any]], str] = field(default_factory=dict)
    #: what it does to servers of its argument ``host``, in the words of ``Check.hinders``
    deed: str = ""
    needs_api: bool = True  #: False: it queries only hosts, and can be planned while no API answers

    def judged(self, steps: Sequence[Step]) -> tuple[Risk, str]:
        """The risk of a lane with these steps, and what may be lost: never taken from a file."""
        if all(isinstance(step, Manual) for step in steps):
            return Risk.MANUAL, ""
        for step in steps:
            if isinstance(step, ApiCall) and type(step.operation) in self.unsafe:
                return Risk.UNSAFE, self.unsafe[type(step.operation)]
        return self.risk, self.why
