# SPDX-License-Identifier: Apache-2.0
"""Processes are known by id, start time and mark; only the lab's own are ever ended."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time

import pytest

from stackmend_lab.control_plane.process import Keeper, Process, is_alive, tail
from stackmend_lab.mariadb import LabError

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
#: ignores SIGTERM
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)
#: a master process whose worker outlives it if it is killed
MASTER = (sys.executable, "-c", "import os, time; os.fork(); print('up', flush=True); time.sleep(600)")
#: listens and has many threads
SERVER = (
    sys.executable,
    "-c",
    "import socket, threading, time; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])\n"
    "for _ in range(200): threading.Thread(target=time.sleep, args=(600,)).start()\n"
    "print('up', flush=True)",
)


@pytest.fixture
def keeper(tmp_path):
    """A keeper that ends everything it started."""
    (tmp_path / "run").mkdir()
    keeper = Keeper(tmp_path, tmp_path / "run")
    yield keeper
    keeper.end_strays(1)


@pytest.fixture
def start(keeper, tmp_path):
    """Start a program and wait until it says that it runs."""

    def starting(name, argv, said=0):
        log = tmp_path / f"{name}.log"
        process = keeper.start(name, argv, {"PATH": os.environ["PATH"]}, log)
        while log.read_text().count("up") < said:
            time.sleep(0.02)
        return process

    return starting


def test_a_process_holds_nothing_open_of_whoever_started_it(start, tmp_path):
    """An inherited lock, as with flock(1), is released although the service continues."""
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), True)
        process = start("a", SLEEP)
    assert is_alive(process)
    with (tmp_path / "lock").open("w") as again:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_process_is_started_in_a_session_of_its_own(keeper, start):
    """It receives no signals meant for the lab's own process, and is found by its name."""
    process = start("one", SLEEP)
    assert keeper.alive("one") == process
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert abs(process.started_at - time.time()) < 60


def test_what_is_dead_holds_no_port(keeper, start, tmp_path):
    """While the threads of a killed process are still ending, its port is in use, and a new start would be refused."""
    for number in range(10):
        name = f"server{number}"
        start(name, SERVER, said=1)
        port = int((tmp_path / f"{name}.log").read_text().split()[0])
        keeper.kill(name)
        with socket.create_server(("127.0.0.1", port)) as again:
            assert again.getsockname()[1] == port


def test_starting_what_runs_does_nothing(keeper, start):
    """The same process is returned."""
    assert start("one", SLEEP) == start("one", SLEEP)


def test_a_process_that_was_killed_is_dead_and_known(keeper, start):
    """This holds even while nobody has waited for it (a zombie)."""
    process = start("one", SLEEP)
    assert keeper.kill("one") == process
    assert keeper.alive("one") is None
    assert keeper.known("one") == process
    assert keeper.kill("one") is None


def test_a_process_with_the_same_id_and_another_start_is_not_ours(keeper, tmp_path):
    """If another process has reused a process id, it is left alone."""
    mine = Process(os.getpid(), 1)
    (tmp_path / "run" / "one.pid").write_text(f"{mine.pid} {mine.begun}\n")
    assert not is_alive(mine)
    keeper.end(["one"], grace=0)
    assert keeper.names() == []


@pytest.mark.parametrize("text", ["", "x y", "12", "1 2 3", "-5 1", "99999999999999999999 1"])
def test_a_damaged_pid_file_is_as_good_as_none(keeper, tmp_path, text):
    """A file that was half written when the machine lost power counts as no file."""
    (tmp_path / "run" / "one.pid").write_text(text)
    assert keeper.alive("one") is None


def test_end_kills_what_does_not_end_by_itself(keeper, start):
    """A process that ignores TERM is ended with KILL."""
    process = start("one", STUBBORN, said=1)
    keeper.end(["one"], grace=0.2)
    assert not is_alive(process)
    assert keeper.strays() == []
    assert keeper.names() == []


def test_children_that_outlive_their_master_are_ended(keeper, start):
    """A worker whose master was killed with -9 is found by its mark."""
    start("one", MASTER, said=2)
    keeper.kill("one")
    assert len(keeper.strays()) == 1
    keeper.end(["one"], grace=5)
    assert keeper.strays() == []


def test_starting_anew_ends_what_the_former_left(keeper, start):
    """A worker of the dead master must not keep its port."""
    first = start("one", MASTER, said=2)
    keeper.kill("one")
    left = keeper.strays()
    second = start("one", SLEEP)
    assert second != first
    assert not any(is_alive(process) for process in left)


def test_ending_one_leaves_the_others(keeper, start):
    """Only the named process is ended."""
    start("one", SLEEP)
    other = start("two", SLEEP)
    keeper.end(["one"], grace=5)
    assert keeper.strays() == [other]


def test_strays_are_found_without_any_file(keeper, start, tmp_path):
    """A lab whose files were removed by hand can still be ended completely."""
    process = start("one", SLEEP)
    (tmp_path / "run" / "one.pid").unlink()
    keeper.end_strays(grace=5)
    assert not is_alive(process)


def test_another_labs_processes_are_not_strays(keeper, start, tmp_path):
    """Processes of another lab are left alone, even if its folder's name begins like ours."""
    (tmp_path / "run2").mkdir()
    neighbour = Keeper(tmp_path.with_name(tmp_path.name + "2"), tmp_path / "run2")
    process = neighbour.start("one", SLEEP, {}, tmp_path / "n.log")
    assert keeper.strays() == []
    keeper.end_strays(1)
    assert is_alive(process)
    os.kill(process.pid, signal.SIGKILL)


def test_a_program_that_is_missing_is_an_error_that_names_it(keeper, tmp_path):
    """A missing program is an error that names it, not a traceback."""
    with pytest.raises(LabError, match="/nowhere/at/all"):
        keeper.start("one", ["/nowhere/at/all"], {}, tmp_path / "log")


def test_the_end_of_a_log(tmp_path):
    """The last lines with text, cut if they are too long; none if there is no file."""
    log = tmp_path / "log"
    log.write_text("one\n\ntwo\n" + "x" * 1000 + "\n")
    assert tail(log, 2) == ["two", "x" * 300]
    assert tail(tmp_path / "none") == []
