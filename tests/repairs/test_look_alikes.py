# SPDX-License-Identifier: Apache-2.0
"""Every healthy thing that looks broken, asked for by name in every way that a request can name it.

A check leaves a look-alike alone. An operator who names it is refused, is told that nothing is to be done, or has to
consent by name; what needs no consent loses nothing. While something is under way nobody touches what it is about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pytest

from stackmend.app import runs
from stackmend.app.session import CloudSession, utcnow
from stackmend.cloud.states import DELETING
from stackmend.config.settings import Config, load
from stackmend.drivers.api.operations import describe, waits
from stackmend.drivers.database.live import LiveDatabases
from stackmend.engine.planning.planner import Planner, PlanOptions
from stackmend.model.errors import ConsentError
from stackmend.model.plan import Limits, Plan
from stackmend.model.step import Risk, Step, UpdateRow, writes
from stackmend.tables.views import TERMINAL
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.plants import Case, healthy
from stackmend_lab.plants._servers import neighbour

CASES = list(healthy())
#: of so many cases one is gone through in a short run, beside those that a request once did not leave alone
SHARE = 4
#: case, repair -> what it is refused for
ONCE = {
    ("info-cache-stale-port:foreign_project", "rebuild-info-cache"): "would leave out a NIC that the guest has",
    ("soft-deleted-server-cache-empty:being_reclaimed", "mark-server-deleted"): "which is deleting, was written at",
    ("volume-in-use-server-gone:being_deleted", "detach-volume"): "was written at",
    ("volume-stuck-detaching:guest_hesitates", "detach-volume"): "compute_detach_volume began",
    ("volume-stuck-detaching:just_begun", "detach-volume"): "which is detaching, was written at",
}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: tables that repairs without consent may write
_HARMLESS = {"instance_info_caches", "virtual_interfaces"}
_FOR_SERVERS = ("rebuild-info-cache", "mark-server-deleted", "purge-server", "revive-server")
_FOR_PORTS = ("keep-port", "release-port", "detach-port")
_FOR_VOLUMES = ("detach-volume", "mark-volume-deleted", "revive-volume")

Row = dict[str, Any]
Dump = dict[tuple[str, str], list[str]]


@dataclass
class Ground:
    """A cloud that is put back between cases."""

    cloud: Cloud
    config: Config
    base: Dump
    consented: set[str] = field(default_factory=set)  #: repairs whose want of consent was tried

    def touched(self) -> set[str]:
        """Every id in rows that are not as they were, and the servers that were picked."""
        now = self.cloud.dump()
        lines = [line for table in now.keys() | self.base.keys() for line in _changed(now, self.base, table)]
        return set(_UUID.findall("\n".join(lines))) | self.cloud.picked

    def rows(self, database: str, table: str, **where: Any) -> list[Row]:
        """All rows that read so."""
        terms = " AND ".join(f"{name} = :{name}" for name in where) or "1 = 1"
        return self.cloud.rows(database, f"SELECT * FROM {table} WHERE {terms}", where)

    def servers(self, ids: set[str]) -> dict[str, tuple[str, Row]]:
        """Uuid -> (cell database, row) of these."""
        cells = [name for name in self.cloud.databases if name.startswith("cell:")]
        return {
            row["uuid"]: (cell, row) for cell in cells for row in self.rows(cell, "instances") if row["uuid"] in ids
        }

    def requests(self, servers: dict[str, tuple[str, Row]], ids: set[str]) -> Iterator[tuple[str, Row, set[str]]]:
        """(repair, arguments, servers that it is about) of everything that can be asked for about these."""
        known = {server.uuid: server for server in self.cloud.servers()}
        for uuid, (_, row) in servers.items():
            yield from ((name, {"server": uuid}, {uuid}) for name in _FOR_SERVERS)
            if row["host"] and uuid in known and row["host"].startswith("c"):
                host = neighbour(self.cloud, known[uuid])["host"]
                yield "set-server-host", {"server": uuid, "host": host}, {uuid}
        for port in self.rows("neutron", "ports"):
            if port["id"] in ids or port["device_id"] in servers:
                yield from ((name, {"port": port["id"]}, {port["device_id"]}) for name in _FOR_PORTS)
        for volume in self.rows("cinder", "volumes"):
            held = self.rows("cinder", "volume_attachment", volume_id=volume["id"], deleted=0)
            its = {one["instance_uuid"] for one in held}
            if volume["id"] in ids or its & servers.keys():
                yield from ((name, {"volume": volume["id"]}, its) for name in _FOR_VOLUMES)

    def busy(self, database: str, row: Row) -> bool:
        """Whether something is under way: a task, a move, or an action that has not ended.

        A deletion that nobody has moved on with for two minutes hangs: the operator may end it.
        """
        moves = self.rows(database, "migrations", instance_uuid=row["uuid"], deleted=0)
        acting = self.cloud.rows(
            database,
            "SELECT 1 FROM instance_actions a JOIN instance_actions_events e ON e.action_id = a.id"
            " WHERE a.instance_uuid = :u AND e.finish_time IS NULL AND e.start_time > :since",
            {"u": row["uuid"], "since": self.cloud.ago(7000)},
        )
        moving = any(move["status"] not in TERMINAL for move in moves)
        hangs = row["task_state"] in DELETING and str(row["updated_at"]) < self.cloud.ago(120)
        return not row["deleted"] and bool((row["task_state"] and not hangs) or moving or acting)

    def plan(self, live: LiveDatabases, repair: str, arguments: Row) -> Plan:
        """What would be done by name, rows allowed, and any share of the few rows of a small cloud."""
        wishes = PlanOptions(via="auto", allow_db=True, limits=Limits(max_share=1.0))
        identity, no_api = CloudSession.of(self.config).databases.identity, {"api": "no API is configured"}
        return Planner(
            live, wishes, cloud=identity, now=utcnow(), absent=no_api, count=live.count, describe=describe, waits=waits
        ).request(repair, arguments)


def _changed(now: Dump, then: Dump, table: tuple[str, str]) -> set[str]:
    return set(now.get(table, ())) ^ set(then.get(table, ()))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One cloud for the module."""
    folder: Path = tmp_path_factory.mktemp("alike")
    cloud = build(folder / "cloud", servers=250, seed=7)
    cloud.save()
    toml = folder / "stackmend.toml"
    toml.write_text(cloud.toml(same_account=True), encoding="utf-8")
    yield Ground(cloud, load(str(toml)), cloud.dump())
    cloud.close()


