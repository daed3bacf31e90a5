# SPDX-License-Identifier: Apache-2.0
"""A file that records which images have been read and are complete, so that an interrupted verification can resume."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TextIO

from stackmend.model import files
from stackmend.model.errors import UsageError
from stackmend.model.objects.images import Content, Held, ImageRecord

#: seconds after which a record no longer counts
OLDEST = 7 * 86_400.0
_FORMAT = "stackmend image verify 1"


class Ledger:
    """Lines of JSON, one for each image that a node has completely; any other image is read again."""

    def __init__(self, path: Path, *, anew: bool = False, now: float | None = None) -> None:
        """Read the file, and open it for appending. UsageError if it cannot be written, or is not a ledger."""
        self.path = path
        self._lock = threading.Lock()
        self._now = time.time() if now is None else now
        self._known: dict[tuple[str, str], dict[str, object]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if anew:
                path.unlink(missing_ok=True)
            self._read()
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as problem:
            raise UsageError(f"{path} cannot be written: {files.why(problem)}", "Name another one: --state.") from None
        if self._file.tell() == 0:
            self._file.write(_FORMAT + "\n")
            self._file.flush()

    @property
    def number(self) -> int:
        """Number of records from earlier attempts."""
        return len(self._known)

    def known(self, node: str, image: ImageRecord, *, quick: bool) -> Content | None:
        """The recorded result, if it was for the same content; a full read also counts for a quick one."""
        found = self._known.get((node, image.id))
        if found is None or found["size"] != image.size or found["digest"] != image.digest:
            return None
        if found["quick"] and not quick:
            return None
        return Content(held=Held.WHOLE, size=image.size)

    def note(self, node: str, image: ImageRecord, *, quick: bool) -> None:
        """Record that the node has the complete content."""
        line = {"node": node, "image": image.id, "size": image.size, "digest": image.digest, "quick": quick}
        with self._lock:
            self._file.write(json.dumps({**line, "at": round(time.time())}) + "\n")
            self._file.flush()

    def close(self, *, over: bool) -> None:
        """Close the file. ``over``: the verification is complete and will not be resumed."""
        self._file.close()
        if over:
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        if lines and lines[0] != _FORMAT:
            raise UsageError(f"{self.path} holds something else", "Name another file: --state.")
        for line in lines[1:]:
            try:
                found = json.loads(line)
                if self._now - float(found["at"]) < OLDEST:
                    self._known[str(found["node"]), str(found["image"])] = found
            except (ValueError, KeyError, TypeError):
                continue  # the last line of a process that was killed
