# SPDX-License-Identifier: Apache-2.0
"""The last lines of a guest's console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from stackmend.report.document import Document

COLUMNS = (
    ("Server", "server"), ("Host", "host"), ("State", "vm_state"), ("Outcome", "outcome"), ("Shows", "words"),
    ("Seconds", "seconds"), ("Reason", "reason"),
)  # fmt: skip


class _Console(Protocol):
    @property
    def lines(self) -> Sequence[str]: ...
    def as_dict(self) -> dict[str, Any]: ...


def console(found: _Console) -> Document:
    """The lines unchanged for people, the whole record for machines (docs/schemas/console.json)."""
    return Document(data=found.as_dict(), columns=COLUMNS, text="\n".join(found.lines) or "\n")
