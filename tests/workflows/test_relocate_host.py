# SPDX-License-Identifier: Apache-2.0
"""Relocation by database on real schemas: what it changes, that it is whole, and that undo gives every byte back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from stackmend.app import runs
from stackmend.cli.shell import main
from stackmend.model.errors import Exit, SourceError, UsageError
from stackmend.model.step import Manual, Risk
from stackmend_lab.cloud import Server
from stackmend_lab.mariadb import MariaDB

from .dead_host import CELL, HOST, TO, Site, moves, only, refusal, refused, standing


@pytest.fixture(scope="module")
def on_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One in SQLite files."""
    with standing(tmp_path_factory.mktemp("relocate")) as site:
        yield site


@pytest.fixture(scope="module")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory, mariadb: MariaDB) -> Iterator[Site]:
    """One on MariaDB."""
    with standing(tmp_path_factory.mktemp("relocate"), mariadb) as site:
        yield site


@pytest.fixture
def files(on_files: Site) -> Site:
    """A cloud in files, healthy but for the host that died."""
    on_files.cloud.reset()
    on_files.settle()
    return on_files


@pytest.fixture(params=["on_files", "on_mariadb"])
def site(request: pytest.FixtureRequest) -> Site:
    """The same on each kind of database."""
    found: Site = request.getfixturevalue(request.param)
    found.cloud.reset()
    found.settle()
    return found


@pytest.mark.parametrize("kind", ["active", "stopped", "multi_nic", "premade_port", "volume_backed", "paused"])
def test_by_rows_alone_it_is_whole_and_taken_back_to_the_byte(site: Site, kind: str) -> None:
    """Every table agrees on the new host, the audit is clean, a second run does nothing, undo gives the bytes back."""
    server = site.put(kind) if kind != "volume_backed" else next(
        s for s in site.cloud.servers(kind) if s.host == HOST
    )  # fmt: skip
    before = site.cloud.dump()
    plan = site.plan(server, via="db")
    assert site.cloud.dump() == before
    first = runs.apply(site.config, plan, accept=("relocate-host",))
    assert (first.exit, first.failed, first.stale) == (Exit.REPAIRED, 0, 0), first.notes
    row = site.server(server)
    node = site.row(CELL, "compute_nodes", host=TO)
    assert (row["host"], row["node"], row["compute_id"]) == (TO, TO, node["id"])
    assert (row["vm_state"], row["task_state"], row["power_state"]) == ("stopped", None, 0)
    assert site.charged(server) == {TO}
    assert site.bound(server) == ({(TO, "ACTIVE")} if server.ports else set())
    assert site.found() == []
    after = site.cloud.dump()
    again = runs.apply(site.config, plan, accept=("relocate-host",))
    assert (again.exit, again.steps) == (Exit.CLEAN, 0)
    assert site.cloud.dump() == after
    back = runs.undo(site.config, first.run)
    assert back.exit is Exit.CLEAN, back.notes
    assert site.cloud.dump() == before


@pytest.mark.attack("hangs a table of an extension on the bindings that a relocation deletes or moves")
def test_what_a_foreign_key_would_take_along_is_left_to_a_human(site: Site) -> None:
    """Its rows would go without being in the plan, in the journal or in undo: that server stays, by name."""
    server, other = site.put(), site.put()
    site.cloud.execute(
        "neutron",
        "CREATE TABLE leased (id INTEGER PRIMARY KEY, port_id VARCHAR(36) NOT NULL, host VARCHAR(255) NOT NULL,"
        " FOREIGN KEY (port_id, host) REFERENCES ml2_port_bindings (port_id, host) ON DELETE CASCADE)",
    )
    try:
        site.cloud.execute("neutron", "INSERT INTO leased VALUES (1, :p, :h)", {"p": server.ports[0], "h": HOST})
        plan = site.plan(server, other, via="db")
    finally:
        site.cloud.execute("neutron", "DROP TABLE leased")
    assert [action.resource_id for action in moves(plan)] == [other.uuid]
    (stays,) = [action for action in plan.actions if action.resource_id == server.uuid]
    assert "1 row of leased would" in stays.why
    assert stays.risk is Risk.MANUAL


