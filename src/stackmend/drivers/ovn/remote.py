# SPDX-License-Identifier: Apache-2.0
"""Where a database of OVN listens: remotes as Neutron and OVN write them ("ssl:10.0.0.1:6641,ssl:10.0.0.2:6641")."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from stackmend.model.errors import ConfigError, SourceError

_KINDS = ("ssl", "tcp", "unix")


@dataclass(frozen=True, slots=True)
class Keys:
    """The files with which this machine proves who it is, and knows the database."""

    private_key: str = ""
    certificate: str = ""
    ca_cert: str = ""

    def context(self) -> ssl.SSLContext:
        """TLS as OVN does it: both sides prove themselves by certificates; names of hosts are not compared."""
        if not (self.private_key and self.certificate and self.ca_cert):
            raise ConfigError(
                "an ssl: remote of OVN needs a private key, a certificate and the CA's certificate",
                "Neutron has them as ovn_nb_private_key, ovn_nb_certificate and ovn_nb_ca_cert (and ovn_sb_...).",
            )
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(self.ca_cert)
            context.load_cert_chain(self.certificate, self.private_key)
        except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
            files = ", ".join((self.private_key, self.certificate, self.ca_cert))
            raise ConfigError(
                f"the keys for OVN cannot be used ({files}): {_why(problem)}", "Check these files."
            ) from None
        return context


@dataclass(frozen=True, slots=True)
class Remote:
    """One place where a database listens."""

    kind: str  #: "ssl", "tcp" or "unix"
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        return f"{self.kind}:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The members of one database's cluster, or the only server it has."""

    remotes: tuple[Remote, ...]
    keys: Keys = field(default_factory=Keys)

    @classmethod
    def of(cls, text: str, keys: Keys, root: Path = Path("/")) -> Endpoint:
        """The remotes of a setting, separated by commas; ConfigError for any that is none.

        ``root``: the root of the files it names.
        """
        remotes = tuple(_parsed(part.strip(), root) for part in text.split(",") if part.strip())
        if not remotes:
            raise ConfigError("a database of OVN has no remote", "Write for example tcp:127.0.0.1:6641.")
        return cls(remotes, keys)


def _parsed(text: str, root: Path) -> Remote:
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Remote("unix", path=str(root / rest.lstrip("/")) if root != Path("/") else rest)
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if kind not in _KINDS or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{text} is no remote of OVN", "Write tcp:IP:PORT, ssl:IP:PORT or unix:FILE.")
    return Remote(kind, host, int(port))


def connected(remote: Remote, keys: Keys, limit: float) -> socket.socket:
    """A connection, made within ``limit`` seconds; SourceError says why there is none."""
    context = keys.context() if remote.kind == "ssl" else None
    try:
        with ExitStack() as undone:
            plain = undone.enter_context(_plain(remote, limit))
            found = context.wrap_socket(plain) if context else plain
            undone.pop_all()
            return found
    except TimeoutError:
        raise SourceError(f"{remote} did not answer within {limit:g} s") from None
    except OSError as problem:
        raise SourceError(f"{remote}: {_why(problem)}") from None


def _plain(remote: Remote, limit: float) -> socket.socket:
    if remote.kind != "unix":
        return socket.create_connection((remote.host, remote.port), limit)
    with ExitStack() as undone:
        found = undone.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        found.settimeout(limit)
        found.connect(remote.path)
        undone.pop_all()
        return found


def _why(problem: OSError | ValueError) -> str:
    return str(getattr(problem, "strerror", "") or problem)


def listed(remotes: Sequence[Remote]) -> str:
    """Their names for messages."""
    return ", ".join(str(one) for one in remotes)
