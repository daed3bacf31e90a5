# SPDX-License-Identifier: Apache-2.0
"""A volume and a server that belong together, as each source has it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedVolume:
    """One volume of one server. What a source does not know, or was not asked, is None."""

    server: str
    name: str  #: of the server
    server_host: str | None
    vm_state: str | None
    volume: str
    device: str | None  #: as Nova calls it, else Cinder
    status: str | None  #: of the volume; None where Cinder does not know it
    attached_host: str | None  #: what Cinder exports it to
    attachment: str | None  #: Cinder's, of this pair
    delete_on_termination: bool | None
    in_nova: bool
    in_cinder: bool
    in_rows: bool | None  #: whether Nova's database has a live mapping of it; None where that was not read
    differences: tuple[str, ...] = ()  #: what does not agree, a sentence each

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/volumes.json)."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"differences": list(self.differences)}
