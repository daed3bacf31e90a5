# SPDX-License-Identifier: Apache-2.0
"""Where a server is: what each record says, and the hypervisors where they can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from stackmend.app import hosts
from stackmend.app.session import Session
from stackmend.cloud.whereabouts import Evidence, Verdict, judge
from stackmend.cloud.witnesses import Guests, read
from stackmend.config.settings import Config
from stackmend.model.errors import UsageError
from stackmend.model.snapshot import cell_database


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What was found about one server."""

    seen: Evidence
    verdict: Verdict

    @property
    def right(self) -> bool:
        """Whether the server is where its row says."""
        return self.verdict.place is not None and self.verdict.place.id in self.seen.recorded

    def as_dict(self) -> dict[str, object]:
        """JSON values (docs/schemas/where.json)."""
        place = self.verdict.place
        return {
            "server": self.seen.server,
            "host": self.seen.host,
            "node": self.seen.node,
            "confidence": self.verdict.confidence.value,
            "reason": self.verdict.reason,
            "found": {"host": place.host, "node": place.node, "compute_id": place.id} if place else None,
            "witnesses": [
                {
                    "name": witness.name,
                    "says": witness.says,
                    "weight": witness.weight,
                    "agrees": None if place is None or not witness.places else place.id in witness.places,
                    "explained": witness.explained,
                }
                for witness in self.verdict.witnesses
                if witness.says
            ],
        }


def where(config: Config, server: str) -> Whereabouts:
    """Ask everything about one server. UsageError where no cell has it; SourceError where a record cannot be read."""
    with Session.of(config).believed().live() as live:
        for cell in live.cells():
            row = live.row(cell_database(cell), "instances", {"uuid": server, "deleted": 0})
            if row is not None and not row.get("hidden"):
                seen = read(live, cell_database(cell), row, _guests(config))
                return Whereabouts(seen, judge(seen))
    raise UsageError(
        f"no cell has a live server {server}", "It wants the server's uuid: 'openstack server list --all'."
    )


def _guests(config: Config) -> Guests | None:
    """The question to libvirt; None where none is configured."""
    if not config.libvirt:
        return None

    def asked(server: str, host: str) -> str:
        return next((domain.state for domain in hosts.domains(config, host) if domain.uuid == server), "")

    return asked
