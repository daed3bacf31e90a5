# SPDX-License-Identifier: Apache-2.0
"""Whole tables into a snapshot, or a few rows anew: the same rows, from one view, and never half a table."""

from __future__ import annotations

import cProfile
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from stackmend.app.discovery import connect
from stackmend.config.settings import load
from stackmend.drivers.database.dialects import Address
from stackmend.drivers.database.rows import Connections
from stackmend.drivers.snapshot.collector import DatabaseCollector, read_manifest
from stackmend.drivers.snapshot.query import DuckQuery, open_snapshot
from stackmend.drivers.snapshot.selects import select
from stackmend.drivers.snapshot.shape import labels, schema
from stackmend.engine.auditing import catalogue
from stackmend.engine.auditing.ask import standing
from stackmend.model.errors import SourceError
from stackmend.model.snapshot import UNREADABLE, Manifest
from stackmend.tables import ColumnType, secrets, tables
from stackmend_lab import schemas
from stackmend_lab.cloud import Cloud
from stackmend_lab.mariadb import MariaDB

from ...support.small_clouds import kept

PORTS = 30_000
WIDE = "x" * 250


def quiet(what: str, rows: int, expected: int | None) -> None:
    """Progress that is not displayed."""


def collected(folder: Path, label: str) -> list[dict[str, Any]]:
    """The rows of a table in a snapshot."""
    files = sorted((folder / label).glob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


# -- a whole cloud


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A small cloud in SQLite files."""
    with kept(tmp_path_factory.mktemp("collector") / "cloud", servers=60, seed=6) as cloud:
        yield cloud


@pytest.fixture
def cloud(built: Cloud) -> Cloud:
    """The cloud as it was built."""
    built.restore()
    return built


@pytest.fixture
def collector(cloud: Cloud, tmp_path: Path) -> DatabaseCollector:
    """A collector for it."""
    (tmp_path / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
    databases = connect(load(str(tmp_path / "cloud.toml")))
    return DatabaseCollector(databases.addresses, databases.errors, cells_known=databases.cells_known)


def test_an_interruption_waits_for_the_thread_that_reads(cloud: Cloud, tmp_path: Path) -> None:
    """It writes nothing once ``collect`` has ended, or it would re-create the folder that the caller removes."""
    (tmp_path / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
    addresses = connect(load(str(tmp_path / "cloud.toml"))).addresses
    collector = DatabaseCollector({"neutron": addresses["neutron"]}, {}, cells_known=True)
    ended: list[bool] = []

    def interrupt(what: str, rows: int, expected: int | None) -> None:
        if not ended:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # the main thread has been interrupted by now
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        collector.collect(labels(), tmp_path / "snap", interrupt)
    assert ended == [True]


def test_a_snapshot_holds_every_row(cloud: Cloud, collector: DatabaseCollector, tmp_path: Path) -> None:
    """What is in the files is counted in the manifest, and is as many rows as the databases have."""
    manifest = collector.collect(labels(), tmp_path / "snap", quiet)
    assert manifest.failed() == {}
    assert read_manifest(tmp_path / "snap") == manifest
    counted: dict[str, int] = {}
    for source in manifest.sources:
        for label, rows in source.rows.items():
            counted[label] = counted.get(label, 0) + rows
            (table, *others) = tables()[label]
            if not others and not table.where and not table.join:
                sql = f'SELECT COUNT(*) AS n FROM "{table.name}"'
                assert (label, rows) == (label, cloud.rows(source.database, sql)[0]["n"])
    assert {label: len(collected(tmp_path / "snap", label)) for label in counted} == counted
    assert counted["nova_instances"] >= 60


def test_vifs_are_those_of_the_documents(cloud: Cloud, collector: DatabaseCollector, tmp_path: Path) -> None:
    """Each document has its length and checksum, and its VIFs are rows that name the server and the cache."""
    collector.collect(["nova_vifs", "nova_instance_info_caches"], tmp_path / "snap", quiet)
    expected = {}
    documents = {}
    for cell in ("cell0", "cell1", "cell2"):
        for row in cloud.rows(f"cell:{cell}", "SELECT id, instance_uuid, network_info FROM instance_info_caches"):
            text = row["network_info"]
            documents[cell, row["id"]] = None if text is None else (len(text.encode()), zlib.crc32(text.encode()))
            for n, vif in enumerate(json.loads(text or "[]")):
                expected[cell, row["id"], n] = (row["instance_uuid"], vif["id"], vif["preserve_on_delete"])
    found = collected(tmp_path / "snap", "nova_vifs")
    assert {
        (v["cell"], v["cache_id"], v["position"]): (v["instance_uuid"], v["port_id"], v["preserve_on_delete"])
        for v in found
    } == expected
    caches = collected(tmp_path / "snap", "nova_instance_info_caches")
    assert {
        (c["cell"], c["id"]): None if c["length"] is None else (c["length"], c["crc32"]) for c in caches
    } == documents
    assert len(found) > 40


def test_no_secret_is_collected(cloud: Cloud, collector: DatabaseCollector, tmp_path: Path) -> None:
    """Columns marked as secret are in no file, nor are the passwords of cell_mappings."""
    cloud.update("nova_api", "cell_mappings", {"name": "cell1"}, transport_url="rabbit://u:Xyzzy-plugh-42@mq/")
    collector.collect(labels(), tmp_path / "snap", quiet)
    held = {
        (t.service, t.name, name)
        for label, parts in tables().items()
        for t in parts
        for file in (tmp_path / "snap" / label).glob("*.parquet")
        for name in parquet.read_schema(file).names
    }
    assert held & secrets() == set()
    files = [f for f in (tmp_path / "snap").rglob("*") if f.is_file()]
    assert [f for f in files if b"Xyzzy-plugh-42" in f.read_bytes()] == []


SCOPES = [
    ("nova_instances", "uuid", "nova_instances"),
    ("nova_instance_info_caches", "instance_uuid", "nova_instances"),
    ("nova_vifs", "instance_uuid", "nova_instances"),
    ("nova_migrations", "instance_uuid", "nova_instances"),
    ("nova_block_device_mapping", "volume_id", "cinder_volumes"),
    ("nova_leftover_children", "instance_uuid", "nova_instances"),
    ("nova_api_instance_mappings", "instance_uuid", "nova_instances"),
    ("neutron_ports", "device_id", "nova_instances"),
    ("neutron_ports", "id", "neutron_ports"),
    ("cinder_volumes", "id", "cinder_volumes"),
    ("cinder_volume_attachment", "volume_id", "cinder_volumes"),
    ("placement_allocations", "consumer_id", "nova_instances"),
]


@pytest.fixture(scope="module")
def whole(built: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckQuery]:
    """Everything of the cloud, collected once."""
    built.restore()
    folder = tmp_path_factory.mktemp("whole")
    (folder / "cloud.toml").write_text(built.toml(), encoding="utf-8")
    databases = connect(load(str(folder / "cloud.toml")))
    every = DatabaseCollector(databases.addresses, databases.errors, cells_known=databases.cells_known)
    manifest = every.collect(labels(), folder / "snap", quiet)
    query = open_snapshot(folder / "snap", manifest.now)
    yield query
    query.close()


@pytest.mark.parametrize(("label", "column", "origin"), SCOPES, ids=lambda value: str(value))
def test_reading_anew_is_collecting_within_the_scope(
    collector: DatabaseCollector, whole: DuckQuery, label: str, column: str, origin: str
) -> None:
    """The narrow look has exactly the rows of the whole collection that are in the scope, column by column."""
    key = "uuid" if origin == "nova_instances" else "id"
    some = [row[key] for row in whole.rows(f"SELECT DISTINCT {key} FROM {origin} ORDER BY 1", {})]
    some = [value for n, value in enumerate(some) if n % 3 == 0]
    findings = [{"it": value} for value in [*some, "no-such-thing", None]]
    narrow = collector.recollect({label: {column: "it"}}, findings)
    names = ", ".join(f'"{name}"' for name in schema(label).names)
    listed = ", ".join(f"'{value}'" for value in some)
    found = narrow.rows(f"SELECT {names} FROM {label} ORDER BY ALL", {})
    expected = whole.rows(f"SELECT {names} FROM {label} WHERE {column} IN ({listed}) ORDER BY ALL", {})
    narrow.close()
    assert found == expected
    if label not in ("nova_leftover_children",):
        assert found


def test_a_scope_may_follow_from_another_table(collector: DatabaseCollector, whole: DuckQuery) -> None:
    """A scope such as "the attributes of those ports" is resolved whichever table is named first."""
    ports = whole.rows("SELECT id, standard_attr_id FROM neutron_ports ORDER BY id LIMIT 3", {})
    reads = {"neutron_standardattributes": {"id": "neutron_ports.standard_attr_id"}, "neutron_ports": {"id": "port"}}
    narrow = collector.recollect(reads, [{"port": port["id"]} for port in ports])
    found = narrow.rows("SELECT id FROM neutron_standardattributes ORDER BY id", {})
    narrow.close()
    assert found == [{"id": n} for n in sorted(port["standard_attr_id"] for port in ports)]


def test_many_findings_are_read_in_pieces(collector: DatabaseCollector, whole: DuckQuery) -> None:
    """More values than a statement holds make several statements, and no row is there twice or missing."""
    ports = [row["id"] for row in whole.rows("SELECT id FROM neutron_ports", {})]
    asked = [{"port": f"none-{n}"} for n in range(1200)] + [{"port": port} for port in ports] * 2
    narrow = collector.recollect({"neutron_ports": {"id": "port"}}, asked)
    found = [row["id"] for row in narrow.rows("SELECT id FROM neutron_ports", {})]
    narrow.close()
    assert sorted(found) == sorted(ports)


def test_how_a_table_is_read_anew_is_worked_out_once(cloud: Cloud, tmp_path: Path) -> None:
    """Confirming check after check reads the same tables: SELECTs are not made again, and the rows are of now."""
    (tmp_path / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
    databases = connect(load(str(tmp_path / "cloud.toml")))
    (port,) = cloud.rows("neutron", "SELECT id FROM ports ORDER BY id LIMIT 1")
    reads = {"neutron_ports": {"id": "port"}, "nova_compute_nodes": {}}
    made, status = [], []
    with closing(Connections(databases.addresses, {})) as connections:
        for state in ("DOWN", "ERROR", "DOWN"):
            cloud.update("neutron", "ports", port, status=state)
            again = DatabaseCollector(databases.addresses, {}, cells_known=True, connections=connections)
            profile = cProfile.Profile()
            query = profile.runcall(again.recollect, reads, [{"port": port["id"]}])
            status += [row["status"] for row in query.rows("SELECT status FROM neutron_ports", {})]
            assert query.rows("SELECT COUNT(*) AS n FROM nova_compute_nodes", {}) != [{"n": 0}]
            query.close()
            made.append(sum(entry.callcount for entry in profile.getstats() if entry.code is select.__code__))
    assert status == ["DOWN", "ERROR", "DOWN"]
    assert made == [4, 0, 0]  # ports, and the compute nodes of three cells


def test_reading_anew_needs_every_database(cloud: Cloud, tmp_path: Path) -> None:
    """Where one cell cannot be read nothing about servers can be confirmed: an error, not a smaller answer."""
    cloud.update("nova_api", "cell_mappings", {"name": "cell2"}, database_connection="sqlite:////nowhere/x.db")
    (tmp_path / "cloud.toml").write_text(cloud.toml(), encoding="utf-8")
    databases = connect(load(str(tmp_path / "cloud.toml")))
    broken = DatabaseCollector(databases.addresses, databases.errors, cells_known=databases.cells_known)
    with pytest.raises(SourceError, match="nowhere"):
        broken.recollect({"nova_instances": {"uuid": "server"}}, [{"server": "x"}])


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"format": "stackmend-snapshot/0"}'])
def test_a_folder_without_a_whole_manifest_is_no_snapshot(tmp_path: Path, content: str | None) -> None:
    """What was cut off while it was written has no manifest, and is refused with a hint."""
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(SourceError) as caught:
        read_manifest(tmp_path)
    assert caught.value.hint


# -- a stream that breaks


class Breaking:
    """A database on MariaDB with a table large enough to be caught in the middle of being read."""

    def __init__(self, server: MariaDB, name: str) -> None:
        self.server = server
        self.name = name
        server.create(name)
        with server.connect(name) as connection, connection.cursor() as cursor:
            schemas.create_on_mariadb(cursor, "neutron")
            cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
            cursor.execute(
                "INSERT INTO ports (id, project_id, network_id, mac_address, admin_state_up, status, device_id,"
                f" device_owner, standard_attr_id, name) SELECT CONCAT('port-', seq), '{WIDE}', 'net',"
                f" CONCAT('m-', seq), 1, 'ACTIVE', CONCAT('server-', seq), '{WIDE}', seq, 'x' FROM seq_1_to_{PORTS}"
            )
        self.address = Address.from_url(server.url(name))

    def collect(self, into: Path, cut: Any) -> Manifest:
        """Collect Neutron's tables; ``cut`` is called once in the middle of the ports."""
        seen = threading.Event()

        def progress(what: str, rows: int, expected: int | None) -> None:
            if what == "neutron.ports" and rows and not seen.is_set():
                seen.set()
                cut()

        collector = DatabaseCollector({"neutron": self.address}, {}, cells_known=True)
        return collector.collect(["neutron_ports", "neutron_ml2_port_bindings", "neutron_trunks"], into, progress)

    def kill_reader(self) -> None:
        """KILL the connection that reads, from another one."""
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE user = 'stackmend' AND info LIKE %s",
                (f"%{self.name}%ports%",),
            )
            for (number,) in cursor.fetchall():
                cursor.execute(f"KILL CONNECTION {number}")


