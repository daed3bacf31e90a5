# SPDX-License-Identifier: Apache-2.0
"""Logical volumes of one physical volume, without device-mapper: located through LVM's own metadata on the disk.

``pvck --dump metadata`` prints that text and verifies its checksum. Volumes that are not linear on this one physical
volume (other disks, thin pools, RAID, caches, snapshots) are named but not assembled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stackmend.drivers.disks.programs import run
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import Piece, Volume

_SECTOR = 512
#: scan no device of this machine, write no backup
_ALONE = 'devices{scan="/nonexistent" use_devicesfile=0} backup{backup=0 archive=0}'
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}=,]|#[^\n]*|[^\s\][{}=,#"]+')
#: names and values on one level
_Section = dict[str, Any]
_DEEP = 16
#: limit on the pieces of one volume
_MOST = 64


def volumes(file: Path, at: Volume) -> list[Volume]:
    """The logical volumes on a physical volume; if its metadata cannot be read, one volume with the problem."""
    ended = run(["pvck", "--nolocking", "--config", _ALONE, "--dump", "metadata", str(file)])
    # the text is between two lines of dashes
    _, *text = re.split(r"^ *---$", ended.out.decode("utf-8", "replace"), maxsplit=2, flags=re.MULTILINE)
    try:
        groups = {name: one for name, one in _parsed(text[0] if text else "").items() if isinstance(one, dict)}
        found = [one for name, group in groups.items() for one in _of(name, group, at)]
    except (KeyError, TypeError, ValueError, RecursionError):
        found = []
    if not found:
        raise SourceError(f"{at.name}: the metadata of LVM cannot be read: {ended.err or 'they are empty or damaged'}")
    return found


def _of(name: str, group: Mapping[str, Any], at: Volume) -> Iterator[Volume]:
    extent = int(group["extent_size"]) * _SECTOR
    if extent <= 0:
        raise ValueError(extent)
    mine = _mine(group["physical_volumes"], at)
    for called, one in group.get("logical_volumes", {}).items():
        if "VISIBLE" not in one.get("status", ()):
            continue
        segments = [value for key, value in one.items() if key.startswith("segment") and isinstance(value, dict)]
        segments.sort(key=lambda segment: int(segment["start_extent"]))
        size = sum(int(segment["extent_count"]) for segment in segments) * extent
        pieces, problem = _pieces(segments, mine, extent, at)
        yield Volume(name=f"{name}/{called}", size=size, pieces=tuple(pieces), problem=problem)


def _mine(physical: Mapping[str, Any], at: Volume) -> Mapping[str, int]:
    """Name of this physical volume in the metadata -> byte offset of its first extent."""
    plain = at.uuid.replace("-", "")
    return {
        name: int(one["pe_start"]) * _SECTOR for name, one in physical.items() if one["id"].replace("-", "") == plain
    }


def _pieces(segments: list[_Section], mine: Mapping[str, int], extent: int, at: Volume) -> tuple[list[Piece], str]:
    """(location of its bytes, why they cannot be assembled)."""
    if len(at.pieces) != 1:
        return [], "it is on a logical volume: not opened"
    pieces, next_ = [], 0
    for segment in segments:
        if segment["type"] != "striped" or int(segment["stripe_count"]) != 1:
            return [], f"it is of type {segment['type']}: not opened"
        name, first = segment["stripes"][:2]
        if name not in mine:
            return [], "a part of it is on another disk"
        offset, size = mine[name] + int(first) * extent, int(segment["extent_count"]) * extent
        if int(segment["start_extent"]) != next_ or size <= 0 or offset < 0 or offset + size > at.size:
            return [], "its map is damaged"
        next_ += int(segment["extent_count"])
        pieces.append(Piece(offset=at.pieces[0].offset + offset, size=size))
    joined = list(_joined(pieces))
    return (joined, "") if len(joined) <= _MOST else ([], f"it is in {len(joined)} pieces: not opened")


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """The pieces, with adjacent ones merged: each needs a process."""
    last = None
    for one in pieces:
        if last is not None and last.offset + last.size == one.offset:
            last = Piece(offset=last.offset, size=last.size + one.size)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


# -- parsing the metadata


def _parsed(text: str) -> _Section:
    words = [word for word in _WORD.findall(text.replace("\0", "")) if not word.startswith("#")]
    found, at = _section(words, 0, 0)
    if at != len(words):
        raise ValueError(words[at])
    return found


def _section(words: list[str], at: int, depth: int) -> tuple[_Section, int]:
    if depth > _DEEP:
        raise ValueError(depth)
    found: _Section = {}
    while at < len(words) and words[at] != "}":
        name = words[at]
        sign = words[at + 1] if at + 1 < len(words) else ""
        if sign == "{":
            found[name], at = _section(words, at + 2, depth + 1)
            if at >= len(words):
                raise ValueError(name)
            at += 1
        elif sign == "=":
            found[name], at = _value(words, at + 2)
        else:
            raise ValueError(name)
    return found, at


def _value(words: list[str], at: int) -> tuple[object, int]:
    if at >= len(words):
        raise ValueError(at)
    if words[at] != "[":
        return words[at].strip('"'), at + 1
    end = words.index("]", at)
    return [word.strip('"') for word in words[at + 1 : end] if word != ","], end + 1
