# SPDX-License-Identifier: Apache-2.0
"""A port of a server, and what becomes of it when the server is deleted (services 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fate(StrEnum):
    """What Nova does with a port when its server is deleted."""

    KEPT = "kept"
    DELETED = "deleted"  #: and its address is lost
    ABSENT = "absent"  #: Neutron has no such port any more


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPort:
    """One port, as Neutron and the server's network info cache have it."""

    port: str
    addresses: tuple[str, ...]
    network: str | None
    in_cache: bool
    in_neutron: bool
    preserve_on_delete: bool | None  #: None where the cache does not have it

    @property
    def fate(self) -> Fate:
        """Nova deletes every port that Neutron has for the server and the cache does not mark as to be kept."""
        if not self.in_neutron:
            return Fate.ABSENT
        return Fate.KEPT if self.preserve_on_delete else Fate.DELETED

    def as_dict(self) -> dict[str, Any]:
        """JSON values (docs/schemas/ports.json)."""
        return {
            "port": self.port,
            "addresses": list(self.addresses),
            "network": self.network,
            "in_cache": self.in_cache,
            "in_neutron": self.in_neutron,
            "preserve_on_delete": self.preserve_on_delete,
            "fate": self.fate.value,
        }
