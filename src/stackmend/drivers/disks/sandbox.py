# SPDX-License-Identifier: Apache-2.0
"""Opens a disk in a sandbox: separate namespaces for processes, mounts and network, which end with this process.

Everything that reads data written by a guest runs inside. The sandbox has no network; its mounts are visible only
there, and the kernel removes it all when this process ends, even by ``kill -9``.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO

import msgspec

from stackmend.drivers.disks.export import BEGINS
from stackmend.drivers.disks.worker import Answer, Question
from stackmend.model.errors import HostUnreachable, SourceError, UsageError
from stackmend.model.objects.inspection import LIBGUESTFS, Entry, Layout, Volume

#: seconds in which the sandbox must respond
PATIENCE = 600.0
#: seconds in which a host must begin to serve
CONNECT = 60.0
#: seconds in which the serving process must end
_PATIENCE = 5.0
#: maximum number of bytes that a login shell may print first
_BANNER = 1 << 16
_CHUNK = 1 << 16
#: size in bytes of the folder inside, for the contents of vfat and iso9660
_ROOM = 512 << 20
_WALLS = ("setpriv", "--pdeathsig=KILL", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc",
          "--kill-child", "--mount-proc", "--", "sh", "-c",
          f'mount -t tmpfs -o size={_ROOM},mode=700 none "$0" && exec "$@"')  # fmt: skip
#: prefixes by which the programs that serve a disk mark their errors
_EXPORTERS = ("stackmend-export:", "qemu-nbd:")
_IN_USE = ("Failed to get", "Is another process using the image")


class Opened:
    """One disk, opened read-only; a context manager."""

    def __init__(
        self,
        exporter: Sequence[str],
        *,
        export: str = "",
        torn: bool = False,
        appliance: float = LIBGUESTFS,
        patience: float = PATIENCE,
    ) -> None:
        """``exporter``: the command that serves the disk over NBD on its stdin and stdout; ``export``: its export name.

        ``torn``: the guest may write to the disk meanwhile; ``appliance``: seconds that libguestfs may take, if it
        is needed and installed; 0: do not use it. SourceError if the disk cannot be opened, or is in use.
        """
        self._patience, self._rest = patience + appliance, bytearray()
        self._folder = tempfile.TemporaryDirectory(prefix="stackmend-disk-")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this
        with ExitStack() as unless:
            unless.callback(self._folder.cleanup)
            unless.callback(self._said.close)
            self._exporter, line = self._exported(exporter)
            unless.callback(_ended, self._exporter)
            program = (sys.executable, "-m", "stackmend.drivers.disks.worker", self._folder.name, str(line), export,
                       "torn" if torn else "", str(appliance))  # fmt: skip
            try:
                self._worker = _started(
                    (*_WALLS, self._folder.name, *program), subprocess.PIPE, subprocess.PIPE, self._said, (line,)
                )
            finally:
                os.close(line)
            unless.callback(self._worker_ended)
            self._answer()
            self._close = unless.pop_all().close

    def _exported(self, exporter: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
        """(the serving process, the socket to it), once it has announced itself: a login shell may print before."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = _started(exporter, theirs.fileno(), theirs.fileno(), self._said)
            theirs.close()
            ours.settimeout(CONNECT)
            said = b""
            try:
                while not said.endswith(BEGINS):
                    # do not consume any byte after the announcement
                    one = ours.recv(1)
                    if not one or len(said) > _BANNER:
                        process.wait(_PATIENCE)
                        raise self._broken()
                    said += one
            except (TimeoutError, ConnectionError, subprocess.TimeoutExpired):
                _ended(process)
                raise SourceError(f"what serves the disk says nothing for {CONNECT:g} s") from None
            ours.settimeout(None)
            # a high number: servers take descriptor 3 for a socket passed by systemd
            return process, fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 100)

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes started for it."""
        self._close()

    def _worker_ended(self) -> None:
        self._worker.kill()
        for stream in (self._worker.stdin, self._worker.stdout):
            if stream is not None:
                stream.close()
        self._worker.wait()

    def layout(self) -> Layout:
        """The contents of the disk."""
        found = self._asked(Question(do="layout")).layout
        assert found is not None  # noqa: S101 - that is what was asked for
        return found

    def entries(
        self, path: str, *, volume: str = "", most: int = 10_000, at: Entry | None = None
    ) -> tuple[Entry, list[Entry], bool, Volume]:
        """(the entry at a path, its entries if it is a directory, whether there are more, the volume).

        ``at``: the entry at the path, if known: then the path is not looked up.
        """
        answer = self._asked(Question(do="entries", volume=volume, path=path, most=most, at=at))
        assert answer.entry is not None and answer.volume is not None  # noqa: S101, PT018 - as above
        return answer.entry, list(answer.entries), answer.more, answer.volume

    def read(self, path: str, *, volume: str = "", at: Entry | None = None) -> Iterator[bytes]:
        """The content of a file; ``at`` as for :meth:`entries`. It must be read to its end before the next request."""
        answer = self._asked(Question(do="read", volume=volume, path=path, at=at))
        while not answer.last:
            if answer.data:
                yield self._bytes(answer.data)
            answer = self._answer()

    def _asked(self, question: Question) -> Answer:
        assert self._worker.stdin is not None  # noqa: S101 - a pipe
        try:
            self._worker.stdin.write(msgspec.json.encode(question) + b"\n")
            self._worker.stdin.flush()
        except BrokenPipeError:
            raise self._broken() from None
        return self._answer()

    def _answer(self) -> Answer:
        while b"\n" not in self._rest:
            self._more()
        line, _, rest = bytes(self._rest).partition(b"\n")
        self._rest = bytearray(rest)
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error:
            if answer.usage:
                raise UsageError(answer.error, answer.hint)
            raise self._broken(answer.error, answer.hint)
        return answer

    def _bytes(self, count: int) -> bytes:
        while len(self._rest) < count:
            self._more()
        some = bytes(self._rest[:count])
        del self._rest[:count]
        return some

    def _more(self) -> None:
        assert self._worker.stdout is not None  # noqa: S101 - a pipe
        number = self._worker.stdout.fileno()
        if not select.select([number], [], [], self._patience)[0]:
            raise SourceError(f"the disk did not answer for {self._patience:g} s")
        some = os.read(number, _CHUNK)
        if not some:
            raise self._broken()
        self._rest += some

    def _broken(self, message: str = "", hint: str = "") -> SourceError:
        """The reason for a failure, from the exporter if possible, else from the sandbox."""
        if message:
            # the exporter writes its reason before it closes the connection
            time.sleep(0.1)
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        if any(word in line for word in _IN_USE for line in lines):
            return SourceError(
                "the disk is in use: a process that may write to it has it open",
                "Stop the server first; a running one is not read.",
            )
        exporter = [line for line in lines if line.startswith(_EXPORTERS)]
        if exporter:
            return SourceError(f"the disk cannot be opened: {exporter[-1].removeprefix(_EXPORTERS[0]).strip()}")
        return SourceError(message or f"the disk cannot be opened: {lines[-1] if lines else 'nobody says why'}", hint)


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Give a process whose reader is gone time to end by itself, then kill it."""
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _started(
    argv: Sequence[str], stdin: int, stdout: int, stderr: IO[bytes], keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - an argument vector of ours; no shell
            list(argv), stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=tuple(keep), start_new_session=True
        )
    except OSError as problem:
        raise HostUnreachable(f"{argv[0]} cannot be started: {problem.strerror}") from None
