# SPDX-License-Identifier: Apache-2.0
"""Whole tables are read from a replica, and what it says is believed as far as it is young and of the same cloud."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest

from stackmend.app import audits, plans, runs, snapshots
from stackmend.app.discovery import connect
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.drivers.database.dialects import Address
from stackmend.drivers.database.replicas import ReplicaHosts
from stackmend.drivers.database.urls import parsed
from stackmend.model.audit import Report
from stackmend.model.errors import ConfigError, Exit
from stackmend.model.finding import State
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.cinder import volume_stuck_error_deleting
from stackmend_lab.plants.placement import allocation_orphan

from ..support.planning import plan_for
from ..support.replication import Pair, replicating

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
SCHEMA = json.loads((SCHEMAS / "snapshot.json").read_text())
PREFIX = "copied_"
#: seconds by which a delayed replica is behind
DELAY = 600
READER, PASSWORD = "little", "geheim"


@dataclass(frozen=True, slots=True)
class Copied:
    """A cloud on a primary, its replica, and configurations that read there."""

    cloud: Cloud
    pair: Pair
    folder: Path

    def config(self, *lines: str, account: bool = False) -> Config:
        """With these lines under [replica]; ``account``: one that may read and nothing else."""
        return load(str(self.toml(*lines, account=account)))

    def toml(self, *lines: str, account: bool = False) -> Path:
        """The file."""
        text = self.cloud.toml()
        if account:
            own = parsed(self.cloud.databases["nova_api"])
            text = text.replace(f"{own.username}:{own.password}@", f"{READER}:{PASSWORD}@")
        path = self.folder / "replica.toml"
        path.write_text("\n".join([text, "[replica]", f'host = "{self.pair.place}"', *lines, ""]))
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two servers."""
    with replicating() as both:
        yield both


@pytest.fixture(scope="module")
def original(pair: Pair) -> Iterator[Cloud]:
    """A small cloud that remembers how it was."""
    cloud = build(pair.primary, servers=60, seed=3, prefix=PREFIX)
    cloud.save()
    pair.primary.account(READER, PASSWORD, "SELECT ON *.*")
    yield cloud
    cloud.close()


@pytest.fixture
def copied(original: Cloud, pair: Pair, tmp_path: Path) -> Iterator[Copied]:
    """The cloud, which both servers have; the replica follows without delay."""
    original.renew()
    pair.follow()
    pair.catch_up()
    yield Copied(original, pair, tmp_path)
    original.reset()


def said(report: Report) -> set[tuple[str, State]]:
    """(check, state) of what was found."""
    return {(finding.check, finding.state) for finding in report.findings}


