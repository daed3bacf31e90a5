# SPDX-License-Identifier: Apache-2.0
"""Who runs tests may be ended in any way: the services that he began end, and their folders go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stackmend_lab.control_plane.process import Keeper
from stackmend_lab.guardian import guarded, reap

#: a run of pytest with a service for its session, which never ends by itself
TESTS = """
import os, time
from pathlib import Path
import pytest
from stackmend_lab.mariadb import MariaDB
@pytest.fixture(scope="session")
def server():
    with MariaDB() as server:
        Path({said!r}).write_text(f"{{os.getpid()}} {{server._process.pid}} {{server.folder}}")
        yield server
def test_waits(server):
    time.sleep(600)
"""


def until(said: Callable[[], object], what: str, seconds: float = 90) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("worker", signal.SIGKILL),
        pytest.param("master", signal.SIGKILL, marks=pytest.mark.long),
        pytest.param("terminal", signal.SIGINT, marks=pytest.mark.long),
    ],
)
def test_nothing_is_left_of_a_run_that_is_ended(tmp_path: Path, whom: str, number: int) -> None:
    """kill -9 of a worker or of pytest itself, and Ctrl-C: MariaDB ends, its folder is removed."""
    said = tmp_path / "said"
    (tmp_path / "test_it.py").write_text(TESTS.format(said=str(said)))
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-n1", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
    )
    try:
        until(lambda: said.exists() and said.read_text().count(" ") == 2, "the server did not start", 180)
        worker, server, folder = said.read_text().split(" ", 2)
        assert lives(int(server))
        if whom == "terminal":
            os.killpg(run.pid, number)
        else:
            os.kill(int(worker) if whom == "worker" else run.pid, number)
        if whom == "worker":  # pytest would replace it
            run.terminate()
        until(lambda: not lives(int(server)), "the server still runs")
        until(lambda: not Path(folder).exists(), "its folder is still there")
    finally:
        run.kill()
        run.wait()


def test_a_service_of_a_lab_ends_with_whoever_began_it(tmp_path: Path) -> None:
    """Those of a lab are begun in sessions of their own; they are found by their mark."""
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from stackmend_lab.guardian import Guardian\n"
        "from stackmend_lab.control_plane.process import Keeper\n"
        "whole = Path(sys.argv[1]); lab = whole / 'lab'; (lab / 'run').mkdir(parents=True)\n"
        "guardian = Guardian(lab, whole)\n"
        "keeper = Keeper(lab, lab / 'run')\n"
        "print(keeper.start('rabbitmq', ['/bin/sleep', '600'], {}, lab / 'log').pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path / "whole"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    service = int(child.stdout.readline())
    assert lives(service)
    child.kill()
    child.communicate()
    until(lambda: not lives(service), "the service still runs")
    until(lambda: not (tmp_path / "whole").exists(), "its folder is still there")


def test_a_guardian_that_is_released_touches_nothing(tmp_path: Path) -> None:
    """Whoever has ended what he began keeps his folder."""
    (tmp_path / "whole").mkdir()
    with guarded(tmp_path / "whole", tmp_path / "whole"):
        assert (tmp_path / "whole" / "owner.json").exists()
    assert list((tmp_path / "whole").iterdir()) == []


def test_what_the_dead_have_left_is_cleared_away_at_the_next_start(tmp_path: Path) -> None:
    """Of dead runs alone: what lives, and what is nobody's, stays."""
    made = {}
    for name, owner in {
        "stackmend-db-dead": {"pid": 2**22 - 1, "begun": 1},
        "stackmend-db-recycled": {"pid": os.getpid(), "begun": 1},
        "stackmend-lab-other": None,
        "somebody": {"pid": 2**22 - 1, "begun": 1},
    }.items():
        made[name] = tmp_path / name
        (made[name] / "run").mkdir(parents=True)
        if owner:
            (made[name] / "owner.json").write_text(json.dumps(owner | {"folder": str(made[name])}))
    (tmp_path / "stackmend-db-link").symlink_to(made["somebody"])
    living = tmp_path / "stackmend-lab-living"
    living.mkdir()
    folder = made["stackmend-db-dead"]
    service = Keeper(folder, folder / "run").start("mariadb", ["/bin/sleep", "600"], {}, tmp_path / "log")
    with guarded(living, living):
        assert sorted(path.name for path in reap(tmp_path)) == ["stackmend-db-dead", "stackmend-db-recycled"]
    os.waitpid(service.pid, 0) if lives(service.pid) else None
    assert not lives(service.pid)
    left = {"stackmend-lab-other", "somebody", "stackmend-db-link", "stackmend-lab-living", "log"}
    assert {path.name for path in tmp_path.iterdir()} == left
