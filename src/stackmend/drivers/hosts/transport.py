# SPDX-License-Identifier: Apache-2.0
"""Transports to hosts (:class:`stackmend.model.protocols.Hosts`): the operator's own ssh, or this machine.

ssh is OpenSSH's client with the operator's configuration, agent, jump hosts and known hosts (docs/adr/0013). It never
prompts, and refuses hosts with unknown keys. All commands to a host share one connection (ControlMaster); a no-op
command proves that it works before the real one is sent, so that *unreachable* and *lost* are always distinguished.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from stackmend.drivers.hosts.running import CommandRoute, Running
from stackmend.model.errors import HostUnreachable
from stackmend.model.protocols import Completed

#: nothing that ssh or a hook could take for an option
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%-]*")
#: seconds between two polls while waiting
_LOOK = 5.0
#: number of connections closed concurrently
_AT_ONCE = 32

_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "LogLevel=ERROR",
)
_SHARED = ("ControlMaster=auto", "ControlPersist=60")
_SSH_HINT = (
    "Try the same by hand: 'ssh -o BatchMode=yes -o StrictHostKeyChecking=yes {destination} true'. The host's key must "
    "be in your known hosts, and your agent or configuration must have a key that the host accepts."
)
_PREFIX_HINT = "Check [hosts] prefix and container: they must work without a prompt."


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The configured ways to reach hosts."""

    transport: str = ""  #: "ssh", "local", or "": only this machine is reachable
    destination: str = "{host}"  #: ssh's destination argument
    ssh_config: str = ""  #: a configuration file for ssh in place of the operator's own
    prefix: tuple[str, ...] = ()  #: before every command on a host
    container: tuple[str, ...] = ()  #: precedes a command to run in the container
    local: frozenset[str] = frozenset()  #: names of hosts that are this machine


def own_names() -> frozenset[str]:
    """This machine's own names."""
    name = socket.gethostname()
    return frozenset({name, name.partition(".")[0], socket.getfqdn()})


def carried(routes: Routes) -> tuple[str, ...]:
    """What takes a shell command line to ``{host}``, for commands that outlive this process; () without ssh."""
    if routes.transport != "ssh":
        return ()
    config = ("-F", routes.ssh_config) if routes.ssh_config else ()
    options = [word for option in (*_OPTIONS, "ControlPath=none") for word in ("-o", option)]
    return ("ssh", "-T", "-a", "-x", *config, *options, "--", routes.destination)


@dataclass(slots=True, weakref_slot=True)
class Transport:
    """Runs commands on hosts."""

    routes: Routes = field(default_factory=Routes)
    _sockets: str = field(default="", init=False)

    def run(self, host: str, argv: Sequence[str], *, limit: float = 60.0, stdin: bytes = b"") -> Completed:
        """Run one command to its end (:meth:`stackmend.model.protocols.Hosts.run`)."""
        running = self.start(host, argv, limit=limit, stdin=stdin)
        try:
            while (done := running.poll(_LOOK)) is None:
                pass
        except KeyboardInterrupt:
            running.end()
            raise
        return done

    def start(
        self, host: str, argv: Sequence[str], *, limit: float = 60.0, stdin: bytes = b"", mark: str = ""
    ) -> Running:
        """Start a command. ``mark`` is in its argument list while it runs, so that another process can find it."""
        return Running(self.way(host), argv, limit=limit, stdin=stdin, mark=mark)

    def piped(self, host: str, argv: Sequence[str]) -> tuple[str, ...]:
        """The local command that runs a command on a host, connecting its stdin and stdout.

        It uses a separate connection, so that the command ends with it. Nothing is started yet; HostUnreachable as
        :meth:`way`.
        """
        way = self.way(host)
        words = (*way.prefix, *argv)
        carry = carried(self.routes) if way.carry else ()
        return (*(word.replace("{host}", host) for word in carry), shlex.join(words)) if carry else words

    def inside(self) -> Transport:
        """The same hosts, with every command run in the container; on this machine too."""
        return Transport(replace(self.routes, prefix=(*self.routes.prefix, *self.routes.container), container=()))

    def way(self, host: str) -> CommandRoute:
        """How to reach the host; HostUnreachable if no way is configured."""
        routes = self.routes
        if not host:
            return CommandRoute(host=host)
        if not _NAME.fullmatch(host):
            raise HostUnreachable(f"{host!r} is not a valid host name", "Use letters, digits, dots and dashes.")
        here = routes.local or (own_names() if routes.transport == "local" else frozenset())
        if host in here:
            return CommandRoute(host=host, prefix=routes.prefix, hint=_PREFIX_HINT)
        if routes.transport == "ssh":
            return self._by_ssh(host)
        if routes.transport == "local":
            raise HostUnreachable(
                f"{host} is not this machine, and no other host can be reached",
                '[hosts] transport is "local"; see local.',
            )
        raise HostUnreachable(f"no access to {host} is configured", 'Set transport = "ssh" under [hosts].')

    def close(self) -> None:
        """Close the connections. They are also closed when this object is garbage-collected."""
        if self._sockets:
            _close(self._sockets)
            self._sockets = ""

    def _by_ssh(self, host: str) -> CommandRoute:
        if not self._sockets:
            # short, as a socket's path is limited to 100 characters
            self._sockets = tempfile.mkdtemp(prefix="stackmend-")
            weakref.finalize(self, _close, self._sockets)
        routes = self.routes
        destination = routes.destination.replace("{host}", host)
        config = ("-F", routes.ssh_config) if routes.ssh_config else ()
        options = [
            word for option in (*_OPTIONS, *_SHARED, f"ControlPath={self._sockets}/%C") for word in ("-o", option)
        ]
        carry = ("ssh", "-T", "-a", "-x", *config, *options, "--", destination)
        hint = _SSH_HINT.format(destination=destination) + (f" {_PREFIX_HINT}" if routes.prefix else "")
        return CommandRoute(host=host, connect=(*carry, "true"), carry=carry, prefix=routes.prefix, hint=hint)


def _close(folder: str) -> None:
    """End every idle connection, and remove the folder of their sockets."""
    sockets = list(Path(folder).glob("*"))
    for first in range(0, len(sockets), _AT_ONCE):
        some = [
            subprocess.Popen(  # noqa: S603
                ["ssh", "-S", str(path), "-O", "exit", "--", "nobody"],  # noqa: S607 - whichever the operator uses
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for path in sockets[first : first + _AT_ONCE]
        ]
        for one in some:
            with suppress(subprocess.TimeoutExpired):
                one.wait(5)
    shutil.rmtree(folder, ignore_errors=True)
