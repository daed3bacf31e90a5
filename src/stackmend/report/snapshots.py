# SPDX-License-Identifier: Apache-2.0
"""Snapshots and their contents."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stackmend.model.finding import Finding
from stackmend.model.snapshot import Manifest
from stackmend.report.document import Document
from stackmend.report.releases import releases
from stackmend.report.replicas import replicas
from stackmend.report.words import count
from stackmend.tables.releases import spoken

LIST = (("Path", "path"), ("Made", "created_at"), ("Sources", "sources"), ("Rows", "rows"), ("Complete", "complete"))
DIFF = (
    ("Change", "change"),
    ("Severity", "severity"),
    ("Check", "check"),
    ("Resource", "resource"),
    ("Message", "message"),
    ("Fingerprint", "fingerprint"),
)


def record(path: Path | str, manifest: Manifest) -> dict[str, object]:
    """One line of the list."""
    return {
        "path": str(path),
        "created_at": manifest.created_at,
        "now": manifest.now,
        "skew": manifest.skew,
        "sources": len(manifest.sources),
        "rows": sum(sum(source.rows.values()) for source in manifest.sources),
        "complete": manifest.cells_known and not manifest.failed(),
    }


def snapshots(found: Iterable[tuple[Path | str, Manifest]]) -> Document:
    """The list of snapshots (docs/schemas/snapshots.json)."""
    return Document(data=[record(path, manifest) for path, manifest in found], columns=LIST)


def snapshot(path: Path | str, manifest: Manifest) -> Document:
    """One snapshot with its sources (docs/schemas/snapshot.json)."""
    sources = [
        {
            "database": source.database,
            "release": spoken(source.releases),
            "releases": list(source.releases),
            "revision": source.revision,
            "start": source.start,
            "end": source.end,
            "rows": dict(source.rows),
            "error": source.error,
            "doubt": source.doubt,
            "missing": {label: list(columns) for label, columns in source.missing.items()},
            "unseen": {label: list(columns) for label, columns in source.unseen.items()},
            "waited": dict(source.waited),
            "views": dict(source.views),
            "replica": source.replica,
            "lag": source.lag,
            "as_of": source.as_of,
            "api": source.api,
        }
        for source in manifest.sources
    ]
    data = record(path, manifest) | {"format": manifest.format, "cells_known": manifest.cells_known, "sources": sources}
    return Document(data=data, columns=LIST, text="\n".join(_lines(path, manifest)))


def _lines(path: Path | str, manifest: Manifest) -> Iterable[str]:
    yield f"{path}"
    yield f"made {manifest.created_at}; views opened within {manifest.skew:.1f} s"
    for source in manifest.sources:
        rows = count(sum(source.rows.values()), "row")
        release = f" ({spoken(source.releases) or f'revision {source.revision}'})" if source.revision else ""
        yield f"  {source.database}{release}: {rows}" + (f"; NOT READ: {source.error}" if source.error else "")
        if source.waited:
            waits = ", ".join(f"{why} {seconds:.0f} s" for why, seconds in source.waited.items())
            yield f"    gave way to others on its server: {waits}"
        if source.views:
            renewed = count(len(source.views), "table")
            yield f"    not one view: renewed for {renewed}, last at {max(source.views.values())}"
        lacking = sorted(label for label, columns in source.missing.items() if columns)
        if lacking:
            yield f"    missing in this release, in whole or in part: {', '.join(lacking)}"
    yield from (f"  {line}" for line in replicas(manifest))
    known, unknown = releases(manifest)
    yield from (f"  {line}" for line in (*known, *unknown))
    if not manifest.cells_known:
        yield "  not all cells are known: no server can be reported as missing"


def difference(new: Iterable[Finding], gone: Iterable[Finding]) -> Document:
    """New and gone findings between two snapshots (docs/schemas/difference.json)."""
    data = [{"change": change, **f.as_dict()} for change, found in (("new", new), ("gone", gone)) for f in found]
    return Document(data=data, columns=DIFF)
