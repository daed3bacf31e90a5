# SPDX-License-Identifier: Apache-2.0
"""Dumps that mariadb-dump makes of a cloud on a real server: the snapshot is the one of the databases themselves."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from stackmend.app.audits import audit
from stackmend.app.discovery import connect
from stackmend.app.offline import bundles
from stackmend.app.snapshots import asked
from stackmend.cli.shell import main
from stackmend.config.settings import Config, load
from stackmend.drivers.snapshot.collector import DatabaseCollector
from stackmend.drivers.snapshot.shape import labels
from stackmend.engine.auditing import catalogue
from stackmend.model.audit import CheckOutcome, Report
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend.model.finding import State
from stackmend_lab.cloud import build
from stackmend_lab.cloud.nova import SECRET
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.rehearsal import plant

PROGRAM = shutil.which("mariadb-dump") or shutil.which("mysqldump")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no mariadb-dump is installed")

#: (check, fingerprint) of findings
Marks = set[tuple[str, str]]
PREFIX = "dumped_"
REQUEST = "req-2b8d5b1c-9c0e-4f3e-8a55-0d6f6f0f7a11"
#: what a text may hold that a dump has to escape
NASTY = "it's \\ \"quoted\" `so`;\n-- no comment, NULL, 0x41\r\t\x1a é 漢 🙂 %_ (1,'2'),(3);"
DAMAGE = (
    "allocation-orphan", "connection-info-stale", "port-without-server", "volume-in-use-server-gone",
    "volume-stuck-detaching",
)  # fmt: skip
#: the checks that the slower tests run: those, and what a lost table would make of healthy rows
CHECKS = (*DAMAGE, "server-on-nonexistent-host", "instance-mapping-without-server")


def quiet(what: str, rows: int, expected: int | None) -> None:
    """Progress that is not displayed."""


class Dumper:
    """A cloud on a server, with what is hard to dump, and a snapshot of it."""

    def __init__(self, server: MariaDB, folder: Path) -> None:
        self.mariadb, self.folder = server, folder
        self.cloud = build(server, servers=60, seed=11, prefix=PREFIX)
        self._nasty()
        plant(self.cloud, DAMAGE)
        self.config_file = folder / "cloud.toml"
        self.config_file.write_text(self.cloud.toml(), encoding="utf-8")
        self.config = load(str(self.config_file))
        found = connect(self.config)
        self.schemas = {name: address.database for name, address in found.addresses.items()}
        collector = DatabaseCollector(found.addresses, found.errors, cells_known=found.cells_known)
        self.manifest = collector.collect(labels(), folder / "live", quiet)
        self.live = contents(folder / "live")

    def _nasty(self) -> None:
        cloud = self.cloud
        ports = [row["id"] for row in cloud.rows("neutron", "SELECT id FROM ports ORDER BY id")]
        for port, text in zip(ports, (NASTY, "", "\\", "'", "\\'", "''", "a\\\\"), strict=False):
            cloud.update("neutron", "ports", {"id": port}, name=text, device_owner=text)
        (server,) = cloud.rows("cell:cell1", "SELECT uuid FROM instances WHERE deleted = 0 LIMIT 1")
        cloud.update(
            "cell:cell1",
            "instances",
            {"uuid": server["uuid"]},
            display_name=NASTY.replace("🙂", ""),
            user_data="c2VjcmV0",
        )
        (cache,) = cloud.rows("cell:cell1", "SELECT id, network_info AS i FROM instance_info_caches LIMIT 1")
        document = [*json.loads(cache["i"] or "[]"), {"id": "x", "network": {"label": NASTY}}]
        cloud.update("cell:cell1", "instance_info_caches", {"id": cache["id"]}, network_info=json.dumps(document))
        queue = "rabbit://other:S3cretQueue@mq:5672/cell1"
        cloud.update("nova_api", "cell_mappings", {"name": "cell2"}, transport_url=queue)
        self._failed()

    def _failed(self) -> None:
        """A server whose build failed on one host and went well on another."""
        server, when = self.cloud.pick("active"), "2026-11-29 12:00:00"
        self.server, database = server.uuid, server.database
        self.cloud.update(database, "instances", {"uuid": server.uuid}, display_name="often-built")
        self.cloud.insert(
            database, "instance_actions", instance_uuid=server.uuid, action="create", request_id=REQUEST,
            start_time=when, created_at=when, deleted=0,
        )  # fmt: skip
        (action,) = self.cloud.rows(database, f"SELECT id FROM instance_actions WHERE request_id = '{REQUEST}'")
        for host, result in (("c-other", "Error"), (server.host, "Success")):
            self.cloud.insert(
                database, "instance_actions_events", action_id=action["id"], event="compute__do_build_and_run_instance",
                host=host, result=result, start_time=when, finish_time="2026-11-29 12:00:05", deleted=0,
                traceback="Traceback\npassword=S3cret" if result == "Error" else None,
            )  # fmt: skip
        self.cloud.insert(
            database, "instance_faults", instance_uuid=server.uuid, code=500, message="Build failed", host="c-other",
            details="nova.exception.RescheduledException: Build of instance was re-scheduled: no", created_at=when,
            deleted=0,
        )  # fmt: skip

    def dump(self, *options: str, databases: tuple[str, ...] = ()) -> bytes:
        """What the program writes."""
        names = databases or tuple(self.schemas.values())
        words = [str(PROGRAM), "--no-defaults", f"--socket={self.mariadb.socket}", "--user=root",
                 "--single-transaction", *options]  # fmt: skip
        many = () if "--all-databases" in options or len(names) == 1 else ("--databases",)
        which = () if "--all-databases" in options else names
        return subprocess.run([*words, *many, *which], check=True, capture_output=True).stdout


def contents(folder: Path) -> dict[str, list[str]]:
    """Label -> its rows in a snapshot, in an order of their own."""
    found = {}
    for label in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        rows = [
            row for file in sorted((folder / label).glob("*.parquet")) for row in parquet.read_table(file).to_pylist()
        ]
        found[label] = sorted(repr(row) for row in rows)
    return found


@pytest.fixture(scope="module")
def dumper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dumper]:
    """The cloud, on a server without the databases of other tests: some dumps are of all that a server has."""
    with MariaDB(settings={"innodb_stats_persistent": "0"}) as server:
        found = Dumper(server, tmp_path_factory.mktemp("dumped"))
        yield found
        found.cloud.close()


@pytest.fixture(scope="module")
def whole(dumper: Dumper) -> bytes:
    """All databases of the cloud in one dump."""
    return dumper.dump()


def audited(*paths: Path, checks: tuple[str, ...] = CHECKS) -> Report:
    """The audit of a bundle."""
    with bundles.opened(Config(), [str(path) for path in paths]) as bundle:
        return audit(bundle.config, bundle=bundle, checks=checks)


def marks(report: Report) -> Marks:
    """(check, fingerprint) of what was found."""
    return {(one.check, one.fingerprint) for one in report.findings}


@pytest.fixture(scope="module")
def expected(whole: bytes, tmp_path_factory: pytest.TempPathFactory) -> Marks:
    """What is found in the whole dump."""
    path = tmp_path_factory.mktemp("expected") / "all.sql"
    path.write_bytes(whole)
    return marks(audited(path))


def told(path: Path) -> tuple[Marks, str, Exit]:
    """(what was found, the errors of its sources, exit code) of a bundle that may have nothing that can be read."""
    try:
        report = audited(path)
    except SourceError as problem:
        return set(), problem.message, problem.exit_code
    return marks(report), " ".join(source.error for source in report.manifest.sources), report.exit


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--hex-blob",),
        ("--skip-extended-insert", "--complete-insert"),
        ("--all-databases",),
        ("--skip-opt",),
        ("--compatible=ansi", "--default-character-set=utf8mb4"),
        ("--skip-comments", "--replace"),
        ("--insert-ignore", "--order-by-primary", "--tz-utc", "--routines", "--triggers", "--events"),
        ("--net-buffer-length=4096", "--skip-dump-date", "--add-drop-database"),
    ],
    ids=" ".join,
)
def test_a_dump_is_the_same_snapshot(dumper: Dumper, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Every row and every value is as the collector reads it from the server, whatever the dump's form."""
    (tmp_path / "all.sql").write_bytes(dumper.dump(*options))
    with bundles.opened(Config(), [str(tmp_path)]) as bundle:
        manifest = bundle.collect(labels(), tmp_path / "snap")
    assert manifest.failed() == {}
    assert {s.database: dict(s.rows) for s in manifest.sources} == {
        s.database: dict(s.rows) for s in dumper.manifest.sources
    }
    read, dumped = ({s.database: (s.revision, s.releases) for s in m.sources} for m in (manifest, dumper.manifest))
    assert read == dumped
    assert contents(tmp_path / "snap") == dumper.live
    assert any("no comment" in row for row in dumper.live["neutron_ports"])


