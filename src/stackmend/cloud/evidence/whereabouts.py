# SPDX-License-Identifier: Apache-2.0
"""Where a server is: all available witnesses, weighed in one place (docs/adr/0024).

A *place* is a compute node of the server's cell: what ``host``, ``node`` and ``compute_id`` of a server identify
together. Each witness names a set of places, any of which agrees with it, with a weight; see :func:`judge` for the
rules. :func:`stackmend.cloud.evidence.witnesses.read` reads the witnesses; nothing here reads or changes a service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

#: the verdict's place must lead any other by this much, and have at least this total
MARGIN, LEAST = 2, 3


class Confidence(StrEnum):
    """How certain a verdict is."""

    CERTAIN = "certain"  #: no evidence against it
    LIKELY = "likely"  #: the evidence against it is outweighed
    TIE = "tie"  #: undecided: a human must look
    MOVING = "moving"  #: an operation on the server is in progress: no verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A compute node."""

    id: int
    uuid: str
    host: str
    node: str  #: hypervisor_hostname
    ironic: bool = False
    deleted: bool = False  #: its record is marked deleted
    alive: bool = True  #: nova-compute of its host exists, sends heartbeats and is not forced down
    silence: str = ""  #: why it is not alive, part of a sentence
    occupant: str = ""  #: baremetal: another live server on this machine

    def __str__(self) -> str:
        return self.host if self.node == self.host else f"{self.host} (node {self.node})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """The statement of one record."""

    name: str  #: "host", "node", "compute_id", "bindings", "allocation", "attachments", "migration", "history", "guest"
    says: str  #: a sentence without its full stop
    places: frozenset[int] = frozenset()  #: ids of places that agree with it; empty: it names none
    weight: int = 0
    since: bool = False  #: it is later than the latest migration
    explained: str = ""  #: why it does not count although it disagrees


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The latest migration that has ended, or is abandoned."""

    source: frozenset[int]
    target: frozenset[int]
    live: bool  #: a live migration: Neutron's binding follows the guest, Nova's row is updated last
    ended_well: bool  #: completed, confirmed or done; False: error, failed, cancelled, reverted, or never ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything known about where one server is."""

    server: str
    host: str | None  #: according to its row
    node: str | None
    witnesses: tuple[Witness, ...]
    places: Mapping[int, Node]
    move: Move | None = None
    busy: str = ""  #: the operation in progress, part of a sentence
    stuck: str = ""  #: why its task state is stale, part of a sentence

    def __getitem__(self, name: str) -> Witness:
        """The witness of that name; an empty one if there is none."""
        return next((w for w in self.witnesses if w.name == name), Witness(name=name, says=""))

    @property
    def recorded(self) -> frozenset[int]:
        """The places on which host and node of the server's row agree."""
        return self["host"].places & self["node"].places


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceVerdict:
    """Where a server is, and how certain that is."""

    confidence: Confidence
    place: Node | None = None  #: None for TIE and MOVING
    witnesses: tuple[Witness, ...] = ()
    reason: str = ""  #: why there is no verdict (TIE and MOVING), else ""
    scores: Mapping[str, int] = field(default_factory=dict)  #: host or node -> total weight in its favour

    @property
    def sure(self) -> bool:
        """Whether there is a place."""
        return self.place is not None

    @property
    def surely(self) -> str:
        """The certainty of the place, as an adverb."""
        return "certainly" if self.confidence is Confidence.CERTAIN else "likely"

    @property
    def against(self) -> tuple[Witness, ...]:
        """The witnesses that name another place, including explained ones."""
        return against(self.witnesses, self.place.id) if self.place else ()

    def sentences(self) -> tuple[str, ...]:
        """The verdict and its witnesses, a sentence each."""
        if self.place is not None:
            head = f"It is {self.surely} on {self.place}."
        else:
            head = f"Its host is unclear: {self.reason}."
        return (head, *(_sentence(witness, self.place) for witness in self.witnesses if witness.says))


def against(witnesses: Iterable[Witness], place: int) -> tuple[Witness, ...]:
    """The witnesses that name only other places."""
    return tuple(w for w in witnesses if w.places and place not in w.places)


def _sentence(witness: Witness, place: Node | None) -> str:
    mark = ""
    if witness.explained and not (place is not None and place.id in witness.places):
        mark = f" (explained: {witness.explained})"
    elif place is not None and witness.places and place.id not in witness.places:
        mark = " (overruled)"
    return f"{witness.says}{mark}."


def judge(seen: Evidence) -> PlaceVerdict:
    """Weigh the witnesses.

    1. While an operation on the server is in progress there is no verdict.
    2. The hypervisor decides: it has the guest.
    3. Witnesses that a move explains do not count (:func:`_explained`): Nova claims capacity before a guest moves, and
       updates its own row afterwards.
    4. A baremetal machine that another server occupies is not a place for this one.
    5. The place with most weight wins if it leads any other by :data:`MARGIN` and has :data:`LEAST`.
    6. If it wins although its host is silent, while the row names a host that is alive, somebody meant to have the
       server there: rows cannot decide whether that is right.
    """
    witnesses = tuple(_explained(seen))
    if seen.busy:
        return PlaceVerdict(confidence=Confidence.MOVING, witnesses=witnesses, reason=seen.busy)
    guest = seen["guest"]
    if len(guest.places) == 1:
        (found,) = guest.places
        sure = Confidence.LIKELY if against(witnesses, found) else Confidence.CERTAIN
        return PlaceVerdict(confidence=sure, place=seen.places[found], witnesses=witnesses)
    scores = {
        place: sum(w.weight for w in witnesses if place in w.places and not w.explained)
        for place, what in seen.places.items()
        if not what.occupant
    }
    order = sorted(scores, key=lambda place: (-scores[place], place))
    named = {str(seen.places[place]): scores[place] for place in order if scores[place]}
    tie = _tied(seen, order, scores)
    if tie:
        return PlaceVerdict(confidence=Confidence.TIE, witnesses=witnesses, reason=tie, scores=named)
    best = order[0]
    sure = Confidence.LIKELY if against(witnesses, best) else Confidence.CERTAIN
    return PlaceVerdict(confidence=sure, place=seen.places[best], witnesses=witnesses, scores=named)


def _tied(seen: Evidence, order: list[int], scores: Mapping[int, int]) -> str:
    """Why no place can be determined, or ""."""
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
    """The witnesses, with those marked that the latest move explains.

    A live migration binds the ports to its target only when the guest runs there, and updates the server's row after
    that. A move claims the target's capacity first, and a failed one may leave the allocation.
    """
    bound = seen["bindings"].places
    for witness in seen.witnesses:
        why = ""
        if seen.move is not None and bound and witness.places and not witness.places & bound:
            why = _story(seen, seen.move, witness)
        yield replace(witness, explained=why) if why else witness


_ROW = ("host", "node", "compute_id")


def _story(seen: Evidence, move: Move, witness: Witness) -> str:
    """Why a witness names another place than the ports do, or ""."""
    bound, history = seen["bindings"].places, seen["history"]
    if move.live and bound <= move.target and witness.places <= move.source:
        # not if nova-compute of the source acted on the guest afterwards, or the row was already updated; a
        # half-updated row was written by somebody else, as Nova writes the three together
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