def assert_broken(manifest: Manifest, folder: Path) -> None:
    """The database failed as a whole: nothing of the table is kept or counted, and its checks have no answer."""
    (source,) = [s for s in manifest.sources if s.database == "neutron"]
    assert source.error
    assert "neutron_ports" not in source.rows
    assert list((folder / "neutron_ports").glob("*")) == []
    assert "neutron" in manifest.failed()
    for name, check in catalogue.checks().items():
        if "neutron" in check.needs:
            stands = standing(check, manifest)
            assert (name, stands.speaks, stands.complete) == (name, False, False)
            assert any(need in stands.reason for need in ("neutron", "keystone")) or check.needs & {"cells", "nova_api"}


@pytest.fixture(scope="module")
def breaking(mariadb: MariaDB) -> Breaking:
    """One for the tests that break a connection alone."""
    return Breaking(mariadb, "breaking")


def test_a_whole_stream_is_whole(breaking: Breaking, tmp_path: Path) -> None:
    """Uncut, every port is there: the tests below do break something."""
    manifest = breaking.collect(tmp_path, lambda: None)
    assert manifest.failed() == {}
    assert manifest.sources[0].rows["neutron_ports"] == PORTS == len(collected(tmp_path, "neutron_ports"))


def test_a_killed_connection_is_no_end(breaking: Breaking, tmp_path: Path) -> None:
    """KILL in the middle of a table makes the source failed; the rows that came are thrown away."""
    manifest = breaking.collect(tmp_path, breaking.kill_reader)
    assert_broken(manifest, tmp_path)
    assert breaking.name in manifest.failed()["neutron"]