def test_a_bundle_has_the_findings_of_the_cloud(dumper: Dumper, whole: bytes, tmp_path: Path) -> None:
    """The same as a snapshot of the databases, none confirmed; the planted damage is among them."""
    (tmp_path / "all.sql").write_bytes(whole)
    live = asked(catalogue.checks(), dumper.folder / "live", dumper.manifest, dumper.config)
    found = audited(tmp_path / "all.sql", checks=())
    assert found.checks.keys() >= live.results.keys()
    assert {n for n, r in found.checks.items() if r.outcome is not CheckOutcome.OK} == {
        n for n, r in live.results.items() if r.outcome is not CheckOutcome.OK
    }
    assert set(DAMAGE) <= {one.check for one in found.findings}
    assert {one.state for one in found.findings} == {State.CANDIDATE}
    assert found.exit is Exit.FINDINGS


def _each(dumper: Dumper, folder: Path) -> None:
    """One file a database, packed in different ways, and a folder within an archive."""
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress,
        "zst": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    }  # fmt: skip
    for number, (name, schema) in enumerate(dumper.schemas.items()):
        suffix = list(pack)[number % len(pack)]
        data = pack[suffix](dumper.dump(databases=(schema,)))
        (folder / f"{name.replace(':', '-')}.sql.{suffix}").write_bytes(data)


