# SPDX-License-Identifier: Apache-2.0
"""No finding says "there is no X" because a source is the wrong one: it is incomplete by name instead.

Any one source is emptied (freshly migrated), swapped with another, put back to an older state, left out of the cell
mappings or written in other letters, on a healthy cloud and on one with plants. What is found then was found before.
The tables that an account may not see are in tests/app/test_rights.py.
"""

from __future__ import annotations

import itertools
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackmend.app import plans, runs
from stackmend.app.audits import audit
from stackmend.app.objects.ports import ports_of
from stackmend.app.objects.servers import where
from stackmend.app.session import CloudSession
from stackmend.config.settings import Config, load
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import Exit, SourceError
from stackmend.model.finding import Finding, State
from stackmend.tables import ColumnType, tables
from stackmend_lab import schemas
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.cloud.build import DATABASES
from stackmend_lab.plants import broken
from stackmend_lab.plants.neutron import port_binding_wrong_host

from ..support.planning import plan_for

Damage = Callable[["Files"], None]
Note = Callable[[str, object], None]
#: databases that some check or expectation reads
JUDGED = tuple(name for name in DATABASES if name != "glance")
CELLS = ("cell0", "cell1", "cell2")
#: tries of the short form
FEW = 4


class Files:
    """A cloud in SQLite files whose sources can be exchanged, and what an audit said of it before."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder, self.cloud = folder, cloud
        cloud.save()
        self.before = self.look()

    def config(self) -> Config:
        path = self.folder / "stackmend.toml"
        path.write_text(self.cloud.toml(), encoding="utf-8")
        return load(str(path))

    def look(self) -> Report:
        return audit(self.config(), settle=0, use_api=False)

    def file(self, database: str) -> Path:
        return Path(self.cloud.databases[database].removeprefix("sqlite:///"))

    def empty(self, database: str) -> None:
        """Make the database anew, as its service's migrations do."""
        fresh = self.folder / "fresh.db"
        fresh.unlink(missing_ok=True)
        connection = sqlite3.connect(fresh, isolation_level=None)
        schemas.create_on_sqlite(connection, DATABASES[database][0])
        connection.close()
        self.file(database).write_bytes(fresh.read_bytes())

    def swap(self, one: str, other: str) -> None:
        """Let each of two addresses lead to the other's database."""
        first, second = self.file(one).read_bytes(), self.file(other).read_bytes()
        self.file(one).write_bytes(second)
        self.file(other).write_bytes(first)


def _cloud(folder: Path, servers: int, *, plants: bool) -> Files:
    cloud = build(folder / "cloud", servers=servers, seed=10)
    for case in broken() if plants else ():
        case.make(cloud)
    return Files(folder, cloud)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """A small cloud in which nothing is wrong."""
    made = _cloud(tmp_path_factory.mktemp("healthy"), 150, plants=False)
    assert made.before.exit is Exit.CLEAN
    yield made
    made.cloud.close()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """A cloud with every plant and variant: what is expected is lacking here and there, and no source is doubted."""
    made = _cloud(tmp_path_factory.mktemp("planted"), 4500, plants=True)
    assert made.before.exit is Exit.FINDINGS
    assert not made.before.manifest.troubles()
    yield made
    made.cloud.close()


def emptied() -> dict[str, Damage]:
    """Each source, freshly migrated."""
    return {f"{name} emptied": lambda files, name=name: files.empty(name) for name in JUDGED}


def swapped() -> dict[str, Damage]:
    """Each source where another should be."""
    return {
        f"{a} and {b} swapped": lambda files, a=a, b=b: files.swap(a, b) for a, b in itertools.combinations(JUDGED, 2)
    }


def unmapped(cell: str, *, children: bool) -> Damage:
    """The mapping of a cell is gone, and with ``children`` those of its hosts and servers, too."""

    def damage(files: Files) -> None:
        number = files.cloud.rows("nova_api", "SELECT id FROM cell_mappings WHERE name = :n", {"n": cell})[0]["id"]
        files.cloud.delete("nova_api", "cell_mappings", {"id": number})
        for table in ("instance_mappings", "host_mappings") if children else ():
            files.cloud.delete("nova_api", table, {"cell_id": number})

    return damage


def mapped_twice(files: Files) -> None:
    """The mapping of cell2 leads to the database of cell1."""
    url = files.cloud.databases["cell:cell1"]
    files.cloud.update("nova_api", "cell_mappings", {"name": "cell2"}, database_connection=url)


def mapped_to_one_empty(files: Files) -> None:
    """The mappings of both cells lead to one database, freshly migrated: it has no row that could be another cell's."""
    files.empty("cell:cell1")
    mapped_twice(files)


