# SPDX-License-Identifier: Apache-2.0
"""Hosts to run commands on: one OpenSSH server each, in its own network namespace if that is allowed."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stackmend.drivers.hosts.transport import Routes, Transport

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
#: for tests of networks (RFC 2544): assigned to nobody
_NET = "198.18.0.0/15"


def tool(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the system to its end."""
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PATH": PATH}, check=False)


def until(said: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def parents() -> dict[int, int]:
    """Process id -> parent process id, for every living process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found[int(folder.name)] = int(parent)
    return found


def below(pid: int) -> list[int]:
    """The descendants of a process."""
    known = parents()
    found, new = [], [pid]
    while new:
        new = [child for child, parent in known.items() if parent in new]
        found += new
    return found


class Network:
    """A network namespace with one address; this machine's loopback if none can be created."""

    def __init__(self, number: int) -> None:
        self.name = f"sm{os.getpid()}n{number}"
        # a pair of addresses for each process and number
        base = ipaddress.ip_network(_NET)[4 * ((4 * os.getpid() + number) % 32_768)]
        own, self.address = str(base + 1), str(base + 2)
        self.inside: tuple[str, ...] = ("ip", "netns", "exec", self.name)
        steps = (
            ("netns", "add", self.name),
            ("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name),
            ("addr", "add", f"{own}/30", "dev", self.name),
            ("link", "set", self.name, "up"),
            ("-n", self.name, "addr", "add", f"{self.address}/30", "dev", "eth0"),
            ("-n", self.name, "link", "set", "eth0", "up"),
        )
        if shutil.which("ip", path=PATH) is None or any(tool("ip", *step).returncode for step in steps):
            self.close()
            self.name, self.address, self.inside = "", "127.0.0.1", ()

    def cut(self) -> bool:
        """Cut the connection: nothing answers any more; False if there is no namespace."""
        return bool(self.name) and tool("ip", "link", "set", self.name, "down").returncode == 0

    def close(self) -> None:
        """Remove it."""
        if self.name:
            tool("ip", "link", "del", self.name)
            tool("ip", "netns", "del", self.name)


class Host:
    """An OpenSSH server with its own host key, which accepts the account running the tests."""

    def __init__(self, name: str, folder: Path, number: int) -> None:
        self.name, self.folder, self.network = name, folder, Network(number)
        folder.mkdir()
        for key in ("host", "other", "user"):
            tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress {self.network.address}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            # what the account runs on login must not disturb, or be disturbed
            f"SetEnv HOME={folder}\nPermitUserRC no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
        )
        self.config = folder / "ssh_config"
        self.config.write_text(
            f"Host {name}\n  HostName {self.network.address}\n  Port {self.port}\n  HostKeyAlias {name}\n"
            f"  User {pwd.getpwuid(os.getuid()).pw_name}\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n"
        )
        self.know("host")
        self.server: subprocess.Popen[bytes] | None = None

    def know(self, key: str) -> None:
        """Put this key ("host", "other" or none: "") into the known hosts."""
        text = (self.folder / f"{key}.pub").read_text() if key else ""
        (self.folder / "known").write_text(f"{self.name} {text}" if text else "")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd", path=PATH)
        assert program, "openssh-server is missing: scripts/setup.sh test installs it"
        log = (self.folder / "log").open("ab")
        self.server = subprocess.Popen(
            [*self.network.inside, program, "-D", "-e", "-f", str(self.folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": PATH},
        )
        log.close()
        until(self._answers, (self.folder / "log").read_text())

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.network.address, self.port), 1) as there:
            return there.recv(4) == b"SSH-"
        return False

    def sessions(self) -> list[int]:
        """The processes of connections, and what they run."""
        return below(self.server.pid) if self.server else []

    def drop(self) -> None:
        """Break every connection; the commands continue."""
        assert self.server is not None
        known = parents()
        for pid in [pid for pid in self.sessions() if _name(pid) == "sshd" and pid in known]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Make nothing answer any more: the network is cut, or its processes are stopped."""
        if not self.network.cut():
            assert self.server is not None
            for pid in (self.server.pid, *self.sessions()):
                os.kill(pid, signal.SIGSTOP)

    def stop(self) -> None:
        """Stop the server and every connection."""
        if self.server is not None:
            for pid in self.sessions():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.server.kill()
            self.server.wait()
            self.server = None

    def transport(self, **routes: object) -> Transport:
        """A transport to this host."""
        return Transport(Routes(transport="ssh", ssh_config=str(self.config), **routes))


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@contextlib.contextmanager
def answering(folder: Path, number: int = 1) -> Iterator[Host]:
    """The host c01, which answers; at the end nothing of it is left but the folder."""
    made = Host("c01", folder, number)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        made.network.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that answers."""
    with answering(tmp_path / "c01") as made:
        yield made


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A minimal imitation of ``docker exec``: the container "nova" is running, others do not exist."""
    program = tmp_path / "docker"
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "exec -i" ] || { echo "unknown command" >&2; exit 125; }\n'
        'case $3 in\nnova) shift 3; INSIDE=nova exec "$@" ;;\n'
        '*) echo "Error response from daemon: No such container: $3" >&2; exit 1 ;;\nesac\n'
    )
    program.chmod(0o755)
    return program
