# SPDX-License-Identifier: Apache-2.0
"""Ports of a server, and their fate."""

from __future__ import annotations

from collections.abc import Iterable

from stackmend.model.port import ServerPort
from stackmend.report.document import Document

COLUMNS = (
    ("Port", "port"),
    ("Addresses", "addresses"),
    ("Network", "network"),
    ("In Cache", "in_cache"),
    ("In Neutron", "in_neutron"),
    ("Preserve On Delete", "preserve_on_delete"),
    ("With The Server", "fate"),
)


def ports(found: Iterable[ServerPort]) -> Document:
    """The ports (docs/schemas/ports.json)."""
    return Document(data=[port.as_dict() for port in found], columns=COLUMNS)
