# SPDX-License-Identifier: Apache-2.0
"""Sent to a host as text: starts a read-only NBD server for one client, and relays its bytes over stdin and stdout.

Arguments: the files of the disk, ``--``, the server and its arguments. Each file is locked first, with QEMU's own
protocol: nobody may write to it while it is read, and it is not read while somebody may write to it. (QEMU itself does
this for qcow2; a reader of a raw file allows writers.)

The server listens on a socket whose name is removed before it starts, and ends with its client, so nothing is left on
the host, however this program ends. It needs only Python 3.7, and nothing of stackmend.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

_MANY = 65536
#: printed before the first byte of the server
BEGINS = b"stackmend-export begins\n"
#: Linux commands for locks that belong to an open file description
_GET, _SET = 36, 37
#: qemu/block/file-posix.c: one byte for each operation in use, and one for each that others may not use
_DONE, _REFUSED = 100, 200
_WRITE, _RESIZE = 1, 3
_FLOCK = "hhqqi"
#: constant of prctl(2)
_DEATH_SIGNAL = 1
#: seconds the server has to end by itself once its client is gone
_GRACE = 1.0


def _locked(path: str) -> int:
    """Open the file, locked against writers as long as this runs; ends the program if there is a writer."""
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    for what in (_WRITE, _RESIZE):
        fcntl.fcntl(file, _SET, struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, _REFUSED + what, 1, 0))
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _DONE + what, 1, 0)
        if struct.unpack(_FLOCK, fcntl.fcntl(file, _GET, asked))[0] != fcntl.F_UNLCK:
            sys.exit(f"{path}: Is another process using the image: it may write to it")
    return file


def _end_with(parent: int) -> None:
    """Make the server end with the process that starts it, however that ends."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it was asked for
        os._exit(1)


def _pump(read: int, write: int) -> None:
    while True:
        some = os.read(read, _MANY)
        if not some:
            return
        while some:
            some = some[os.write(write, some) :]


def _connected() -> tuple[socket.socket, socket.socket]:
    """A listening socket without a name, and a client of it."""
    with tempfile.TemporaryDirectory(prefix="stackmend-") as folder:
        place = os.path.join(folder, "s")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(place)
        listening.listen(1)
        client = socket.socket(socket.AF_UNIX)
        client.connect(place)
    return listening, client


def main() -> int:
    """See the module's docstring."""
    between = sys.argv.index("--")
    try:
        locked = [_locked(path) for path in sys.argv[1:between]]
    except OSError as problem:
        sys.exit(f"qemu-nbd: {problem}")
    listening, client = _connected()
    os.write(1, BEGINS)
    # the socket is passed as by systemd: as number 3, to the process whose id is in the environment
    start = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    own = os.getpid()
    server = subprocess.Popen(  # noqa: S603 - what it was told to run
        ["sh", "-c", start, str(listening.fileno()), *sys.argv[between + 1 :]],  # noqa: S607 - whichever the host has
        stdin=subprocess.DEVNULL,
        stdout=2,
        pass_fds=(listening.fileno(),),
        preexec_fn=lambda: _end_with(own),
    )
    listening.close()

    def up() -> None:
        # if a reader is killed with unread data, its connection is reset instead of closed
        with contextlib.suppress(OSError):
            _pump(0, client.fileno())
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    threading.Thread(target=up, daemon=True).start()
    try:
        _pump(client.fileno(), 1)
    except OSError:
        # the reader is gone, or the server, which gives its reason on stderr
        client.close()
    try:
        code = server.wait(_GRACE)
    except subprocess.TimeoutExpired:
        # qemu-nbd continues to listen if its client leaves during the handshake
        server.kill()
        code = server.wait()
    for file in locked:
        os.close(file)
    return code


if __name__ == "__main__":
    sys.exit(main())
