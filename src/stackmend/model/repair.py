# SPDX-License-Identifier: Apache-2.0
"""A repair: a pure generator of steps from a finding and a read-only port."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.sight import Sighted
from stackmend.model.step import Risk, Step

#: ``target`` is the finding's evidence row, or the arguments of an operator's request.
Steps = Callable[[Row, Live], Iterator[Step]]
#: (target, live, what hypervisors show, the steps of a strategy) -> why they must not be done, a sentence, or ""
Unless = Callable[[Row, Live, Sighted, Sequence[Step]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One way to repair, with the name under which consent is given. The docstring of its module is its page.

    A strategy yields nothing if nothing needs to be done, and raises :class:`CannotRepair` if the rows do not allow the
    repair: the plan then lists the finding with that reason.

    Several repairs may be offered for a finding. Then the operator chooses one (``plan create --repair``), unless all
    but one yield nothing. A repair that is ``by_name`` is used only if the operator names it (docs/adr/0045).
    """

    name: str
    risk: Risk
    strategies: Mapping[str, Steps]  #: "api", "db", ... in order of preference
    checks: tuple[str, ...] = ()  #: checks whose findings it repairs; empty for an operator's request
    #: values of the finding's ``code`` that it applies to; empty: all. Several repairs may share a check by code.
    codes: frozenset[str] = frozenset()
    #: an alternative to the default repair, used only if the operator names it (--repair)
    by_name: bool = False
    resource: str = "server"  #: type of the main object
    #: why the services' APIs cannot do it at all: a sentence, for repairs without the strategy "api"
    no_api: str = ""
    #: evidence for and against repairing this target, a sentence each; shown in the plan
    evidence: Callable[[Row, Live], tuple[str, ...]] = lambda _target, _live: ()
    #: what hypervisors show that forbids it: asked when a plan is made with them, and again when it is applied. That a
    #: guest was not seen must never be what allows a repair
    unless: Unless = lambda _target, _live, _seen, _steps: ""
    why: str = ""  #: for unsafe and manual: what may be lost, in one sentence
    #: for safe repairs, what they may delete or overwrite -> where else it is recorded, or why it is worthless:
    #: ``table`` is a deleted row, ``table.column`` a value, ``service:operation`` a call that cannot be undone
    removes: Mapping[str, str] = field(default_factory=dict)


class CannotRepair(Exception):  # noqa: N818 - an answer, not an error
    """The rows do not allow this repair; the text says why and what to do instead."""


class AlreadySo(CannotRepair):
    """The object already is as requested; the text says so. Yielding nothing means the same without a text."""