def moment(text: str) -> datetime:
    """A time of a manifest."""
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("account", [False, True], ids=["any", "select-only"])
def test_tables_are_read_from_a_replica(copied: Copied, capsys: pytest.CaptureFixture[str], account: bool) -> None:
    """Its age is in the manifest and in the report, also for an account that may only read tables."""
    server = allocation_orphan.plant(copied.cloud)
    copied.pair.catch_up()
    toml = copied.toml(account=account)

    code = main(["--config", str(toml), "audit", "--check", "allocation-orphan", "--settle", "0", "-f", "json"])
    shown = capsys.readouterr()
    assert code == Exit.FINDINGS
    assert [one["key"] for one in json.loads(shown.out)] == [server]
    assert f" s behind: read from the replica mysql://{READER if account else 'stackmend'}@127.0.0.1:" in shown.err
    assert "as of " in shown.err

    code = main(["--config", str(toml), "snapshot", "create", "--out", str(copied.folder / "snap"), "-f", "json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert code == Exit.CLEAN
    assert {source["replica"].partition("@")[2].partition("/")[0] for source in document["sources"]} == {
        copied.pair.place
    }
    assert all(0 <= source["lag"] < 15 for source in document["sources"])
    assert document["now"] == min(source["as_of"] for source in document["sources"])


def test_a_delayed_replica_is_read_only_if_it_may_be_so_late(copied: Copied) -> None:
    """Ages are counted from the time of its data, and what it shows counts only if the primary shows it too."""
    volume_stuck_error_deleting.plant(copied.cloud)
    planted = allocation_orphan.plant(copied.cloud)
    copied.pair.catch_up()
    copied.pair.follow(delay=DELAY)
    copied.cloud.execute(
        "placement", "DELETE FROM allocations WHERE consumer_id = :uuid", {"uuid": planted["consumer"]}
    )
    copied.cloud.execute("cell:cell1", "UPDATE services SET updated_at = :now", {"now": copied.cloud.ago(0)})
    copied.pair.until_behind(3)

    for account in (False, True):  # the latter sees it by the services' reports alone
        limited = audits.audit(copied.config("max_lag = 2", account=account), checks=["allocation-orphan"], settle=0)
        assert limited.exit == Exit.INCOMPLETE
        assert limited.findings == ()
        (source, *_) = (one for one in limited.manifest.sources if one.database == "placement")
        assert "s behind, more than 2 ([replica] max_lag)" in source.error
        assert copied.pair.place in source.error

    config = copied.config("max_lag = 0")
    _, manifest = snapshots.create(config, into=str(copied.folder / "late"))
    assert not manifest.failed()
    old = {source.lag for source in manifest.sources}
    assert all(lag is not None and lag >= 3 for lag in old)
    assert all((moment(one.start) - moment(manifest.now)).total_seconds() >= 3 for one in manifest.sources)

    # the snapshot shows both, the primary only one
    report = audits.audit(config, checks=["allocation-orphan", "volume-stuck-error-deleting"], settle=0)
    assert said(report) == {("volume-stuck-error-deleting", State.CONFIRMED)}
    assert report.checks["allocation-orphan"].reason == ""


def test_what_a_replica_shows_is_mended_on_the_primary(copied: Copied) -> None:
    """A plan and its run ask and change the primary alone: the replica is late, and read-only."""
    volume_stuck_error_deleting.plant(copied.cloud)
    copied.pair.catch_up()
    copied.pair.follow(delay=DELAY)
    config = copied.config("max_lag = 0")

    plan = plan_for(config, checks=["volume-stuck-error-deleting"], allow_db=True)
    path = str(copied.folder / "plan.json")
    plans.write(config, plan, path)
    result = runs.apply(config, plans.read(config, path).plan, accept=("all",), filed=True)

    assert (result.done, result.stale, result.failed) == (len(plan.actions), 0, 0)
    left = audits.audit(copied.config("max_lag = 0"), checks=["volume-stuck-error-deleting"], settle=0)
    assert left.findings == ()


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        ({"replicate_ignore_db": "mysql,{placement}"}, "placement"),
        ({"replicate_do_db": "mysql,{nova_api}"}, "placement"),
        ({"replicate_ignore_table": "{placement}.traits"}, "placement"),
        ({"replicate_wild_ignore_table": "copied\\_pla%.t%"}, "placement"),
        ({"replicate_wild_do_table": "copied\\_nova%.%"}, "placement"),
        ({"replicate_do_table": "{placement}.allocations"}, "placement"),
        ({"replicate_ignore_db": "mysql,sys", "replicate_wild_do_table": "copied_%.%"}, ""),
        ({"replicate_wild_ignore_table": "mysql.%", "replicate_ignore_table": "other.allocations"}, ""),
    ],
)  # fmt: skip
def test_a_replica_that_leaves_tables_out_is_refused(copied: Copied, rules: dict[str, str], lacking: str) -> None:
    """It has all transactions, and old rows of what it left out; rules about other schemas do not matter."""
    names = {name: parsed(url).database for name, url in copied.cloud.databases.items() if ":" not in name}
    with copied.pair.leaving_out(**{name: text.format(**names) for name, text in rules.items()}):
        report = audits.audit(copied.config(account=True), checks=["allocation-orphan"], settle=0)

    errors = {source.database: source.error for source in report.manifest.sources}
    if lacking:
        assert report.exit == Exit.INCOMPLETE
        assert "its replication leaves tables of it out (replicate_" in errors[lacking]
    else:
        assert (report.exit, set(errors.values())) == (Exit.CLEAN, {""})


def test_services_that_report_on_the_primary_alone_are_seen(copied: Copied) -> None:
    """The primary need not write everything to its log: then the replica has all of its transactions, and is late."""
    cell = parsed(copied.cloud.databases["cell:cell1"]).database
    later = f"UPDATE {cell}.services SET updated_at = UTC_TIMESTAMP() + INTERVAL 1 HOUR LIMIT 1"
    copied.pair.primary.run(f"SET SESSION sql_log_bin = 0; {later}")

    limited = audits.audit(copied.config(account=True), checks=["allocation-orphan"], settle=0)

    assert limited.exit == Exit.INCOMPLETE
    (error,) = (source.error for source in limited.manifest.sources if source.database == "cell:cell1")
    assert "s behind, more than 60 ([replica] max_lag)" in error


