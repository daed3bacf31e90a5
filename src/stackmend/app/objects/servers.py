# SPDX-License-Identifier: Apache-2.0
"""Where a server is, by its records and the hypervisors if they can be queried; what is left of a deleted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackmend.app import hosts, runs
from stackmend.app.session import CloudSession
from stackmend.cloud.evidence.whereabouts import Evidence, PlaceVerdict, judge
from stackmend.cloud.evidence.witnesses import read
from stackmend.config.settings import Config
from stackmend.model.errors import UsageError
from stackmend.model.journal import JournalEntry
from stackmend.model.operations.recreation import DeleteServer, RecreatedServes, RecreateServer
from stackmend.model.plan import Action
from stackmend.model.protocols import Guests
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ApiCall, StepState


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What was found about one server."""

    seen: Evidence
    verdict: PlaceVerdict

    @property
    def right(self) -> bool:
        """Whether the server is on the host in its row."""
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
    """Read every record of one server. UsageError if no cell has it; SourceError if a record cannot be read."""
    with CloudSession.of(config).believed().live() as live:
        for cell in live.cells():
            row = live.row(cell_database(cell), "instances", {"uuid": server, "deleted": 0})
            if row is not None and not row.get("hidden"):
                seen = read(live, cell_database(cell), row, _guests(config))
                return Whereabouts(seen, judge(seen))
    raise UsageError(f"no cell has a live server {server}", "Specify the server's uuid: 'openstack server list --all'.")


def _guests(config: Config) -> Guests | None:
    """The libvirt query; None if it is not configured."""
    if not config.libvirt:
        return None

    def asked(server: str, host: str) -> str:
        return next((domain.state for domain in hosts.domains(config, host) if domain.uuid == server), "")

    return asked


def recreated_by(config: Config, run: str) -> Mapping[str, object]:
    """What a run of ``server recreate`` kept of a server; UsageError for any other run, or if it created the server."""
    _, actions, entries, _ = runs.show_run(config, run)
    kept = next((one.target for one in actions if one.repair == "recreate-server" and "body" in one.target), None)
    if kept is None:
        raise UsageError(f"run {run} has recreated no server", "See 'stackmend run list'.")
    if _done(actions, entries, RecreatedServes):
        raise UsageError(f"run {run} has made server {kept['name']} again", f"See 'stackmend run show {run}'.")
    return kept


def stopped_between(config: Config) -> tuple[str, bool]:
    """(the newest run that deleted the old server without completing a new one, else ""; whether a new one exists)."""
    newest = next(iter(runs.list_runs(config)), None)
    if newest is None:
        return "", False
    _, actions, entries, _ = runs.show_run(config, newest.id)
    whole = any(_is(step, DeleteServer) for action in actions for step in action.steps)
    if (whole and not _done(actions, entries, DeleteServer)) or _done(actions, entries, RecreatedServes):
        return "", False
    return newest.id, _done(actions, entries, RecreateServer)


def _is(step: object, kind: type) -> bool:
    return isinstance(step, ApiCall) and isinstance(step.operation, kind)


def _done(actions: Sequence[Action], entries: Sequence[JournalEntry], kind: type) -> bool:
    """Whether a step of this kind was done."""
    numbered = enumerate(step for action in actions for step in action.steps)
    wanted = {number for number, step in numbered if _is(step, kind)}
    return any(entry.step in wanted and entry.state is StepState.DONE for entry in entries)
