# SPDX-License-Identifier: Apache-2.0
"""What comes to a host while others are visited: no row may be read before the last directory was."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackmend.app import audits
from stackmend.config.settings import load
from stackmend.model.audit import Report
from stackmend.model.errors import Exit
from stackmend_lab.cloud import build

from .host_plants import CELL, HOST, OTHER, Scene
from .instances import Instances

#: stands in for ssh: hosts are folders of this machine, and the visit of one of them waits at its beginning
_SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
host=$2; shift 2
[ "$*" != true ] || exit 0
echo "$host" >> '{here}/commands'
if [ "$host" = {slow} ] && mkdir '{here}/asked' 2>/dev/null; then
  n=0
  until [ -e '{here}/go' ] || [ $((n += 1)) -gt 600 ]; do sleep 0.05; done
fi
exec sh -c "$(printf '%s' "$*" | sed "s#@HOST@#$host#g")"
"""
#: the rows of a host that was seen at once could have been read by then
_PAUSE = 1.0


@dataclass
class Visits:
    """Two hosts with an instances directory each."""

    scenes: dict[str, Scene]
    folder: Path
    toml: Path

    def audit(self, meanwhile: Callable[[], Any]) -> Report:
        """Look for orphans on both; this happens after one host was seen, and before the other is."""
        config = load(str(self.toml))
        wanted: dict[str, Any] = {"checks": ("instance-dir-orphan",), "about": (HOST, OTHER), "settle": 0}
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(audits.audit, config, **wanted)
            while not (self.folder / "asked").exists() and not looking.done():
                time.sleep(0.02)
            time.sleep(_PAUSE)
            meanwhile()
            (self.folder / "go").touch()
            return looking.result(60)

    def commands(self) -> Counter[str]:
        """Host -> how many were run there."""
        return Counter((self.folder / "commands").read_text().split())


@pytest.fixture
def visits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visits]:
    """Hosts of a cloud that are reached by ssh."""
    cloud = build(tmp_path / "cloud", servers=120, seed=23, hosts=4)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(_SSH.format(slow=HOST, here=tmp_path))
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    path = tmp_path / "stackmend.toml"
    path.write_text(f'{cloud.toml()}[hosts]\ntransport = "ssh"\ninstances_path = "{tmp_path}/@HOST@/instances"\n')
    with ExitStack() as until:
        made = {host: Scene(cloud, Instances(tmp_path / host / "instances"), until) for host in (HOST, OTHER)}
        yield Visits(made, tmp_path, path)
    cloud.close()


@pytest.mark.attack("has a server arrive on a host after another host was visited, with a directory that looks old")
def test_a_server_that_comes_during_the_visits(visits: Visits) -> None:
    """Its row is there as well as its directory: it is no suspect, so that its host is visited once, as the other."""
    scene, new = visits.scenes[HOST], str(uuid.uuid4())

    def arrive() -> None:
        for database, table, key in (("nova_api", "instance_mappings", "instance_uuid"), (CELL, "instances", "uuid")):
            sql = f"SELECT * FROM {table} WHERE {key} = :u"
            (row,) = scene.cloud.rows(database, sql, {"u": scene.server().uuid})
            scene.cloud.insert(database, table, **{**row, "id": None, key: new})
        scene.old(new)

    visits.scenes[OTHER].old(next(one.uuid for one in scene.cloud.servers("active") if one.host == OTHER))
    report = visits.audit(arrive)
    assert (scene.made.path / new).is_dir()
    assert (report.findings, report.incomplete, report.exit) == ((), {}, Exit.CLEAN)
    seen = visits.commands()
    assert seen[HOST] == seen[OTHER] > 0


@pytest.mark.attack("has a server move to a host after the host that it leaves was visited, with a directory on both")
def test_a_server_that_moves_during_the_visits(visits: Visits) -> None:
    """Rows are those of after the last visit: what it left is found, and nothing of where it is now."""
    cloud = visits.scenes[HOST].cloud
    server = next(one for one in cloud.servers("active") if one.host == OTHER and one.database == CELL)
    for scene in visits.scenes.values():
        scene.old(server.uuid)
    report = visits.audit(lambda: cloud.update(CELL, "instances", {"uuid": server.uuid}, host=HOST, node=HOST))
    assert [(one.key["host"], one.key["name"]) for one in report.findings] == [(OTHER, server.uuid)]
    assert report.incomplete == {}


def test_what_is_an_orphan_all_the_same(visits: Visits) -> None:
    """A directory that nobody owns, on either host: both are visited twice."""
    names = {host: scene.old() for host, scene in visits.scenes.items()}
    report = visits.audit(lambda: None)
    assert {(one.key["host"], one.key["name"]) for one in report.findings} == set(names.items())
