# SPDX-License-Identifier: Apache-2.0
"""Volumes of a host's servers, and their inconsistencies."""

from __future__ import annotations

from collections.abc import Iterable

from stackmend.model.objects.volume import ListedVolume
from stackmend.report.document import Document

COLUMNS = (
    ("Server", "name"),
    ("Server ID", "server"),
    ("Volume", "volume"),
    ("Device", "device"),
    ("Status", "status"),
    ("Attached Host", "attached_host"),
    ("Differences", "differences"),
)


def pairs(found: Iterable[ListedVolume]) -> Document:
    """The pairs (docs/schemas/volumes.json)."""
    return Document(data=[pair.as_dict() for pair in found], columns=COLUMNS)
