# SPDX-License-Identifier: Apache-2.0
"""An audit of simulated clouds: their rows on Nova's schemas, their hypervisors read by libvirt's own library.

Every guest is a domain in a file for libvirt's test driver, so what is read of it goes through the library, the XML and
the reader that read real hosts. The steps are those of the command ``audit``; but the library is called in this
process, where a real host gets one of its own: ``test_the_command_finds_the_same`` compares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stackmend.app import snapshots
from stackmend.app.session import CloudSession, no_progress
from stackmend.config.settings import Config, load
from stackmend.drivers.hosts import hypervisors as reading
from stackmend.drivers.hosts import libvirt
from stackmend.engine.auditing import catalogue, sources
from stackmend.engine.auditing.ask import findings_of
from stackmend.engine.auditing.confirm import explain
from stackmend.model.audit import CheckOutcome
from stackmend.model.finding import Finding, State
from stackmend_lab.simulated.rows import written
from stackmend_lab.simulated.things import PAUSED, RUNNING, SHUTDOWN, Host
from stackmend_lab.simulated.world import World

from ..outside.hypervisors import Guest, Hypervisors

CHECKS = {
    name: catalogue.outside_checks()[name]
    for name in ("domain-on-two-hosts", "domain-undead", "server-active-domain-missing", "server-power-state-drift")
}
_STATES = {RUNNING: "running", PAUSED: "paused", SHUTDOWN: "shutoff"}


@dataclass(frozen=True, slots=True)
class Look:
    """What an audit found."""

    findings: tuple[Finding, ...]  #: confirmed by a second look; symptoms of others are left out
    silent: dict[str, str]  #: check -> why it has no full answer
    unread: frozenset[str]  #: hosts that could not be read
    away: frozenset[str]  #: those that were made so
    unconfirmed: dict[str, str]  #: check -> why the second look failed
    late: float  #: seconds from the present of the clouds to that of the audit
    again: float  #: the same, to the end of its second look


def domains(host: Host) -> Iterator[Guest]:
    """What libvirt of a host has."""
    for name, state in host.guests.items():
        yield Guest(uuid=name, state=_STATES[state])
    for name in host.arriving - host.guests.keys():
        yield Guest(uuid=name, state="paused")


@contextmanager
def standing(worlds: Sequence[World], folder: Path, away: Collection[str]) -> Iterator[tuple[Config, datetime]]:
    """(configuration, present) of these clouds; hosts that are ``away`` cannot be read."""
    cloud = written(worlds, folder / "rows")
    hypervisors = Hypervisors(folder / "hypervisors")
    for world in worlds:
        for host in world.hosts.values():
            if host.name not in away:
                hypervisors.put(host.name, *domains(host))
    path = folder / "stackmend.toml"
    ages = "[ages.server-power-state-drift]\nseen = 0\n"
    path.write_text(f"{cloud.toml()}\n{hypervisors.toml}\n{ages}", encoding="utf-8")
    yield load(str(path)), datetime.fromisoformat(cloud.now)
    cloud.close()


def look(worlds: Sequence[World], folder: Path, away: Collection[str]) -> Look:
    """Collect, ask, look again."""
    with standing(worlds, folder, away) as (config, now):
        source = reading.Hypervisors(
            lambda host: libvirt.domains(str(config.libvirt), host), [name for world in worlds for name in world.hosts]
        )
        session = CloudSession.of(config).beside(source)
        labels = {label for check in CHECKS.values() for label in check.reads} | sources.labels(CHECKS.values())
        (folder / "snapshot").mkdir()
        manifest = session.collector().collect(labels, folder / "snapshot", no_progress)
        answer = snapshots.asked(CHECKS, folder / "snapshot", manifest, config)
        failed = answer.manifest.failed()
        with session.without(failed).asking(CHECKS) as asked:
            second = asked(answer.rows)
        found = [
            one
            for name, rows in second.rows.items()
            for one in findings_of(CHECKS[name], list(rows.values()), State.CONFIRMED)
        ]
        silent = {n: r.reason for n, r in answer.results.items() if r.outcome is not CheckOutcome.OK}
        unread = frozenset(name.removeprefix("host:") for name in failed if name.startswith("host:"))
        late = (datetime.fromisoformat(answer.manifest.now) - now).total_seconds()
        again = (datetime.now(UTC).replace(tzinfo=None) - now).total_seconds() + 1
        return Look(tuple(explain(CHECKS, found)[0]), silent, unread, frozenset(away), second.unknown, late, again)
