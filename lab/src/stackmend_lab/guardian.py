# SPDX-License-Identifier: Apache-2.0
"""Ends the services that a process started once that process is gone, however it ended, and removes their folder.

A guardian is a process in its own session: neither Ctrl-C nor the end of a terminal reaches it. It reads from a pipe
whose other end only its ward holds, so it wakes when the ward dies, even by ``kill -9``. What even a guardian cannot
clear away (the machine went down, it was killed itself) is cleared away by :func:`reap` at the next start.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackmend_lab.processes import begun

#: prefixes of folders that belong to one run
OF_A_RUN = ("stackmend-db-", "stackmend-lab-")
_OWNER = "owner.json"
#: seconds that services have to end by themselves
_GRACE = 10.0


class Guardian:
    """Guards the services whose mark begins with ``folder`` (:mod:`stackmend_lab.control_plane.process`).

    ``remove``: the folder to remove once they have ended; None for nothing.
    """

    def __init__(self, folder: Path, remove: Path | None) -> None:
        self._remove = remove
        if remove is not None:
            owner = {"pid": os.getpid(), "begun": begun(os.getpid()), "folder": str(folder)}
            (remove / _OWNER).write_text(json.dumps(owner))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), *([str(remove)] if remove else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def release(self) -> None:
        """Tell the guardian that nothing is left to guard."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(b"done")
                self._process.stdin.flush()
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(60)
        if self._remove is not None:
            (self._remove / _OWNER).unlink(missing_ok=True)


@contextmanager
def guarded(folder: Path, remove: Path | None) -> Iterator[None]:
    """Guard them for the duration of the ``with`` block."""
    guardian = Guardian(folder, remove)
    try:
        yield
    finally:
        guardian.release()


def reap(below: Path | None = None) -> list[Path]:
    """Clear away what dead runs have left; returns the folders. Those of living runs, and of others, are left alone."""
    found = []
    below = below or Path(tempfile.gettempdir())
    for path in (path for prefix in OF_A_RUN for path in below.glob(f"{prefix}*")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            state = path.lstat()
            owner = json.loads((path / _OWNER).read_text())
            folder = Path(owner["folder"])
            mine = state.st_uid == os.getuid() and path.is_dir() and not path.is_symlink()
            if mine and folder.is_relative_to(path) and begun(int(owner["pid"])) != owner["begun"]:
                _end(folder, path)
                found.append(path)
    return found


def _end(folder: Path, remove: Path | None) -> None:
    from stackmend_lab.control_plane.process import Keeper

    Keeper(folder, folder / "run").end_strays(_GRACE)
    if remove is not None:
        shutil.rmtree(remove, ignore_errors=True)


def main(folder: str, remove: str | None = None) -> None:
    """Wait until the ward reports that it is done, or is gone."""
    if os.read(0, 4) != b"done":
        _end(Path(folder), Path(remove) if remove else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
