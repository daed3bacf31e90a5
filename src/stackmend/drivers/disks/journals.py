# SPDX-License-Identifier: Apache-2.0
"""How current a file system is: its journal is replayed into the copy if possible, otherwise its state is reported.

``e2fsck -n`` reports damage that does not exist if the journal of the disk is dirty, and every fast reader silently
shows an older state. So nothing is read before the journal has been checked.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import strptime

from stackmend.drivers.disks import appliance
from stackmend.drivers.disks.programs import run
from stackmend.model.errors import SourceError
from stackmend.model.objects.inspection import Journal, Volume

#: seconds for a replay: enough for a journal of 1 GiB over a slow connection
_REPLAY = 300.0
#: e2fsck's exit code is a bit mask; from this value on it failed
_FAILED = 4


def settled(volume: Volume, view: Path) -> Volume:
    """The same volume, with its journal replayed in the copy if possible, and with the journal's state."""
    try:
        if volume.type in ("ext2", "ext3", "ext4"):
            return _ext(volume, view)
        if volume.type == "xfs":
            return _xfs(volume, view)
    except SourceError as problem:
        return replace(volume, journal=Journal.STALE, problem=problem.message)
    return volume


def replayable(volume: Volume) -> bool:
    """Whether its log is dirty, and nothing has tried to replay it yet: libguestfs may be able to."""
    return volume.type == "xfs" and volume.journal is Journal.STALE and not volume.problem


def replayed(volumes: Sequence[Volume], files: Mapping[str, Path], folder: Path, limit: float) -> list[Volume]:
    """The same volumes, with their logs replayed in these files, or with the reason why they are not.

    ``files``: name of a volume -> a file that is thrown away; none if no log can be replayed; ``limit``: seconds.
    """
    why = "" if files else appliance.missing(limit)
    said = [""] * len(volumes)
    if not why:
        try:
            said = appliance.replayed([files[one.name] for one in volumes], folder, limit)
        except SourceError as problem:
            why = problem.message
    return [_judged(one, files.get(one.name), why, words) for one, words in zip(volumes, said, strict=True)]


def _judged(volume: Volume, file: Path | None, why: str, said: str) -> Volume:
    """xfs_logprint decides whether the log was replayed, not whoever replayed it."""
    if file is not None and not why:
        found = settled(volume, file)
        if found.journal is Journal.CLEAN:
            return replace(volume, journal=Journal.REPLAYED)
        why = found.problem or said or "libguestfs cannot mount it"
    return replace(volume, problem=f"its log is not replayed: {why}")


def _ext(volume: Volume, view: Path) -> Volume:
    before = _superblock(view)
    volume = replace(volume, mounted=_time(before.get("Last mount time", "")))
    features = before.get("Filesystem features", "").split()
    if "has_journal" not in features and "journal_dev" not in features:
        return volume
    if before.get("Journal device", "0x0000") != "0x0000":
        return replace(volume, journal=Journal.STALE, problem="its journal is on another device")
    if "needs_recovery" not in features:
        return replace(volume, journal=Journal.CLEAN)
    ended = run(["e2fsck", "-y", "-E", "journal_only", str(view)], limit=_REPLAY)
    if ended.code >= _FAILED or "needs_recovery" in _superblock(view).get("Filesystem features", "").split():
        why = ended.err or f"e2fsck ended with {ended.code}"
        return replace(volume, journal=Journal.STALE, problem=f"its journal cannot be replayed: {why}")
    return replace(volume, journal=Journal.REPLAYED)


def _superblock(view: Path) -> dict[str, str]:
    ended = run(["dumpe2fs", "-h", str(view)])
    lines = (line.partition(":") for line in ended.out.decode("utf-8", "replace").splitlines())
    found = {name.strip(): value.strip() for name, colon, value in lines if colon}
    if "Filesystem features" not in found:
        raise SourceError(f"its superblock cannot be read: {ended.err or f'dumpe2fs ended with {ended.code}'}")
    return found


def _time(text: str) -> float:
    try:
        return float(timegm(strptime(text, "%a %b %d %H:%M:%S %Y")))
    except ValueError:
        return 0.0


def _xfs(volume: Volume, view: Path) -> Volume:
    ended = run(["xfs_logprint", "-t", str(view)])
    state = re.search(rb"state: <(\w+)>", ended.out)
    if state is None:
        return replace(volume, journal=Journal.STALE, problem=f"its log cannot be read: {ended.err or ended.code}")
    return replace(volume, journal=Journal.CLEAN if state[1] == b"CLEAN" else Journal.STALE)