def test_config_check_asks_for_the_account_of_the_replica(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    """What it lacks is named, with the statement; the primary's account, which may do everything, lacks nothing."""
    cinder = parsed(copied.cloud.databases["cinder"]).database
    copied.pair.replica.account("half", PASSWORD, "REFERENCES ON *.*")
    copied.pair.replica.run(f"GRANT SELECT ON {cinder}.* TO half@127.0.0.1")
    toml = copied.toml('username = "half"', f'password = "{PASSWORD}"')

    code = main(["--config", str(toml), "config", "check", "-f", "json"])

    lacks = json.loads(capsys.readouterr().out)
    jsonschema.validate(lacks, json.loads((SCHEMAS / "grants.json").read_text()))
    assert code == Exit.INCOMPLETE
    assert {one["role"] for one in lacks} == {"reader of the replica"}
    assert {one["server"] for one in lacks} == {f"127.0.0.1:{parsed(copied.cloud.databases['cinder']).port}"}
    assert {"placement", "neutron", "cell:cell1"} <= {one["database"] for one in lacks}
    assert "cinder" not in {one["database"] for one in lacks}
    assert all(" TO 'half'@'127.0.0.1';" in one["statement"] for one in lacks)


def misnamed(copied: Copied) -> Config:
    """The replica stands under [databases], as if it were the primary; the cells are where nova_api says."""
    text = copied.cloud.toml()
    port = parsed(copied.cloud.databases["nova_api"]).port
    path = copied.folder / "misnamed.toml"
    path.write_text(text.replace(f":{port}/", f":{copied.pair.replica.port}/"))
    path.chmod(0o600)
    return load(str(path))


def errors_of(report: Report) -> dict[str, str]:
    """Database -> what is wrong with it."""
    return {source.database: source.error for source in report.manifest.sources if source.error}


def test_a_late_replica_that_is_named_as_the_primary_is_not_believed(copied: Copied) -> None:
    """What it lacks was made since; without this everything of the last minutes would be called an orphan."""
    copied.pair.follow(delay=DELAY)
    cell = parsed(copied.cloud.databases["cell:cell1"]).database
    copied.pair.primary.run(f"SET TIMESTAMP = UNIX_TIMESTAMP() - 300; UPDATE {cell}.services SET report_count = 7")
    copied.pair.until_behind(200)
    report = audits.audit(misnamed(copied), checks=["allocation-orphan"], settle=0)
    assert report.exit == Exit.INCOMPLETE
    assert re.search(r"is a replica that is \d+ s behind its primary$", errors_of(report)["placement"])


def test_a_stopped_replica_that_is_named_as_the_primary_is_not_believed(copied: Copied) -> None:
    """No service reports to it."""
    copied.pair.stop()
    for database, table, column in (
        ("neutron", "agents", "heartbeat_timestamp"), ("cinder", "services", "updated_at"),
        ("cell:cell0", "services", "updated_at"), ("cell:cell1", "services", "updated_at"),
        ("cell:cell2", "services", "updated_at"),
    ):  # fmt: skip
        name = parsed(copied.cloud.databases[database]).database
        copied.pair.replica.run(f"UPDATE {name}.{table} SET {column} = UTC_TIMESTAMP() - INTERVAL 5 MINUTE")
    report = audits.audit(misnamed(copied), checks=["volume-stuck-error-deleting"], settle=0)
    assert report.exit == Exit.INCOMPLETE
    assert "is a replica whose replication has stopped, and its newest heartbeat is of " in errors_of(report)["cinder"]


def test_a_primary_that_was_a_replica_is_believed(copied: Copied) -> None:
    """It took over, and nobody reset its replication: services report to it, so it is the one that is true."""
    volume_stuck_error_deleting.plant(copied.cloud)
    copied.pair.catch_up()
    copied.pair.stop()
    name = parsed(copied.cloud.databases["cinder"]).database
    copied.pair.replica.run(f"UPDATE {name}.services SET updated_at = UTC_TIMESTAMP()")
    report = audits.audit(misnamed(copied), checks=["volume-stuck-error-deleting"], settle=0)
    assert errors_of(report) == {}
    assert said(report) == {("volume-stuck-error-deleting", State.CONFIRMED)}


def test_a_stopped_replica_is_never_read(copied: Copied, capsys: pytest.CaptureFixture[str]) -> None:
    """However old its data may be allowed to be: nobody knows how old they are."""
    copied.pair.stop()
    toml = copied.toml("max_lag = 0")

    code = main(["--config", str(toml), "audit", "--check", "allocation-orphan", "--settle", "0"])

    shown = capsys.readouterr()
    assert code == Exit.INCOMPLETE
    assert f"@{copied.pair.place}/" in shown.err
    assert "is not read: its replication has stopped" in " ".join(shown.err.split())


def test_a_replica_that_does_not_answer_is_incomplete(copied: Copied, mariadb: MariaDB) -> None:
    """The primary is not read in its place: whoever names a replica wants it spared."""
    toml = copied.toml()
    toml.write_text(toml.read_text().replace(f'host = "{copied.pair.place}"', 'host = "127.0.0.1:1"'))
    report = audits.audit(load(str(toml)), checks=["allocation-orphan"], settle=0)
    assert report.exit == Exit.INCOMPLETE
    assert all("127.0.0.1:1/" in source.error for source in report.manifest.sources)


def test_a_primary_that_is_silent_is_tried_once(copied: Copied) -> None:
    """Not for each of the databases that have to be compared with it."""
    checks = ["allocation-orphan", "volume-stuck-error-deleting", "port-without-server"]
    port = f":{parsed(copied.cloud.databases['nova_api']).port}/"
    toml = copied.toml()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        toml.write_text(toml.read_text().replace(port, f":{mute.getsockname()[1]}/"))
        config = replace(load(str(toml)), database_timeout=1.0)
        report = audits.audit(config, checks=checks, settle=0, use_api=False)
        mute.setblocking(False)
        tried = 0
        with suppress(BlockingIOError):
            while True:
                mute.accept()[0].close()
                tried += 1

    errors = {source.database: source.error for source in report.manifest.sources}
    assert report.exit == Exit.INCOMPLETE
    for name in ("cinder", "neutron", "placement"):
        assert "cannot be compared with its primary: mysql://" in errors[name]
        assert errors[name].endswith(" cannot be read: no answer for 1 s")
    assert tried == 2  # for the cells, and for the first of these


def _another(copied: Copied, elsewhere: MariaDB) -> None:
    """A cloud of the same release with databases of the same names, built separately."""
    build(elsewhere, servers=60, seed=11, prefix=PREFIX).close()


def _half(copied: Copied, elsewhere: MariaDB) -> None:
    """The same cloud once, which then went its own way: a staging environment made of a dump."""
    cloud = build(elsewhere, servers=60, seed=3, prefix=PREFIX)
    for number in range(3):
        values = {"vcpus": 1, "memory_mb": 1, "deleted": 0}
        uuid = f"0000000{number}-1111-4000-8000-000000000000"
        copied.cloud.insert("cell:cell1", "instances", uuid=uuid, **values)
        cloud.insert("cell:cell1", "instances", uuid=uuid.replace("1111", "2222"), **values)
    cloud.close()


def _empty(copied: Copied, elsewhere: MariaDB) -> None:
    """Schemas, and no rows of a cloud."""
    cloud = build(elsewhere, servers=1, seed=3, prefix=PREFIX)
    for database, table in (("nova_api", "instance_mappings"), ("cell:cell1", "instances")):
        cloud.execute(
            database, f"DELETE FROM {table}" if database == "nova_api" else f"UPDATE {table} SET id = id + 900"
        )
    cloud.close()


def _revision(copied: Copied, elsewhere: MariaDB) -> None:
    """A copy whose migrations have gone on."""
    cloud = build(elsewhere, servers=60, seed=3, prefix=PREFIX)
    cloud.execute("cell:cell1", "UPDATE alembic_version SET version_num = 'd60bddf7a903'")
    cloud.execute("nova_api", "UPDATE alembic_version SET version_num = 'b30f573d3377'")
    cloud.close()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (_another, "rows of instances are others, for example id "),
        (_half, "3 of "),
        (_empty, "it has no instance_mappings"),
        (_revision, "their schemas differ (revision "),
    ],
)  # fmt: skip
def test_another_cloud_is_no_replica(
    copied: Copied, mariadb: MariaDB, other: Callable[[Copied, MariaDB], None], reason: str
) -> None:
    """A server that has databases of these names, but not these databases, is refused, with what gave it away."""
    other(copied, mariadb)
    toml = copied.toml("max_lag = 0")
    account = parsed(mariadb.url("x"))
    there = [f'username = "{account.username}"', f'password = "{account.password}"']
    text = toml.read_text().replace(f'host = "{copied.pair.place}"', f'host = "127.0.0.1:{mariadb.port}"')
    toml.write_text("\n".join([text, *there, ""]))
    try:
        report = audits.audit(load(str(toml)), checks=["allocation-orphan"], settle=0)
    finally:
        for name in copied.cloud.databases.values():
            mariadb.run(f"DROP DATABASE IF EXISTS `{parsed(name).database}`")

    assert report.exit == Exit.INCOMPLETE
    assert report.findings == ()
    errors = {source.database: source.error for source in report.manifest.sources if source.error}
    assert any(reason in error and "is no replica of mysql://" in error for error in errors.values()), errors