def test_one_file_for_each_database(dumper: Dumper, tmp_path: Path, expected: Marks) -> None:
    """Packed in four ways, in a folder or in archives: the findings are those of one dump."""
    each = tmp_path / "sosreport-c01"
    each.mkdir()
    _each(dumper, each)
    assert marks(audited(each)) == expected
    for mode in ("gz", "xz"):
        with tarfile.open(tmp_path / f"case.tar.{mode}", f"w:{mode}") as archive:
            archive.add(each, "sosreport-c01/sos_commands/mysql")
        report = audited(tmp_path / f"case.tar.{mode}")
        assert (marks(report), report.exit) == (expected, Exit.FINDINGS)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_dump_that_was_cut_off_has_no_orphans(whole: bytes, tmp_path: Path, share: float, expected: Marks) -> None:
    """Wherever it ends: what is found is found in the whole dump too, and the rest is incomplete."""
    (tmp_path / "cut.sql").write_bytes(whole[: int(len(whole) * share)])
    found, errors, code = told(tmp_path / "cut.sql")
    assert found <= expected
    assert code is Exit.INCOMPLETE
    assert "not whole" in errors


def _without(dump: bytes, line: bytes) -> bytes:
    """A dump without the first line that begins so."""
    at = dump.index(b"\n" + line)
    return dump[:at] + dump[dump.index(b"\n", at + 1) :]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (
            lambda dump: dump.replace(b"INSERT INTO `ports` VALUES\n(", b"INSERT INTO `ports` VALUES\n((", 1),
            "a row of table ports",
        ),
        (lambda dump: dump.replace(b"-- Dump completed", b"-- Dump com").replace(b"@OLD_", b"@"), "its end is missing"),
        (lambda dump: dump + dump, "several dumps look like it"),
        (lambda dump: dump.replace(b"SET NAMES utf8mb4", b"SET NAMES latin1"), "character set latin1"),
        (lambda dump: _without(dump, b"CREATE TABLE `instances`"), "is not whole"),
    ],
    ids=["a row", "no end", "twice", "latin1", "no table"],
)
def test_damage_is_told(
    whole: bytes, tmp_path: Path, spoil: Callable[[bytes], bytes], why: str, expected: Marks
) -> None:
    """No damage is passed over: the database in which it is met is incomplete, and says why."""
    (tmp_path / "bad.sql").write_bytes(spoil(whole))
    found, errors, code = told(tmp_path / "bad.sql")
    assert why in errors
    assert found <= expected
    assert code is Exit.INCOMPLETE


def test_a_cell_that_is_not_in_it(dumper: Dumper, tmp_path: Path) -> None:
    """A cell without a dump makes what needs every cell incomplete; nobody else is accused."""
    names = tuple(schema for name, schema in dumper.schemas.items() if name != "cell:cell2")
    (tmp_path / "some.sql").write_bytes(dumper.dump(databases=names))
    report = audited(tmp_path / "some.sql")
    errors = {source.database: source.error for source in report.manifest.sources if source.error}
    assert errors == {"cell:cell2": f"no dump of its database {PREFIX}nova_cell2 is in it"}
    assert report.checks["port-without-server"].outcome is CheckOutcome.INCOMPLETE
    assert report.exit is Exit.INCOMPLETE


