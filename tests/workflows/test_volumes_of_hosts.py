# SPDX-License-Identifier: Apache-2.0
"""Volumes of the servers of a host: listed from every source, detached and attached again, connected anew."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stackmend.app import runs, workflows
from stackmend.app.objects import host_status, volumes
from stackmend.cli.shell import main
from stackmend.drivers.database.dialects import Address
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend.model.objects.volume import ListedVolume
from stackmend.model.plan import Plan
from stackmend.model.step import ApiCall, HostCommand, Manual
from stackmend_lab import schemas
from stackmend_lab.cloud import Server
from stackmend_lab.plants._volumes import attach, new_volume

from .dead_host import CELL, TO, Row, Site, refused, standing

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "volumes.json"
LOGIN = "Debian GNU/Linux 13 web1 ttyS0\n\nweb1 login: "
BOOTING = "[    1.234567] EXT4-fs (vda1): mounted filesystem"
PANIC = "[    2.000000] Kernel panic - not syncing: Attempted to kill init!"


@pytest.fixture(scope="module")
def stood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cloud in files."""
    with standing(tmp_path_factory.mktemp("volumes")) as site:
        yield site


@pytest.fixture
def site(stood: Site) -> Site:
    """It, healthy; the host that is looked at is not the dead one."""
    stood.cloud.reset()
    stood.settle()
    stood.services.stubborn = stood.services.late = False
    stood.services.consoles = [LOGIN]
    return stood


@pytest.fixture
def pair(site: Site) -> tuple[Server, str]:
    """A server and a volume of it."""
    return put(site)


def put(site: Site) -> tuple[Server, str]:
    """A server on the living host, and a volume of it."""
    while True:
        server = site.cloud.pick("active")
        if server.host == TO and not server.volumes:
            break
    volume = new_volume(site.cloud)
    attach(site.cloud, server, volume)
    where = {"instance_uuid": server.uuid, "volume_id": volume}
    site.cloud.update(CELL, "block_device_mapping", where, delete_on_termination=1, tag="data")
    return server, volume


def listed(site: Site, server: Server) -> list[ListedVolume]:
    """What is listed of a server."""
    return [pair for pair in volumes.on_host(site.config, str(server.host)) if pair.server == server.uuid]


def plan(site: Site, name: str, pair: tuple[Server, str], **more: Any) -> Plan:
    """The plan of a workflow about the pair."""
    return workflows.plan(site.config, name, {"server": pair[0].uuid, "volume": pair[1], **more})


def mapping(site: Site, pair: tuple[Server, str]) -> Row:
    """Nova's live mapping of the pair."""
    return site.row(CELL, "block_device_mapping", instance_uuid=pair[0].uuid, volume_id=pair[1], deleted=0)


# ---- list ----


def test_a_healthy_host_agrees(site: Site) -> None:
    """Every pair of the host, each with device and state, and not a difference."""
    put(site)
    found = volumes.on_host(site.config, TO)
    sql = (
        "SELECT COUNT(*) AS n FROM block_device_mapping b JOIN instances i ON i.uuid = b.instance_uuid"
        " WHERE i.host = :h AND i.deleted = 0 AND b.deleted = 0 AND b.destination_type = 'volume'"
        " AND i.vm_state NOT IN ('soft-delete') AND i.task_state IS NULL"
    )
    quiet = [one for one in found if site.row(CELL, "instances", uuid=one.server)["task_state"] is None]
    assert len(quiet) == site.cloud.rows(CELL, sql, {"h": TO})[0]["n"]
    assert {one.differences for one in quiet} == {()}
    assert all(one.device and one.status == "in-use" and one.attached_host == TO for one in quiet)
    assert all(one.in_nova and one.in_cinder and one.in_rows for one in quiet)


def no_attachment(site: Site, server: Server, volume: str) -> None:
    site.cloud.update("cinder", "volume_attachment", {"volume_id": volume}, deleted=1)


def no_mapping(site: Site, server: Server, volume: str) -> None:
    site.cloud.update(CELL, "block_device_mapping", {"volume_id": volume}, deleted=1)


def detaching(site: Site, server: Server, volume: str) -> None:
    site.cloud.update("cinder", "volumes", {"id": volume}, status="detaching")