def test_a_read_only_server_as_the_primary_is_said(copied: Copied) -> None:
    """Whoever names a replica under [databases] can audit there; what would be changed is refused, and nothing is."""
    volume_stuck_error_deleting.plant(copied.cloud)
    copied.pair.primary.account("mender", PASSWORD, "SELECT, INSERT, UPDATE, DELETE ON *.*")
    copied.pair.catch_up()
    port = f":{parsed(copied.cloud.databases['nova_api']).port}/"
    text = copied.cloud.toml().replace(port, f":{copied.pair.replica.port}/")
    path = copied.folder / "wrong.toml"
    path.write_text(f'{text}\n[writer]\nusername = "mender"\npassword = "{PASSWORD}"\n')
    config = load(str(path))
    plan = plan_for(config, checks=["volume-stuck-error-deleting"], allow_db=True)
    before = copied.cloud.dump()

    result = runs.apply(config, plan, accept=("all",))

    assert (result.done, result.failed, result.exit) == (0, 1, Exit.STOPPED)
    assert "running with the --read-only option" in result.notes[0]
    assert f":{copied.pair.replica.port}/" in result.notes[0]
    assert copied.cloud.dump() == before


def test_hosts_are_mapped_one_by_one() -> None:
    """By host, by host and port, with an account of its own; a name that fits nothing is an error."""
    addresses = {
        "nova_api": Address("mysql", "nova_api", "db1", username="r", password="s", options={"ssl_ca": "/ca"}),
        "neutron": Address("mysql", "neutron", "db1", 3307, options={"unix_socket": "/run/db.sock"}),
        "cinder": Address("mysql", "cinder", "db2"),
        "glance": Address("sqlite", "/glance.db"),
    }
    hosts = ReplicaHosts(hosts={"db1": "copy1", "DB1:3307": "[fd00::1]:3310"}, username="reader", password="x")
    found = hosts.of(addresses)
    assert {name: (one.host, one.port) for name, one in found.items()} == {
        "nova_api": ("copy1", 3306), "neutron": ("fd00::1", 3310),
    }  # fmt: skip
    assert found["nova_api"].username == "reader"
    assert found["nova_api"].options == {"ssl_ca": "/ca"}
    assert "unix_socket" not in found["neutron"].options

    every = ReplicaHosts(host="copy", hosts={"db2": "copy2:4000"}).of(addresses)
    assert {name: (one.host, one.port) for name, one in every.items()} == {
        "nova_api": ("copy", 3306), "neutron": ("copy", 3307), "cinder": ("copy2", 4000),
    }  # fmt: skip
    assert every["nova_api"].username == "r"

    for wrong in (
        ReplicaHosts(hosts={"db9": "copy"}),
        ReplicaHosts(host="a host"),
        ReplicaHosts(host="copy:x"),
        ReplicaHosts(hosts={"db1": "mysql://copy"}),
    ):
        with pytest.raises(ConfigError):
            wrong.of(addresses)
    with pytest.raises(ConfigError, match="no database is on a server"):
        ReplicaHosts(host="copy").of({"glance": addresses["glance"]})
    addresses["placement"] = Address("postgresql", "placement", "db3", 5432, username="r", password="geheim")
    assert set(ReplicaHosts(hosts={"db2": "copy2"}).of(addresses)) == {"cinder"}
    for refused in (ReplicaHosts(host="copy"), ReplicaHosts(hosts={"db3": "copy3"})):
        with pytest.raises(
            ConfigError, match=r"a replica of postgresql://.*db3.*only those of MariaDB and MySQL"
        ) as why:
            refused.of(addresses)
        assert "geheim" not in str(why.value)


def test_the_replica_of_an_unknown_cell_is_no_error(tmp_path: Path) -> None:
    """While nova_api does not answer, nobody knows the cells: what is left works as if no replica were named there."""
    url = "mysql+pymysql://reader:geheim@127.0.0.1"
    databases = {"nova_api": Address.from_url(f"{url}:1/nova_api"), "neutron": Address.from_url(f"{url}:3307/neutron")}
    replica = ReplicaHosts(hosts={"db-cell1": "db-cell1-replica", "127.0.0.1:3307": "neutron-replica"})

    known = connect(Config(databases=databases, replica=replica, state=tmp_path))

    assert {name: one.host for name, one in known.replicas.items()} == {"neutron": "neutron-replica"}
    assert "127.0.0.1:1" in known.errors["nova_api"]
    assert not known.cells_known