PYTHON_READER = """
import json, sys
from pathlib import Path
sys.modules["MySQLdb"] = None
from stackmend.drivers.snapshot.collector import DatabaseCollector
from stackmend.drivers.database.dialects import Address
from stackmend.drivers.database.dialects import mysql
assert mysql._mysql is None
asked = []
def progress(what, rows, expected):
    if what == "neutron.ports" and rows and not asked:
        asked.append(print("reading", flush=True))
        input()
into = Path(sys.argv[1])
collector = DatabaseCollector({"neutron": Address.from_url(sys.stdin.readline().strip())}, {}, cells_known=True)
manifest = collector.collect(["neutron_ports"], into, progress)
print(json.dumps([manifest.failed(), dict(manifest.sources[0].rows)]))
"""


@pytest.mark.parametrize("kill", [False, True], ids=["whole", "killed"])
def test_without_mysqlclient_just_the_same(breaking: Breaking, tmp_path: Path, kill: bool) -> None:
    """Where the extra is not installed PyMySQL reads the same rows, and breaks as loudly."""
    child = subprocess.Popen(
        [sys.executable, "-c", PYTHON_READER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(breaking.server.url(breaking.name) + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "reading\n"
    if kill:
        breaking.kill_reader()
    out, _ = child.communicate("go\n", timeout=60)
    failed, rows = json.loads(out)
    assert child.returncode == 0
    assert (list(failed), rows) == ((["neutron"], {}) if kill else ([], {"neutron_ports": PORTS}))
    assert bool(collected(tmp_path, "neutron_ports")) != kill


def test_a_server_that_dies_is_no_end(tmp_path: Path) -> None:
    """kill -9 of the server in the middle of a table: the same, and no short table is taken for a small one."""
    with MariaDB() as server:
        place = Breaking(server, "dying")
        pid = int((server.folder / "pid").read_text())
        manifest = place.collect(tmp_path, lambda: os.kill(pid, signal.SIGKILL))
    assert_broken(manifest, tmp_path)


# -- nasty rows on real schemas


def test_nasty_rows_of_a_cell_on_mariadb(mariadb: MariaDB, tmp_path: Path) -> None:
    """Odd text is read, broken values are listed by key, column and owner, and every row is there."""
    mariadb.create("nasty")
    with mariadb.connect("nasty") as connection, connection.cursor() as cursor:
        schemas.create_on_mariadb(cursor, "nova")
        cursor.execute("SET sql_mode = ''")
        cursor.execute("ALTER TABLE instances MODIFY node VARBINARY(255)")
        rows = [
            (1, "u1", "plain", b"node", "2026-01-01 00:00:00"),
            (2, "u2", "a\x1fb\x15\n\\\"'", "n\U0001f600".encode(), "2026-01-01 00:00:00"),
            (3, "u3", "", b"caf\xe9", "0000-00-00 00:00:00"),
            (4, "u4", None, None, None),
        ]
        cursor.executemany(
            "INSERT INTO instances (id, uuid, project_id, node, updated_at, deleted) VALUES (%s, %s, %s, %s, %s, 0)",
            rows,
        )
        caches = [(1, "u1", "[]"), (2, "u2", '[{"id": "p'), (3, "u3", '[{"id": "p3"}]'), (4, "u4", None)]
        cursor.executemany(
            "INSERT INTO instance_info_caches (id, instance_uuid, network_info, deleted) VALUES (%s, %s, %s, 0)", caches
        )
    collector = DatabaseCollector({"cell:cell1": Address.from_url(mariadb.url("nasty"))}, {}, cells_known=True)
    manifest = collector.collect(["nova_instances", "nova_vifs"], tmp_path, quiet)
    assert manifest.failed() == {}
    found = {row["uuid"]: (row["project_id"], row["node"]) for row in collected(tmp_path, "nova_instances")}
    assert found == {
        "u1": ("plain", "node"),
        "u2": ("a\x1fb\x15\n\\\"'", "n\U0001f600"),
        "u3": ("", "caf\ufffd"),
        "u4": (None, None),
    }
    assert [(v["instance_uuid"], v["port_id"]) for v in collected(tmp_path, "nova_vifs")] == [("u3", "p3")]
    noted = {
        (
            row["table_name"],
            row["row_key"],
            row["column_name"],
            row["problem"],
            row["resource_type"],
            row["resource_id"],
        )
        for row in collected(tmp_path, UNREADABLE)
    }
    assert noted == {
        ("instances", '{"id": 3}', "node", "bad-utf8", "server", "u3"),
        ("instances", '{"id": 3}', "updated_at", "impossible-date", "server", "u3"),
        ("instance_info_caches", '{"id": 2}', "network_info", "malformed-json", "server", "u2"),
    }


def test_every_table_has_the_shape_it_is_said_to_have() -> None:
    """The columns of a snapshot are those of the tables, in order, and network_info itself is in none."""
    for label, parts in tables().items():
        names = schema(label).names
        assert "network_info" not in names
        own = [c.name for c in parts[0].columns if c.kind is not ColumnType.NETWORK_INFO]
        assert [n for n in names if n in own] == own
    assert pa.types.is_timestamp(schema("nova_instances").field("updated_at").type)