def asleep(files: Files) -> None:
    """The database of cell2 is a copy of two years ago: its servers are the same, nothing was written since."""
    for table, columns in {
        "services": ("created_at", "updated_at", "last_seen_up"),
        "compute_nodes": ("created_at", "updated_at"),
        "instances": ("created_at", "updated_at", "launched_at", "deleted_at"),
    }.items():
        sets = ", ".join(f"{c} = datetime({c}, '-730 days')" for c in columns)
        files.cloud.execute("cell:cell2", f"UPDATE {table} SET {sets}")


def restored(files: Files) -> None:
    """Neutron was restored from a dump: of the newest twelfth of its ports it knows nothing."""
    cloud = files.cloud
    ports = cloud.rows(
        "neutron",
        "SELECT p.id, p.standard_attr_id, s.created_at FROM ports p JOIN standardattributes s"
        " ON s.id = p.standard_attr_id ORDER BY s.created_at DESC",
    )
    for port in ports[: len(ports) // 12]:
        cloud.delete("neutron", "ml2_port_bindings", {"port_id": port["id"]})
        cloud.delete("neutron", "ports", {"id": port["id"]})
        cloud.delete("neutron", "standardattributes", {"id": port["standard_attr_id"]})


OTHERS: dict[str, Damage] = {
    **{f"{cell} not mapped": unmapped(cell, children=False) for cell in CELLS},
    **{f"{cell} never mapped": unmapped(cell, children=True) for cell in ("cell1", "cell2")},
    "cell2 mapped to cell1's database": mapped_twice,
    "both cells mapped to one empty database": mapped_to_one_empty,
    "cell2 a copy of long ago": asleep,
    "neutron restored from a dump": restored,
}

#: damage -> the check that says it rightly
TRUE = {"both cells mapped to one empty database": "cell-database-shared"}


def relettered() -> dict[str, Damage]:
    """The ids and host names of a column in capitals: Nova's tables compare without regard to case."""
    found: dict[str, Damage] = {}
    for parts in tables().values():
        for part in parts:
            for column in part.columns:
                if part.constant or column.expr or column.kind is not ColumnType.TEXT or not _identifies(column.name):
                    continue
                for database, (service, _) in DATABASES.items():
                    if service == part.service:
                        where = f"{database} {part.name}.{column.name}"
                        found[f"{where} in capitals"] = _capitals(database, part.name, column.name)
    return found


def joining(name: str) -> frozenset[str]:
    """Checks of what the database itself joins by that column while it is read.

    SQLite compares there to the letter, as no service's database does, so they may lose what they found.
    """
    database, _, column = name.removesuffix(" in capitals").partition(" ")
    service = DATABASES[database][0]
    labels = set()
    for label, parts in tables().items():
        for part in parts:
            called = {"t": part.name, **{alias: table for table, alias in _JOIN.findall(part.join)}}
            sides = {f"{called[alias]}.{of}" for alias, of in _SIDE.findall(part.join)}
            labels |= {label} if part.service == service and column in sides else set()
    return frozenset(name for name, check in catalogue.checks().items() if labels & set(check.reads))


_JOIN = re.compile(r"JOIN (\w+) (\w+) ON")
_SIDE = re.compile(r"\b(\w+)\.(\w+)")


def _identifies(column: str) -> bool:
    return column in {"id", "uuid", "host", "node", "hypervisor_hostname", "consumer_id"} or column.endswith(
        ("_id", "_uuid", "_host", "_compute", "_node")
    )


def _capitals(database: str, table: str, column: str) -> Damage:
    def damage(files: Files) -> None:
        columns = files.cloud.rows(database, f"PRAGMA table_info({table})")
        if column in {str(c["name"]) for c in columns}:
            files.cloud.execute(database, f'UPDATE "{table}" SET "{column}" = UPPER("{column}")')

    return damage


def _marks(findings: tuple[Finding, ...]) -> set[str]:
    return {f"{f.check} {sorted(f.key.items())}".lower() for f in findings}


def attack(files: Files, name: str, damage: Damage, *, read: bool, excused: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with the answer of an audit after the damage; ``read``: the sources are as good as before.

    ``excused``: checks that may no longer find what they found.
    """
    files.cloud.reset()
    damage(files)
    try:
        report = files.look()
    finally:
        files.cloud.reset()
    silent = {check for check, r in report.checks.items() if r.outcome is not CheckOutcome.OK}
    before, after = _marks(files.before.findings), _marks(report.findings)
    wrong = [
        f"{name}: new: {f.message}"
        for f in report.findings
        # where what explains it has no answer, a finding is listed by itself, as a candidate that says so
        if not _marks((f,)) <= before and not (f.state is State.CANDIDATE and f.unsure) and f.check != TRUE.get(name)
    ]
    if name in TRUE and TRUE[name] not in {f.check for f in report.findings}:
        wrong.append(f"{name}: {TRUE[name]} does not say so")
    wrong += [
        f"{name}: not found any more, without a word: {f.message}"
        for f in files.before.findings
        if not _marks((f,)) <= after and f.check not in silent | excused
    ]
    if read and silent:
        wrong.append(f"{name}: {sorted(silent)} have no answer: {report.checks[min(silent)].reason}")
    if not read and report.exit is not Exit.INCOMPLETE:
        wrong.append(f"{name}: the audit ends with {report.exit!r}")
    return wrong


def all_of(files: Files, damages: dict[str, Damage], note: Note, *, read: bool = False, few: int = 0) -> list[str]:
    """What is wrong after any of them, each on its own; ``few``: a choice of so many."""
    names = random.Random(10).sample(sorted(damages), few) if few else sorted(damages)
    note("tries", len(names))
    return [text for name in names for text in attack(files, name, damages[name], read=read)]


GONE = {**emptied(), **swapped()}
TAKES = "empties a source, swaps it with another, restores it from a dump or loses its mapping"


@pytest.mark.attack(TAKES)
def test_a_source_that_is_not_the_source(healthy: Files, record_property: Note) -> None:
    """On a healthy cloud nothing is found, whatever becomes of one source, and the audit is incomplete by name."""
    assert all_of(healthy, GONE, record_property, few=FEW) == []


@pytest.mark.attack(TAKES)
@pytest.mark.parametrize("name", ["cell:cell1 emptied", "cell:cell1 and cell:cell2 swapped", *OTHERS])
def test_what_cells_can_be_mistaken_for(healthy: Files, name: str) -> None:
    """The examples of the issue, one by one."""
    assert attack(healthy, name, (GONE | OTHERS)[name], read=False) == []


@pytest.mark.long
@pytest.mark.attack(TAKES)
def test_any_source_that_is_not_the_source(planted: Files, record_property: Note) -> None:
    """On a cloud with every plant nothing is found that was not found before."""
    assert all_of(planted, GONE | OTHERS, record_property) == []


@pytest.mark.attack("writes ids and host names in capitals")
def test_letters(healthy: Files, record_property: Note) -> None:
    """Names in other letters are the same names: a healthy cloud stays healthy."""
    assert all_of(healthy, relettered(), record_property, read=True, few=FEW) == []


@pytest.mark.attack("writes ids and host names in capitals")
def test_servers_in_capitals(healthy: Files) -> None:
    """The uuids of all servers of a cell in capitals: no orphans."""
    name = "cell:cell1 instances.uuid in capitals"
    assert attack(healthy, name, relettered()[name], read=True) == []


@pytest.mark.long
@pytest.mark.attack("writes ids and host names in capitals")
def test_all_letters(planted: Files, record_property: Note) -> None:
    """Each column in capitals: what is found is what was found before."""
    damages = relettered()
    record_property("tries", len(damages))
    wrong = [
        text
        for name, damage in damages.items()
        for text in attack(planted, name, damage, read=True, excused=joining(name))
    ]
    assert wrong == []


# -- the judgement holds when a plan is made and inside apply


@pytest.mark.attack("exchanges a database between the audit and the second look")
def test_a_second_look_at_the_wrong_source(healthy: Files) -> None:
    """Findings of absence about a living server are not confirmed on an empty cell or an empty Neutron."""
    server = healthy.cloud.servers("active")[0]
    row = {"port": server.ports[0], "server": server.uuid, "consumer": server.uuid, "volume": "-"}
    asked = {
        server.database: ("port-without-server", "allocation-orphan"),
        "neutron": ("info-cache-stale-port", "port-without-server"),
        "placement": ("allocation-orphan",),
    }
    for database, names in asked.items():
        healthy.cloud.reset()
        healthy.empty(database)
        with CloudSession.of(healthy.config()).asking(catalogue.checks()) as again:
            answer = again({name: [row] for name in names})
        assert answer.rows == {}
        assert all("it has none of the" in answer.unknown[name] for name in names)
    healthy.cloud.reset()


@pytest.mark.attack("exchanges a database between the audit and the second look")
def test_a_second_look_at_the_sources_of_each_check(healthy: Files) -> None:
    """What was judged for one check a moment ago does not vouch for the sources of the next one."""
    server = healthy.cloud.servers("active")[0]
    row = {"port": server.ports[0], "server": server.uuid, "consumer": server.uuid, "volume": "-"}
    healthy.cloud.reset()
    healthy.empty("placement")
    with CloudSession.of(healthy.config()).asking(catalogue.checks()) as again:
        assert again({"info-cache-stale-port": [row]}).unknown == {}
        answer = again({"allocation-missing": [row]})
    assert answer.rows == {}
    assert "it has none of the" in answer.unknown["allocation-missing"]
    healthy.cloud.reset()


@pytest.mark.attack("exchanges a database, and asks what needs no audit")
def test_what_is_told_without_an_audit(healthy: Files) -> None:
    """The ports and the place of a server are not told of an empty Neutron or cell: which it is, and why, is."""
    server = next(s for s in healthy.cloud.servers("active") if s.cell == "cell1")

    def ports(config: Config, uuid: str) -> object:
        return ports_of(config, "server", uuid)

    for ask, database in ((ports, "neutron"), (where, "neutron"), (where, "placement"), (ports, "cell:cell1")):
        healthy.cloud.reset()
        assert ask(healthy.config(), server.uuid)
        healthy.empty(database)
        with pytest.raises(SourceError, match="it has none of the"):
            ask(healthy.config(), server.uuid)
    healthy.cloud.reset()


@pytest.mark.attack("exchanges a database between a plan by request and its application")
def test_a_request_that_is_planned_again_at_the_wrong_source(healthy: Files) -> None:
    """The plan of a file is planned again of sources that are believed: on an empty Placement it is stale."""
    healthy.cloud.reset()
    server = healthy.cloud.pick("cell0_error")
    plan = plans.request(healthy.config(), "mark-server-deleted", {"server": server.uuid}, allow_db=True)
    assert len(plan.actions) == 1
    healthy.empty("placement")
    before = healthy.cloud.dump()
    result = runs.apply(healthy.config(), plan, accept=("all",), filed=True)
    assert healthy.cloud.dump() == before
    healthy.cloud.reset()
    assert (result.done, result.stale, result.exit) == (0, 1, Exit.STOPPED)


def test_providers_that_are_no_compute_nodes(healthy: Files) -> None:
    """Purged nodes with what evacuated servers have left there, and shared storage, make nobody doubt a source."""
    healthy.cloud.reset()
    cloud, servers = healthy.cloud, healthy.cloud.servers("active")[:8]
    classes = {row["name"]: row["id"] for row in cloud.rows("placement", "SELECT id, name FROM resource_classes")}
    for number, server in enumerate(servers):
        disk = number % 2
        uuid = f"{server.uuid[:-4]}90e{number}"
        row = cloud.insert("placement", "resource_providers", uuid=uuid, name=f"provider-{number}", generation=1)
        cloud.update("placement", "resource_providers", {"id": row}, root_provider_id=row)
        cloud.insert(
            "placement", "allocations", consumer_id=server.uuid, resource_provider_id=row, used=1,
            resource_class_id=classes["DISK_GB" if disk else "VCPU"],
        )  # fmt: skip
    report = healthy.look()
    healthy.cloud.reset()
    assert [source.doubt for source in report.manifest.sources if source.doubt] == []


@pytest.mark.parametrize(("one", "other", "says"), [
    ("cell:cell1", "neutron", "it contains Neutron's tables"),
    ("cell:cell1", "cinder", "it contains Cinder's tables"),
    ("placement", "cell:cell1", "it contains a cell's tables"),
])  # fmt: skip
def test_a_database_of_another_service(healthy: Files, one: str, other: str, says: str) -> None:
    """It is called what it is, not merely a database without tables."""
    healthy.cloud.reset()
    healthy.swap(one, other)
    report = healthy.look()
    healthy.cloud.reset()
    assert says in report.manifest.failed()[one]


@pytest.mark.attack("takes the source away by which a finding would be explained")
def test_a_child_whose_cause_is_silent(healthy: Files) -> None:
    """A server on the wrong host explains its bindings; without Placement nobody knows, and no binding is mended."""
    healthy.cloud.reset()
    port_binding_wrong_host.plant(healthy.cloud)
    assert [(f.check, f.state) for f in healthy.look().findings] == [("port-binding-wrong-host", State.CONFIRMED)]
    healthy.empty("placement")
    report = healthy.look()
    plan = plan_for(healthy.config(), allow_db=True, settle=0)
    healthy.cloud.reset()
    assert [(f.check, f.state) for f in report.findings] == [("port-binding-wrong-host", State.CANDIDATE)]
    assert "server-wrong-host may explain it, but has no answer: database placement" in report.findings[0].unsure
    assert plan.actions == ()
    assert plan.not_repaired[0].reason == report.findings[0].unsure


@pytest.mark.attack("deletes the row of one living server from its cell")
def test_a_server_that_is_mapped_is_no_orphan(healthy: Files) -> None:
    """nova_api maps it to a cell and nobody deleted it: its ports and allocations belong to a server that is lost."""
    server = healthy.cloud.servers("active")[1]
    healthy.cloud.reset()
    healthy.cloud.delete(server.database, "instances", {"uuid": server.uuid})
    report = healthy.look()
    healthy.cloud.reset()
    assert not report.manifest.troubles()
    assert [(f.check, dict(f.key)) for f in report.findings] == [
        ("instance-mapping-without-server", {"server": server.uuid})
    ]