def test_secrets_are_in_none_of_its_files(whole: bytes, tmp_path: Path) -> None:
    """What is kept of a dump has neither passwords of accounts nor user data, nor what no check reads."""
    (tmp_path / "all.sql").write_bytes(whole)
    assert b"c2VjcmV0" in whole
    assert b"mysql+pymysql://" in whole
    secrets = (b"S3cretQueue", SECRET.encode())
    assert [secret in whole for secret in secrets] == [True, True]
    with bundles.opened(Config(), [str(tmp_path / "all.sql")], histories_too=True) as bundle:
        kept = b"".join(Path(one.database).read_bytes() for one in
                        (*bundle.config.databases.values(), *bundle.config.cells.values()))  # fmt: skip
        with sqlite3.connect(bundle.config.cells["cell1"].database) as connection:
            columns = {row[1] for row in connection.execute("PRAGMA table_info(instances)")}
    assert b"c2VjcmV0" not in kept
    assert b"mysql+pymysql" not in kept
    assert [secret in kept for secret in secrets] == [False, False]
    assert {"user_data", "key_data", "reservation_id"} & columns == set()
    assert {"uuid", "display_name", "vm_state"} <= columns


def test_ages_are_counted_from_when_it_was_made(dumper: Dumper, whole: bytes, tmp_path: Path) -> None:
    """Not from today, and whatever the zone of who made it: the services' heartbeats are in UTC."""
    (tmp_path / "all.sql").write_bytes(whole)
    moments = []
    for zone in (b"2026-01-05 12:00:00", b"2026-01-05 23:15:07", b"2026-01-04  9:30:01"):
        at = whole.index(b"-- Dump completed on ")
        (tmp_path / "all.sql").write_bytes(whole[:at] + b"-- Dump completed on " + zone + b"\n")
        with bundles.opened(Config(), [str(tmp_path / "all.sql")]) as bundle:
            moments.append(bundle.now)
            assert bundle.skew == 0
    beats = [row["at"] for name in ("cell:cell1", "cell:cell2")
             for row in dumper.cloud.rows(name, "SELECT MAX(last_seen_up) AS at FROM services")]  # fmt: skip
    beats += [row["at"] for row in dumper.cloud.rows("neutron", "SELECT MAX(heartbeat_timestamp) AS at FROM agents")]
    assert [abs((_at(one) - max(_at(str(beat)) for beat in beats)).total_seconds()) <= 450 for one in moments] == [
        True, True, True,
    ]  # fmt: skip


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text[:19])


def test_what_is_no_dump_is_an_error(tmp_path: Path) -> None:
    """A bundle of logs alone cannot be audited, a path that is not there is a typing error."""
    (tmp_path / "nova-compute.log").write_text("2026-11-29 12:00:00.000 7 INFO nova.compute.claims [-] Claim\n")
    with pytest.raises(UsageError, match="there is no dump of a service's database"):
        audited(tmp_path)
    with pytest.raises(UsageError, match="there is no bundle"):
        audited(tmp_path / "absent")


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on a machine without a cloud; returns exit code, output and messages."""
    for name in ("STACKMEND_CONFIG", "STACKMEND_LAYOUT", "OS_CLOUD"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("STACKMEND_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("STACKMEND_STATE", str(tmp_path / "state"))

    def run(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_commands_work_without_a_cloud(dumper: Dumper, whole: bytes, tmp_path: Path, typed: Any) -> None:
    """audit by name of an object, snapshot and diagnose; it says that nothing can be repaired; no history is left."""
    bundle = tmp_path / "all.sql.gz"
    bundle.write_bytes(gzip.compress(whole))
    code, out, err = typed("audit", "--bundle", bundle, *(w for c in DAMAGE for w in ("--check", c)), "-f", "json")
    assert code == Exit.FINDINGS
    assert {one["check"] for one in json.loads(out)} == set(DAMAGE)
    assert "a bundle cannot be repaired" in err
    assert "nothing was confirmed" in err
    assert not (tmp_path / "state" / "journal.db").exists()
    code, _, err = typed("audit", "--bundle", bundle, "--server", "often-built", "--check", "port-without-server")
    assert (code, f"often-built is {dumper.server}" in err) == (Exit.CLEAN, True)
    code, out, err = typed("diagnose", "server", "often-built", "--bundle", bundle, "-f", "json")
    found = json.loads(out)
    assert (code, found["id"]) == (Exit.FINDINGS, dumper.server)
    assert [cause["cause"] for cause in found["causes"]] == ["build-rescheduled"]
    assert "S3cret" not in out
    code, _, _ = typed("snapshot", "create", "--bundle", bundle, "--out", tmp_path / "snap")
    assert code == Exit.CLEAN
    assert contents(tmp_path / "snap") == dumper.live
