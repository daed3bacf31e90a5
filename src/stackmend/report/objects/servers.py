# SPDX-License-Identifier: Apache-2.0
"""Where a server is, by every witness."""

from __future__ import annotations

from typing import Protocol

from stackmend.cloud.evidence.whereabouts import PlaceVerdict
from stackmend.report.document import Document

COLUMNS = (("Witness", "name"), ("Says", "says"), ("Agrees", "agrees"), ("Explained", "explained"))


class _Found(Protocol):
    @property
    def verdict(self) -> PlaceVerdict: ...
    def as_dict(self) -> dict[str, object]: ...


def where(found: _Found) -> Document:
    """The verdict and its witnesses (docs/schemas/where.json)."""
    head, *rest = found.verdict.sentences()
    return Document(data=found.as_dict(), columns=COLUMNS, text="\n".join([head, *(f"  {line}" for line in rest)]))
