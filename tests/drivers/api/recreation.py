# SPDX-License-Identifier: Apache-2.0
"""Servers that are made again on their ports: the same tests on services in memory and on real ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from stackmend.app import runs
from stackmend.config.settings import load
from stackmend.model.errors import Exit
from stackmend.model.step import StepState

from .typed import Typed

CONSENT = ("--yes", "--accept", "recreate-server")
USER_DATA = "IyEvYmluL3NoCmVjaG8gdG9wLXNlY3JldC13b3Jkcwo="


@dataclass
class Shown:
    """A server: what has to be the same of it afterwards, and what may not be."""

    id: str
    ports: dict[str, list[str]]  #: port -> its MAC address, then its addresses
    volumes: dict[str, bool]  #: volume -> whether it is deleted with the server
    facts: dict[str, Any]  #: flavor, metadata, tags, user data...
    image: str = field(compare=False)
    status: str = field(compare=False)
    kept: list[str] = field(compare=False)  #: ports that are not deleted with it, as Nova's cache says


class Site(Protocol):
    """The services, and an account of them."""

    toml: Path

    def of_image(self) -> str:
        """A server that boots from an image, with ports that Nova made and all that a server may have; its name."""
        ...

    def of_volume(self) -> str:
        """One that boots from a volume, and has another; both are deleted with it."""
        ...

    def shown(self, name: str) -> Shown | None:
        """The only server of this name, None where there is none."""
        ...

    def free(self, ports: list[str]) -> dict[str, list[str]]:
        """Those of these ports that nobody has, as ``Shown.ports``."""
        ...

    def volume(self, name: str) -> str:
        """Its status."""
        ...

    def images(self, name: str) -> list[str]:
        """Names of images of a server of this name."""
        ...

    def build(self, allowed: bool) -> None:
        """Let builds find a host, or none."""
        ...

    def lock(self, server: str, locked: bool) -> None: ...
    def room(self, more: int | None) -> None:
        """Let the quota have room for so many servers more, less than none where some are too many already."""
        ...


def again(shown: Shown, server: Shown | None) -> Shown:
    """The server that was made again, which is as it was."""
    assert server is not None
    assert server.status == "ACTIVE"
    assert server.id != shown.id
    assert Shown(**{**vars(server), "id": shown.id}) == shown
    return server


class Recreation(Typed):
    """What holds on each; ``site`` is a fixture of its own."""

    def test_on_the_same_ports(self, site: Site, typed: Any) -> None:
        """Ports, addresses and all else are as before; the old disk is kept; nothing brings the old server back."""
        name = site.of_image()
        before = site.shown(name)
        assert before is not None
        code, out, err = typed("server", "recreate", name, "--keep-ports")
        assert code == Exit.FINDINGS, err
        assert site.shown(name) == before
        assert "LOST: what is on its root disk" in " ".join(out.split())
        assert USER_DATA not in out
        code, out, err = typed("server", "recreate", name, "--keep-ports", *CONSENT, "-f", "json")
        assert code == Exit.REPAIRED, err
        after = again(before, site.shown(name))
        assert after.image == before.image
        assert set(after.kept) == set(before.ports)
        assert len(site.images(name)) == 1
        run = json.loads(out)["run"]
        code, out, err = typed("run", "undo", run, "--yes")
        assert code == Exit.STOPPED
        assert "irreversible" in err
        assert site.shown(name) == after
        assert len(site.images(name)) == 1
        for words in (("run", "show", run), ("run", "show", run, "-f", "json")):
            assert USER_DATA not in "".join(map(str, typed(*words)))

    def test_with_its_own_disk(self, site: Site, typed: Any) -> None:
        """It begins with the image that was made of it."""
        name = site.of_image()
        before = site.shown(name)
        assert before is not None
        code, _, err = typed("server", "recreate", name, "--keep-ports", "--from-snapshot", *CONSENT)
        assert code == Exit.REPAIRED, err
        after = again(before, site.shown(name))
        assert after.image != before.image
        assert len(site.images(name)) == 1

    def test_of_its_volumes(self, site: Site, typed: Any) -> None:
        """It boots from the same volume, and its volumes are deleted with it as before."""
        name = site.of_volume()
        before = site.shown(name)
        assert before is not None
        assert set(before.volumes.values()) == {True}
        code, _, err = typed("server", "recreate", name, "--keep-ports", *CONSENT)
        assert code == Exit.REPAIRED, err
        again(before, site.shown(name))

    def test_a_quota_that_is_full(self, site: Site, typed: Any) -> None:
        """The share of the old server is enough; where the project is over its quota nothing is begun."""
        name = site.of_image()
        before = site.shown(name)
        assert before is not None
        try:
            site.room(-1)
            code, _, err = typed("server", "recreate", name, "--keep-ports", *CONSENT)
            assert code == Exit.STOPPED
            assert "leaves no room for it: instances" in err
            assert site.shown(name) == before
            site.room(0)
            code, _, err = typed("server", "recreate", name, "--keep-ports", *CONSENT)
            assert code == Exit.REPAIRED, err
            again(before, site.shown(name))
        finally:
            site.room(None)

    @pytest.mark.attack("has the new server's build fail when the old one is deleted")
    def test_a_build_that_fails(self, site: Site, typed: Any) -> None:
        """Ports and volumes are kept, nothing of the failed server is left, and it goes on from there."""
        name = site.of_volume()
        before = site.shown(name)
        assert before is not None
        try:
            site.build(allowed=False)
            code, out, err = typed("server", "recreate", name, "--keep-ports", *CONSENT, "-f", "json")
        finally:
            site.build(allowed=True)
        assert code == Exit.STOPPED, err
        run = json.loads(out)["run"]
        assert f"server recreate --go-on {run}" in err
        assert site.shown(name) is None
        assert site.free(list(before.ports)) == before.ports
        assert {site.volume(volume) for volume in before.volumes} == {"available"}
        code, out, err = typed("server", "recreate", "--go-on", run, *CONSENT, "-f", "json")
        assert code == Exit.REPAIRED, err
        again(before, site.shown(name))
        code, _, err = typed("server", "recreate", "--go-on", json.loads(out)["run"])
        assert code == Exit.USAGE
        assert "has made server" in err

    def test_taken_back_before_the_deletion(self, site: Site, typed: Any, tmp_path: Path) -> None:
        """Locked after it was planned it is not deleted: undo gives it its ports, and starts it."""
        name = site.of_image()
        before = site.shown(name)
        assert before is not None
        plan = str(tmp_path / "plan.json")
        assert typed("server", "recreate", name, "--keep-ports", "--out", plan)[0] == Exit.FINDINGS
        site.lock(before.id, locked=True)
        code, out, err = typed("plan", "apply", plan, *CONSENT, "-f", "json")
        site.lock(before.id, locked=False)
        assert code == Exit.STOPPED, err
        assert "locked is True" in err
        assert site.free(list(before.ports)) == before.ports
        code, _, err = typed("run", "undo", json.loads(out)["run"], "--yes")
        assert code == Exit.CLEAN, err
        assert site.shown(name) == before
        assert site.images(name) == []

    def killed(self, site: Site, typed: Any, step: int) -> tuple[Shown, Shown | None]:
        """Killed when this step is begun, and resumed: the server before and after."""
        name = site.of_volume()
        before = site.shown(name)
        assert before is not None
        config = load(str(site.toml))
        earlier = {run.id for run in runs.list_runs(config)}
        line = [sys.executable, "-m", "stackmend", "--config", str(site.toml)]
        line += ["server", "recreate", name, "--keep-ports", *CONSENT]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))
        while process.poll() is None and not _begun(config, earlier, step):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        told = process.communicate(timeout=60)[1].decode()
        mine = [run.id for run in runs.list_runs(config) if run.id not in earlier]
        assert mine, told
        code, _, err = typed("run", "resume", mine[0])
        assert code in (Exit.REPAIRED, Exit.CLEAN), err
        assert site.images(name) == []
        return before, site.shown(name)


def _begun(config: Any, earlier: set[str], step: int) -> bool:
    for run in runs.list_runs(config):
        if run.id not in earlier:
            entries = runs.show_run(config, run.id)[2]
            return any(entry.step == step and entry.state is StepState.INTENT for entry in entries)
    return False
