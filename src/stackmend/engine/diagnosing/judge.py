# SPDX-License-Identifier: Apache-2.0
"""Which causes fit a story, roots before their consequences; and what can still be said if none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stackmend.cloud.diagnosing.log_lines import BUILD
from stackmend.engine.diagnosing import catalogue
from stackmend.engine.diagnosing.places import places
from stackmend.model.diagnosing.cause import Blamed, Cause, Confidence, Diagnosis
from stackmend.model.diagnosing.timeline import LOG, Entry, Story

_ORDER = {Confidence.CERTAIN: 0, Confidence.LIKELY: 1, Confidence.POSSIBLE: 2}


def judged(
    story: Story, *, unread: Mapping[str, str] | None = None, known: Mapping[str, Cause] | None = None
) -> Diagnosis:
    """Diagnose a story with the whole catalogue, or with the given causes."""
    causes = catalogue.causes() if known is None else known
    found = [
        Blamed(cause=name, title=catalogue.title(name), verdict=verdict)
        for name, cause in causes.items()
        for verdict in cause.judge(story)
    ]
    present = {blamed.cause for blamed in found}
    roots = {
        consequence: name
        for name in sorted(present)
        for consequence in causes[name].explains & present
        if name not in causes[consequence].explains
    }
    blamed = [replace(one, consequence_of=roots.get(one.cause, "")) for one in found]
    blamed.sort(key=lambda one: (bool(one.consequence_of), _ORDER[one.verdict.confidence], _first(one)))
    last, missing = steps(story)
    return Diagnosis(
        story=story,
        blamed=tuple(blamed),
        first_error=next(story.trouble(), None),
        last_step=last,
        missing=missing,
        places=places(story.entries),
        unread=unread or {},
    )


def steps(story: Story) -> tuple[Entry | None, str]:
    """The last step of a build that went well, and the step that should have followed: "" if none is missing."""
    if story.kind != "server":
        return None, ""
    reached: tuple[int, Entry] | None = None
    for number, (_, pattern) in enumerate(BUILD):
        fit = [
            entry for entry in story.entries if entry.level not in ("ERROR", "CRITICAL") and pattern.search(entry.text)
        ]
        if fit:
            reached = number, fit[-1]
    if reached is None:
        return None, ""
    number, entry = reached
    over = number == len(BUILD) - 1 or not any(one.kind == LOG for one in story.entries)
    return entry, "" if over else BUILD[number + 1][0]


def _first(one: Blamed) -> float:
    moments = [entry.at for entry in one.verdict.evidence if entry.at is not None]
    return min(moments, default=float("inf"))
