# SPDX-License-Identifier: Apache-2.0
"""What a simulated cloud knows of guests that are not where their servers are: noted when it happens, never derived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Why(StrEnum):
    """How a guest came to be on a host that is not its server's."""

    EVACUATED = "evacuated"  #: its server was built again elsewhere
    REBUILT = "rebuilt"  #: built here by an evacuation that did not get to change the server's row
    ARRIVED = "arrived"  #: a live migration brought it here, and did not get to change the row
    RESIZED = "resized"  #: kept by the source of a cold migration until that is confirmed
    DELETED = "deleted"  #: its server was deleted while nobody could destroy it


@dataclass(slots=True)
class Leftovers:
    """Guests by (host, server)."""

    noted: dict[tuple[str, str], Why] = field(default_factory=dict)

    def note(self, host: str, server: str, why: Why) -> None:
        """A guest is left on a host."""
        self.noted[host, server] = why

    def gone(self, host: str, server: str) -> None:
        """It was destroyed, or it is its server's own guest by now."""
        self.noted.pop((host, server), None)

    def of(self, server: str) -> dict[str, Why]:
        """The hosts with one of this server."""
        return {host: why for (host, name), why in self.noted.items() if name == server}

    def __iter__(self) -> Iterator[tuple[str, str, Why]]:
        """(host, server, why)."""
        return iter([(host, server, why) for (host, server), why in self.noted.items()])
