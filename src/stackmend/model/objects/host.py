# SPDX-License-Identifier: Apache-2.0
"""Everything known about one compute host: each service's view of what runs there, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestList:
    """What one source says runs on the host: ids of servers, or why it does not say."""

    source: str  #: "nova", "libvirt", "neutron", "cinder", "placement"
    what: str  #: the objects counted: "server", "domain", "bound port", "attachment", "allocation"
    servers: frozenset[str] = frozenset()
    count: int = 0  #: number of those objects
    why_not: str = ""  #: why the source is unknown: unreadable, or without such information

    @property
    def known(self) -> bool:
        """Whether the source could be read."""
        return not self.why_not


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """The status of one host."""

    host: str
    services: tuple[Mapping[str, object], ...]  #: binary, status, state, reason, updated_at, forced_down
    agents: tuple[Mapping[str, object], ...]  #: type, alive, admin_state_up, heartbeat_at
    providers: tuple[Mapping[str, object], ...]  #: uuid, name, and used and total by resource class
    servers: Mapping[str, int]  #: state in words -> number of servers, according to Nova
    moves: tuple[Mapping[str, object], ...]  #: migrations in progress from or to it
    views: tuple[GuestList, ...]
    blocks: tuple[str, ...]  #: what prevents a drain, a sentence each
    findings: tuple[Mapping[str, object], ...]  #: of its servers: check, severity, resource, message
    unknown: tuple[str, ...] = field(default=())  #: what could not be determined, a sentence each

    @property
    def apart(self) -> Mapping[str, tuple[str, ...]]:
        """Server -> sources that say it runs here, for servers on which the sources disagree."""
        known = [view for view in self.views if view.known and view.what in ("server", "domain", "allocation")]
        every = sorted({server for view in known for server in view.servers})
        said = {server: tuple(v.source for v in known if server in v.servers) for server in every}
        return {server: sources for server, sources in said.items() if len(sources) < len(known)}

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/host-status.json)."""
        return {
            "host": self.host,
            "services": [dict(one) for one in self.services],
            "agents": [dict(one) for one in self.agents],
            "providers": [dict(one) for one in self.providers],
            "servers": dict(self.servers),
            "moves": [dict(one) for one in self.moves],
            "views": [
                {
                    "source": view.source,
                    "what": view.what,
                    "count": view.count if view.known else None,
                    "servers": sorted(view.servers),
                    "why_not": view.why_not,
                }
                for view in self.views
            ],
            "apart": {server: list(sources) for server, sources in self.apart.items()},
            "blocks": list(self.blocks),
            "findings": [dict(one) for one in self.findings],
            "unknown": list(self.unknown),
        }
