# SPDX-License-Identifier: Apache-2.0
"""Databases that stop to answer: each is named in time and given up at a limit, and nothing is concluded from it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.model.errors import Exit
from stackmend_lab.cloud import Cloud, build
from stackmend_lab.mariadb import MariaDB
from stackmend_lab.plants.cinder import volume_stuck_detaching
from stackmend_lab.plants.neutron import port_without_server
from stackmend_lab.plants.placement import allocation_orphan

from ..support.frozen_server import Relay
from .conftest import PROGRAM, Ran

#: seconds of silence that are waited for; it is said after half of them
LIMIT = 4
#: seconds that a command may take beyond that: it starts, asks what can be asked, and ends
ROOM = 60
#: the same program on a machine without mysqlclient
PYTHON = "import sys; sys.modules['MySQLdb'] = None; from stackmend.cli.shell import main; sys.exit(main(sys.argv[1:]))"


class Place:
    """A cloud on a server, each of whose databases can be put behind a relay."""

    def __init__(self, server: MariaDB, cloud: Cloud, folder: Path) -> None:
        self.server, self.cloud, self.folder = server, cloud, folder
        self.toml = folder / "stackmend.toml"
        self.took = 0.0

    def behind(self, relay: Relay, *databases: str) -> None:
        """Configure these databases behind the relay."""
        lines = []
        for line in self.cloud.toml(same_account=True).splitlines():
            name = line.partition("=")[0].strip().strip('"')
            lines.append(line.replace(f":{self.server.port}/", f":{relay.port}/") if name in databases else line)
        self.toml.write_text("\n".join(lines) + "\n")

    def run(self, *argv: object, front: tuple[str, ...] = (), python: bool = False) -> Ran:
        """Run the program, and note how long it takes."""
        program = [sys.executable, "-c", PYTHON] if python else [str(PROGRAM)]
        line = [*program, "--config", self.toml, "--database-timeout", LIMIT, *front, *argv]
        began = time.monotonic()
        done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False, timeout=300)
        self.took = time.monotonic() - began
        return Ran(done.returncode, done.stdout, done.stderr)

    def pid(self) -> int:
        """Of the server."""
        return int((self.server.folder / "pid").read_text())


@pytest.fixture(scope="module")
def built(mariadb: MariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A damaged cloud."""
    cloud = build(mariadb, servers=60, seed=31, prefix="silence_")
    for plant in (allocation_orphan, port_without_server, volume_stuck_detaching):
        plant.plant(cloud)
    cloud.save()
    yield Place(mariadb, cloud, tmp_path_factory.mktemp("silence"))
    cloud.close()


@pytest.fixture
def place(built: Place, tmp_path: Path) -> Place:
    """The same, as it was planted, with nothing run yet."""
    built.cloud.reset()
    return Place(built.server, built.cloud, tmp_path)


@pytest.fixture
def relay(place: Place) -> Iterator[Relay]:
    """A relay before the server."""
    with Relay(place.server.port) as found:
        yield found


def incomplete(ran: Ran) -> list[str]:
    """The sources that failed, as the hint or the summary names them."""
    return re.findall(r"(?m)^(?:warning|error): .*?(\w[\w:]*) cannot be read", ran.err)


@pytest.mark.attack("stops Neutron's database in the middle of a table")
@pytest.mark.parametrize("python", [False, True], ids=["mysqlclient", "pymysql"])
def test_a_stream_that_freezes(place: Place, relay: Relay, python: bool) -> None:
    """It is named, with the table, while it is silent; then its checks are incomplete and the others have answered."""
    place.behind(relay, "neutron")
    relay.freeze_at(b"ml2_port_bindings` t", passing=True) if python else relay.freeze_at(b"`ports` t", passing=True)
    ran = place.run("audit", "-f", "json", "--settle", "0", python=python)
    assert relay.frozen.is_set(), ran.err
    assert ran.code == Exit.INCOMPLETE
    assert place.took < 2 * LIMIT + ROOM
    assert re.search(
        r"neutron has not answered for 2 s: reading (ports|ml2_port_bindings); giving up after 4 s", ran.err
    )
    assert "cannot be read: no answer for 4 s" in ran.err
    found = json.loads(ran.out)
    assert {one["check"] for one in found} >= {"volume-stuck-detaching"}
    assert not [one for one in found if one["check"].startswith("port-")]


@pytest.mark.attack("stops the server of all databases (SIGSTOP)")
def test_a_server_that_is_stopped(place: Place, relay: Relay) -> None:
    """Its kernel still takes connections; it is tried once, not for each of its databases, and -q still warns."""
    place.behind(relay)
    os.kill(place.pid(), signal.SIGSTOP)
    try:
        ran = place.run("audit", "-f", "json", front=("-q",))
    finally:
        os.kill(place.pid(), signal.SIGCONT)
    assert ran.code == Exit.INCOMPLETE
    assert place.took < 3 * LIMIT + ROOM
    assert "nova_api has not answered for 2 s: connecting; giving up after 4 s" in ran.err
    assert json.loads(ran.out) == []
    assert place.run("audit", "-f", "json", "--settle", "0").code == Exit.FINDINGS


