# SPDX-License-Identifier: Apache-2.0
"""The builder's cloud: consistent, in every state a real cloud has, and the same on both kinds of databases."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stackmend_lab.cloud import AbsentError, Cloud, build
from stackmend_lab.cloud.kinds import KINDS
from stackmend_lab.cloud.world import SERVICE_VERSIONS
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants import broken

SERVERS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the SQLite files are."""
    return tmp_path_factory.mktemp("built") / "cloud"


@pytest.fixture(scope="module")
def cloud(folder: Path) -> Iterator[Cloud]:
    """A cloud nobody has touched."""
    built = build(folder, servers=SERVERS, seed=3)
    yield built
    built.close()


def one(cloud: Cloud, database: str, sql: str, **values: Any) -> Any:
    """The one value of a query."""
    (row,) = cloud.rows(database, sql, values)
    (value,) = row.values()
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_server_is_there(cloud: Cloud, kind: str) -> None:
    """Even a small cloud has servers of every kind."""
    assert cloud.servers(kind) != []


def test_there_are_cell0_and_two_cells(cloud: Cloud) -> None:
    """Three cells are mapped, and servers are in all of them."""
    assert one(cloud, "nova_api", "SELECT COUNT(*) AS n FROM cell_mappings") == 3
    assert {name for name in cloud.databases if name.startswith("cell:")} == {"cell:cell0", "cell:cell1", "cell:cell2"}
    for cell in ("cell0", "cell1", "cell2"):
        assert one(cloud, f"cell:{cell}", "SELECT COUNT(*) AS n FROM instances") > 0


@pytest.mark.parametrize(
    ("kind", "vm_state", "task_state"),
    [
        ("active", "active", None),
        ("stopped", "stopped", None),
        ("shelved_offloaded", "shelved_offloaded", None),
        ("resized", "resized", None),
        ("live_migrating", "active", "migrating"),
        ("building", "building", "spawning"),
        ("soft_deleted", "soft-delete", None),
        ("cell0_error", "error", None),
    ],
)
def test_states_read_as_nova_writes_them(cloud: Cloud, kind: str, vm_state: str, task_state: str | None) -> None:
    """Each kind is in the state that gives it its name."""
    server = cloud.servers(kind)[0]
    rows = cloud.rows(server.database, "SELECT * FROM instances WHERE uuid = :u", {"u": server.uuid})
    assert [(r["vm_state"], r["task_state"]) for r in rows] == [(vm_state, task_state)]


def test_a_migration_in_flight_has_everything_it_holds(cloud: Cloud) -> None:
    """A live migration has its migration row, two bindings of its port, and the migration's allocation."""
    server = cloud.servers("live_migrating")[0]
    found = cloud.rows(server.database, "SELECT * FROM migrations WHERE instance_uuid = :u", {"u": server.uuid})
    assert [m["migration_type"] for m in found] == ["live-migration"]
    sql = "SELECT host FROM ml2_port_bindings WHERE port_id = :p"
    assert len({r["host"] for r in cloud.rows("neutron", sql, {"p": server.ports[0]})}) == 2
    sql = "SELECT COUNT(*) AS n FROM allocations WHERE consumer_id = :c"
    assert one(cloud, "placement", sql, c=found[0]["uuid"]) > 0
    assert one(cloud, "placement", sql, c=server.uuid) > 0


def test_a_volume_on_several_servers(cloud: Cloud) -> None:
    """A multi-attach volume has an attachment for each of its servers."""
    server = cloud.servers("multiattach")[0]
    sql = "SELECT COUNT(DISTINCT instance_uuid) AS n FROM volume_attachment WHERE volume_id = :v AND deleted = 0"
    assert max(one(cloud, "cinder", sql, v=volume) for volume in server.volumes) > 1


def test_several_nics_on_one_network(cloud: Cloud) -> None:
    """A server may have several ports of one network, each in the cache, in order."""
    server = cloud.servers("multi_nic")[0]
    sql = "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u"
    vifs = json.loads(one(cloud, server.database, sql, u=server.uuid))
    assert [vif["id"] for vif in vifs] == list(server.ports)
    assert len({vif["network"]["id"] for vif in vifs}) < len(vifs)