@pytest.mark.attack("asks by name for every repair of what is healthy and only looks broken")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=str(case),
            marks=[pytest.mark.long] if n % SHARE and str(case) not in {name for name, _ in ONCE} else [],
        )
        for n, case in enumerate(CASES)
    ],
)
def test_by_name_as_by_a_check(ground: Ground, case: Case, record_property: pytest.RecordProperty) -> None:
    """Refused, nothing to do, or consent is wanted and nothing is written without; the rest loses nothing."""
    ground.cloud.reset()
    case.make(ground.cloud)
    ids = ground.touched()
    servers = ground.servers(ids)
    busy = {uuid for uuid, (database, row) in servers.items() if ground.busy(database, row)}
    plans: list[tuple[str, Plan]] = []
    refusals: dict[str, str] = {}
    with CloudSession.of(ground.config).live(None) as live:
        for repair, arguments, about in ground.requests(servers, ids):
            plan = ground.plan(live, repair, arguments)
            assert plan.actions or plan.not_repaired, (repair, arguments)
            assert all(left.reason for left in plan.not_repaired)
            plans += [(repair, plan)] if plan.actions else []
            refusals[repair] = " ".join([refusals.get(repair, ""), *(left.reason for left in plan.not_repaired)])
            if plan.actions and about & busy:
                pytest.fail(f"{repair} {arguments} changes what something is under way with: {plan.actions[0].steps}")
    for repair, plan in plans:
        (action,) = plan.actions
        if action.risk is Risk.UNSAFE:
            assert action.why
            _written_only_with_consent(ground, repair, plan)
        else:
            assert action.risk is Risk.SAFE
            for step in action.steps:
                _loses_nothing(step)
    for (name, repair), reason in ONCE.items():
        assert name != str(case) or reason in refusals[repair]
    record_property("tries", len(plans))


def _written_only_with_consent(ground: Ground, repair: str, plan: Plan) -> None:
    """Once for each repair: it costs more than a plan."""
    if repair in ground.consented:
        return
    ground.consented.add(repair)
    before = ground.cloud.dump()
    with pytest.raises(ConsentError, match=repair):
        runs.apply(ground.config, plan)
    assert ground.cloud.dump() == before


def _loses_nothing(step: Step) -> None:
    """A step that nobody consents to keeps every NIC that Nova lists, and every promise to keep its port."""
    if not writes(step):
        return
    table = getattr(step, "table", "")
    assert table in _HARMLESS, step
    if isinstance(step, UpdateRow) and "network_info" in step.after:
        before, after = (_kept(values["network_info"]) for values in (step.before, step.after))
        assert before.keys() <= after.keys()
        assert all(after[port] for port, kept in before.items() if kept)
    if isinstance(step, UpdateRow):
        assert not step.after.get("deleted")


def _kept(document: object) -> dict[str, bool]:
    """Port -> whether it is to outlive its server, of a network cache."""
    found = json.loads(str(document or "[]"))
    return {str(vif["id"]): bool(vif.get("preserve_on_delete")) for vif in found}


def test_the_matrix_is_whole() -> None:
    """Every request of the command line is asked for."""
    from stackmend.cli import commands
    from stackmend.cli.request import RequestCommand

    modules = [import_module(one.name) for one in walk_packages(commands.__path__, f"{commands.__name__}.")]
    named = {
        command.repair
        for module in modules
        for command in getattr(module, "COMMANDS", {}).values()
        if issubclass(command, RequestCommand)
    }
    assert named == {*_FOR_SERVERS, *_FOR_PORTS, *_FOR_VOLUMES, "set-server-host"}
