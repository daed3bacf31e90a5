# SPDX-License-Identifier: Apache-2.0
"""A volume together with the server that it belongs to, according to each source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedVolume:
    """One volume of one server. None where a source does not know, or was not queried."""

    server: str
    name: str  #: of the server
    server_host: str | None
    vm_state: str | None
    volume: str
    device: str | None  #: Nova's name of it, else Cinder's
    status: str | None  #: of the volume; None if Cinder does not have it
    attached_host: str | None  #: the host to which Cinder exports it
    attachment: str | None  #: Cinder's attachment of this pair
    delete_on_termination: bool | None
    in_nova: bool
    in_cinder: bool
    in_rows: bool | None  #: whether Nova's database has a live mapping of it; None if that was not read
    differences: tuple[str, ...] = ()  #: disagreements between sources, a sentence each

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/volumes.json)."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"differences": list(self.differences)}
