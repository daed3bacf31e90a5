# SPDX-License-Identifier: Apache-2.0
"""After a run the checks concerned are asked once more for the findings concerned: a repair is done when they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackmend.engine.confirm import Confirmed
from stackmend.engine.lanes import Lane

#: asks checks again: check -> rows they returned before
Ask = Callable[[Mapping[str, Sequence[Mapping[str, Any]]]], Confirmed]


@dataclass(frozen=True, slots=True)
class Verified:
    """What the checks say after a run."""

    still: tuple[Lane, ...]  #: their finding is still there
    unknown: Mapping[str, str]  #: check -> why it could not be asked


def verify(done: Sequence[Lane], ask: Ask) -> Verified:
    """Ask the checks of these lanes about their findings."""
    answer = ask(by_check(done))
    still = [lane for lane in done if lane.action.fingerprint in answer.rows.get(lane.action.check, {})]
    return Verified(tuple(still), answer.unknown)


def by_check(lanes: Iterable[Lane]) -> dict[str, list[Mapping[str, Any]]]:
    """Check -> the rows it returned for these lanes."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for lane in lanes:
        found.setdefault(lane.action.check, []).append(lane.action.target)
    return found
