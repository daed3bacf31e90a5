# SPDX-License-Identifier: Apache-2.0
"""Waivers: accepted findings, with reason and expiry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from stackmend.model.journal import Waiver
from stackmend.report.document import Document

COLUMNS = (
    ("ID", "id"),
    ("Fingerprint", "fingerprint"),
    ("Check", "check"),
    ("Resource", "resource"),
    ("Reason", "reason"),
    ("Owner", "owner"),
    ("Expires", "expires"),
)


def waiver(found: Waiver) -> Document:
    """One waiver (docs/schemas/waiver.json)."""
    return Document(data=record(found), columns=COLUMNS)


def waivers(found: Iterable[Waiver]) -> Document:
    """The list of waivers (docs/schemas/waivers.json)."""
    return Document(data=[record(one) for one in found], columns=COLUMNS)


def record(found: Waiver) -> dict[str, object]:
    """A waiver as JSON values."""
    return asdict(found)
