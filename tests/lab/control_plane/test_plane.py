# SPDX-License-Identifier: Apache-2.0
"""The lab itself, on real services: it comes up, stays up, is repaired, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from stackmend.cli.shell import main
from stackmend.model.errors import Exit
from stackmend_lab import schemas
from stackmend_lab.control_plane import Plane, layout
from stackmend_lab.control_plane.databases import connect
from stackmend_lab.control_plane.process import Keeper
from stackmend_lab.control_plane.services import table
from stackmend_lab.mariadb import LabError
from stackmend_lab.migrations import described

from ..test_schemas import BY_THE_LAB
from .using import running

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def test_everything_runs_and_is_seeded(plane):
    """Every service is up; hosts of both cells are known; servers are active, one of them in the second cell."""
    assert set(running(plane)) == set(table(plane.layout))
    cloud = plane.connect()
    assert {service.host for service in cloud.compute.services(binary="nova-compute")} == set(plane.hosts)
    servers = {server.name: server for server in cloud.compute.servers(details=True)}
    assert {servers[name].status for name in ("web1", "web2", "db1")} == {"ACTIVE"}
    assert servers["db1"].hypervisor_hostname == plane.hosts[-1]
    assert len(plane.sql("cell:cell2", "SELECT uuid FROM instances WHERE deleted = 0 AND hostname = %s", ["db1"])) == 1
    cloud.close()


@pytest.mark.parametrize(
    ("service", "database"),
    [(name, name) for name in BY_THE_LAB if name != "nova"] + [("nova", "cell:cell0"), ("nova", "cell:cell2")],
)
def test_the_schemas_are_those_of_the_migrations(plane, service, database):
    """The schemas that the services' own migrations create are exactly those that stackmend describes."""
    with closing(connect(plane.layout, database)) as connection:
        assert described(connection, service) == schemas.load(service)


def test_up_again_changes_nothing(plane):
    """Processes stay the same, and nothing is seeded twice."""
    before, servers = running(plane), plane.sql("nova_api", "SELECT COUNT(*) AS n FROM instance_mappings")
    plane.up()
    assert running(plane) == before
    assert plane.sql("nova_api", "SELECT COUNT(*) AS n FROM instance_mappings") == servers


def test_every_service_keeps_its_mark(plane):
    """Whatever title it gives itself, a started process is found again, even if its files are gone."""
    found = {process.pid for process in Keeper(plane.layout.folder, plane.layout.pids).strays()}
    assert {pid for pid in running(plane).values() if pid} <= found


def test_status_for_machines(plane, capsys):
    """The document follows its schema; exit 0 while all services run, 1 if one does not."""
    assert main(["lab", "status", "--folder", str(plane.folder), "-f", "json"]) == Exit.CLEAN
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((SCHEMAS / "lab-status.json").read_text()))
    assert {entry["state"] for entry in document} == {"running"}

    plane.stop("nova-scheduler")
    assert main(["lab", "status", "--folder", str(plane.folder), "-f", "json"]) == Exit.ERROR
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((SCHEMAS / "lab-status.json").read_text()))
    assert [entry["name"] for entry in document if entry["state"] == "stopped"] == ["nova-scheduler"]
    plane.start("nova-scheduler")
    plane.wait()


def test_no_password_is_seen_in_the_list_of_processes(plane):
    """No process shows a password: every user of the machine can read arguments."""
    seen = [
        path.read_bytes()
        for process in Keeper(plane.layout.folder, plane.layout.pids).strays()
        for path in [Path(f"/proc/{process.pid}/cmdline")]
    ]
    assert len(seen) > 20
    assert not [line for line in seen for word in plane.layout.passwords.values() if word.encode() in line]


def test_the_shell_knows_the_cloud(plane):
    """Clients and stackmend find the lab, and the exit code is that of the command."""
    line = 'test "$OS_CLOUD" = lab && test -f "$OS_CLIENT_CONFIG_FILE" && test -f "$STACKMEND_CONFIG" && exit 7'
    assert main(["lab", "shell", "--folder", str(plane.folder), "-c", line]) == 7


@pytest.mark.skipif("STACKMEND_LAB" in os.environ, reason="a developer's lab may be broken")
def test_stackmend_finds_the_lab_clean(plane, tmp_path):
    """No check finds anything in a healthy cloud of real services."""
    done = subprocess.run(
        [Path(sys.executable).with_name("stackmend"), "audit", "-f", "json"],
        env={**os.environ, **plane.shell_environment(), "STACKMEND_STATE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout or "null")) == (Exit.CLEAN, []), done.stderr


def test_one_at_a_time(plane):
    """A second ``up`` at the same time is refused: it would start everything twice."""
    with plane._locked(), pytest.raises(LabError, match="is at work"):
        Plane(plane.folder).up()


def test_a_port_that_somebody_took_is_named(tmp_path, plane):
    """Before anything is started, the error names the port and its service."""
    lab = layout.create(tmp_path / "lab", 1, 1, plane.layout.services)
    lab.ports["keystone"] = plane.layout.ports["keystone"]
    lab.save()
    with pytest.raises(LabError, match=f"port {lab.ports['keystone']} of keystone is taken"):
        Plane(lab.folder).up()
    assert Keeper(lab.folder, lab.pids).strays() == []
