# SPDX-License-Identifier: Apache-2.0
"""Salvage on real schemas and real files: what is planned, done, resumed and taken back, and what is refused."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stackmend.app import runs, workflows
from stackmend.app.objects import disks
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.drivers.journal.store import DatabaseJournal
from stackmend.model.errors import ConfigError, Exit, SourceError, UsageError
from stackmend.model.objects.disks import QUARANTINE, WORK, Ownership
from stackmend.model.plan import Action, Plan
from stackmend.model.step import Manual
from stackmend_lab.cloud import Cloud, Server, build

from ..drivers.api.serving import serving
from .instances import Instances, qemu
from .services import Services

HOST, TO = "c0001", "c0003"
CELL = "cell:cell1"
HOME = "/var/lib/nova/instances"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/inventory.json").read_text())


@dataclass
class Site:
    """A cloud with a dead host whose disks are mounted somewhere, and a target."""

    cloud: Cloud
    services: Services
    folder: Path
    old: Instances
    new: Instances

    @property
    def toml(self) -> Path:
        """The configuration."""
        path = self.folder / "stackmend.toml"
        hosts = f'[hosts]\ntransport = "local"\nlocal = ["{HOST}", "{TO}"]\ninstances_path = "{HOME}"\n'
        state = f'[state]\ndirectory = "{self.folder}/state"\n'
        text = self.cloud.toml()
        path.write_text(text + self.services.toml() + hosts + ("" if "[state]" in text else state), encoding="utf-8")
        return path

    @property
    def config(self) -> Config:
        """It, read."""
        return load(str(self.toml))

    def servers(self, number: int) -> list[Server]:
        """So many servers of the dead host."""
        found: list[Server] = []
        while len(found) < number:
            server = self.cloud.pick("active")
            if server.host == HOST:
                found.append(server)
        return found

    def plan(self, *servers: Server, **more: Any) -> Plan:
        """The plan to salvage these."""
        asked = {
            "host": HOST,
            "to": TO,
            "servers": tuple(server.uuid for server in servers),
            "from_path": str(self.old.path),
            "to_path": str(self.new.path),
        }
        return workflows.plan(self.config, "salvage-host", asked | more, parallel=2)

    def orphans(self, **more: Any) -> Plan:
        """The plan to set the orphans of the target aside."""
        asked = {"host": TO, "path": str(self.new.path), "days": 0} | more
        return workflows.plan(self.config, "quarantine-orphans", asked)

    def age(self, name: str, days: float = 30) -> None:
        """Let a directory not have changed for so long."""
        then = time.time() - days * 86_400
        path = self.new.path / name
        for one in (*path.rglob("*"), path):
            os.utime(one, (then, then))


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cloud, Services]]:
    """A cloud of four hosts in two cells, with its services; one host is dead for ten minutes."""
    folder = tmp_path_factory.mktemp("salvage")
    cloud = build(folder / "cloud", servers=300, seed=23, hosts=4)
    for cell in ("cell:cell1", "cell:cell2"):
        cloud.execute(cell, "UPDATE services SET last_seen_up = :t", {"t": cloud.ago(2)})
    where = {"host": HOST, "binary": "nova-compute"}
    cloud.update(CELL, "services", where, last_seen_up=cloud.ago(600))
    services = Services(cloud, folder)
    with serving(services):
        yield cloud, services
    cloud.close()


@pytest.fixture
def site(standing: tuple[Cloud, Services], tmp_path: Path) -> Site:
    """Both instances directories empty."""
    cloud, services = standing
    cloud.execute(CELL, "UPDATE services SET last_seen_up = :t WHERE host <> :h", {"t": cloud.ago(2), "h": HOST})
    old = Instances(tmp_path / "mnt" / HOME[1:], HOME)
    return Site(cloud, services, tmp_path, old, Instances(tmp_path / "srv/instances"))


def by_id(plan: Plan) -> dict[str, Action]:
    """The lanes by what they are about."""
    return {action.resource_id: action for action in plan.actions}


def test_servers_of_a_dead_host_are_there_for_the_evacuation(site: Site) -> None:
    """A base that two servers are on is copied once; both are in place; applied again, nothing is done."""
    base = site.old.base()
    first, second = site.servers(2)
    for server in (first, second):
        site.old.server(base, name=server.uuid)
    plan = site.plan(first, second)
    assert [(a.resource_type, a.stage, a.required) for a in plan.actions] == [
        ("host", 0, True), ("file", 1, False), ("server", 2, False), ("server", 2, False),
    ]  # fmt: skip
    result = runs.apply(site.config, plan)
    assert (result.exit, result.done, result.notes) == (Exit.REPAIRED, 4, ())
    for server in (first, second):
        chain = json.loads(qemu("info", "-U", "--backing-chain", "--output=json", site.new.path / server.uuid / "disk"))
        assert [one["filename"] for one in chain] == [
            f"{site.new.path}/{server.uuid}/disk", f"{site.new.path}/_base/{base}",
        ]  # fmt: skip
    again = runs.apply(site.config, plan)
    assert (again.exit, again.already) == (Exit.CLEAN, 4)
    back = runs.undo(site.config, result.run)
    assert back.exit is Exit.CLEAN, back.notes
    assert sorted(p.name for p in site.new.path.iterdir()) == sorted([QUARANTINE, WORK, "_base", "locks"])
    assert list((site.new.path / "_base").iterdir()) == []


class _Dying(DatabaseJournal):
    """Dies at the n-th write."""

    left = 0

    def note(self, run: str, entries: Any) -> None:
        """Write, or die."""
        type(self).left -= 1
        if type(self).left < 0:
            raise KeyboardInterrupt
        super().note(run, entries)


@pytest.mark.parametrize("writes", [1, 2, 3, 5, 6, 7])
def test_a_run_that_dies_anywhere_is_resumed_and_does_nothing_twice(site: Site, writes: int) -> None:
    """Whichever write of the journal is its last, resume ends with everything in place."""
    base = site.old.base()
    (server,) = site.servers(1)
    site.old.server(base, name=server.uuid)
    plan = site.plan(server)
    _Dying.left = writes
    with pytest.raises(KeyboardInterrupt):
        runs.apply(site.config, plan, make_journal=_Dying)
    (record, *_) = runs.list_runs(site.config)
    result = runs.resume(site.config, record.id)
    assert (result.exit, result.done) == (Exit.REPAIRED, 3), result.notes
    assert (site.new.path / server.uuid / "disk").exists()
    assert list((site.new.path / WORK).glob("*.new")) == []


def test_what_cannot_be_salvaged_is_left_with_its_reason(site: Site) -> None:
    """A missing base, a taken name, a running guest, a corrupt disk, no directory: a line each; others are copied."""
    good, lost, taken, running, corrupt, nothing = site.servers(6)
    gone = site.old.base("gone")
    for server in (good, taken, running, corrupt):
        site.old.server(name=server.uuid)
    site.old.server(gone, name=lost.uuid)
    (site.old.path / "_base" / gone).unlink()
    (site.new.path / taken.uuid).mkdir()
    with (site.old.path / corrupt.uuid / "disk").open("r+b") as disk:
        disk.truncate(200_000)
    with (site.old.path / running.uuid / "disk").open("rb"):
        plan = site.plan(good, lost, taken, running, corrupt, nothing)
    lanes = by_id(plan)
    said = {s.uuid: lanes[s.uuid].message for s in (lost, taken, running, corrupt, nothing)}
    assert f"its base _base/{gone} is missing" in said[lost.uuid]
    assert "has a directory" in said[taken.uuid]
    assert "its guest still runs" in said[running.uuid]
    assert "it is corrupt" in said[corrupt.uuid]
    assert "it has no directory" in said[nothing.uuid]
    assert all(isinstance(lanes[uuid].steps[0], Manual) for uuid in said)
    assert runs.apply(site.config, plan).exit is Exit.REPAIRED
    assert (site.new.path / good.uuid / "disk").exists()


def test_a_server_that_left_the_host_meanwhile_is_not_copied(site: Site) -> None:
    """Its lane stops before anything of it is copied; the other one goes on."""
    moved, stays = site.servers(2)
    for server in (moved, stays):
        site.old.server(name=server.uuid)
    plan = site.plan(moved, stays)
    site.cloud.update(CELL, "instances", {"uuid": moved.uuid}, host=TO)
    try:
        result = runs.apply(site.config, plan)
    finally:
        site.cloud.update(CELL, "instances", {"uuid": moved.uuid}, host=HOST)
    assert (result.exit, result.failed) == (Exit.STOPPED, 1)
    assert not (site.new.path / moved.uuid).exists()
    assert (site.new.path / stays.uuid / "disk").exists()


def test_what_is_refused_as_a_whole(site: Site) -> None:
    """A host that lives, a target that does not, shared storage, the same host, a server that is elsewhere."""
    (server,) = site.servers(1)
    site.old.server(name=server.uuid)
    alive = {"host": "c0001", "binary": "nova-compute"}

    def reason(**more: Any) -> str:
        (left,) = site.plan(server, **more).not_repaired
        return left.reason

    site.cloud.update(CELL, "services", alive, last_seen_up=site.cloud.ago(1))
    assert "is up" in reason()
    site.cloud.update(CELL, "services", alive, last_seen_up=site.cloud.ago(600))
    site.cloud.update(CELL, "services", {"host": TO, "binary": "nova-compute"}, last_seen_up=site.cloud.ago(600))
    assert "is not up" in reason()
    site.cloud.update(CELL, "services", {"host": TO, "binary": "nova-compute"}, last_seen_up=site.cloud.ago(1))
    (site.new.path / "compute_nodes").write_text(json.dumps({"c0002": time.time()}))
    assert "is shared" in reason()
    (site.new.path / "compute_nodes").unlink()
    with pytest.raises(UsageError, match="the same host"):
        site.plan(server, to=HOST)
    with pytest.raises(UsageError, match="has no server"):
        site.plan(server, servers=("nobody",))


def test_a_directory_is_an_orphan_only_by_every_cell(site: Site) -> None:
    """Nobody's and a foreign server's go aside and come back; those of living, moving and unknown ones stay."""
    site.cloud.save()
    nobody = site.new.server()
    (foreign,) = site.servers(1)
    own = next(s for s in iter(lambda: site.cloud.pick("active"), None) if s.host == TO)
    moving, young = site.servers(1)[0], site.new.server()
    for server in (foreign, own, moving):
        site.new.server(name=server.uuid)
    site.cloud.insert(
        CELL, "migrations", instance_uuid=moving.uuid, source_compute=HOST, dest_compute=TO, status="running",
        migration_type="live-migration", deleted=0, uuid="0d1d1f6a-8d1c-4d55-9d11-2f1a1f6a5f55",
        created_at=site.cloud.now, updated_at=site.cloud.now,
    )  # fmt: skip
    for name in (nobody, foreign.uuid, own.uuid, moving.uuid):
        site.age(name)
    found = disks.look(site.config, TO, path=str(site.new.path), days=1)
    verdicts = {name: owner.verdict for name, owner in found.owners.items()}
    assert verdicts == {
        nobody: Ownership.NOBODY, young: Ownership.NOBODY, foreign.uuid: Ownership.ELSEWHERE, own.uuid: Ownership.HERE,
        moving.uuid: Ownership.MOVING,
    }  # fmt: skip
    assert {name for name, why in found.kept.items() if not why} == {nobody, foreign.uuid}
    plan = site.orphans(days=1)
    assert {a.resource_id.rpartition("/")[2] for a in plan.actions} == {nobody, foreign.uuid}
    result = runs.apply(site.config, plan)
    assert (result.exit, result.done) == (Exit.REPAIRED, 2), result.notes
    assert not (site.new.path / nobody).exists()
    assert runs.undo(site.config, result.run).exit is Exit.CLEAN
    assert (site.new.path / nobody / "disk").exists()


def test_one_cell_that_cannot_be_read_makes_nothing_an_orphan(site: Site) -> None:
    """Evidence rule R2: the plan ends there, and the inventory says why nothing can be told."""
    name = site.new.server()
    site.age(name)
    file = Path(site.cloud.databases["cell:cell2"].removeprefix("sqlite:///"))
    file.rename(file.with_suffix(".away"))
    try:
        found = disks.look(site.config, TO, path=str(site.new.path), days=0)
        with pytest.raises(SourceError):
            site.orphans()
    finally:
        file.with_suffix(".away").rename(file)
    assert found.owners[name].verdict is Ownership.UNKNOWN
    assert "not every cell could be read" in found.kept[name]


def test_a_server_that_comes_into_being_keeps_its_directory(site: Site) -> None:
    """Between the plan and the run somebody made a server of that uuid: the guard stops the lane."""
    (other,) = site.servers(1)
    name = site.new.server(name=other.uuid)
    site.age(name)
    plan = site.orphans()
    assert len(plan.actions) == 1
    site.cloud.update(CELL, "instances", {"uuid": other.uuid}, host=TO)
    try:
        assert runs.apply(site.config, plan).exit is Exit.STOPPED
    finally:
        site.cloud.update(CELL, "instances", {"uuid": other.uuid}, host=HOST)
    assert (site.new.path / name / "disk").exists()


def test_the_command_shows_plans_and_refuses(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """--inventory prints a page or JSON; --to a plan; options that mean nothing together are refused."""
    (server,) = site.servers(1)
    site.old.server(site.old.base(), name=server.uuid)
    front = ["--config", str(site.toml), "host", "salvage", HOST]
    assert main([*front, "--inventory", "--from-path", str(site.old.path), "-f", "json"]) == Exit.CLEAN
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    (directory,) = document["directories"]
    assert (directory["server"], directory["owner"]["verdict"]) == (server.uuid, "here")
    assert directory["disks"][0]["chain"] == [document["bases"][0]["path"]]
    assert main([*front, "--inventory", "--from-path", str(site.old.path), "--check"]) == Exit.CLEAN
    page = capsys.readouterr().out
    assert f"{server.uuid}: its server lives here" in page
    assert "check: clean" in page
    plan = ["--to", TO, "--server", server.uuid, "--from-path", str(site.old.path), "--to-path", str(site.new.path)]
    assert main([*front, *plan]) == Exit.FINDINGS
    assert main([*front, *plan, "--yes"]) == Exit.REPAIRED
    assert (site.new.path / server.uuid / "disk").exists()
    assert main([*front, "--orphans"]) == Exit.USAGE
    assert main([*front, "--inventory", "--server", "x"]) == Exit.USAGE
    assert "| Done |" in capsys.readouterr().out


def test_the_page_and_the_document_hold_whatever_names_there_are(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names with line ends, escapes and bytes that are no UTF-8 are told on one line each, as text."""
    (server,) = site.servers(1)
    site.old.server(site.old.base("gone"), name=server.uuid)
    next((site.old.path / "_base").iterdir()).unlink()
    for name in ("disk.a\nb", "disk.\x1b[31m", os.fsdecode(b"disk.\xff")):
        (site.old.path / server.uuid / name).write_bytes((site.old.path / server.uuid / "disk").read_bytes())
    front = ["--config", str(site.toml), "host", "salvage", HOST, "--inventory", "--from-path", str(site.old.path)]
    assert main(front) == Exit.FINDINGS
    page = capsys.readouterr().out
    assert "disk.a\\nb: qcow2" in page
    assert "disk.\\x1b[31m: qcow2" in page
    assert "disk.\\xff: qcow2" in page
    assert page.count("BROKEN: ") == 5
    assert main([*front, "-f", "json"]) == Exit.FINDINGS
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert {disk["problems"][0].rpartition(" ")[2] for disk in document["directories"][0]["disks"]} == {"missing"}