def test_markers_and_names_of_real_clouds(cloud: Cloud) -> None:
    """The marker rows of Nova's own online migrations are there, and so are names that are not ASCII."""
    marker = "00000000-0000-0000-0000-000000000000"
    sql = "SELECT COUNT(*) AS n FROM instances WHERE uuid = :u"
    assert sum(one(cloud, f"cell:{cell}", sql, u=marker) for cell in ("cell0", "cell1", "cell2")) > 0
    names = [r["display_name"] for r in cloud.rows("cell:cell1", "SELECT display_name FROM instances")]
    assert any(not str(name).isascii() for name in names)


def test_no_reference_leads_nowhere(cloud: Cloud, folder: Path) -> None:
    """Every foreign key of every database holds."""
    files = sorted(folder.rglob("*.sqlite*")) or sorted(p for p in folder.iterdir() if p.is_file())
    broken = {}
    for file in files:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            broken[file.name] = connection.execute("PRAGMA foreign_key_check").fetchall()
    assert len(broken) >= len(cloud.databases)
    assert {name: found for name, found in broken.items() if found} == {}


@pytest.mark.parametrize(("resource", "counted"), [("volumes", "COUNT(*)"), ("gigabytes", "SUM(size)")])
def test_quotas_add_up(cloud: Cloud, resource: str, counted: str) -> None:
    """Each project's usage is what its volumes come to."""
    used = cloud.rows("cinder", "SELECT project_id, in_use FROM quota_usages WHERE resource = :r", {"r": resource})
    sql = f"SELECT project_id, {counted} AS n FROM volumes WHERE deleted = 0 AND use_quota = 1 GROUP BY project_id"
    there = {r["project_id"]: r["n"] for r in cloud.rows("cinder", sql)}
    assert {r["project_id"]: r["in_use"] for r in used if r["in_use"]} == there


def test_the_same_seed_builds_the_same_cloud(mariadb: MariaDB, cloud: Cloud) -> None:
    """On MariaDB as on SQLite: the same servers, of the same kinds, with the same ports and volumes."""
    other = build(mariadb, servers=SERVERS, seed=3, prefix="same_")
    try:
        assert other.servers() == cloud.servers()
        assert build_counts(other) == build_counts(cloud)
    finally:
        other.close()


def build_counts(cloud: Cloud) -> dict[tuple[str, str], int]:
    """Rows of each table."""
    return {place: len(rows) for place, rows in cloud.dump().items()}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    """Whatever is changed, deleted or added after save() is as before after restore()."""
    cloud = build(tmp_path / "cloud", servers=60, seed=4)
    cloud.save()
    before = cloud.dump()
    server = cloud.pick("active")
    cloud.update(server.database, "instances", {"uuid": server.uuid}, vm_state="error")
    cloud.delete("neutron", "ipallocations", {"port_id": server.ports[0]})
    cloud.insert("keystone", "project", id="f" * 32, name="added", domain_id="default", is_domain=0, enabled=1)
    assert cloud.dump() != before
    cloud.restore()
    assert cloud.dump() == before
    cloud.close()


def test_a_copy_is_a_cloud_of_its_own(tmp_path: Path) -> None:
    """The same rows, but for where its cells are; what is done to one is not seen in the other, nor who is picked."""
    cloud = build(tmp_path / "cloud", servers=60, seed=4)
    first = cloud.pick("active")
    before = cloud.dump()
    copy = cloud.copied(tmp_path / "copy")
    mappings = ("nova_api", "cell_mappings")
    assert {place: rows for place, rows in copy.dump().items() if place != mappings} == {
        place: rows for place, rows in before.items() if place != mappings
    }
    urls = {row["database_connection"] for row in copy.rows("nova_api", "SELECT * FROM cell_mappings")}
    assert urls == {url for database, url in copy.databases.items() if database.startswith("cell:")}
    server = copy.pick("active")
    assert server == cloud.pick("active")
    assert server != first
    copy.delete("neutron", "ports", {"id": server.ports[0]})
    copy.close()
    assert cloud.dump() == before
    cloud.close()


