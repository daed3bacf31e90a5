# SPDX-License-Identifier: Apache-2.0
"""A real server that others need: reading pauses, goes on, or says why it cannot; nothing is taken that is scarce."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from stackmend.app import audits
from stackmend.app.session import CloudSession
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.drivers.snapshot.collector import DatabaseCollector, read_manifest
from stackmend.drivers.snapshot.pace import Nice, Pace
from stackmend.drivers.snapshot.shape import labels
from stackmend.model.errors import Exit
from stackmend.model.finding import State
from stackmend.model.snapshot import Manifest
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.placement import allocation_orphan

Told = Callable[[str, int, int | None], None]


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """A server of its own: other tests do not make it busy, and its settings are changed."""
    with MariaDB(settings={"innodb_stats_persistent": "0"}) as own:
        yield own


@pytest.fixture(scope="module")
def cloud(server: MariaDB) -> Iterator[Cloud]:
    """A small cloud on it, with two findings."""
    built = build(server, servers=60, seed=9)
    port_without_server.plant(built)
    allocation_orphan.plant(built)
    yield built
    built.close()


@pytest.fixture
def config(cloud: Cloud, tmp_path: Path) -> Config:
    """Its configuration."""
    path = tmp_path / "cloud.toml"
    path.write_text(cloud.toml(), encoding="utf-8")
    return load(str(path))


@pytest.fixture
def collect(config: Config, tmp_path: Path) -> Callable[..., Manifest]:
    """Collect everything at a pace."""

    def collected(progress: Told = lambda *_: None, **nice: Any) -> Manifest:
        known = CloudSession.of(config).databases
        collector = DatabaseCollector(known.addresses, known.errors, cells_known=True, nice=Nice(**nice))
        return collector.collect(labels(), tmp_path / "snapshot", progress)

    return collected


def connected(server: MariaDB) -> int:
    """Connections beside the one that asks."""
    connection = server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user <> 'system user'")
        return int(cursor.fetchone()[0]) - 1  # type: ignore[index]


@contextmanager
def busy(server: MariaDB, sessions: int, seconds: float) -> Iterator[None]:
    """Sessions that run a statement."""

    def work() -> None:
        server.run(f"SELECT SLEEP({seconds})")

    threads = [threading.Thread(target=work) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    while connected(server) < sessions:
        time.sleep(0.02)
    yield
    for thread in threads:
        thread.join()


@contextmanager
def limited(server: MariaDB, connections: int) -> Iterator[None]:
    """Allow so many connections."""
    connection = server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SET GLOBAL max_connections = {connections}")
        try:
            yield
        finally:
            cursor.execute("SET GLOBAL max_connections = 151")


@contextmanager
def taken(server: MariaDB, number: int) -> Iterator[None]:
    """So many idle connections of others, or as many as there are."""
    with ExitStack() as stack:
        with suppress(pymysql.err.OperationalError):
            for _ in range(number):
                stack.enter_context(server.connect())
        yield


def test_it_pauses_and_goes_on(server: MariaDB, collect: Callable[..., Manifest]) -> None:
    """While many threads run it waits and says so; once they are gone it reads everything."""
    said: list[str] = []
    with busy(server, 8, 2.5):
        manifest = collect(lambda what, *_: said.append(what), threads_running=4)
    assert manifest.failed() == {}
    assert {frozenset(source.waited) for source in manifest.sources} == {frozenset({"threads_running"})}
    assert 1 <= manifest.sources[0].waited["threads_running"] <= 5
    assert any(re.search(r"\(waiting: [78] threads are running\)$", what) for what in said), said[:5]


@pytest.mark.attack("keeps a server busy for longer than anybody waits for it")
def test_a_busy_server_is_no_empty_one(server: MariaDB, collect: Callable[..., Manifest]) -> None:
    """Every database of it is incomplete after a bounded time, with the cause; no table is half there."""
    with busy(server, 8, 6):
        begun = time.monotonic()
        manifest = collect(threads_running=4, patience=2)
        took = time.monotonic() - begun
    assert took < 5
    assert manifest.sources
    for source in manifest.sources:
        assert re.search("it is too busy, as [78] threads are running, and was waited for 2 s", source.error)
        assert source.rows == {}


def test_a_look_that_fails_ends_nothing(server: MariaDB, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """The connection that looks was killed: that is said once, and the one that reads goes on."""
    address = config.databases["neutron"]
    pace = Pace(Nice(), address)
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist")
        before = cursor.fetchall()
        pace.admit(address)
        cursor.execute("SELECT id FROM information_schema.processlist")
        ((looker,),) = set(cursor.fetchall()) - set(before)
        cursor.execute("KILL %s", [looker])
    pace.between(lambda _why: None)
    pace.between(lambda _why: None)
    pace.close()
    assert [record.message for record in caplog.records if "no longer gives way" in record.message] == caplog.messages
    assert len(caplog.messages) == 1
    assert pace.waited == {}


@pytest.mark.attack("leaves a server with fewer free connections than others may need")
def test_the_last_connections_are_left_to_others(server: MariaDB, collect: Callable[..., Manifest]) -> None:
    """No connection is taken or kept; a server that is full is waited for like one that has few left."""
    with limited(server, 60), taken(server, 40):
        before = connected(server)
        few = collect(connections=15, patience=2)
        assert connected(server) == before
    with limited(server, 60), taken(server, 100):
        none = collect(connections=15, patience=2)
    for manifest, said in ((few, "of its 60 connections are free"), (none, "it has no free connection")):
        assert any(said in source.error for source in manifest.sources)
        # what is looked up before (the cells) was refused by the server itself
        assert all(said in s.error or "Too many connections" in s.error for s in manifest.sources)
    assert collect(connections=15).failed() == {}


def test_it_rests_as_long_as_it_reads(
    cloud: Cloud, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--nice`` rests between batches; the snapshot says for how long, and has everything."""
    del cloud
    out = tmp_path / "nice"
    code = main(["--config", config.origin, "snapshot", "create", "--nice", "--out", str(out), "-f", "json"])
    told = json.loads(capsys.readouterr().out)
    assert code == Exit.CLEAN
    assert all(0 < source["waited"]["rest"] < 60 for source in told["sources"])
    assert {s.database: s.waited for s in read_manifest(out).sources} == {
        s["database"]: s["waited"] for s in told["sources"]
    }
    assert main(["--config", config.origin, "snapshot", "show", str(out)]) == Exit.CLEAN
    assert "gave way to others on its server: rest" in capsys.readouterr().out


