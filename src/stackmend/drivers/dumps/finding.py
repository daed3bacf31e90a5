# SPDX-License-Identifier: Apache-2.0
"""Finds the dumps in what a support case brings: files, folders, archives; plain or compressed."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from stackmend.drivers.dumps.scanner import Readable
from stackmend.model.errors import UsageError

#: how the names of archives end
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst")
#: the bytes at the beginning of a file that show a dump
_SAMPLE = 4096
_DUMP = re.compile(rb"^-- (?:MariaDB|MySQL) dump |^(?:CREATE TABLE|INSERT INTO) [`\"]|^/\*!40\d{3} SET ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FoundDump:
    """A dump that was found; ``stream`` is valid until the next one is asked for."""

    name: str  #: the file, for people
    stem: str  #: its name without endings, for a database that the dump does not name
    stream: Readable


class _Joined:
    """The beginning that was read, and the rest."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int, /) -> bytes | None:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._rest.read(size)


class _Zstd:
    """A stream of zstd, decompressed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._inner = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")

    def read(self, size: int, /) -> bytes:
        try:
            return bytes(self._inner.read(size))
        except pa.ArrowException as problem:
            raise OSError(str(problem)) from None


def _gzip(stream: IO[bytes]) -> Readable:
    import gzip

    return gzip.GzipFile(fileobj=stream)


_PACKED: Sequence[tuple[bytes, Callable[[IO[bytes]], Readable]]] = (
    (b"\x1f\x8b", _gzip),
    (b"\x28\xb5\x2f\xfd", _Zstd),
    (b"\xfd7zXZ", lzma.LZMAFile),
    (b"BZh", bz2.BZ2File),
)


def dumps(paths: Sequence[str], unread: dict[str, str]) -> Iterator[FoundDump]:
    """Every dump below the paths; ``unread``: what cannot be read, and why. UsageError for a path that is not there."""
    for text in paths:
        path = Path(text)
        if not path.exists():
            raise UsageError(f"there is no bundle {text}", "Name a sosreport, a dump, or a folder with both.")
        inner = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inner:
            try:
                yield from _of_file(file)
            except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as problem:
                unread[str(file)] = str(problem) or type(problem).__name__


def _of_file(path: Path) -> Iterator[FoundDump]:
    with path.open("rb") as stream:
        if not path.name.endswith(ARCHIVES):
            yield from _judged(stream, str(path), path.name)
            return
        source: Readable = _Zstd(stream) if path.name.endswith(".zst") else stream
        with tarfile.open(fileobj=source, mode="r|" if path.name.endswith(".zst") else "r|*") as archive:  # type: ignore[call-overload]
            for member in archive:
                inner = archive.extractfile(member) if member.isfile() else None
                if inner is not None:
                    yield from _judged(inner, f"{path}:{member.name}", os.path.basename(member.name))


def _judged(stream: IO[bytes], name: str, base: str) -> Iterator[FoundDump]:
    """The dump if it is one, otherwise nothing."""
    head = stream.read(_SAMPLE)
    opened = next((unpack for magic, unpack in _PACKED if head.startswith(magic)), None)
    source: Readable = _Joined(head, stream)
    if opened is not None:
        source = opened(io.BufferedReader(_Raw(source)))
        try:
            head = source.read(_SAMPLE) or b""
        except (OSError, EOFError, lzma.LZMAError):
            return  # a log that is damaged is told by who reads the logs
        source = _Joined(head, source)
    if _DUMP.search(head):
        yield FoundDump(name, base.split(".", maxsplit=1)[0], source)


class _Raw(io.RawIOBase):
    """What can be read, as a raw stream."""

    def __init__(self, inner: Readable) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        got = self._inner.read(len(buffer)) or b""
        buffer[: len(got)] = got
        return len(got)
