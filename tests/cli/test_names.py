# SPDX-License-Identifier: Apache-2.0
"""Names and ids on the command line: what is meant, what is a typing error, and what nobody can tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend.app.selecting import about, chosen, labelled, witnesses
from stackmend.cloud.objects import KINDS
from stackmend.config.settings import load
from stackmend.engine.auditing import catalogue
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend_lab.cloud import Cloud, Server, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.nova import info_cache_stale_port, server_deleted_incompletely
from stackmend_lab.plants.placement import allocation_orphan

from .conftest import Ran

NOBODY = "5c3b1d9e-7d53-4d40-9d38-3c0a2f1a6f55"
#: columns of findings -> kinds of what they name
COLUMNS = (("consumer", "server"), ("server", "server"), ("port", "port"))
Type = Callable[..., Ran]


@pytest.fixture
def typed(run: Type, cloud_config: Path) -> Type:
    """Run a command on the cloud."""
    return lambda *words: run("--config", cloud_config, *words)


def name(cloud: Cloud, server: Server, text: str) -> None:
    """Call a server so."""
    cloud.update(server.database, "instances", {"uuid": server.uuid}, display_name=text)


#: (line, kind that is unknown in it)
UNKNOWN = [
    *((f"{command} --{kind}", kind) for command in ("audit", "plan create --allow-db") for kind in
      ("server", "volume", "port", "host", "project")),
    ("server cache rebuild", "server"), ("server mark-deleted", "server"), ("server revive", "server"),
    ("server purge", "server"), ("server set-host --host c0001", "server"), ("server where", "server"),
    ("port list --server", "server"), ("port list --network", "network"), ("port list --project", "project"),
    ("port list --host", "host"), ("port show", "port"), ("port keep", "port"), ("port release", "port"),
    ("volume detach", "volume"), ("volume mark-deleted", "volume"), ("volume revive", "volume"),
    ("volume list --host", "host"), ("host status", "host"), ("host drain", "host"), ("host return", "host"),
    ("host recover", "host"), ("host evacuate", "host"), ("host relocate --to c0001 --allow-db", "host"),
    ("host stop", "host"), ("host start", "host"),
]  # fmt: skip


@pytest.mark.attack("a typing error in the name or id of an object, in every command that takes one")
def test_a_typing_error_is_no_clean_cloud(typed: Type, cloud: Cloud, record_property) -> None:
    """An error with exit code 2 that names it, before anything else is done or said."""
    before = cloud.dump()
    for line, kind in UNKNOWN:
        for text in ("no-such-thing", NOBODY):
            ran = typed(*line.split(), text)
            assert (ran.code, ran.out) == (Exit.USAGE, ""), (line, ran.err)
            assert f"there is no {kind} '{text}'" in ran.err
            assert "hint: " in ran.err
            assert "no findings" not in ran.err
    assert cloud.dump() == before
    record_property("tries", 2 * len(UNKNOWN))


def test_near_names_and_beginnings_of_ids_are_offered(typed: Type, cloud: Cloud) -> None:
    """Whoever has mistyped a name, or has half of an id, is told what was meant."""
    server = cloud.pick("active")
    name(cloud, server, "mail-relay-berlin")
    for text in ("mail-relay-berln", server.uuid[:9], server.uuid[:-1] + ("0" if server.uuid[-1] != "0" else "1")):
        ran = typed("audit", "--server", text)
        assert ran.code == Exit.USAGE
        assert f"{server.uuid}  mail-relay-berlin" in ran.err
        assert max(map(len, ran.err.splitlines())) <= 120
    ran = typed("host", "status", "c00001")
    assert "Did you mean c0001" in ran.err


def test_a_name_is_taken_and_said(typed: Type, cloud: Cloud) -> None:
    """The same findings as by the id; what was meant is said, and what is typed next has the id."""
    server = cloud.pick("active")
    name(cloud, server, "mail-relay-berlin")
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info="[]")
    by_id = typed("audit", "--server", server.uuid, "-f", "json", "--settle", "0")
    by_name = typed("audit", "--server", "mail-relay-berlin", "-f", "json", "--settle", "0")
    assert (by_id.code, by_name.code) == (Exit.FINDINGS, Exit.FINDINGS)
    marks = [[one["fingerprint"] for one in json.loads(ran.out)] for ran in (by_id, by_name)]
    assert marks[0] == marks[1] != []
    assert f"server mail-relay-berlin is {server.uuid} (project " in by_name.err
    ran = typed("server", "cache", "rebuild", "mail-relay-berlin", "--allow-db")
    assert ran.code == Exit.FINDINGS, ran.err
    assert f"server cache rebuild {server.uuid}" in ran.err.split("next: ")[1]
    assert server.uuid in ran.out


def test_an_ambiguous_name_lists_who_is_called_so(typed: Type, cloud: Cloud) -> None:
    """Each with its id, project, host and state; nothing is guessed. Deleted ones count where no living one has it."""
    first, second, gone = cloud.pick("active"), cloud.pick("active"), cloud.pick("active")
    for server in (first, second, gone):
        name(cloud, server, "twin")
    row = cloud.rows(gone.database, "SELECT id FROM instances WHERE uuid = :u", {"u": gone.uuid})[0]
    cloud.update(gone.database, "instances", {"uuid": gone.uuid}, deleted=row["id"])
    ran = typed("server", "where", "twin")
    assert ran.code == Exit.USAGE
    assert "2 servers are called 'twin'" in ran.err
    for server in (first, second):
        assert f"  {server.uuid}  project " in ran.err
        assert f"host {server.host}, active" in ran.err
    assert gone.uuid not in ran.err
    name(cloud, first, "elsewhere")
    name(cloud, second, "elsewhere-2")
    assert f"server twin is {gone.uuid}" in typed("audit", "--server", "twin", "--check", "allocation-orphan").err


def test_what_is_left_of_something_can_be_named(typed: Type, cloud: Cloud) -> None:
    """A deleted server whose rows are there, and ids that one service alone has: findings are about them."""
    planted = {
        "allocation-orphan": allocation_orphan.plant(cloud),
        "port-without-server": port_without_server.unknown(cloud),
        "server-deleted-incompletely": server_deleted_incompletely.plant(cloud),
        "info-cache-stale-port": info_cache_stale_port.plant(cloud),
    }
    for check, key in planted.items():
        named = [(kind, key[column]) for column, kind in COLUMNS if column in key]
        assert named, key
        for kind, value in named:
            ran = typed("audit", f"--{kind}", value, "--check", check, "-f", "json", "--settle", "0")
            assert ran.code == Exit.FINDINGS, (check, kind, ran.err)
            assert json.loads(ran.out)[0]["check"] == check


def test_a_port_that_one_document_alone_mentions(cloud: Cloud, cloud_config: Path) -> None:
    """Neutron has lost it and its NIC's row is gone, too: only the network cache still has it."""
    server = cloud.pick("active")
    where = {"instance_uuid": server.uuid}
    cache = cloud.rows(server.database, "SELECT network_info FROM instance_info_caches WHERE instance_uuid = :u",
                       {"u": server.uuid})[0]  # fmt: skip
    port = json.loads(cache["network_info"])[0]["id"]
    document = cache["network_info"].replace(port, NOBODY)
    cloud.update(server.database, "instance_info_caches", where, network_info=document)
    assert chosen(load(str(cloud_config), None), [("port", NOBODY)])["port", NOBODY].id == NOBODY


