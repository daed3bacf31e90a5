# SPDX-License-Identifier: Apache-2.0
"""Which releases the databases of a cloud are of, in words."""

from __future__ import annotations

from stackmend.model.snapshot import CELL, Manifest
from stackmend.report.words import listed
from stackmend.tables.releases import RELEASES, spoken


def releases(manifest: Manifest) -> tuple[list[str], list[str]]:
    """(what is known, what is not known and what that means), a sentence each; nothing of sources that do not say."""
    told = [source for source in manifest.sources if source.revision]
    known = {source.database: source.releases for source in told if source.releases}
    unknown = [
        f"the schema of database {source.database} (revision {source.revision}) is of no release that is known here"
        f" ({spoken(RELEASES)}), or its migrations were not finished: it is read as far as it has the same columns,"
        " and what else is different is not known"
        for source in told
        if not source.releases
    ]
    if not known:
        return [], unknown
    common = tuple(name for name in RELEASES if all(name in some for some in known.values()))
    if common:
        return [f"the databases have the schemas of {spoken(common)}"], unknown
    of = dict.fromkeys(f"{_service(database)} {spoken(some)}" for database, some in known.items())
    return [
        f"the databases have the schemas of different releases: {listed(list(of))}. An upgrade is in progress, or has"
        " left out what is older"
    ], unknown


def _service(database: str) -> str:
    return "nova" if database.startswith(CELL) else database
