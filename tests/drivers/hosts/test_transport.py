# SPDX-License-Identifier: Apache-2.0
"""Commands on a real OpenSSH server and on this machine: what comes back, and what is known when nothing does."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackmend.drivers.hosts.child import KEPT
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.errors import HostLost, HostUnreachable, SourceError

from .conftest import Host, until

AWKWARD = [
    "",
    " ",
    "a b",
    "it's",
    '"',
    "$HOME",
    "`id`",
    "\\",
    "a\nb",
    "*",
    "--",
    "-x",
    "ü€",
    "!!",
    ";",
    "#",
    "~",
    "{a,b}",
]


@pytest.fixture(params=["ssh", "local"])
def there(request: pytest.FixtureRequest) -> Iterator[tuple[Transport, str]]:
    """A transport, and the name of a host that it reaches."""
    if request.param == "ssh":
        made: Host = request.getfixturevalue("host")
        transport, name = made.transport(), made.name
    else:
        transport, name = Transport(Routes(transport="local")), socket.gethostname()
    yield transport, name
    transport.close()


def gone(path: Path) -> None:
    """Wait until the process that wrote its id there is no more."""
    until(path.exists, "it was never begun")
    pid = path.read_text().strip()
    until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} still runs")


def test_what_a_command_prints_and_is_given(there: tuple[Transport, str]) -> None:
    """Output, errors and exit code come back apart, as bytes, and it reads what it is given."""
    transport, name = there
    done = transport.run(name, ["sh", "-c", "cat; printf 'e\\377' >&2; exit 3"], stdin=b"\x00\xff in")
    assert done == (3, b"\x00\xff in", b"e\xff")


def test_words_arrive_as_they_were_sent(there: tuple[Transport, str]) -> None:
    """No shell on the way takes a word apart or reads anything into it."""
    transport, name = there
    done = transport.run(name, ["printf", "%s\\0", *AWKWARD])
    assert done.out.decode().split("\0")[:-1] == AWKWARD


@pytest.mark.parametrize("code", [0, 1, 2, 124, 125, 126, 127, 137, 254, 255])
def test_every_exit_code_is_that_of_the_command(there: tuple[Transport, str], code: int) -> None:
    """Also those by which ssh, timeout and container runtimes say that they failed themselves."""
    transport, name = there
    assert transport.run(name, ["sh", "-c", f"exit {code}"]).code == code


def test_a_command_that_is_not_there_says_so(there: tuple[Transport, str]) -> None:
    """It is an answer: exit code 127, and not a host that cannot be reached."""
    transport, name = there
    assert transport.run(name, ["no-such-program"]).code == 127


def test_one_that_takes_too_long_is_ended_there(there: tuple[Transport, str], tmp_path: Path) -> None:
    """It is lost, for it may have done something, and it does not run on."""
    transport, name = there
    mark = tmp_path / "pid"
    with pytest.raises(HostLost, match="took longer than 1 s") as caught:
        transport.run(name, ["sh", "-c", f"echo $$ > {mark}; exec sleep 300"], limit=1)
    assert name in caught.value.message
    gone(mark)


def test_output_without_end_is_an_error(there: tuple[Transport, str]) -> None:
    """What is kept is bounded; half an answer is never taken for a whole one."""
    transport, name = there
    with pytest.raises(SourceError, match="more than 8 MiB"):
        transport.run(name, ["head", "-c", str(KEPT + 1), "/dev/zero"])
    assert len(transport.run(name, ["head", "-c", str(KEPT), "/dev/zero"]).out) == KEPT
    # nothing depends on what a program has told of its progress: the end of it is kept
    talks = transport.run(name, ["sh", "-c", f"head -c {KEPT} /dev/zero >&2; echo late >&2; echo fine"])
    assert (talks.code, talks.out, talks.err[-5:], len(talks.err) <= KEPT) == (0, b"fine\n", b"late\n", True)


def test_what_a_daemon_holds_open_is_not_waited_for() -> None:
    """A command that leaves a process behind, which has its output open, is over when it is over."""
    done = Transport().run("", ["sh", "-c", "sleep 300 & echo $!"], limit=20)
    assert done.code == 0
    os.kill(int(done.out), signal.SIGKILL)


def test_a_wrong_host_key_is_refused(host: Host, tmp_path: Path) -> None:
    """Nothing is run on a machine that is not the one it was."""
    host.know("other")
    with pytest.raises(HostUnreachable, match="c01 cannot be reached") as caught:
        host.transport().run("c01", ["touch", str(tmp_path / "done")])
    assert "Host key verification failed" in caught.value.message
    assert "known hosts" in caught.value.hint
    assert not (tmp_path / "done").exists()


def test_an_unknown_host_is_refused(host: Host, tmp_path: Path) -> None:
    """A key that nobody has confirmed is not accepted, and not remembered."""
    host.know("")
    with pytest.raises(HostUnreachable, match="Host key verification failed"):
        host.transport().run("c01", ["touch", str(tmp_path / "done")])
    assert (host.folder / "known").read_text() == ""
    assert not (tmp_path / "done").exists()


def test_nobody_is_asked_for_a_password(host: Host) -> None:
    """Without a key that the host takes it ends at once."""
    (host.folder / "user.pub").write_text((host.folder / "other.pub").read_text())
    with pytest.raises(HostUnreachable, match="Permission denied"):
        host.transport().run("c01", ["true"])


def test_a_host_that_is_off_is_unreachable(host: Host) -> None:
    """Surely nothing was run there."""
    host.stop()
    with pytest.raises(HostUnreachable, match="c01 cannot be reached"):
        host.transport().run("c01", ["true"])


@pytest.mark.parametrize("standing", [False, True], ids=["first", "over a standing connection"])
def test_a_broken_connection_is_a_loss(host: Host, tmp_path: Path, standing: bool) -> None:
    """The command was begun, and nobody knows what became of it."""
    transport = host.transport()
    if standing:
        assert transport.run("c01", ["true"]).code == 0
    began = tmp_path / "began"

    def drop() -> None:
        until(began.exists, "it was never begun")
        host.drop()

    other = threading.Thread(target=drop)
    other.start()
    with pytest.raises(HostLost, match="lost c01 while it ran sh -c") as caught:
        transport.run("c01", ["sh", "-c", f"touch {began}; exec sleep 20"])
    other.join()
    assert caught.value.hint


def test_a_host_that_falls_silent_is_lost(host: Host, tmp_path: Path) -> None:
    """A command with a limit ends also where no answer comes and no connection breaks."""
    transport = host.transport()
    began = tmp_path / "began"

    def freeze() -> None:
        until(began.exists, "it was never begun")
        host.freeze()

    other = threading.Thread(target=freeze)
    other.start()
    with pytest.raises(HostLost, match="c01"):
        transport.run("c01", ["sh", "-c", f"touch {began}; exec sleep 20"], limit=1)
    other.join()


def test_a_connection_is_used_again_and_closed_in_the_end(host: Host) -> None:
    """Signing in costs more than most commands; nothing of it is left behind."""
    transport = host.transport()
    for _ in range(3):
        assert transport.run("c01", ["true"]).code == 0
    accepted = (host.folder / "log").read_text().count("Accepted publickey")
    assert accepted == 1
    folder = Path(transport._sockets)
    assert [path.is_socket() for path in folder.iterdir()] == [True]
    transport.close()
    assert not folder.exists()
    until(lambda: host.sessions() == [], "the connection is still open")


@pytest.mark.parametrize("way", ["ssh", "local"])
def test_a_command_inside_a_container(way: str, docker: Path, request: pytest.FixtureRequest) -> None:
    """The prefix composes with each transport, and a command that belongs outside does without it."""
    container = (str(docker), "exec", "-i", "nova")
    if way == "ssh":
        transport, name = request.getfixturevalue("host").transport(container=container), "c01"
    else:
        transport, name = Transport(Routes(transport="local", container=container)), socket.gethostname()
    assert transport.inside().run(name, ["sh", "-c", "cat; echo $INSIDE"], stdin=b"in ").out == b"in nova\n"
    assert transport.run(name, ["sh", "-c", "echo $INSIDE"]).out == b"\n"


@pytest.mark.parametrize("way", ["ssh", "local"])
def test_a_container_that_is_not_there(way: str, docker: Path, request: pytest.FixtureRequest) -> None:
    """The runtime's exit code 1 is not taken for the command's: a probe would say "to do"."""
    prefix = (str(docker), "exec", "-i", "gone")
    if way == "ssh":
        transport, name = request.getfixturevalue("host").transport(prefix=prefix), "c01"
    else:
        transport, name = Transport(Routes(transport="local", prefix=prefix)), socket.gethostname()
    with pytest.raises(HostUnreachable, match=r"nothing was run on .*: Error response from daemon: No such container"):
        transport.run(name, ["true"])


def test_this_machine_is_not_taken_for_another() -> None:
    """By transport local a command for another host is refused; names may be given to this one."""
    with pytest.raises(HostUnreachable, match="c07 is not this machine"):
        Transport(Routes(transport="local")).run("c07", ["true"])
    assert Transport(Routes(transport="local", local=frozenset({"c07"}))).run("c07", ["true"]).code == 0


def test_without_a_transport_only_this_machine_is_reached() -> None:
    """Hooks run here; a host is not guessed at."""
    assert Transport().run("", ["true"]).code == 0
    with pytest.raises(HostUnreachable, match="no access to c01 is configured") as caught:
        Transport().run("c01", ["true"])
    assert "transport" in caught.value.hint


@pytest.mark.parametrize("name", ["-oProxyCommand=touch", "a b", "a;b", "$(id)", "a/b", "user@host", "x\n"])
def test_a_name_is_a_name(name: str, tmp_path: Path) -> None:
    """Nothing that ssh could take for an option, or a shell for a command, is ever sent on."""
    with pytest.raises(HostUnreachable, match="is not a valid host name"):
        Transport(Routes(transport="ssh")).run(name, ["true"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--password", "Xyzzy"],
        ["--password=Xyzzy"],
        ["-P", "Xyzzy"],
        ["OS_PASSWORD=Xyzzy"],
        ["--auth-token", "Xyzzy"],
        ["mysql://nova:Xyzzy@db/nova"],
    ],
)
def test_errors_show_no_secret(words: list[str]) -> None:
    """What looks like a password in a command is not printed with it."""
    with pytest.raises(HostLost) as caught:
        Transport().run("", ["sh", "-c", "exec sleep 20", *words], limit=0.1)
    assert "Xyzzy" not in caught.value.message + caught.value.hint
    assert "***" in caught.value.message


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """Whoever stops a command in flight has stopped it."""
    running = Transport().start("", ["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 300 & wait"], limit=300)
    until((tmp_path / "pid").exists, "it was never begun")
    running.end()
    gone(tmp_path / "pid")
    with pytest.raises(HostLost, match="lost this machine"):
        running.poll()
