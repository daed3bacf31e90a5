# SPDX-License-Identifier: Apache-2.0
"""Three real Galera nodes: what the journal says is what the rows are, on each of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.support.cut_wire import Wire, wire
from tests.support.galera import Galera, configuration, missing

from stackmend.app import audits, runs
from stackmend.config.settings import Config, load
from stackmend.drivers.snapshot.pace import Nice
from stackmend.engine.running.lanes import last_entries
from stackmend.model.errors import Exit, StackmendError
from stackmend.model.journal import RunState
from stackmend.model.step import ExpectNone, ExpectRow, StepState, UpdateRow
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB

from ..support.damaged_cloud import Ground, Mortal, made

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

READERS, SERVICES = 2, 1  #: numbers of nodes; the writer's is the first


@dataclass
class Cluster:
    """A cloud on a cluster. One address leads the reader to one node and the writer to another."""

    galera: Galera
    here: Ground
    line: Wire
    config: Config

    def step(self, number: int) -> UpdateRow:
        """A change of a row that no other test has changed."""
        sql = f"SELECT id, description FROM standardattributes ORDER BY id LIMIT 1 OFFSET {number}"
        (row,) = self.here.cloud.rows("neutron", sql)
        return UpdateRow(
            database="neutron", table="standardattributes", pk={"id": row["id"]},
            before={"description": row["description"]}, after={"description": f"{row['description']}, mended"},
        )  # fmt: skip

    def read(self, step: UpdateRow) -> Any:
        """What the row reads on every node, which must be one and the same."""
        sql = f"SELECT description FROM neutron.standardattributes WHERE id = {step.pk['id']}"
        (found,) = {node.rows(f"SET STATEMENT wsrep_sync_wait = 7 FOR {sql}")[0][0] for node in self.galera.nodes}
        return found

    def seen_by_readers(self, step: UpdateRow) -> Any:
        """What the row reads on the readers' node, as far as it has got."""
        sql = f"SELECT description FROM neutron.standardattributes WHERE id = {step.pk['id']}"
        return self.galera.nodes[READERS].rows(sql)[0][0]

    def on(self, number: int, sql: str) -> None:
        """Change something on a node, as a service does."""
        self.galera.nodes[number].run(sql)

    def is_true(self, run: str, step: UpdateRow, number: int = 0) -> bool:
        """Whether the journal says of the step what the row reads."""
        with self.here.journal() as journal:
            state = last_entries(journal.entries(run))[number].state
        return (state is StepState.DONE) is (self.read(step) == step.after["description"])


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, mortal: Mortal) -> Iterator[Cluster]:
    """The cluster, filled."""
    clouds: list[Cloud] = []

    def fill(server: MariaDB) -> None:
        clouds.append(build(server, servers=100, seed=21))
        server.account("looker", "", "SELECT ON *.*")

    folder = tmp_path_factory.mktemp("galera")
    with Galera(fill) as galera, wire(galera.nodes[0].port) as line:
        (cloud,) = clouds
        line.routes[b"looker"] = galera.nodes[READERS].port
        file = folder / "stackmend.toml"
        file.write_text(configuration(cloud, galera, line.port), encoding="utf-8")
        yield Cluster(galera, Ground(cloud, folder, mortal), line, load(str(file)))
        cloud.close()


@pytest.fixture
def cluster(standing: Cluster) -> Iterator[Cluster]:
    """The cluster, whole, and nothing run yet."""
    line = standing.line
    line.to, line.cut, line.then = standing.galera.nodes[0].port, "", lambda: None
    standing.here.forget()
    yield standing
    standing.galera.whole()


def assert_rounds(cluster: Cluster, tries: int) -> None:
    """The reader's node is behind; the wire is cut before COMMIT or after it, and may lead to another node then."""
    chance = random.Random(10)
    ways = ["before", "after", "after, and the next is another node"]
    seen: set[tuple[str, Exit]] = set()
    for number in range(tries):
        how = ways[number % 3] if number < 3 else chance.choice(ways)
        step, cluster.line.to = cluster.step(number), cluster.galera.nodes[0].port
        plan = made(cluster.here, [step])
        cluster.line.cut, elsewhere = how.split(",")[0], "another" in how
        cluster.line.then = turn(cluster, SERVICES) if elsewhere else lambda: None
        with cluster.galera.behind(READERS):
            result = runs.apply(cluster.config, plan)
            assert cluster.seen_by_readers(step) == step.before["description"]
        seen.add((how, result.exit))
        assert result.exit in (Exit.REPAIRED, Exit.IN_DOUBT), (how, result.notes)
        assert result.failed == 0, (how, result.notes)
        if result.exit is Exit.REPAIRED:
            assert cluster.is_true(result.run, step)
        again = runs.resume(cluster.config, result.run) if result.exit is Exit.IN_DOUBT else result
        assert (again.exit, again.done) == (Exit.REPAIRED, 1), (how, again.notes)
        assert cluster.read(step) == step.after["description"]
        assert cluster.is_true(result.run, step)
        assert runs.undo(cluster.config, result.run).exit is Exit.CLEAN
        assert cluster.read(step) == step.before["description"]
    assert cluster.line.cuts >= tries
    assert {("before", Exit.IN_DOUBT), ("after", Exit.REPAIRED)} <= seen


def turn(cluster: Cluster, number: int) -> Callable[[], None]:
    """The writer's way leads to another node."""
    return lambda: setattr(cluster.line, "to", cluster.galera.nodes[number].port)


_CUT = "cuts the writer's connection at COMMIT on Galera, while the reader's node is behind"


