# SPDX-License-Identifier: Apache-2.0
"""What a repair is: a pure generator from a finding and a read-only port to steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.step import Risk, Step

#: ``target`` is the finding's evidence row, or the arguments of an operator's request.
Steps = Callable[[Row, Live], Iterator[Step]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One way to mend, under a name that consent is given by. The docstring of its module is its page.

    A strategy yields nothing where nothing is to be done, and raises :class:`CannotRepair` where the rows do not
    allow it: the plan then lists the finding with that reason.

    Several repairs may be offered for a finding. Then the operator says which (``plan create --repair``), unless all
    but one yield nothing. One that is ``by_name`` stands back until he names it (docs/adr/0045).
    """

    name: str
    risk: Risk
    strategies: Mapping[str, Steps]  #: "api", "db", ... in order of preference
    checks: tuple[str, ...] = ()  #: checks whose findings it mends; empty for an operator's request
    #: values of the finding's ``code`` that it is for; empty: all. Several repairs may share a check by code.
    codes: frozenset[str] = frozenset()
    #: it mends in another way than what is done by default, and only where the operator names it (--repair)
    by_name: bool = False
    resource: str = "server"  #: type of the main object
    #: why the services' APIs cannot do it at all: a sentence, for repairs without the strategy "api"
    no_api: str = ""
    #: what speaks for doing it to this target and against it, a sentence each; the plan shows them
    evidence: Callable[[Row, Live], tuple[str, ...]] = lambda _target, _live: ()
    why: str = ""  #: for unsafe and manual: what may be lost, in one sentence
    #: for safe ones, what they may delete or overwrite -> where else that is recorded, or why it is worth nothing:
    #: ``table`` is a row that is deleted, ``table.column`` a value, ``service:operation`` a call that cannot be undone
    removes: Mapping[str, str] = field(default_factory=dict)


class CannotRepair(Exception):  # noqa: N818 - an answer, not an error
    """The rows do not allow this repair; the text says why and what to do instead."""


class AlreadySo(CannotRepair):
    """It is as the request would make it; the text says so. To yield nothing says the same without a text."""
