# SPDX-License-Identifier: Apache-2.0
"""Breaks that share one kill: which waits for which. This needs no lab."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from .together import Crowd

MEMBERS = range(4)


class Went(Exception):  # noqa: N818
    """One break went wrong."""


def go(crowd: Crowd, seen: list[str], number: int, wrong: Callable[[str], bool]) -> None:
    """Act like a break: pull a lever, kill, start."""
    time.sleep(0.02 * (len(MEMBERS) - number))  # the last one arrives first
    steps = {"pull": crowd.pull, "kill": crowd.kill, "start": crowd.start}
    try:
        for name, step in steps.items():
            if wrong(name):
                raise Went
            step(number, lambda name=name: seen.append(f"{name} {number}"))
            seen.append(f"{number} after {name}")
    except Went:
        crowd.leave(number)


def went(wrong: dict[int, str]) -> list[str]:
    """What happened, in order; ``wrong``: which break went wrong before which step."""
    crowd, seen = Crowd(len(MEMBERS)), list[str]()
    with ThreadPoolExecutor(len(MEMBERS)) as pool:
        done = [pool.submit(go, crowd, seen, n, lambda step, n=n: wrong.get(n) == step) for n in MEMBERS]
    for job in done:
        job.result()
    return seen


def which(seen: list[str], step: str) -> list[int]:
    """The breaks that did a step, in order."""
    return [int(line.split()[1]) for line in seen if line.startswith(step)]


def test_levers_are_pulled_one_after_another_and_all_is_killed_once() -> None:
    """Levers go by number, whoever is quick; the kill comes once all are held, the start once all have seen it dead."""
    seen = went({})
    assert which(seen, "pull") == list(MEMBERS)
    assert len(which(seen, "kill")) == len(which(seen, "start")) == 1
    killed, started = (next(n for n, line in enumerate(seen) if line.startswith(step)) for step in ("kill", "start"))
    assert {seen.index(f"{n} after pull") < killed < seen.index(f"{n} after kill") < started for n in MEMBERS} == {True}


@pytest.mark.parametrize("step", ["pull", "kill", "start"])
@pytest.mark.parametrize("number", MEMBERS)
def test_the_others_go_on_without_one_that_went_wrong(number: int, step: str) -> None:
    """The others continue, whichever break went wrong at whichever step."""
    seen = went({number: step})
    left = [other for other in MEMBERS if other != number]
    assert [other for other in which(seen, "pull") if other != number] == left
    assert sorted(n for n in MEMBERS if f"{n} after start" in seen) == left
    assert len(which(seen, "kill")) == len(which(seen, "start")) == 1
