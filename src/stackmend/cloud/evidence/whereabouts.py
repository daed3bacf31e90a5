# SPDX-License-Identifier: Apache-2.0
"""Where a server is: every witness there is, weighed once (docs/adr/0024).

A *place* is a compute node of the server's cell: what ``host``, ``node`` and ``compute_id`` of a server name together.
Each witness says a set of places, any of which agrees with it, with a weight; see :func:`judge` for the rules. Reading
them is :func:`stackmend.cloud.evidence.witnesses.read`; nothing here touches the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

#: the verdict's place must be ahead of any other by so much, and have so much in all
MARGIN, LEAST = 2, 3


class Confidence(StrEnum):
    """How sure a verdict is."""

    CERTAIN = "certain"  #: nobody speaks against it
    LIKELY = "likely"  #: what speaks against it is outweighed
    TIE = "tie"  #: a human must look
    MOVING = "moving"  #: something is being done with the server: nothing can be said


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A compute node."""

    id: int
    uuid: str
    host: str
    node: str  #: hypervisor_hostname
    ironic: bool = False
    deleted: bool = False  #: its record is marked deleted
    alive: bool = True  #: nova-compute of its host is there, heard of and not forced down
    silence: str = ""  #: why it is not, a part of a sentence
    occupant: str = ""  #: baremetal: another live server that has this machine

    def __str__(self) -> str:
        return self.host if self.node == self.host else f"{self.host} (node {self.node})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What one record says."""

    name: str  #: "host", "node", "compute_id", "bindings", "allocation", "attachments", "migration", "history", "guest"
    says: str  #: a sentence without its full stop
    places: frozenset[int] = frozenset()  #: ids of places that agree with it; empty: it names none
    weight: int = 0
    since: bool = False  #: it is newer than the newest migration
    explained: str = ""  #: why it does not count though it says something else


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The newest migration that is over, or that nobody drives any more."""

    source: frozenset[int]
    target: frozenset[int]
    live: bool  #: a live migration: Neutron's binding follows the guest, Nova's row comes last
    ended_well: bool  #: completed, confirmed or done; False: error, failed, cancelled, reverted, or never ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that is known of where one server is."""

    server: str
    host: str | None  #: as its row has it
    node: str | None
    witnesses: tuple[Witness, ...]
    places: Mapping[int, Node]
    move: Move | None = None
    busy: str = ""  #: what is being done with it, a part of a sentence
    stuck: str = ""  #: its task state has outlived what it was for, a part of a sentence

    def __getitem__(self, name: str) -> Witness:
        """The witness of that name; one that says nothing where there is none."""
        return next((w for w in self.witnesses if w.name == name), Witness(name=name, says=""))

    @property
    def recorded(self) -> frozenset[int]:
        """The places on which host and node of the server's row agree."""
        return self["host"].places & self["node"].places


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where a server is, and how sure that is."""

    confidence: Confidence
    place: Node | None = None  #: None for TIE and MOVING
    witnesses: tuple[Witness, ...] = ()
    reason: str = ""  #: TIE and MOVING: why nothing can be said; else ""
    scores: Mapping[str, int] = field(default_factory=dict)  #: host or node -> what speaks for it

    @property
    def sure(self) -> bool:
        """Whether there is a place."""
        return self.place is not None

    @property
    def surely(self) -> str:
        """How sure the place is, as an adverb."""
        return "certainly" if self.confidence is Confidence.CERTAIN else "likely"

    @property
    def against(self) -> tuple[Witness, ...]:
        """The witnesses that say another place, those that are explained among them."""
        return against(self.witnesses, self.place.id) if self.place else ()

    def sentences(self) -> tuple[str, ...]:
        """The verdict and its witnesses, a sentence each."""
        if self.place is not None:
            head = f"It is {self.surely} on {self.place}."
        else:
            head = f"Its host is unclear: {self.reason}."
        return (head, *(_sentence(witness, self.place) for witness in self.witnesses if witness.says))


def against(witnesses: Iterable[Witness], place: int) -> tuple[Witness, ...]:
    """The witnesses that name other places than this."""
    return tuple(w for w in witnesses if w.places and place not in w.places)


def _sentence(witness: Witness, place: Node | None) -> str:
    mark = ""
    if witness.explained and not (place is not None and place.id in witness.places):
        mark = f" (explained: {witness.explained})"
    elif place is not None and witness.places and place.id not in witness.places:
        mark = " (overruled)"
    return f"{witness.says}{mark}."


def judge(seen: Evidence) -> Verdict:
    """Weigh the witnesses.

    1. While something is being done with the server nothing is said.
    2. The hypervisor's word decides: it has the guest.
    3. Witnesses that a move explains do not count (:func:`_explained`): Nova claims capacity before a guest goes, and
       writes its own row after it has gone.
    4. A baremetal machine that another server has is no place for this one.
    5. The place with most weight wins if it is ahead of any other by :data:`MARGIN` and has :data:`LEAST`.
    6. Where it wins and nobody hears of its host, while the row names a host that lives, somebody meant to have the
       server there: whether it may be is not for rows to say.
    """
    witnesses = tuple(_explained(seen))
    if seen.busy:
        return Verdict(confidence=Confidence.MOVING, witnesses=witnesses, reason=seen.busy)
    guest = seen["guest"]
    if len(guest.places) == 1:
        (found,) = guest.places
        sure = Confidence.LIKELY if against(witnesses, found) else Confidence.CERTAIN
        return Verdict(confidence=sure, place=seen.places[found], witnesses=witnesses)
    scores = {
        place: sum(w.weight for w in witnesses if place in w.places and not w.explained)
        for place, what in seen.places.items()
        if not what.occupant
    }
    order = sorted(scores, key=lambda place: (-scores[place], place))
    named = {str(seen.places[place]): scores[place] for place in order if scores[place]}
    tie = _tied(seen, order, scores)
    if tie:
        return Verdict(confidence=Confidence.TIE, witnesses=witnesses, reason=tie, scores=named)
    best = order[0]
    sure = Confidence.LIKELY if against(witnesses, best) else Confidence.CERTAIN
    return Verdict(confidence=sure, place=seen.places[best], witnesses=witnesses, scores=named)


def _tied(seen: Evidence, order: list[int], scores: Mapping[int, int]) -> str:
    """Why no place can be named, or ""."""
    taken = [p for p in seen.places.values() if p.occupant]
    if not order or scores[order[0]] < LEAST:
        if taken:
            return f"{taken[0].node} is the machine of server {taken[0].occupant}, and none of its own records is left"
        return "too few of its records name a place that exists"
    best = seen.places[order[0]]
    for other in order[1:]:
        if scores[order[0]] - scores[other] < MARGIN:
            return f"its records are divided between {best} and {seen.places[other]}"
    column = seen["host"].places
    named = [seen.places[place] for place in sorted(column) if seen.places[place].alive]
    if order[0] not in column and named and not best.alive:
        return (
            f"its row names {seen.host}, which is alive, all other records {best}, whose nova-compute {best.silence}:"
            " no record shows whether the host was set on purpose and whether its disks are there"
        )
    return ""


def _explained(seen: Evidence) -> Iterable[Witness]:
    """The witnesses, with those that the newest move explains marked so.

    A live migration binds the ports on its target when the guest runs there, and no sooner; only then it writes the
    server's row. A move claims the target's capacity before anything else, and one that came to nothing may leave it.
    """
    bound = seen["bindings"].places
    for witness in seen.witnesses:
        why = ""
        if seen.move is not None and bound and witness.places and not witness.places & bound:
            why = _story(seen, seen.move, witness)
        yield replace(witness, explained=why) if why else witness


_ROW = ("host", "node", "compute_id")


def _story(seen: Evidence, move: Move, witness: Witness) -> str:
    """Why a witness says another place than the ports do, or ""."""
    bound, history = seen["bindings"].places, seen["history"]
    if move.live and bound <= move.target and witness.places <= move.source:
        # not if nova-compute of the source did something with the guest afterwards, or the row was written already; a
        # row that is half there was written by somebody else: Nova writes the three together
        row = [seen[name].places for name in _ROW if seen[name].places]
        written = bool(row) and all(places <= move.target for places in row)
        if written or (history.since and history.places & move.source):
            return ""
        if witness.name in (*_ROW, "attachments"):
            return "a live migration writes it last, when guest and ports are on the target"
        return "the guest has left since" if witness.name == "history" else ""
    came_to_nothing = not move.ended_well and bound <= move.source and witness.places <= move.target
    if came_to_nothing and witness.name in ("allocation", "attachments"):
        return "a move claims it before the guest goes, and this one came to nothing"
    return ""
