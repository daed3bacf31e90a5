# SPDX-License-Identifier: Apache-2.0
"""A disk as files: nbdkit diverts every write into a temporary copy, nbdfuse presents the disk and its parts as files.

Used only inside the sandbox (:mod:`stackmend.drivers.disks.sandbox`): all mounts and processes end with it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stackmend.drivers.disks.programs import started
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import Piece

#: seconds until a server or a mount must be ready
_PATIENCE = 30.0
_LOOK = 0.01


class Views:
    """The files through which the parts of one disk can be read, and written without effect."""

    def __init__(self, folder: Path, export: int, name: str = "", *, steady: bool = False) -> None:
        """``folder``: a private one; ``export``: a socket to an NBD server; ``name``: the name of its export.

        ``steady``: keep whatever was read once, so that it stays the same if the disk is written to meanwhile.
        """
        self.folder, self._made = folder, 0
        self._socket = folder / "disk.sock"
        source = ("nbd", f"socket-fd={export}", f"export={name}", *(("cow-on-read=true",) if steady else ()))
        self._start(("nbdkit", "--foreground", f"--unix={self._socket}", "--filter=cow", *source),
                    self._socket.exists, keep=(export,))  # fmt: skip
        os.close(export)
        self.disk = self._shown(("--unix", str(self._socket)))
        self.size = self.disk.stat().st_size
        self._views: dict[tuple[Piece, ...], Path] = {(Piece(offset=0, size=self.size),): self.disk}

    def view(self, pieces: Sequence[Piece]) -> Path:
        """One file that joins these parts of the disk in this order."""
        key = tuple(pieces)
        if key not in self._views:
            self._views[key] = self._part(*key) if len(key) == 1 else self._joined(key)
        return self._views[key]

    def above(self, pieces: Sequence[Piece]) -> Path:
        """Another file of these parts: what is written to it does not reach the first one until :meth:`take`."""
        return self._shown(("[", "nbdkit", "--foreground", "--filter=cow", "file", str(self.view(pieces)), "]"))

    def take(self, pieces: Sequence[Piece], file: Path) -> None:
        """Show these parts as they are in this file from now on."""
        self._views[tuple(pieces)] = file

    def _joined(self, pieces: Sequence[Piece]) -> Path:
        files = [f"file={self.view([piece])}" for piece in pieces]
        # split itself cannot flush, which e2fsck requires
        return self._shown(("[", "nbdkit", "--foreground", "--filter=cow", "split", *files, "]"))

    def _part(self, piece: Piece) -> Path:
        where = (f"offset={piece.offset}", f"range={piece.size}")
        proxy = ("nbdkit", "--foreground", "--filter=offset", "nbd", f"socket={self._socket}", *where)
        return self._shown(("[", *proxy, "]"))

    def _shown(self, server: Sequence[str]) -> Path:
        self._made += 1
        folder = self.folder / f"view{self._made}"
        folder.mkdir()
        file = folder / "raw"
        self._start(("nbdfuse", str(file), *server), file.exists)
        return file

    def _start(self, argv: Sequence[str], there: Callable[[], bool], keep: Sequence[int] = ()) -> None:
        """Start a server, and wait until its socket or file exists."""
        with (self.folder / "said").open("wb") as said:
            process = started(argv, stderr=said, keep=keep, memory=None)
        end = time.monotonic() + _PATIENCE
        while not there():
            if process.poll() is not None or time.monotonic() > end:
                why = (self.folder / "said").read_text("utf-8", "replace").strip().splitlines()
                raise SourceError(f"the disk cannot be opened: {why[-1] if why else f'{argv[0]} does not answer'}")
            try:
                process.wait(_LOOK)
            except subprocess.TimeoutExpired:
                continue
