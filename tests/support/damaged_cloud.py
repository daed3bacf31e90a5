# SPDX-License-Identifier: Apache-2.0
"""A damaged cloud to write to repeatedly: a plan for it, runs that die, and ways to restore it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackmend.app import audits, plans
from stackmend.app.session import CloudSession
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.journal import RunRecord
from stackmend.model.plan import Action, Limits, Plan
from stackmend.model.step import Risk, Step
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.cinder import volume_stuck_detaching, volume_stuck_error_deleting
from stackmend_lab.plants.neutron import extra_ports_on_server, port_without_server
from stackmend_lab.plants.nova import info_cache_row_missing_or_deleted, server_deleted_incompletely
from stackmend_lab.plants.placement import allocation_orphan

from .other_sessions import ON_POSTGRESQL
from .planning import plan_for

if TYPE_CHECKING:
    from stackmend_lab.postgresql import PostgreSQL

#: damage whose repairs take steps of every kind, on several databases, several of them in one transaction
DAMAGE: tuple[Callable[[Cloud], Any], ...] = (
    allocation_orphan.plant,
    allocation_orphan.unknown,
    extra_ports_on_server.plant,
    info_cache_row_missing_or_deleted.VARIANTS["with_its_nic_rows"],
    port_without_server.VARIANTS["of_the_build"],
    server_deleted_incompletely.children,
    server_deleted_incompletely.mapping,
    server_deleted_incompletely.pci,
    volume_stuck_detaching.VARIANTS["attachment_gone"],
    volume_stuck_error_deleting.plant,
)
#: the value of a secret column of a purged server
SECRET = "hunter2-Geheimnis-der-Platte"

_COUNTING = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), COALESCE(max(id), 1), count(*) > 0) FROM {0}"


class Mortal:
    """Starts runs in processes that die on request; see dying_runs.py."""

    def __init__(self, before: Sequence[str] = ()) -> None:
        program = [*before, sys.executable, str(Path(__file__).with_name("dying_runs.py"))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """Process id of the program that starts them."""
        return self._process.pid

    def __call__(self, do: str, config: Path, what: str | Path, **order: Any) -> dict[str, Any]:
        """Run to the end; returns how the run ended."""
        self.begin(do, config, what, **order)
        return self.ended()

    def begin(self, do: str, config: Path, what: str | Path, **order: Any) -> None:
        """Start a run without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "config": str(config), "what": str(what), **order}) + "\n")
        self._process.stdin.flush()

    def ended(self) -> dict[str, Any]:
        """How the last started run ended."""
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the program that starts them."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass
class Ground:
    """A cloud with its configuration, and the means to restore both."""

    cloud: Cloud
    folder: Path
    die: Mortal
    numbered: set[tuple[str, str]] = field(default_factory=set)  #: tables whose ids the server assigns
    counting: str = "ALTER TABLE {} AUTO_INCREMENT = 1"  #: lets it begin after the last one

    @property
    def toml(self) -> Path:
        """The configuration file."""
        return self.folder / "stackmend.toml"

    @property
    def config(self) -> Config:
        """The configuration."""
        return load(str(self.toml))

    def forget(self) -> None:
        """Remove journal and key, as if nothing had ever been run."""
        shutil.rmtree(self.cloud.state, ignore_errors=True)

    def fresh(self) -> None:
        """Restore the saved rows, an empty journal, and the id counters."""
        self.cloud.restore()
        for database, table in self.numbered:
            self.cloud.execute(database, self.counting.format(table))
        self.forget()

    def run(self, do: str, what: str | Path, **order: Any) -> dict[str, Any]:
        """Run in a separate process."""
        return self.die(do, self.toml, what, **order)

    @contextmanager
    def journal(self) -> Iterator[DatabaseJournal]:
        """The journal, for reading."""
        journal = DatabaseJournal(self.config.journal_url)
        try:
            yield journal
        finally:
            journal.close()

    def last(self) -> RunRecord | None:
        """The newest run in the journal; within one second an undo counts as later than the run it undoes."""
        with self.journal() as journal:
            found = journal.runs()
        return max(found, key=lambda run: (run.created_at, run.kind == "undo"), default=None)

    def found(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The findings of an audit; every check must have an answer."""
        report = audits.audit(self.config, settle=0)
        assert report.incomplete == {}
        return [(finding.check, finding.key) for finding in report.findings]

    def request(self, repair: str, **arguments: Any) -> Plan:
        """The plan for an operator's request."""
        return plans.request(self.config, repair, arguments, allow_db=True)


@contextmanager
def ground(target: MariaDB | PostgreSQL | None, folder: Path, die: Mortal, **options: Any) -> Iterator[Ground]:
    """A small healthy cloud, saved."""
    is_postgresql = not isinstance(target, MariaDB | None)
    if is_postgresql:
        options = {"release": ON_POSTGRESQL, **options}
    cloud = build(target or folder / "cloud", **{"servers": 100, "seed": 21, **options})
    (folder / "stackmend.toml").write_text(cloud.toml(same_account=True), encoding="utf-8")
    cloud.save()
    yield Ground(cloud, folder, die, **({"counting": _COUNTING} if is_postgresql else {}))
    cloud.close()


def damaged(here: Ground) -> Plan:
    """Plant all damage, save that, and plan all repairs, including the purge of a server with secrets."""
    for plant in DAMAGE:
        plant(here.cloud)
    server = secretive(here.cloud)
    here.cloud.save()
    plan = plan_for(here.config, allow_db=True, max_rows=10_000, settle=0)
    assert len(plan.runnable) == len(DAMAGE)
    whole = merged(plan, here.request("purge-server", server=server))
    if not here.cloud.databases["neutron"].startswith("sqlite"):
        steps = [step for action in whole.runnable for step in action.steps]
        here.numbered |= {(s.database, s.table) for s in steps if s.kind == "insert" and s.database.startswith("cell:")}
    return whole


def secretive(cloud: Cloud) -> str:
    """A deleted server whose rows contain secrets; returns its UUID."""
    server = cloud.pick("deleted")
    where = {"instance_uuid": server.uuid}
    cloud.update(server.database, "instances", {"uuid": server.uuid}, user_data=SECRET, key_data=f"ssh-rsa {SECRET}")
    cloud.update(server.database, "instance_system_metadata", where, value=SECRET)
    cloud.update(server.database, "block_device_mapping", where, connection_info=f'{{"password": "{SECRET}"}}')
    return server.uuid


def merged(*some: Plan) -> Plan:
    """Merge several plans into one."""
    actions = [action for plan in some for action in plan.actions]
    return replace(some[0], actions=tuple(replace(a, id=f"a{n}") for n, a in enumerate(actions, 1)))


def made(here: Ground, *actions: Sequence[Step], stages: Sequence[int] = (), limits: Limits | None = None) -> Plan:
    """Make a plan with one action for each list of steps."""
    numbered = tuple(
        Action(
            id=f"a{n}", check="", key={}, fingerprint="", resource_type="row", resource_id=str(n), message="by hand",
            target={}, repair="by-hand", strategy="db", risk=Risk.SAFE, stage=dict(enumerate(stages)).get(n - 1, 0),
            steps=tuple(steps),
        )
        for n, steps in enumerate(actions, 1)
    )  # fmt: skip
    cloud = CloudSession.of(here.config).databases.identity
    return Plan(
        id="of-our-own", created_at=here.cloud.now, cloud=cloud, version="test", actions=numbered,
        limits=limits or Limits(),
    )  # fmt: skip


def unasked(plan: Plan) -> Plan:
    """The same plan as requests of an operator: no checks run before and after, which takes time."""

    def plain(action: Action) -> Action:
        return replace(action, check="", fingerprint="")

    return replace(plan, actions=tuple(plain(action) for action in plan.runnable))
