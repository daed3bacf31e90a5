# SPDX-License-Identifier: Apache-2.0
"""Which files are logs, whose they are and how to open them: folders, rotated or compressed files, archives, a pipe."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pyarrow as pa

from stackmend.drivers.logs.exported import Exported
from stackmend.drivers.logs.layouts import place
from stackmend.drivers.logs.lines import Reading
from stackmend.drivers.scratch import Scratch
from stackmend.model.diagnosing.logs import Context
from stackmend.model.errors import UsageError

#: the bytes at the beginning of a file that decide whether it is a log
_SAMPLE = 64 * 1024
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
#: parts of the names of archive members that may be logs
_LIKELY = ("log", "journal", "messages", "syslog", "console")
#: the most bytes of an archive that are unpacked
_UNPACKED = 64 * 1024**3


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file that is a log."""

    path: Path
    name: str  #: as it is shown
    context: Context
    packed: str = ""  #: how it is compressed
    export: bool = False  #: the journal in the form of ``journalctl -o export``
    reading: Reading = field(default_factory=lambda: Reading(Context()), compare=False)

    def open(self) -> io.RawIOBase:
        """Open the file as a stream of decompressed bytes; OSError if it cannot be read."""
        stream: io.RawIOBase
        if self.packed:
            stream = _Stream(pa.CompressedInputStream(pa.OSFile(os.fspath(self.path)), self.packed))
        else:
            stream = self.path.open("rb", buffering=0)
        return Exported(stream) if self.export else stream

    @property
    def seekable(self) -> bool:
        """Whether reading may start at any offset."""
        return not (self.packed or self.export)


class _Stream(io.RawIOBase):
    """A pyarrow stream as a Python stream."""

    def __init__(self, inner: pa.NativeFile) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return int(self._inner.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


class Logs:
    """The logs under the given paths; unpacked files are kept until this is closed."""

    def __init__(self, paths: Sequence[str], *, offset: float = 0.0) -> None:
        self._offset = offset
        self._scratch: list[Scratch] = []
        self.unread: dict[str, str] = {}
        self.files = sorted(self._found(paths), key=lambda one: one.name)

    def add(self, path: Path, name: str, host: str) -> None:
        """Add one more file of a host, if it is a log."""
        self.files += self._judged(path, name, path.parts, host)

    def folder(self) -> Path:
        """Create a folder that is removed when this is closed."""
        self._scratch.append(Scratch("logs"))
        return Path(self._scratch[-1].name)

    def close(self) -> None:
        """Remove the unpacked files."""
        for scratch in self._scratch:
            scratch.remove()

    def _found(self, paths: Sequence[str]) -> Iterator[LogFile]:
        for text in paths:
            if text == "-":
                yield from self._judged(self._spooled(), "stdin", ("stdin",))
                continue
            path = Path(text)
            if not path.exists():
                raise UsageError(
                    f"there are no logs in {text}: no such file or folder", "Name a log, a folder, or - for stdin."
                )
            yield from self._below(path)

    def _below(self, path: Path) -> Iterator[LogFile]:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    inner = Path(folder) / name
                    if inner.is_file():
                        yield from self._one(inner, str(inner), path)
            return
        yield from self._one(path, str(path), path.parent)

    def _one(self, path: Path, name: str, root: Path) -> Iterator[LogFile]:
        if path.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")):
            try:
                folder = self._unpacked(path)
            except (tarfile.TarError, OSError, EOFError) as problem:
                self.unread[name] = f"the archive cannot be read: {problem}"
                return
            for inner in sorted(p for p in folder.rglob("*") if p.is_file()):
                within = inner.relative_to(folder)
                yield from self._judged(inner, f"{name}:{within.as_posix()}", within.parts)
            return
        yield from self._judged(path, name, _parts(path, root))

    def _judged(self, path: Path, name: str, parts: tuple[str, ...], of: str = "") -> Iterator[LogFile]:
        """The file if it is a log, otherwise nothing."""
        try:
            head, packed = _head(path)
            newest = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except (OSError, pa.ArrowException) as problem:
            self.unread[name] = str(problem)
            return
        if head.startswith(b"LPKSHHRH"):
            folder = name.rpartition("/")[0] or name  # one note for all files of the folder
            self.unread[folder] = "the journal's own format: give the output of 'journalctl -o export' in its place"
            return
        host, service = place(parts)
        host = of or host
        if not host and str(path).startswith("/var/log/"):
            host = socket.gethostname().partition(".")[0]
        context = Context(host=host, service=service, year=newest.year, month=newest.month, offset=self._offset)
        export = head.startswith(b"__CURSOR=")
        reading = Reading(context)
        if export or reading.knows(head):
            yield LogFile(path, name, context, packed, export, reading)

    def _spooled(self) -> Path:
        target = self.folder() / "stdin"
        with target.open("wb") as out:
            shutil.copyfileobj(sys.stdin.buffer, out)
        return target

    def _unpacked(self, path: Path) -> Path:
        """Unpack the members of an archive that may be logs; skip links, and names that lead out of the archive."""
        folder, size = self.folder(), 0
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                within = PurePosixPath(member.name)
                if not member.isfile() or within.is_absolute() or ".." in within.parts:
                    continue
                if not any(word in member.name.lower() for word in _LIKELY):
                    continue
                size += member.size
                if size > _UNPACKED:
                    self.unread[str(path)] = "more than 64 GiB of logs are in it: the rest was not unpacked"
                    break
                target = folder.joinpath(*within.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                source = archive.extractfile(member)
                if source is not None:
                    with target.open("wb") as out:
                        shutil.copyfileobj(source, out, 1024 * 1024)
                    os.utime(target, (member.mtime, member.mtime))
        return folder


def _parts(path: Path, root: Path) -> tuple[str, ...]:
    """The names on the path; names above the given folder count too if they belong to a layout."""
    whole = path.absolute().parts
    given = len(root.absolute().parts)
    for mark in ("var", "openstack"):
        if mark in whole[:given]:
            return whole[max(0, whole.index(mark) - 1) :]
    return whole[max(1, given - 1) :] if root.name.startswith("sos") else whole[given:]


def _head(path: Path) -> tuple[bytes, str]:
    """The first bytes of a file, decompressed, and the kind of compression."""
    with path.open("rb") as stream:
        raw = stream.read(_SAMPLE)
    packed = next((kind for magic, kind in _PACKED.items() if raw.startswith(magic)), "")
    if not packed:
        return raw, ""
    with pa.CompressedInputStream(pa.OSFile(os.fspath(path)), packed) as stream:
        return bytes(stream.read(_SAMPLE)), packed