@pytest.mark.parametrize("on_server", [False, True], ids=["sqlite", "mariadb"])
def test_a_cloud_that_stood_there_is_renewed(on_server: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Its services report again, what began just now has begun just now; whatever is older stays, to the byte."""
    target = request.getfixturevalue("mariadb") if on_server else tmp_path / "cloud"
    begin = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    cloud = build(target, servers=60, seed=4, now=begin - timedelta(minutes=50), prefix="stood_" if on_server else "")
    cloud.save()
    stood = cloud.dump()
    cloud.renew()
    passed = (datetime.fromisoformat(cloud.now) - begin).total_seconds()
    assert 0 <= passed <= (datetime.now(UTC).replace(tzinfo=None) - begin).total_seconds() + 1
    beats = cloud.rows("cell:cell1", "SELECT last_seen_up AS beat, created_at FROM services")
    assert {cloud.now} == {str(datetime.fromisoformat(str(row["beat"])) + timedelta(seconds=5)) for row in beats}
    assert max(str(row["created_at"]) for row in beats) < str(begin - timedelta(days=499))
    builds = "SELECT created_at, updated_at FROM instances WHERE vm_state = 'building'"
    assert {str(datetime.fromisoformat(cloud.now) - timedelta(seconds=40))} == {
        str(time) for cell in ("cell1", "cell2") for row in cloud.rows(f"cell:{cell}", builds) for time in row.values()
    }
    renewed = cloud.dump()
    recent = str(begin - timedelta(hours=1))
    assert {place: rows for place, rows in stood.items() if not _dated_since(recent, rows)} == {
        place: rows for place, rows in renewed.items() if not _dated_since(recent, rows)
    }
    cloud.restore()
    assert (cloud.dump(), cloud.now) == (stood, str(begin - timedelta(minutes=50)))
    cloud.close()


def _dated_since(moment: str, rows: list[str]) -> bool:
    """Whether a time in any of these rows is that or later."""
    return any(time >= moment for row in rows for time in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row))


def test_a_cloud_on_a_server_is_not_copied(mariadb: MariaDB, tmp_path: Path) -> None:
    """Its databases are the server's."""
    cloud = build(mariadb, servers=10, prefix="uncopied_")
    with pytest.raises(TypeError, match="on a server"):
        cloud.copied(tmp_path)
    cloud.close()


@pytest.mark.parametrize("release", ["train", "zed", "2024.1"])
def test_an_older_release_is_written_as_it_is(release: str, tmp_path: Path) -> None:
    """The same cloud on the tables of an older release: without what came later, with the version of its services."""
    old = build(tmp_path / "old", servers=100, seed=3, release=release)
    new = build(tmp_path / "new", servers=100, seed=3)

    counted, expected = (
        {w: n for w, n in build_counts(cloud).items() if not w[1].endswith("_version") and w[1] != "consumer_types"}
        for cloud in (old, new)
    )
    assert counted == expected
    assert one(old, "cell:cell1", "SELECT MAX(version) AS v FROM services") == SERVICE_VERSIONS[release]
    assert old.has("cell:cell1", "instances", "compute_id") is (release == "2024.1")
    assert old.has("placement", "consumer_types") is (release != "train")
    with pytest.raises(AbsentError, match=f"neutron of {release} does not have ports.colour"):
        old.update("neutron", "ports", {}, colour="red")
    old.close()
    new.close()


def test_every_pick_is_another_server(tmp_path: Path) -> None:
    """Until there is none left of the kind; once the cloud is restored, they come again in the same order."""
    cloud = build(tmp_path / "cloud", servers=SERVERS, seed=3)
    cloud.save()
    kinds = ["active", "stopped", "active", "deleted", "active"]
    picked = [cloud.pick(kind) for kind in kinds]
    assert [server.kind for server in picked] == kinds
    more = [cloud.pick("active") for _ in range(len(cloud.servers("active")) - 3)]
    assert {s.uuid for s in (*picked[::2], *more)} == {s.uuid for s in cloud.servers("active")}
    with pytest.raises(LookupError, match="no further server of the kind active"):
        cloud.pick("active")
    cloud.restore()
    assert [cloud.pick(kind) for kind in kinds] == picked
    cloud.close()


def test_a_cloud_can_be_broken_in_every_way_again(tmp_path: Path) -> None:
    """An old cloud has each damage many times: a plant writes nothing that may be there only once."""
    cloud = build(tmp_path / "cloud", servers=4_000, seed=3)
    first, second = ([case.make(cloud) for case in broken()] for _ in range(2))
    cloud.close()
    once, again = ({key["server"] for key in keys if key.get("server")} for keys in (first, second))
    assert once.isdisjoint(again)
    assert len(once) == len(again) > 50
