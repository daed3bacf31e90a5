# SPDX-License-Identifier: Apache-2.0
"""Resolves paths of a guest inside its own file system only: links are followed as in a chroot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from stackmend.model.errors import UsageError
from stackmend.model.objects.inspection import Entry, Kind

#: maximum number of links followed, and of components in a path
_LINKS, _PARTS = 40, 4096


class Reader(Protocol):
    """Reads one file system. SourceError if it cannot be read."""

    def root(self) -> Entry:
        """The root directory."""
        ...

    def entries(self, at: Entry) -> Iterator[Entry]:
        """The entries of a directory as they arrive, without ``.`` and ``..``."""
        ...

    def looked(self, one: Entry) -> Entry:
        """The same entry with all its attributes, including the target of a link."""
        ...

    def read(self, one: Entry) -> Iterator[bytes]:
        """The content of a file as it arrives."""
        ...


#: opens the file system in a file
Opening = Callable[[Path], Reader]


def found(reader: Reader, path: str, *, follow: bool = True) -> Entry:
    """The entry at a path; UsageError if there is none."""
    above, parts, links = [reader.root()], _parts(path), 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            above = above[:-1] or above
            continue
        if above[-1].kind is not Kind.DIRECTORY:
            raise _missing(path)
        one = next((entry for entry in reader.entries(above[-1]) if entry.name == part), None)
        if one is None:
            raise _missing(path)
        if one.kind is Kind.LINK and (parts or follow):
            links += 1
            target = reader.looked(one).target
            if links > _LINKS or len(parts) > _PARTS:
                raise UsageError(f"{path}: too many links lead on from there", "Name the file itself.")
            above = above[:1] if target.startswith("/") else above
            parts = _parts(target) + parts
        else:
            above.append(one)
    return reader.looked(above[-1])


def some(reader: Reader, at: Entry, most: int) -> tuple[list[Entry], bool]:
    """(at most so many entries of a directory, whether there are more)."""
    several = list(islice(reader.entries(at), most + 1))
    return several[:most], len(several) > most


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _missing(path: str) -> UsageError:
    return UsageError(
        f"there is no {path} on it", "See what there is: 'stackmend disk ls SERVER PATH'. Names are as it prints them."
    )
