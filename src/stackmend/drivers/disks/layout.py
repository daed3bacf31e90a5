# SPDX-License-Identifier: Apache-2.0
"""The contents of a disk: partitions from sfdisk, file systems from blkid, logical volumes from LVM's own metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from stackmend.drivers.disks import lvm
from stackmend.drivers.disks.programs import run
from stackmend.drivers.disks.views import Views
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import READ, Layout, Piece, Volume, shown

#: limit on partitions and volumes
_MOST = 128
#: extended partitions, which only contain others
_EXTENDED = frozenset({"5", "f", "85", "c5"})
_TOLD = {
    "crypto_LUKS": "it is encrypted: not opened",
    "LVM2_member": "a physical volume of LVM",
    "swap": "swap: nothing to read",
}


def layout(views: Views) -> Layout:
    """The volumes of a disk, with the contents of each."""
    notes: list[str] = []
    whole = Volume(name="disk", size=views.size, pieces=(Piece(offset=0, size=views.size),))
    table, parts = _partitions(views, notes)
    found: list[Volume] = []
    for part in parts if table else [whole]:
        seen = _looked(views.disk, part)
        found.append(seen)
        if seen.type == "LVM2_member" and seen.pieces:
            found += _logical(views, seen, notes)
    if len(found) > _MOST:
        notes.append(f"{len(found)} volumes: only the first {_MOST} are examined")
    return Layout(size=views.size, table=table, volumes=tuple(found[:_MOST]), notes=tuple(notes))


def _logical(views: Views, at: Volume, notes: list[str]) -> Iterator[Volume]:
    try:
        for one in lvm.volumes(views.view(at.pieces), at):
            yield _looked(views.view(one.pieces), one, inside=True) if one.pieces else one
    except SourceError as problem:
        notes.append(problem.message)


def _partitions(views: Views, notes: list[str]) -> tuple[str, list[Volume]]:
    """(type of the partition table, its partitions); "" if there is none."""
    # the boot sector of a file system on the whole disk may resemble a partition table
    if _probe(views.disk, Piece(offset=0, size=views.size)).get("USAGE"):
        return "", []
    ended = run(["sfdisk", "--json", str(views.disk)])
    try:
        table: dict[str, Any] = json.loads(ended.out)["partitiontable"]
    except (ValueError, KeyError, TypeError):
        return "", []
    if ended.err:
        notes.append(f"partition table: {shown(ended.err.encode())}")
    sector = int(table.get("sectorsize", 512))
    return str(table.get("label", "")), list(_parts(table, sector, views.size))


def _parts(table: dict[str, Any], sector: int, size: int) -> Iterator[Volume]:
    for one in table.get("partitions", ())[:_MOST]:
        if str(one.get("type", "")).lower() in _EXTENDED:
            continue
        number = re.search(r"(\d+)$", str(one["node"]))
        start, length = int(one["start"]) * sector, int(one["size"]) * sector
        name = f"p{number[1] if number else '?'}"
        if start >= size or start + length > size:
            yield Volume(name=name, size=length, problem="it goes beyond the end of the disk: not opened")
        else:
            yield Volume(name=name, size=length, pieces=(Piece(offset=start, size=length),))


def _looked(file: Path, volume: Volume, *, inside: bool = False) -> Volume:
    """A volume with what blkid reports about it. ``inside``: the file contains just the volume."""
    if not volume.pieces:
        return volume
    found = _probe(file, Piece(offset=0, size=volume.size) if inside else volume.pieces[0])
    type_ = found.get("TYPE", "")
    problem = _TOLD.get(type_, "" if type_ in READ else f"{type_}: not read" if type_ else "nothing known is on it")
    label, uuid = (shown(found.get(name, "").encode()) for name in ("LABEL", "UUID"))
    return replace(volume, type=shown(type_.encode()), label=label, uuid=uuid, problem=problem)


def _probe(file: Path, piece: Piece) -> dict[str, str]:
    """blkid's result for these bytes; empty if it finds nothing, or several things at once."""
    ended = run(["blkid", "--probe", f"--offset={piece.offset}", f"--size={piece.size}", "--output=udev", str(file)])
    if ended.code:
        return {}
    lines = (line.partition("=") for line in ended.out.decode("utf-8", "replace").splitlines())
    return {name.removeprefix("ID_FS_"): value for name, _, value in lines if name.startswith("ID_FS_")}
