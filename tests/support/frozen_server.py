# SPDX-License-Identifier: Apache-2.0
"""A relay to a server that stops passing data, like a frozen server or a network that drops packets."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from types import TracebackType
from typing import Self


class Relay:
    """Relays TCP to a port of this machine.

    ``freeze_at(b"COMMIT", 2)``: from the second client packet containing this on, nothing passes any more, in either
    direction, on any connection; ``passing``: that packet itself still passes. ``pace``: pause in seconds after every
    few KiB from the server. While frozen, new connections are accepted but get no answer.
    """

    def __init__(self, port: int, pace: float = 0.0) -> None:
        self._to, self._pace = port, pace
        self._open = threading.Event()
        self._open.set()
        self._pattern, self._count, self._passing, self._after = b"", 0, False, b""
        self._sockets: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.frozen = threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.set()
        self._door.shutdown(socket.SHUT_RDWR)  # ends accept(), which a close does not
        self._accepting.join()
        for each in (self._door, *self._sockets):
            each.close()

    def freeze(self) -> None:
        """Stop passing data."""
        self._open.clear()
        self.frozen.set()

    def thaw(self) -> None:
        """Continue, with the data held back."""
        self._pattern = b""
        self.frozen.clear()
        self._open.set()

    def freeze_at(self, pattern: bytes, count: int = 1, *, passing: bool = False, after: bytes = b"") -> None:
        """Freeze when a client sends this for the ``count``-th time (once it has sent ``after``)."""
        self._pattern, self._count, self._passing, self._after = pattern, count, passing, after

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
                self._sockets.append(client)
                self._open.wait()
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            self._sockets.append(server)
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as both:
            try:
                both.register(client, selectors.EVENT_READ, server)
                both.register(server, selectors.EVENT_READ, client)
                while True:
                    for key, _ in both.select():
                        self._open.wait()
                        some = key.fileobj.recv(4096)  # type: ignore[union-attr]
                        if not some:
                            client.close()
                            server.close()
                            return
                        if key.fileobj is client:
                            some = self._look(some, server)
                        else:
                            time.sleep(self._pace)
                        self._open.wait()
                        key.data.sendall(some)
            except (OSError, ValueError):
                client.close()
                server.close()

    def _look(self, some: bytes, server: socket.socket) -> bytes:
        if self._after:
            self._after = b"" if self._after in some else self._after
        elif self._pattern and self._pattern in some:
            self._count -= 1
            if self._count == 0:
                if self._passing:
                    server.sendall(some)
                    some = b""
                    time.sleep(0.3)
                self.freeze()
        return some