def test_old_names_are_told_by_the_number_of_the_instance(site: Site) -> None:
    """instance-0000002a is that of the one row with id 42, if only one cell has it, or its host is this one."""
    (mine,) = site.servers(1)
    rows = site.cloud.rows(CELL, "SELECT id FROM instances WHERE uuid = :u", {"u": mine.uuid})
    name = site.old.server(name=f"instance-{rows[0]['id']:08x}")
    none = site.old.server(name="instance-00ffffff")
    found = disks.look(site.config, HOST, path=str(site.old.path))
    assert (found.owners[name].verdict, found.owners[name].server) == (Ownership.HERE, mine.uuid)
    assert found.owners[none].verdict is Ownership.NOBODY


def test_the_api_alone_never_makes_an_orphan(site: Site) -> None:
    """It proves that a server is there; that none is, it cannot prove."""
    (mine,) = site.servers(1)
    site.old.server(name=mine.uuid)
    nobody = site.old.server()
    site.toml.write_text(
        site.services.toml()
        + f'[hosts]\ntransport = "local"\nlocal = ["{HOST}"]\n[state]\ndirectory = "{site.folder}"\n'
    )
    found = disks.look(load(str(site.folder / "stackmend.toml")), HOST, path=str(site.old.path), days=0)
    assert found.owners[mine.uuid].verdict is Ownership.HERE
    assert found.owners[nobody].verdict is Ownership.UNKNOWN
    assert found.kept[nobody] == "no Nova database is configured, and its API shows no such server"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"migration_type": "evacuation", "status": "done"}, "it was evacuated from here"),
        ({"migration_type": "evacuation", "status": "done", "deleted": 1}, "it was evacuated from here"),
        ({"migration_type": "resize", "status": "finished"}, "a resize of its server"),
        ({"migration_type": "evacuation", "status": "completed"}, ""),
        ({"migration_type": "live-migration", "status": "error"}, ""),
    ],
)
def test_what_nova_will_still_clean_up_is_left_to_it(site: Site, values: dict[str, Any], why: str) -> None:
    """Records of moves from or to the host that are not over keep a directory; those that are over do not."""
    (other,) = site.servers(1)
    name = site.new.server(name=other.uuid)
    site.age(name)
    site.cloud.insert(
        CELL, "migrations", **{
            "instance_uuid": other.uuid, "source_compute": TO, "dest_compute": HOST, "deleted": 0,
            "uuid": other.uuid, "created_at": site.cloud.now, "updated_at": site.cloud.now, **values,
        },
    )  # fmt: skip
    found = disks.look(site.config, TO, path=str(site.new.path), days=1)
    assert found.kept[name].startswith(why)
    assert bool(found.kept[name]) is bool(why)


def test_the_path_of_the_disks_is_configured_whole(tmp_path: Path) -> None:
    """A path that is no path from the root is refused; a slash at its end means nothing."""
    toml = tmp_path / "stackmend.toml"
    toml.write_text('[hosts]\ninstances_path = "nova/instances"\n')
    with pytest.raises(ConfigError, match="must begin with a slash"):
        load(str(toml))
    toml.write_text('[hosts]\ninstances_path = "/srv/nova/"\n')
    assert load(str(toml)).instances_path == "/srv/nova"
