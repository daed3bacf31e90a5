# SPDX-License-Identifier: Apache-2.0
"""How old the data were that were read from replicas."""

from __future__ import annotations

from collections.abc import Iterable

from stackmend.model.snapshot import Manifest, Source
from stackmend.report.words import listed


def replicas(manifest: Manifest) -> list[str]:
    """A line for each replica that was read."""
    groups: dict[tuple[str, float, str], list[Source]] = {}
    for source in manifest.sources:
        if source.replica and source.lag is not None and not source.error:
            server = source.replica.rpartition("/")[0]
            groups.setdefault((server, source.lag, source.as_of), []).append(source)
    return [
        f"as of {as_of} UTC, {lag:.0f} s behind: read from the replica {server}: {_names(group)}"
        for (server, lag, as_of), group in sorted(groups.items())
    ]


def _names(group: Iterable[Source]) -> str:
    return listed(sorted(source.database for source in group))