def test_a_view_is_not_held_for_ever(config: Config, collect: Callable[..., Manifest]) -> None:
    """Renewed between two tables, which the manifest says of each table; findings across views are still confirmed."""
    manifest = collect(view=1e-6)
    assert manifest.failed() == {}
    assert manifest.skew > 0
    renewed = {label for source in manifest.sources for label in source.views}
    assert {"neutron_ports", "placement_allocations", "nova_instances"} <= renewed
    report = audits.audit(replace(config, nice=Nice(view=1e-6)), settle=0)
    assert report.incomplete == {}
    found = {(finding.check, finding.state) for finding in report.findings}
    assert found == {("port-without-server", State.CONFIRMED), ("allocation-orphan", State.CONFIRMED)}


def test_what_changes_between_two_views_is_no_finding(cloud: Cloud, config: Config) -> None:
    """A server is revived after cells were read, and before ports are: the second look finds both."""
    server = cloud.pick("active")
    (row,) = cloud.rows(server.database, "SELECT id FROM instances WHERE uuid = :u", {"u": server.uuid})
    gone = {"deleted": row["id"], "deleted_at": "2026-01-01 00:00:00", "vm_state": "deleted"}
    cloud.update(server.database, "instances", {"id": row["id"]}, **gone)
    back: list[str] = []

    def progress(what: str, rows: int, expected: int | None) -> None:
        del rows, expected
        if what == "neutron.ports" and not back:
            back.append(what)
            alive = {"deleted": 0, "deleted_at": None, "vm_state": "active"}
            cloud.update(server.database, "instances", {"id": row["id"]}, **alive)

    wanted = ("port-without-server", "allocation-orphan")
    there = audits.audit(config, checks=wanted, settle=0)
    assert any(server.uuid in str(finding.evidence) for finding in there.findings)
    report = audits.audit(replace(config, nice=Nice(view=1e-6)), checks=wanted, settle=0, progress=progress)
    assert back
    assert sorted(finding.check for finding in report.findings) == sorted(wanted)
    assert not any(server.uuid in str(finding.key) + str(finding.evidence) for finding in report.findings)


def test_a_view_that_keeps_too_much_history_is_renewed(
    server: MariaDB, cloud: Cloud, collect: Callable[..., Manifest]
) -> None:
    """Whoever writes meanwhile makes the server keep old rows: the view is given up at the next table."""
    name = cloud.databases["keystone"].rpartition("/")[2]
    server.run("CREATE DATABASE busy; CREATE TABLE busy.counter (n INT); INSERT INTO busy.counter VALUES (0)")
    written: list[str] = []

    def progress(what: str, rows: int, expected: int | None) -> None:
        del rows, expected
        if what == "keystone.project" and not written:
            written.append(what)
            server.run(";".join(["UPDATE busy.counter SET n = n + 1"] * 400))

    try:
        manifest = collect(progress, history=100)
    finally:
        server.run("DROP DATABASE busy")
    assert written
    views = {source.database: set(source.views) for source in manifest.sources}
    assert views["cinder"] == set(), name
    assert "neutron_ports" in views["neutron"]
    assert collect(history=0).sources[0].views == {}
