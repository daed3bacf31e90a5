# SPDX-License-Identifier: Apache-2.0
"""Runs inside the sandbox: opens one disk, and answers requests about it until its input ends.

A request is a line of JSON on stdin. An answer is a line of JSON on stdout; if it has ``data``, that many bytes follow.
An error is an answer as well: :class:`Answer`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import BinaryIO

import msgspec

from stackmend.drivers.disks import appliance, boots, journals, readers, tree
from stackmend.drivers.disks.layout import layout
from stackmend.drivers.disks.tree import Opening, Reader
from stackmend.drivers.disks.views import Views
from stackmend.model.errors import SourceError, StackmendError, UsageError
from stackmend.model.objects.inspection import READ, Entry, Journal, Kind, Layout, Volume

_OS = ("/etc/os-release", "/usr/lib/os-release")
#: maximum number of bytes read from os-release
_OS_SIZE = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to the sandbox."""

    do: str  #: "layout", "entries" or "read"
    volume: str = ""  #: "" for the one with the operating system
    path: str = "/"
    at: Entry | None = None  #: the entry at the path, if known from an earlier answer
    most: int = 0  #: limit on entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the sandbox."""

    layout: Layout | None = None
    entry: Entry | None = None
    entries: tuple[Entry, ...] = ()
    more: bool = False
    volume: Volume | None = None  #: the volume that was read
    data: int = 0
    last: bool = True  #: the last answer to the request
    error: str = ""
    hint: str = ""
    usage: bool = False  #: the request was wrong, not the disk


class Disk:
    """One opened disk."""

    def __init__(self, views: Views, *, torn: bool = False, limit: float = 0.0) -> None:
        self._views, self._torn, self._limit = views, torn, limit
        self._readers: dict[str, Reader] = {}
        self._found = self._settled(layout(views))

    def answers(self, question: Question) -> Iterator[tuple[Answer, bytes]]:
        """The answers to a request, each with the bytes that follow it."""
        if question.do == "layout":
            self._replay(self._found.volumes)
            yield Answer(layout=self._found), b""
            return
        volume = self._chosen(question.volume)
        if journals.replayable(volume):
            self._replay([volume])
            volume = self._found.volume(volume.name) or volume
        reader = self._reader(volume)
        at = question.at or tree.found(
            reader, question.path, follow=question.do == "read" or question.path.endswith("/")
        )
        if question.do == "entries":
            several, more = tree.some(reader, at, question.most) if at.kind is Kind.DIRECTORY else ([], False)
            several = [reader.looked(one) if one.kind is Kind.LINK else one for one in several]
            yield Answer(entry=at, entries=tuple(several), more=more, volume=volume), b""
            return
        if at.kind is not Kind.FILE:
            raise UsageError(f"{question.path} is not a file but a {at.kind}", "List what is in it.")
        yield Answer(entry=at, volume=volume, last=False), b""
        for some in reader.read(at):
            yield Answer(data=len(some), last=False), some
        yield Answer(), b""

    def _settled(self, found: Layout) -> Layout:
        """The layout with journals replayed in the copy, and the operating systems found."""
        volumes = []
        for one in found.volumes:
            if one.type in READ and one.pieces:
                settled = journals.settled(one, self._views.view(one.pieces))
                volumes.append(replace(self._system(settled), torn=self._torn))
            else:
                volumes.append(one)
        return replace(found, volumes=tuple(volumes))

    def _replay(self, wanted: Iterable[Volume]) -> None:
        """Replay what only a kernel can replay, all in one launch, and only if it is asked for: that takes long."""
        dirty = [one for one in wanted if journals.replayable(one)]
        if not dirty:
            return
        can = not appliance.missing(self._limit)
        files = {one.name: self._views.above(one.pieces) for one in dirty} if can else {}
        ended = {one.name: one for one in journals.replayed(dirty, files, self._views.folder, self._limit)}
        for name, one in ended.items():
            if one.journal is Journal.REPLAYED:
                self._views.take(one.pieces, files[name])
                self._readers.pop(name, None)
                ended[name] = self._system(one)
        self._found = replace(self._found, volumes=tuple(ended.get(one.name, one) for one in self._found.volumes))

    def _system(self, volume: Volume) -> Volume:
        """The volume with what is known of the operating system on it."""
        return replace(volume, os=self._os(volume), booted=boots.last(self._content(volume, boots.PATH, boots.SIZE)))

    def _content(self, volume: Volume, path: str, most: int) -> bytes:
        """The content of a small file, b"" if it cannot be read."""
        try:
            reader = self._reader(volume)
            one = tree.found(reader, path)
            return b"".join(_first(reader.read(one), most)) if one.kind is Kind.FILE and one.size <= most else b""
        except StackmendError:
            return b""

    def _os(self, volume: Volume) -> str:
        for path in _OS:
            content = self._content(volume, path, _OS_SIZE)
            if match := re.search(r'^PRETTY_NAME="?([^"\n]*)"?$', content.decode("utf-8", "replace"), re.MULTILINE):
                return "".join(one if one.isprintable() else "?" for one in match[1])[:100]
        return ""

    def _chosen(self, name: str) -> Volume:
        readable = [one for one in self._found.volumes if one.type in READ and one.pieces]
        there = ", ".join(one.name for one in readable) or "none"
        if name:
            volume = self._found.volume(name)
            if volume is None:
                raise UsageError(f"the disk has no volume {name}", f"Those that can be read: {there}.")
            if volume not in readable:
                raise UsageError(f"{name} cannot be read: {volume.problem}", f"Those that can be read: {there}.")
            return volume
        systems = [one for one in readable if one.os]
        if len(systems or readable) == 1:
            return (systems or readable)[0]
        if not readable:
            raise SourceError(
                "the disk has no file system that can be read",
                "See what was found on it: 'stackmend disk show SERVER'.",
            )
        raise UsageError(
            "it is not clear which volume is meant", f"Name it: --volume. Those that can be read: {there}."
        )

    def _reader(self, volume: Volume) -> Reader:
        if volume.name not in self._readers:
            self._readers[volume.name] = _kinds()[volume.type](self._views.view(volume.pieces))
        return self._readers[volume.name]


def _kinds() -> dict[str, Opening]:
    found: dict[str, Opening] = {}
    for module in iter_modules(readers.__path__):
        types, reader = import_module(f"{readers.__name__}.{module.name}").READER
        found |= dict.fromkeys(types, reader)
    return found


def _first(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    for some in chunks:
        yield some[:most]
        most -= len(some)
        if most <= 0:
            return


def _says(out: BinaryIO, answer: Answer, data: bytes = b"") -> None:
    out.write(msgspec.json.encode(answer) + b"\n" + data)
    out.flush()


def main() -> int:
    """Arguments: a private folder, the descriptor of the socket to the NBD server, the export's name, "torn" or "", and

    the seconds that libguestfs may take, 0 if it is not to be used.
    """
    out = sys.stdout.buffer
    folder, number, export, how, limit = sys.argv[1:6]
    torn = how == "torn"
    try:
        disk = Disk(Views(Path(folder), int(number), export, steady=torn), torn=torn, limit=float(limit))
    except StackmendError as problem:
        _says(out, Answer(error=problem.message, hint=problem.hint))
        return 1
    _says(out, Answer())
    for line in sys.stdin.buffer:
        try:
            for answer, data in disk.answers(msgspec.json.decode(line, type=Question)):
                _says(out, answer, data)
        except StackmendError as problem:
            _says(out, Answer(error=problem.message, hint=problem.hint, usage=isinstance(problem, UsageError)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
