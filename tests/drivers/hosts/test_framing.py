# SPDX-License-Identifier: Apache-2.0
"""Hosts that print more than they were asked for: on a real OpenSSH server, with a login shell that talks."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from stackmend.drivers.hosts.child import KEPT
from stackmend.drivers.hosts.facts import facts
from stackmend.drivers.hosts.transport import Routes, Transport
from stackmend.model.errors import HostLost, HostUnreachable, SourceError
from stackmend.model.events import EVENT, FACTS

from .conftest import Host

#: what a login shell runs before and after the command that it is given
TALK = {
    "blank lines": ("echo; echo", ""),
    "motd": ("echo 'Welcome to c01'; echo '== maintenance ==' >&2", "echo bye; echo bye >&2"),
    "half a line": ("printf 'Last login: now'", "printf 'logout'"),
    "no UTF-8": (r"printf '\377\376\000 caf\351\n'", r"printf '\377'"),
    "varies": ("date +%N; cat /proc/sys/kernel/random/uuid", "date +%N"),
    "a forged mark": ("echo 'stackmend-0000000000000000 begun'", "echo 'stackmend-0000000000000000 ended 0'"),
}


def talking(host: Host, before: str, after: str = "", run: str = 'sh -c "$SSH_ORIGINAL_COMMAND"; c=$?') -> Transport:
    """Every session of the account begins and ends with this."""
    shell = host.folder / "talks"
    shell.write_text(f'#!/bin/sh\n{before}\n{run}\n{after}\nexit "$c"\n')
    shell.chmod(0o755)
    config = host.folder / "sshd_config"
    config.write_text(config.read_text() + f"ForceCommand {shell}\n")
    host.stop()
    host.start()
    return host.transport()


@pytest.mark.attack("greets from the login shell, with other words each time, before and after each answer")
@pytest.mark.parametrize(("before", "after"), TALK.values(), ids=TALK)
def test_what_a_login_shell_prints_is_no_answer(host: Host, before: str, after: str) -> None:
    """Output and exit code are the command's alone, byte for byte, and two looks at the boot id are the same."""
    transport = talking(host, before, after)
    own = Path("/proc/sys/kernel/random/boot_id").read_text()
    for _ in range(2):
        done = transport.run("c01", ("cat", "/proc/sys/kernel/random/boot_id"))
        assert (done.code, done.out) == (0, own.encode())
    assert facts(transport, "c01").boot_id == own.strip()
    odd = transport.run("c01", ("sh", "-c", r"printf '\n\377\000caf\351\r\n\nstackmend-x ended 0\n'; exit 7"))
    assert (odd.code, odd.out) == (7, b"\n\xff\x00caf\xe9\r\n\nstackmend-x ended 0\n")
    transport.close()


def test_what_came_around_is_kept_for_whoever_looks(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """With -v one sees it, and a terminal obeys nothing of it."""
    transport = talking(host, r"printf '\033[31mWelcome\n'")
    with caplog.at_level(logging.INFO, "stackmend"):
        transport.run("c01", ("true",))
    transport.close()
    (event,) = (record for record in caplog.records if getattr(record, EVENT, "") == "printed around a command")
    assert getattr(event, FACTS) == {"host": "c01", "command": "true", "text": "'\\x1b[31mWelcome\\n'"}
    assert "\x1b" not in caplog.text


@pytest.mark.attack("prints without end, before the command and as its answer")
def test_a_flood_is_cut(host: Host) -> None:
    """Nothing waits for the end of it, memory is bounded, and the error says who floods."""
    transport = talking(host, "", run="case $SSH_ORIGINAL_COMMAND in true) c=0 ;; *) yes greeting; c=0 ;; esac")
    began = time.monotonic()
    with pytest.raises(
        HostLost, match=r"c01 printed more than 8 MiB before .* was started: 'greeting\\ngreeting"
    ) as caught:
        transport.run("c01", ("cat", "/proc/uptime"), limit=300)
    assert "login shell" in caught.value.hint
    transport.close()
    own = Transport(Routes(transport="local"))
    with pytest.raises(SourceError, match="yes on this machine printed more than 8 MiB, and was ended"):
        own.run("", ("yes",), limit=300)
    assert time.monotonic() - began < 120


def test_one_that_changes_something_is_not_cut() -> None:
    """It goes on to its end, however much it prints; only then is that an error."""
    line = f"yes | head -c {4 * KEPT}; exit 3"
    running = Transport().start("", ("sh", "-c", line), limit=120, mark="run-1")
    with pytest.raises(SourceError, match=r"printed more than 8 MiB \(exit code 3\)"):
        running.poll(120)


@pytest.mark.attack("gives half an answer")
@pytest.mark.parametrize(("cut", "printed"), [("sed '$d'", "'stackmend-"), ("sed 1d", "'root:x:0")])
def test_half_an_answer_is_none(host: Host, cut: str, printed: str) -> None:
    """Without its end, or without its beginning, nothing is taken for an answer; what was printed is shown."""
    transport = talking(host, "", run=f'sh -c "$SSH_ORIGINAL_COMMAND" | {cut}; c=0')
    with pytest.raises(
        SourceError, match=rf"the answer of c01 to cat /etc/passwd is incomplete .*it printed {printed}"
    ):
        transport.run("c01", ("cat", "/etc/passwd"))
    transport.close()


def test_a_shell_that_runs_nothing(host: Host) -> None:
    """Surely nothing was run there: the error names the host, and what it printed, in quotes and cut."""
    transport = talking(
        host, r"printf 'No \033]0;access\007 %0300d\n' 0", run='[ "$SSH_ORIGINAL_COMMAND" = true ]; c=$?'
    )
    with pytest.raises(HostUnreachable, match="nothing was run on c01: exit code 1; it printed ") as caught:
        transport.run("c01", ("cat", "/etc/passwd"))
    transport.close()
    assert r"'No \x1b]0;access\x07 0000" in caught.value.message
    assert caught.value.message.endswith(" ...")
    assert len(caught.value.message) < 320


@pytest.mark.parametrize("errors", ["apart", "as one"])
def test_newlines_of_a_terminal(tmp_path: Path, errors: str) -> None:
    """Where a terminal stands between, newlines come back as they were; errors among the output are refused."""
    way = tmp_path / "terminal"
    own = " 2>&1" if errors == "as one" else ""
    way.write_text(f'#!/bin/sh\n{{ "$@"{own}; echo $? >"$0.code"; }} | sed "s/$/\\r/"\nexit "$(cat "$0.code")"\n')
    way.chmod(0o755)
    transport = Transport(Routes(transport="local", local=frozenset({"c01"}), prefix=(str(way),)))
    if errors == "apart":
        assert transport.run("c01", ("printf", "a\nb\r\nc\n")).out == b"a\nb\r\nc\n"
    else:
        with pytest.raises(SourceError, match="c01 merges stdout and stderr of printf 'a '") as caught:
            transport.run("c01", ("printf", "a\n"))
        assert "docker exec -i" in caught.value.hint
