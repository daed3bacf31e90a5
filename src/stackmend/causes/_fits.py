# SPDX-License-Identifier: Apache-2.0
"""What most causes need: matches of several patterns, their hosts, and evidence that fits on a screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stackmend.model.diagnosing.timeline import Entry, Match, Story

#: the most entries of evidence that are shown
_MOST = 8


def evidence(*groups: Iterable[Match | Entry]) -> tuple[Entry, ...]:
    """Merge the groups in order of time, without duplicates; if there are too many entries, keep some of each group."""
    lists = [[one.entry if isinstance(one, Match) else one for one in group] for group in groups]
    each = max(1, _MOST // max(1, sum(1 for some in lists if some)))
    chosen: dict[int, Entry] = {}
    for some in lists:
        for entry in some[:each]:
            chosen.setdefault(id(entry), entry)
    return tuple(sorted(chosen.values(), key=lambda entry: entry.at if entry.at is not None else float("inf")))


def listed(words: Iterable[str], most: int = 4) -> str:
    """Join words as ``a, b and c``; beyond ``most``, as ``a, b, c, d and 3 more``."""
    every = list(dict.fromkeys(word for word in words if word))
    shown = every[:most]
    if len(every) > most:
        return f"{', '.join(shown)} and {len(every) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1] if shown else "")))


def hosts(matches: Iterable[Match | Entry]) -> str:
    """Name the hosts on which it happened, or say that the logs do not name them."""
    found = [one.entry.host if isinstance(one, Match) else one.host for one in matches]
    return f"on {said}" if (said := listed(found)) else "on a host that the logs do not name"


def about(story: Story) -> str:
    """Name the object of the story, such as ``server web-1``."""
    return f"{story.kind} {story.name or story.id}"


def times(number: int) -> str:
    """``once``, ``3 times``."""
    return "once" if number == 1 else f"{number} times"


def failed(story: Story, match: Match, names: Sequence[str] = ()) -> bool:
    """Whether a message is about the object itself: it names the object, one of its requests or something it uses."""
    entry = match.entry
    mine = {story.id.removeprefix("req-"), *(one.removeprefix("req-") for one in story.ids), *names}
    return bool(entry.ids & mine) or entry.request in story.ids