def elsewhere(site: Site, server: Server, volume: str) -> None:
    site.cloud.update("cinder", "volume_attachment", {"volume_id": volume}, attached_host="c0009")


def another(site: Site, server: Server, volume: str) -> None:
    site.cloud.update(CELL, "block_device_mapping", {"volume_id": volume}, attachment_id="someone")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_attachment, "Cinder has no attachment to this server"),
        (no_mapping, "Nova does not list it"),
        (detaching, "the volume is detaching"),
        (elsewhere, "it is exported to c0009"),
        (another, "Nova has another attachment: someone"),
    ],
)
def test_what_does_not_agree_is_said(site: Site, pair: tuple[Server, str], spoil: Any, words: str) -> None:
    """The pair is listed whichever source still has it, with the difference."""
    spoil(site, *pair)
    (found,) = listed(site, pair[0])
    assert words in found.differences


def test_the_list_as_it_is_typed(site: Site, pair: tuple[Server, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 where something does not agree; JSON has all of it; a host that nobody knows is a mistake."""
    elsewhere(site, *pair)
    config = ["--config", str(site.toml)]
    assert main([*config, "volume", "list", "--host", TO, "-f", "json"]) == Exit.FINDINGS
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    shown = {one["volume"]: one for one in document}
    assert shown[pair[1]]["differences"] == ["it is exported to c0009"]
    assert main([*config, "volume", "list", "--host", "nowhere"]) == Exit.USAGE


@pytest.mark.attack("exchanges Cinder's or a cell's database for an empty one, and asks about a host")
@pytest.mark.parametrize(("database", "service"), [("cinder", "cinder"), (CELL, "nova")])
def test_a_wrong_database_tells_nothing_of_a_host(site: Site, tmp_path: Path, database: str, service: str) -> None:
    """Volumes are not called detached, attachments not none: the source is named, with what speaks against it."""
    file = tmp_path / "empty.db"
    connection = sqlite3.connect(file, isolation_level=None)
    schemas.create_on_sqlite(connection, service)
    connection.close()
    empty = Address.from_url(f"sqlite:///{file}", database)
    config = site.config
    if database == CELL:
        config = replace(config, cells={CELL.removeprefix("cell:"): empty})
    else:
        config = replace(config, databases={**config.databases, database: empty})
    told = host_status.status(config, TO, audited=False)
    attachments = next(view for view in told.views if view.source == "cinder")
    if database == CELL:
        with pytest.raises(SourceError, match="it has none of the"):
            volumes.on_host(config, TO)
    else:
        assert "it has none of the" in attachments.why_not
        assert not attachments.servers


# ---- reattach ----


def test_a_volume_is_detached_and_attached_again(site: Site, pair: tuple[Server, str]) -> None:
    """A new attachment on the same host, with the old options; a second run does nothing."""
    before = mapping(site, pair)
    made = plan(site, "reattach-volume", pair)
    run = runs.apply(site.config, made, accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    after = mapping(site, pair)
    assert after["attachment_id"] != before["attachment_id"]
    assert (after["delete_on_termination"], after["tag"]) == (1, "data")
    assert listed(site, pair[0])[0].differences == ()
    sent = len(site.services.changes())
    assert runs.apply(site.config, made, accept=("all",)).exit is Exit.STOPPED
    assert [path for path in site.services.changes()[sent:] if "volume" in path] == []


def test_a_guest_that_is_not_up_yet_is_waited_for(site: Site, pair: tuple[Server, str]) -> None:
    """Nothing is detached before its console shows a login prompt."""
    site.services.consoles = [BOOTING, BOOTING, LOGIN]
    run = runs.apply(site.config, plan(site, "reattach-volume", pair), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    paths = [path for path in site.services.changes() if pair[0].uuid in path]
    assert [path.split()[0] for path in paths[-2:]] == ["DELETE", "POST"]
    assert site.services.consoles == [LOGIN]


def test_a_guest_in_panic_keeps_its_volume(site: Site, pair: tuple[Server, str]) -> None:
    """It is a failure at once, with what the console shows."""
    site.services.consoles = [PANIC]
    run = runs.apply(site.config, plan(site, "reattach-volume", pair), accept=("all",))
    assert (run.exit, run.failed) == (Exit.STOPPED, 1)
    assert any("kernel panic" in note for note in run.notes)
    assert mapping(site, pair)["deleted"] == 0


def test_a_probe_of_the_operators_is_asked_until_it_says_yes(site: Site, pair: tuple[Server, str]) -> None:
    """It runs here with the server's id; a program that is not there is a failure and nothing is detached."""
    flag = site.folder / f"up-{pair[0].uuid}"
    flag.touch()
    made = plan(site, "reattach-volume", pair, probe=("test", "-e", str(site.folder / "up-{server}")))
    assert isinstance(made.runnable[0].steps[0], HostCommand)
    assert runs.apply(site.config, made, accept=("all",)).exit is Exit.REPAIRED
    lost = plan(site, "reattach-volume", pair, probe=("test", "-e", "/nowhere/{server}"), limit=1)
    before = mapping(site, pair)
    assert runs.apply(site.config, lost, accept=("all",)).exit in (Exit.STOPPED, Exit.IN_DOUBT)
    assert mapping(site, pair) == before
    with pytest.raises(UsageError, match="does not name its guest"):
        plan(site, "reattach-volume", pair, probe=("true",))


def test_an_attach_that_fails_can_be_made_up_for(site: Site, pair: tuple[Server, str]) -> None:
    """The volume is left detached, the plan has said how to go on, and undo attaches it with its options."""
    site.services.stubborn = True
    made = plan(site, "reattach-volume", pair)
    texts = [step.text for step in made.runnable[0].steps if isinstance(step, Manual)]
    assert any("--tag data --enable-delete-on-termination" in text for text in texts)
    run = runs.apply(site.config, made, accept=("all",))
    assert (run.exit, run.failed) == (Exit.STOPPED, 1)
    assert site.row("cinder", "volumes", id=pair[1])["status"] == "available"
    site.services.stubborn = False
    back = runs.undo(site.config, run.run)
    assert back.exit is Exit.CLEAN, back.notes
    assert (mapping(site, pair)["delete_on_termination"], mapping(site, pair)["tag"]) == (1, "data")


@pytest.mark.parametrize("way", ["undo", "resume"])
def test_a_detach_that_ends_after_all_is_not_forgotten(site: Site, pair: tuple[Server, str], way: str) -> None:
    """It had come to nothing, for all that was seen, and the volume is gone by now: undo and resume both attach it."""
    site.services.late = True
    run = runs.apply(site.config, plan(site, "reattach-volume", pair), accept=("all",))
    assert (run.exit, run.failed) == (Exit.STOPPED, 1), run.notes
    site.services.end_detach(pair[0].uuid, pair[1])
    assert site.row("cinder", "volumes", id=pair[1])["status"] == "available"
    back = runs.undo(site.config, run.run) if way == "undo" else runs.resume(site.config, run.run)
    assert back.exit in (Exit.CLEAN, Exit.REPAIRED), back.notes
    assert (mapping(site, pair)["delete_on_termination"], mapping(site, pair)["tag"]) == (1, "data")
    assert site.row("cinder", "volumes", id=pair[1])["status"] == "in-use"


@pytest.mark.parametrize("way", ["undo", "resume"])
def test_a_detach_that_came_to_nothing_stays_so(site: Site, pair: tuple[Server, str], way: str) -> None:
    """The server has its volume: nothing is taken back, and nothing is asked for a second time."""
    site.services.late = True
    run = runs.apply(site.config, plan(site, "reattach-volume", pair), accept=("all",))
    sent = site.services.changes()
    back = runs.undo(site.config, run.run) if way == "undo" else runs.resume(site.config, run.run)
    assert back.exit is (Exit.CLEAN if way == "undo" else Exit.STOPPED), back.notes
    assert site.services.changes() == sent
    assert mapping(site, pair)["deleted"] == 0


def test_a_guest_that_is_off_is_not_waited_for(site: Site, pair: tuple[Server, str]) -> None:
    """There is nothing to see on its console; nor where the operator does not want to wait."""
    site.cloud.update(CELL, "instances", {"uuid": pair[0].uuid}, vm_state="stopped", power_state=4)
    (action,) = plan(site, "reattach-volume", pair).runnable
    calls = [step.name for step in action.steps if isinstance(step, ApiCall)]
    assert calls == ["release-volume", "attach-volume"]


def test_what_is_not_detached(site: Site, pair: tuple[Server, str]) -> None:
    """The root disk, with advice; a server that is busy; a pair whose sources do not agree."""
    root = next(s for s in site.cloud.servers("volume_backed") if s.host == TO)
    assert f"volume refresh --server {root.uuid}" in refused(plan(site, "reattach-volume", (root, root.volumes[0])))
    detaching(site, *pair)
    assert "audit and repair that first" in refused(plan(site, "reattach-volume", pair))
    site.cloud.update("cinder", "volumes", {"id": pair[1]}, status="in-use")
    site.cloud.update(CELL, "instances", {"uuid": pair[0].uuid}, task_state="rebooting")
    assert "is busy" in refused(plan(site, "reattach-volume", pair))
    with pytest.raises(UsageError, match="has no volume"):
        plan(site, "reattach-volume", (pair[0], root.volumes[0]))
    with pytest.raises(UsageError, match="no server"):
        workflows.plan(site.config, "reattach-volume", {"server": pair[1], "volume": pair[1]})


# ---- refresh ----


def test_a_connection_is_made_anew(site: Site, pair: tuple[Server, str]) -> None:
    """Stopped, a new attachment by nova-manage, started; root disks too."""
    site.connect()
    before = mapping(site, pair)
    run = runs.apply(site.config, plan(site, "refresh-volume", pair), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    assert mapping(site, pair)["attachment_id"] != before["attachment_id"]
    assert site.server(pair[0])["vm_state"] == "active"
    assert listed(site, pair[0])[0].differences == ()
    assert [path.rpartition("/")[2] for path in site.services.changes()] == ["action", "action"]


def test_a_refresh_that_fails_leaves_the_server_to_be_started_by_undo(site: Site, pair: tuple[Server, str]) -> None:
    """Where nova-manage refuses, the server stays stopped, and undo starts it."""
    site.connect()
    made = plan(site, "refresh-volume", pair)
    program = site.folder / "bin" / "nova-manage"
    shown = f"attachment_id {mapping(site, pair)['attachment_id']}"
    program.write_text(f'#!/bin/sh\n[ $2 = show ] && echo "{shown}" && exit 0\nexit 7\n')
    run = runs.apply(site.config, made, accept=("all",))
    assert (run.exit, run.failed) == (Exit.STOPPED, 1), run.notes
    assert site.server(pair[0])["vm_state"] == "stopped"
    assert runs.undo(site.config, run.run).exit is Exit.CLEAN
    assert site.server(pair[0])["vm_state"] == "active"


def test_without_a_way_to_the_host_a_refresh_is_printed(site: Site, pair: tuple[Server, str]) -> None:
    """The commands, in their order."""
    (action,) = plan(site, "refresh-volume", pair).manual
    (step,) = action.steps
    assert isinstance(step, Manual)
    text, refresh = step.text, f"refresh {pair[0].uuid} {pair[1]}"
    order = ["server stop", "get_connector --json > connector.json", refresh, "server start"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_reattach_and_refresh_as_they_are_typed(
    site: Site, pair: tuple[Server, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Dry runs that change nothing, each with the line to type next."""
    words = ["--server", pair[0].uuid, pair[1]]
    config = ["--config", str(site.toml)]
    assert main([*config, "volume", "reattach", *words, "--no-wait"]) == Exit.FINDINGS
    said = capsys.readouterr()
    assert f"volume reattach --no-wait --server {pair[0].uuid} {pair[1]} --yes --accept reattach-volume" in said.err
    assert f"DELETE /servers/{pair[0].uuid}/os-volume_attachments/{pair[1]}" in " ".join(said.out.split())
    assert main([*config, "volume", "refresh", *words]) == Exit.FINDINGS
    assert "by hand" in capsys.readouterr().err
    assert [path for path in site.services.changes() if "volume" in path] == []
