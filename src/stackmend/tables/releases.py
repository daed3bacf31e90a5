# SPDX-License-Identifier: Apache-2.0
"""The releases whose schemas are known, and how a database tells which one it has.

``revisions.json`` holds, by release and service, the revisions in ``alembic_version`` after all migrations of a
release, or the numbers in ``migrate_version`` of older ones (``scripts/describe_releases.py`` writes it). A release
that brought no migration has the revisions of the one before it: the rows of a database then fit both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib import resources

#: from the oldest to the newest
RELEASES = (
    "train", "ussuri", "victoria", "wallaby", "xena", "yoga", "zed", "2023.1", "2023.2", "2024.1", "2024.2", "2025.1",
    "2025.2", "2026.1", "2026.2",
)  # fmt: skip
NEWEST = RELEASES[-1]
#: names that releases with a date also have
NAMES = {
    "antelope": "2023.1", "bobcat": "2023.2", "caracal": "2024.1", "dalmatian": "2024.2", "epoxy": "2025.1",
    "flamingo": "2025.2", "gazpacho": "2026.1", "hibiscus": "2026.2",
}  # fmt: skip
#: releases from which operators upgrade directly to the next of them, besides the oldest known
SLURP = ("2023.1", "2024.1", "2025.1", "2026.1")


@cache
def revisions() -> dict[str, dict[str, tuple[str, ...]]]:
    """Release -> service -> its revisions, sorted."""
    text = resources.files("stackmend.tables").joinpath("revisions.json").read_text()
    return {r: {s: tuple(found) for s, found in services.items()} for r, services in json.loads(text).items()}


#: where Keystone's first repository ended, years before the oldest release; only upgraded databases keep the number
_ENDED = {"109"}


def fitting(service: str, found: Iterable[str]) -> tuple[str, ...]:
    """The releases after whose migrations a service's database has these revisions, from the oldest; () if none has."""
    there = set(found)
    return tuple(r for r in RELEASES if there and set(revisions()[r].get(service, ())) - _ENDED == there - _ENDED)


def named(text: str) -> str:
    """A release as an operator may type it (``Caracal``), as in RELEASES; anything else in small letters."""
    return NAMES.get(text.lower(), text.lower())


def spoken(releases: tuple[str, ...]) -> str:
    """Successive releases in words: ``Zed to 2024.1``; "" for none."""
    names = [release.capitalize() for release in releases]
    return " to ".join(dict.fromkeys((*names[:1], *names[-1:])))