def test_hosts_and_projects_stand_for_what_is_theirs(typed: Type, cloud: Cloud) -> None:
    """A finding about a server of the host or of the project is in, another is not."""
    mine = cloud.pick("active")
    other = next(s for s in cloud.servers("active") if s.host != mine.host and s.project_id != mine.project_id)
    for server in (mine, other):
        where = {"instance_uuid": server.uuid}
        cloud.update(server.database, "instance_info_caches", where, network_info="[]")
    title = cloud.rows("keystone", "SELECT name FROM project WHERE id = :i", {"i": mine.project_id})[0]["name"]
    for words in (("--host", mine.host), ("--project", title), ("--project", mine.project_id)):
        ran = typed("audit", *words, "--check", "info-cache-empty", "-f", "json", "--settle", "0")
        assert [one["resource"]["id"] for one in json.loads(ran.out)] == [mine.uuid]
    ran = typed("audit", "--host", mine.host, "--server", other.uuid, "--check", "info-cache-empty", "-f", "json")
    assert {one["resource"]["id"] for one in json.loads(ran.out)} == {mine.uuid, other.uuid}


def test_what_cannot_be_read_makes_nobody_unknown(run: Type, cloud: Cloud, tmp_path: Path) -> None:
    """A cell is away: an id may be there, and is taken with a warning; of a name nobody can tell."""
    server = cloud.pick("active")
    text = cloud.toml().replace(cloud.databases[server.database], f"sqlite:///{tmp_path}/away.sqlite")
    (tmp_path / "away.toml").write_text(text)
    cloud.execute("nova_api", "UPDATE cell_mappings SET database_connection = :u WHERE name = :n",
                  {"u": f"sqlite:///{tmp_path}/away.sqlite", "n": server.database.removeprefix("cell:")})  # fmt: skip
    ran = run("--config", tmp_path / "away.toml", "audit", "--server", NOBODY, "--check", "info-cache-empty")
    assert ran.code == Exit.INCOMPLETE
    assert (
        f"warning: server {NOBODY} is in none of the readable sources; it may be in one that could not be read"
        in ran.err
    )
    assert server.database in ran.err
    ran = run("--config", tmp_path / "away.toml", "audit", "--server", "mail-relay-berlin")
    assert ran.code == SourceError.exit_code
    assert "it may be in one that could not" in ran.err
    assert "there is no server" not in ran.err