def test_the_record_is_what_the_old_host_acts_on(site: Site) -> None:
    """An evacuation, done, from the old host and node to the new ones, that is not hidden and not deleted."""
    server = site.put()
    run = runs.apply(site.config, site.plan(server, via="db"), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    record = site.row(CELL, "migrations", instance_uuid=server.uuid, migration_type="evacuation")
    assert (record["status"], record["deleted"], record["hidden"]) == ("done", 0, 0)
    assert (record["source_compute"], record["source_node"]) == (HOST, HOST)
    assert (record["dest_compute"], record["dest_node"]) == (TO, TO)
    assert record["new_instance_type_id"] == site.server(server)["instance_type_id"]
    action = site.row(CELL, "instance_actions", instance_uuid=server.uuid, action="relocate")
    assert action["message"] == f"through the databases, from {HOST} to {TO}"


def test_a_move_that_was_on_its_way_is_an_error(site: Site) -> None:
    """Nobody ends it any more: it is settled with its context, a binding that it left goes; all comes back."""
    server = site.put()
    site.cloud.insert(
        CELL, "migrations", uuid="00000000-0000-4000-8000-00000000aaaa", instance_uuid=server.uuid, status="migrating",
        migration_type="live-migration", source_compute=HOST, dest_compute=TO, deleted=0,
    )  # fmt: skip
    site.cloud.update(CELL, "instance_extra", {"instance_uuid": server.uuid}, migration_context="{}")
    site.cloud.insert(
        "neutron", "ml2_port_bindings", port_id=server.ports[0], host=TO, vif_type="ovs", vnic_type="normal",
        profile="", vif_details="", status="INACTIVE",
    )  # fmt: skip
    before = site.cloud.dump()
    run = runs.apply(site.config, site.plan(server, via="db"), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    assert site.row(CELL, "migrations", instance_uuid=server.uuid, migration_type="live-migration")["status"] == "error"
    assert site.row(CELL, "instance_extra", instance_uuid=server.uuid)["migration_context"] is None
    assert site.bound(server) == {(TO, "ACTIVE")}
    assert runs.undo(site.config, run.run).exit is Exit.CLEAN
    assert site.cloud.dump() == before


def test_ports_that_are_not_the_servers_stay(site: Site) -> None:
    """DHCP and router ports, and those of other servers, are as they were."""
    server, other = site.put("multi_nic"), site.put()
    own = set(server.ports)
    before = {row["port_id"]: row for row in site.cloud.rows("neutron", "SELECT * FROM ml2_port_bindings")}
    runs.apply(site.config, site.plan(server, via="db"), accept=("all",))
    after = {row["port_id"]: row for row in site.cloud.rows("neutron", "SELECT * FROM ml2_port_bindings")}
    assert {port for port, row in after.items() if row != before[port]} == own
    assert site.server(other)["host"] == HOST


def test_several_servers_one_after_another(site: Site) -> None:
    """Each one is a lane; all are taken back together."""
    servers = [site.put() for _ in range(3)]
    before = site.cloud.dump()
    run = runs.apply(site.config, site.plan(*servers, via="db"), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    assert {site.server(server)["host"] for server in servers} == {TO}
    assert runs.undo(site.config, run.run).exit is Exit.CLEAN
    assert site.cloud.dump() == before


def test_by_the_apis_it_is_started_with_volumes_on_the_new_host(files: Site) -> None:
    """Capacity and ports by calls, new attachments by nova-manage, a hard reboot, and a look at all of it."""
    files.connect()
    server = files.put(volumes=2)
    plan = files.plan(server)
    assert only(plan).strategy == "db+api+host"
    run = runs.apply(files.config, plan, accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    row = files.server(server)
    assert (row["host"], row["vm_state"], row["power_state"]) == (TO, "active", 1)
    assert files.charged(server) == {TO}
    assert files.bound(server) == {(TO, "ACTIVE")}
    held = files.rows("cinder", "volume_attachment", instance_uuid=server.uuid, deleted=0)
    assert {one["attached_host"] for one in held} == {TO}
    mapped = files.rows(CELL, "block_device_mapping", instance_uuid=server.uuid, deleted=0)
    assert {one["id"] for one in held} == {one["attachment_id"] for one in mapped if one["volume_id"]}
    assert [path for path in files.services.changes() if "/action" in path] == [
        f"POST /compute/v2.1/servers/{server.uuid}/action"
    ]


def test_nova_is_told_that_the_host_is_down(files: Site) -> None:
    """Before the first server is moved; undo takes that back as well, when nothing is left for the host to clean up."""
    server = files.put()
    files.cloud.update(CELL, "services", {"host": HOST}, forced_down=0)
    files.cloud.update(CELL, "migrations", {"source_compute": HOST, "status": "done"}, status="completed")
    before = files.cloud.dump()
    run = runs.apply(files.config, files.plan(server, via="db"), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    assert files.row(CELL, "services", host=HOST)["forced_down"] == 1
    back = runs.undo(files.config, run.run)
    assert back.exit is Exit.CLEAN, back.notes
    assert files.cloud.dump() == before


def test_after_the_first_start_undo_leaves_the_server_alone(files: Site) -> None:
    """Exit 5 and the reason; nothing at all is put back, for the rest depends on it."""
    server = files.put()
    run = runs.apply(files.config, files.plan(server), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    before = files.cloud.dump()
    back = runs.undo(files.config, run.run)
    assert (back.exit, back.done, back.stale) == (Exit.STOPPED, 0, 1)
    assert any("irreversible" in note for note in back.notes)
    assert files.cloud.dump() == before


def test_a_start_and_a_stop_by_somebody_else_are_seen(files: Site) -> None:
    """A guest that is shut off is another thing than none: undo refuses although the state is the same."""
    server = files.put()
    run = runs.apply(files.config, files.plan(server, boot=False), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    files.cloud.update(CELL, "instances", {"uuid": server.uuid}, power_state=4)
    assert runs.undo(files.config, run.run).exit is Exit.STOPPED
    assert files.server(server)["host"] == TO


def test_undo_before_the_first_start_by_the_apis(files: Site) -> None:
    """Rows, ports and capacity are on the old host again; Neutron is told, though nobody is there to bind."""
    server = files.put()
    rows = files.server(server)
    run = runs.apply(files.config, files.plan(server, boot=False), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    back = runs.undo(files.config, run.run)
    assert back.exit is Exit.CLEAN, back.notes
    assert files.server(server) == rows
    assert files.charged(server) == {HOST}
    assert files.bound(server) == {(HOST, "ACTIVE")}
    assert files.rows(CELL, "migrations", instance_uuid=server.uuid, migration_type="evacuation") == []


def test_undo_after_new_attachments_says_which_it_leaves(files: Site) -> None:
    """The server is back on its old host; its volumes are exported to the new one until that is mended."""
    files.connect()
    server = files.put(volumes=1)
    run = runs.apply(files.config, files.plan(server, boot=False), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    back = runs.undo(files.config, run.run)
    assert (back.exit, back.stale, back.failed) == (Exit.STOPPED, 0, 0)
    assert any("volume_attachment refresh" in note for note in back.notes)
    assert (files.server(server)["host"], files.charged(server)) == (HOST, {HOST})


def test_undo_after_the_old_host_has_acted_is_refused(files: Site) -> None:
    """The record was completed: its guest was destroyed, there is nothing to go back to."""
    server = files.put()
    run = runs.apply(files.config, files.plan(server, boot=False), accept=("all",))
    where = {"instance_uuid": server.uuid, "migration_type": "evacuation"}
    files.cloud.update(CELL, "migrations", where, status="completed")
    assert runs.undo(files.config, run.run).exit is Exit.STOPPED
    assert files.server(server)["host"] == TO


def test_without_a_way_to_the_host_volumes_are_left_to_a_human(files: Site) -> None:
    """The commands are printed, with the ids in them, and nothing is started."""
    server = files.put(volumes=1)
    (volume,) = [row["volume_id"] for row in files.rows("cinder", "volume_attachment", instance_uuid=server.uuid)]
    plan = files.plan(server)
    texts = [step.text for step in only(plan).steps if isinstance(step, Manual)]
    assert any(f"volume_attachment refresh {server.uuid} {volume} connector.json" in text for text in texts)
    assert any(f"server reboot --hard {server.uuid}" in text for text in texts)
    assert runs.apply(files.config, plan, accept=("all",)).exit is Exit.REPAIRED
    assert files.server(server)["vm_state"] == "stopped"


def test_a_host_that_reports_again_is_left_alone(files: Site) -> None:
    """Between plan and apply nova-compute has come back: the cell is not touched."""
    server = files.put()
    plan = files.plan(server, via="db")
    files.cloud.update(CELL, "services", {"host": HOST}, last_seen_up=files.cloud.ago(1), report_count=5000)
    run = runs.apply(files.config, plan, accept=("all",))
    assert (run.exit, run.failed, run.left) == (Exit.STOPPED, 1, 1)
    assert files.server(server)["host"] == HOST


def alive(site: Site, server: Server) -> dict[str, Any]:
    """The host reports."""
    site.cloud.update(CELL, "services", {"host": HOST}, last_seen_up=site.cloud.ago(1), forced_down=0)
    return {}


def unproved(site: Site, server: Server) -> dict[str, Any]:
    """Nobody says that it is cut off."""
    return {"fenced": False}


def dead_end(site: Site, server: Server) -> dict[str, Any]:
    """The new host is dead as well."""
    site.cloud.update(CELL, "services", {"host": TO}, forced_down=1)
    return {}


def other_cell(site: Site, server: Server) -> dict[str, Any]:
    """The new host is in another cell."""
    return {"to": "c0002"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (alive, "use 'stackmend host drain"),
        (unproved, "Configure [hooks] fence"),
        (dead_end, f"nova-compute on {TO} is not up"),
        (other_cell, "rows cannot leave their cell"),
    ],
)
def test_what_is_not_begun(files: Site, spoil: Any, words: str) -> None:
    """The whole is refused, with the reason."""
    server = files.put()
    assert words in refused(files.plan(server, **spoil(files, server)))


def busy(site: Site, server: Server) -> None:
    site.cloud.update(CELL, "instances", {"uuid": server.uuid}, task_state="powering-off")


def resized(site: Site, server: Server) -> None:
    site.cloud.update(CELL, "instances", {"uuid": server.uuid}, vm_state="resized")


def pci(site: Site, server: Server) -> None:
    site.cloud.insert(
        CELL, "pci_devices", compute_node_id=1, address="0000:81:00.1", product_id="1", vendor_id="1",
        dev_type="type-VF", dev_id="x", label="x", status="allocated", instance_uuid=server.uuid, deleted=0,
    )  # fmt: skip


def pinned(site: Site, server: Server) -> None:
    cell = '{"nova_object.data": {"cpuset": [], "pcpuset": [2, 3], "pagesize": null}}'
    topology = f'{{"nova_object.data": {{"cells": [{cell}]}}}}'
    site.cloud.update(CELL, "instance_extra", {"instance_uuid": server.uuid}, numa_topology=topology)


def tpm(site: Site, server: Server) -> None:
    flavor = '{"cur": {"nova_object.data": {"extra_specs": {"hw:tpm_version": "2.0"}}}}'
    site.cloud.update(CELL, "instance_extra", {"instance_uuid": server.uuid}, flavor=flavor)


def bomb(site: Site, server: Server) -> None:
    site.cloud.insert(
        CELL, "migrations", instance_uuid=server.uuid, status="done", migration_type="evacuation",
        source_compute=TO, dest_compute=HOST, deleted=7,
    )  # fmt: skip


def full(site: Site, server: Server) -> None:
    provider = site.row("placement", "resource_providers", name=TO)["id"]
    site.cloud.update("placement", "inventories", {"resource_provider_id": provider, "resource_class_id": 2}, total=1)


def nested(site: Site, server: Server) -> None:
    root = site.row("placement", "resource_providers", name=HOST)["id"]
    child = site.cloud.insert(
        "placement", "resource_providers", uuid="00000000-0000-4000-8000-00000000cccc", name="gpu", generation=1,
        root_provider_id=root, parent_provider_id=root,
    )  # fmt: skip
    where = {"consumer_id": server.uuid, "resource_class_id": 1}
    site.cloud.update("placement", "allocations", where, resource_provider_id=child)


def passed_through(site: Site, server: Server) -> None:
    where = {"port_id": server.ports[0]}
    site.cloud.update("neutron", "ml2_port_bindings", where, vnic_type="direct")


def together(site: Site, server: Server) -> None:
    group = site.cloud.insert("nova_api", "instance_groups", uuid="00000000-0000-4000-8000-00000000dddd", name="g")
    site.cloud.insert("nova_api", "instance_group_policy", policy="anti-affinity", group_id=group)
    there = next(s for s in site.cloud.servers("active") if s.host == TO)
    for name in (server.uuid, there.uuid):
        site.cloud.insert("nova_api", "instance_group_member", instance_uuid=name, group_id=group)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (busy, "reset its state first"),
        (resized, "is resized"),
        (pci, "has PCI device 0000:81:00.1"),
        (pinned, "has dedicated CPUs or memory pages"),
        (tpm, "has a TPM"),
        (bomb, "destroys it at its next start"),
        (full, f"{TO} has no room for it"),
        (nested, "nested provider gpu"),
        (passed_through, "is direct"),
        (together, "must not share a host"),
    ],
)
def test_a_server_that_stays(files: Site, spoil: Any, words: str) -> None:
    """It is left on the old host, with the reason, whatever becomes of the others."""
    server = files.put()
    spoil(files, server)
    assert words in refusal(files.plan(server), server)


def test_a_finding_keeps_a_server_where_it_is(files: Site) -> None:
    """The checks are asked about the servers of the host alone; who does not want to know says so."""
    harmed, other = files.put(), files.put()
    elsewhere = next(s for s in (files.cloud.pick("active") for _ in range(99)) if s.host != HOST)
    for one in (harmed, elsewhere):
        files.cloud.update(CELL, "instance_info_caches", {"instance_uuid": one.uuid}, network_info="[]")
    plan = files.plan(harmed, other, via="db", audited=True)
    (left,) = (action for action in plan.manual if action.resource_id == harmed.uuid)
    assert "repair it first: info-cache-empty" in left.why
    assert [action.resource_id for action in plan.runnable if action.resource_type == "server"] == [other.uuid]
    assert {a.resource_id for a in files.plan(harmed, via="db").runnable} >= {harmed.uuid}


def test_a_check_without_an_answer_ends_the_planning(files: Site) -> None:
    """Where a source cannot be read nothing tells whom a move would harm; there is a way to go on without."""
    server = files.put()
    files.cloud.execute("cinder", "ALTER TABLE volume_attachment RENAME TO elsewhere")
    try:
        with pytest.raises(SourceError, match=r"check .* could not be run: table cinder_") as caught:
            files.plan(server, via="db", audited=True)
    finally:
        files.cloud.execute("cinder", "ALTER TABLE elsewhere RENAME TO volume_attachment")
    assert "--no-audit" in caught.value.hint


def test_local_disks_need_a_word(files: Site) -> None:
    """Without --shared only a server whose disks are volumes is moved."""
    local = files.put()
    assert "salvage it first" in refusal(files.plan(local, shared=False), local)
    backed = next(s for s in files.cloud.servers("volume_backed") if s.host == HOST)
    assert only(files.plan(backed, shared=False)).resource_id == backed.uuid


def test_capacity_is_for_all_that_are_to_come(files: Site) -> None:
    """There is room for one of two: one goes, the other stays."""
    servers = [files.put(), files.put()]
    wanted = {s.uuid: files.row("placement", "allocations", consumer_id=s.uuid, resource_class_id=1) for s in servers}
    provider = files.row("placement", "resource_providers", name=TO)["id"]
    held = files.rows("placement", "allocations", resource_provider_id=provider, resource_class_id=1)
    room = sum(row["used"] for row in held) + max(row["used"] for row in wanted.values())
    where = {"resource_provider_id": provider, "resource_class_id": 1}
    files.cloud.update("placement", "inventories", where, total=room)
    plan = files.plan(*servers, via="db")
    assert len(moves(plan)) == 1
    assert [action.message for action in plan.manual] == [f"stays on {HOST}", "when it comes back"]


def test_a_hook_proves_that_the_host_is_dead(files: Site) -> None:
    """Where it fails nothing comes after it; where it succeeds the servers follow."""
    server = files.put()
    files.hosts = '[hooks]\nfence = ["test", "{host}", "=", "somebody-else"]\n'
    plan = files.plan(server, via="db", fenced=False)
    run = runs.apply(files.config, plan, accept=("all",))
    assert (run.exit, run.failed, run.left) == (Exit.STOPPED, 1, 2)
    assert files.server(server)["host"] == HOST
    files.hosts = f'[hooks]\nfence = ["test", "{{host}}", "=", "{HOST}"]\n'
    run = runs.apply(files.config, files.plan(server, via="db", fenced=False), accept=("all",))
    assert run.exit is Exit.REPAIRED, run.notes
    assert files.server(server)["host"] == TO


def test_unknown_names_are_the_operators_mistake(files: Site) -> None:
    """A host that no cell has, a server that is elsewhere, a host and itself."""
    elsewhere = next(s for s in files.cloud.servers("active") if s.host == TO)
    with pytest.raises(UsageError, match="has no server"):
        files.plan(elsewhere)
    with pytest.raises(UsageError, match="is in 0 cells"):
        files.plan(to="nowhere")
    with pytest.raises(UsageError, match="itself"):
        files.plan(to=HOST)


def test_as_it_is_typed(files: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run by default, refused without consent to rows, and the line to type next is whole."""
    server = files.put()
    words = ["--config", str(files.toml), "host", "relocate", HOST, "--to", TO, "--server", server.uuid, "--shared"]
    before = files.cloud.dump()
    assert main([*words, "--fenced"]) == Exit.USAGE
    assert "--allow-db" in capsys.readouterr().err
    assert main([*words, "--fenced", "--allow-db", "--no-boot"]) == Exit.FINDINGS
    said = capsys.readouterr()
    assert f"host relocate {HOST} --to {TO} --allow-db --server {server.uuid} --fenced --shared --no-boot" in said.err
    assert re.search(rf'^ +host +"{HOST}" (→|->) "{TO}"$', said.out, re.MULTILINE), said.out
    assert files.cloud.dump() == before
