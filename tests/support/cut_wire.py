# SPDX-License-Identifier: Apache-2.0
"""A relay to a database server that can cut the connection at a packet: before the server or the client receives it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_COM_QUERY = 3
#: the version of PostgreSQL's protocol in the packet that begins a session; others ask for encryption
_SESSION = b"\0\3"
#: offset of the account in a client's response to the greeting: after the packet's header, capabilities, and a filler
_ACCOUNT_AT = 36


class Wire:
    """A TCP relay whose destination can be changed, and which can cut a connection.

    Each connection goes to where :attr:`to` points when it is made, or to where :attr:`routes` sends its account, as in
    ProxySQL; such an account must not have a password, because the greeting it responds to is another node's.

    ``cut`` is done to the next query that begins with ``at``, on a connection that has written: "before" (the server
    never receives it), "after" (it does, but the client is never answered), "held" (both continue after ``then``), or
    "" (nothing). ``then`` runs when that was done.
    """

    def __init__(self, port: int, at: bytes = b"COMMIT") -> None:
        self.to, self.at, self.cut = port, at, ""
        self.then: Callable[[], None] = lambda: None
        self.routes: dict[bytes, int] = {}
        self.cuts = 0
        self._cutting = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections."""
        # close alone does not wake a thread waiting in accept
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        try:
            with self._cutting:  # who is cut off finds what ``then`` has made of it
                server = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            client.close()
            return
        with contextlib.suppress(OSError):
            server = self._routed(client, server)
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            self._forth(client, server)
        _close(client, server)

    def _routed(self, client: socket.socket, server: socket.socket) -> socket.socket:
        """The server for this client's account."""
        if not self.routes:
            return server
        client.sendall(_packet(server))
        answer = _packet(client)
        account = answer[_ACCOUNT_AT:].split(b"\0", 1)[0]
        if account in self.routes:
            _close(server)
            server = socket.create_connection(("127.0.0.1", self.routes[account]))
            _packet(server)
        server.sendall(answer)
        return server

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        wrote = False
        for packet, query in self._packets(client):
            wrote = wrote or query.startswith((b"UPDATE", b"INSERT", b"DELETE"))
            if self.cut == "held" and wrote and query.startswith(self.at):
                self.cut = ""
                self.then()
            elif self.cut and wrote and query.startswith(self.at):
                self._cut(packet, client, server)
                return
            server.sendall(packet)

    def _packets(self, client: socket.socket) -> Iterator[tuple[bytes, bytes]]:
        """Each packet of the client, and its query in capitals, or nothing."""
        while packet := _packet(client):
            yield packet, packet[5:].upper() if packet[4:5] == bytes([_COM_QUERY]) else b""

    def _cut(self, packet: bytes, client: socket.socket, server: socket.socket) -> None:
        with self._cutting:
            how, self.cut = self.cut, ""
            self.cuts += 1
            # the client receives nothing from here on
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            if how == "after":
                server.sendall(packet)
            self.then()
        if how == "before":
            _close(server)


class PostgreSQLWire(Wire):
    """The same on PostgreSQL, whose packets begin with their kind, but for those before the session is one."""

    def _packets(self, client: socket.socket) -> Iterator[tuple[bytes, bytes]]:
        begun = False
        while head := _exactly(client, 5 if begun else 8):
            size = int.from_bytes(head[1:5] if begun else head[:4], "big") + (1 if begun else 0)
            packet = head + _exactly(client, size - len(head))
            yield packet, packet[5:].upper() if begun and head[:1] == b"Q" else b""
            begun = begun or head[4:6] == _SESSION


def _packet(source: socket.socket) -> bytes:
    head = _exactly(source, 4)
    return head + _exactly(source, int.from_bytes(head[:3], "little")) if head else b""


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            return b""
        found += part
    return found


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    _close(source, target)


def _close(*sockets: Any) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def wire(port: int, kind: type[Wire] = Wire) -> Iterator[Wire]:
    """A relay to that port, closed at the end."""
    made = kind(port)
    try:
        yield made
    finally:
        made.close()