def test_a_snapshot_is_asked_for_what_it_holds(typed: Type, cloud: Cloud, tmp_path: Path) -> None:
    """By ids and hosts it answers itself; a name is looked up in the cloud; what it does not have is an error."""
    server = cloud.pick("active")
    cloud.update(server.database, "instance_info_caches", {"instance_uuid": server.uuid}, network_info="[]")
    assert typed("snapshot", "create", "--out", tmp_path / "snap").code == Exit.CLEAN
    name(cloud, server, "mail-relay-berlin")
    for words in (("--server", server.uuid), ("--server", "mail-relay-berlin"), ("--host", server.host)):
        ran = typed("audit", "--snapshot", tmp_path / "snap", "--check", "info-cache-empty", "-f", "json", *words)
        assert [one["resource"]["id"] for one in json.loads(ran.out)] == [server.uuid], ran.err
    ran = typed("audit", "--snapshot", tmp_path / "snap", "--server", NOBODY)
    assert ran.code == Exit.USAGE
    assert f"the snapshot has no server '{NOBODY}'" in ran.err


def test_the_same_on_mariadb(mariadb: MariaDB, tmp_path: Path) -> None:
    """Names in any letters, as the databases compare them; a living server before a deleted one of the same id."""
    cloud = build(mariadb, servers=40, prefix="names_")
    try:
        (tmp_path / "c.toml").write_text(cloud.toml())
        config = load(str(tmp_path / "c.toml"), None)
        server = cloud.pick("active")
        name(cloud, server, "Mail-Relay")
        found = chosen(config, [("server", "mail-relay"), ("server", server.uuid.upper())])
        assert {one.id for one in found.values()} == {server.uuid}
        with pytest.raises(UsageError) as caught:
            chosen(config, [("port", NOBODY)])
        assert "in any table" in caught.value.message
        assert server.uuid in about(config, [("host", server.host)]).names
    finally:
        cloud.close()


def test_every_check_names_the_witnesses_of_its_objects() -> None:
    """What a new check looks an object up by is a witness of it: nobody keeps a list."""
    for check in catalogue.checks().values():
        for label, scope in check.reads.items():
            for column, origin in scope.items():
                if origin in KINDS:
                    assert (label, column) in labelled(origin)
    assert {("nova", "instances", "uuid"), ("neutron", "ports", "device_id")} <= set(witnesses("server"))