@pytest.mark.attack(_CUT)
def test_a_commit_is_cut_while_the_readers_node_is_behind(cluster: Cluster, record_property: Any) -> None:
    """Done, or in doubt until resumed; never failed where it was kept."""
    record_property("tries", 3)
    assert_rounds(cluster, 3)


@pytest.mark.long
@pytest.mark.attack(_CUT)
def test_fifty_commits_are_cut_while_the_readers_node_is_behind(cluster: Cluster, record_property: Any) -> None:
    """The same, fifty times."""
    record_property("tries", 50)
    assert_rounds(cluster, 50)


@pytest.mark.attack("brings a server to life on another Galera node, which takes the locks on guards away")
@pytest.mark.parametrize("absent", [True, False])
def test_a_server_comes_to_life_on_another_node(cluster: Cluster, absent: bool) -> None:
    """The guard's locks hold nobody on another node: the look after the commit takes the action back."""
    server = cluster.here.cloud.pick("deleted")
    sql = "SELECT id, deleted FROM instances WHERE uuid = :u"
    (row,) = cluster.here.cloud.rows(server.database, sql, {"u": server.uuid})
    where = {"database": server.database, "table": "instances"}
    guard: ExpectRow | ExpectNone = ExpectRow(**where, pk={"id": row["id"]}, expect={"deleted": row["deleted"]})
    if absent:
        guard = ExpectNone(**where, where={"uuid": server.uuid, "deleted": 0})
    step, other = cluster.step(60), cluster.step(61)
    plan = made(cluster.here, [guard, step], [other])
    schema = cluster.here.cloud.databases[server.database].rpartition("/")[2].split("?")[0]
    revive = f"UPDATE {schema}.instances SET deleted = 0 WHERE id = {row['id']}"
    cluster.line.cut, cluster.line.then = "held", lambda: cluster.on(SERVICES, revive)
    with cluster.galera.behind(READERS):
        result = runs.apply(cluster.config, plan)
    assert (result.exit, result.done, result.stale) == (Exit.STOPPED, 1, 1), result.notes
    assert "undone by run" in result.notes[0]
    assert cluster.read(step) == step.before["description"]
    assert cluster.read(other) == other.after["description"]
    assert cluster.is_true(result.run, step, 1)
    with cluster.here.journal() as journal:
        (back,) = [run for run in journal.runs() if run.undoes == result.run]
        assert back.state is RunState.DONE


@pytest.mark.attack("changes a row on another Galera node right before our COMMIT")
def test_a_conflicting_writer_on_another_node_comes_first(cluster: Cluster) -> None:
    """The cluster refuses our transaction (1213); what the plan shows no longer holds: nothing is written."""
    step = cluster.step(70)
    theirs = f"UPDATE neutron.standardattributes SET description = 'theirs' WHERE id = {step.pk['id']}"
    cluster.line.cut, cluster.line.then = "held", lambda: cluster.on(SERVICES, theirs)
    result = runs.apply(cluster.config, made(cluster.here, [step]))
    assert (result.exit, result.stale, result.failed, result.done) == (Exit.STOPPED, 1, 0, 0), result.notes
    assert cluster.read(step) == "theirs"


@pytest.mark.attack("changes another column of a row on another Galera node right before our COMMIT")
def test_a_writer_of_another_column_does_not_stop_us(cluster: Cluster) -> None:
    """Refused (1213), tried again, and both changes are there."""
    step = cluster.step(71)
    theirs = f"UPDATE neutron.standardattributes SET revision_number = 4711 WHERE id = {step.pk['id']}"
    cluster.line.cut, cluster.line.then = "held", lambda: cluster.on(SERVICES, theirs)
    result = runs.apply(cluster.config, made(cluster.here, [step]))
    assert (result.exit, result.done) == (Exit.REPAIRED, 1), result.notes
    assert cluster.read(step) == step.after["description"]
    sql = f"SELECT revision_number FROM neutron.standardattributes WHERE id = {step.pk['id']}"
    assert cluster.galera.nodes[0].rows(sql) == [(4711,)]


@pytest.mark.attack("stops two of three Galera nodes: the third has no quorum and answers nothing")
def test_a_cluster_without_quorum_is_never_an_empty_cloud(cluster: Cluster) -> None:
    """Each database is named with what the node says; nothing is found; and nothing is written."""
    step = cluster.step(80)
    plan = made(cluster.here, [step])
    routes = dict(cluster.line.routes)
    cluster.line.routes[b"looker"] = cluster.galera.nodes[0].port
    try:
        with cluster.galera.without_quorum():
            report = audits.audit(cluster.config, settle=0)
            with pytest.raises(StackmendError, match="1047"):
                runs.apply(cluster.config, plan)
    finally:
        cluster.line.routes.update(routes)
    assert (report.findings, report.exit) == ((), Exit.INCOMPLETE)
    assert set(report.incomplete) == set(report.checks)
    assert any("1047" in reason for reason in report.incomplete.values())
    cluster.galera.whole()
    assert cluster.read(step) == step.before["description"]


def test_a_desynced_node_is_given_way_to(cluster: Cluster) -> None:
    """It serves a backup, or another node: reading waits, and says so when that does not end; then it reads."""
    node = cluster.galera.nodes[READERS]
    node.run("SET GLOBAL wsrep_desync = ON")
    try:
        report = audits.audit(replace(cluster.config, nice=Nice(patience=1)), settle=0)
    finally:
        node.run("SET GLOBAL wsrep_desync = OFF")
    assert (report.findings, report.exit) == ((), Exit.INCOMPLETE)
    errors = {source.error for source in report.manifest.sources}
    assert all("this node of the cluster is Donor/Desynced" in error for error in errors), errors
    cluster.galera.whole()
    assert audits.audit(cluster.config, settle=0).incomplete == {}