def test_slow_is_not_silent(place: Place) -> None:
    """A server that answers drop by drop is waited for, longer than it may be silent, and no word is said."""
    with Relay(place.server.port, pace=0.15) as relay:
        place.behind(relay, "neutron")
        ran = place.run("audit", "--check", "port-without-server", "--settle", "0")
    assert ran.code == Exit.FINDINGS, ran.err
    assert place.took > 2 * LIMIT
    assert "has not answered" not in ran.err


@pytest.mark.parametrize(
    ("command", "python"), [("audit", False), ("audit", True), ("plan create", False)], ids=["audit", "pymysql", "plan"]
)
def test_it_freezes_when_findings_are_confirmed(place: Place, relay: Relay, command: str, python: bool) -> None:
    """What was found and could not be asked again is not confirmed, and not planned for."""
    place.behind(relay, "neutron")
    relay.freeze_at(b"information_schema.key_column_usage", 2)
    more = ("--allow-db", "--out", place.folder / "plan.json") if command == "plan create" else ("--settle", "0")
    ran = place.run(*command.split(), *more, "-f", "json", python=python)
    assert relay.frozen.is_set(), ran.err
    assert ran.code == Exit.INCOMPLETE
    assert place.took < 3 * LIMIT + ROOM
    assert "neutron has not answered for 2 s: reading information_schema.key_column_usage" in ran.err


def test_it_freezes_while_it_is_planned(place: Place, relay: Relay) -> None:
    """A repair that cannot look up its rows makes no steps, and the plan says why."""
    place.behind(relay, "neutron")
    relay.freeze_at(b"information_schema.key_column_usage", 3)
    ran = place.run("plan", "create", "--allow-db", "--out", place.folder / "plan.json")
    assert relay.frozen.is_set(), ran.err
    assert ran.code == Exit.FINDINGS  # what can be mended in other databases is in the plan
    assert place.took < 3 * LIMIT + ROOM
    assert "neutron has not answered for 2 s" in ran.err
    assert "cannot be read: no answer for 4 s" in " ".join(ran.out.split())


def planned(place: Place, relay: Relay, *checks: str) -> Path:
    """A plan for what was planted."""
    place.behind(relay, "neutron", "placement", "cinder")
    file = place.folder / "plan.json"
    only = [word for check in checks for word in ("--check", check)]
    assert place.run("plan", "create", "--allow-db", "--out", file, *only).code == Exit.FINDINGS
    return file


@pytest.mark.attack("stops the server between the announcement of a write and its commit")
@pytest.mark.parametrize(
    ("at", "after"), [(b"DELETE FROM", b""), (b"COMMIT", b"DELETE FROM")], ids=["delete", "commit"]
)
@pytest.mark.parametrize("passing", [pytest.param(True, marks=pytest.mark.long), False], ids=["received", "held-back"])
def test_a_writer_that_freezes_is_in_doubt(place: Place, relay: Relay, at: bytes, after: bytes, passing: bool) -> None:
    """Nobody says that it failed: the run is in doubt, and once the server is back resume ends it as the rows are."""
    file = planned(place, relay, "allocation-orphan")
    relay.freeze_at(at, passing=passing, after=after)
    ran = place.run("plan", "apply", file, "--yes", "--accept", "all", "-f", "json")
    assert relay.frozen.is_set(), ran.err
    assert (ran.code, json.loads(ran.out)["in_doubt"], json.loads(ran.out)["failed"]) == (Exit.IN_DOUBT, 1, 0), ran.err
    assert place.took < 3 * LIMIT + ROOM
    assert "placement has not answered for 2 s: " in ran.err
    relay.thaw()
    run = json.loads(ran.out)["run"]
    ran = place.run("run", "resume", run, "-f", "json")
    assert ran.code in (Exit.REPAIRED, Exit.CLEAN), ran.err
    assert json.loads(ran.out)["in_doubt"] == 0
    assert place.run("audit", "--check", "allocation-orphan", "--settle", "0").code == Exit.CLEAN


@pytest.mark.attack("stops the server of the journal")
def test_a_journal_that_freezes(place: Place, relay: Relay) -> None:
    """Without a journal nothing is changed, and that is said within the limit."""
    place.server.run("CREATE DATABASE IF NOT EXISTS silence_journal")
    url = place.server.url("silence_journal").replace(f":{place.server.port}/", f":{relay.port}/")
    place.behind(relay)
    text = place.toml.read_text()
    head, _, tail = text.partition("[state]\n")
    place.toml.write_text(f'{head}[state]\njournal = "{url}"\n{tail}')
    file = place.folder / "plan.json"
    assert place.run("plan", "create", "--allow-db", "--out", file).code == Exit.FINDINGS
    before = place.cloud.dump()
    relay.freeze()
    ran = place.run("plan", "apply", file, "--yes", "--accept", "all")
    assert ran.code == Exit.STOPPED, ran.err
    assert place.took < 3 * LIMIT + ROOM
    assert "the journal has not answered for 2 s" in ran.err
    assert place.cloud.dump() == before
