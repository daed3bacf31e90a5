# SPDX-License-Identifier: Apache-2.0
"""Disks of guests, directories on them and what was copied out, for people and machines."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from stackmend.model.objects.inspection import Entry, Journal, Kind, Layout, Volume
from stackmend.report.document import Document
from stackmend.report.words import count, size

_TORN = "TORN: its guest writes while it is read, so files may be mixtures of old and new"
_MARKS = {Kind.DIRECTORY: "d", Kind.LINK: "l", Kind.FILE: "-", Kind.OTHER: "?"}


class _Disk(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def layers(self) -> tuple[tuple[str, str], ...]: ...


class _Shown(Protocol):
    @property
    def disk(self) -> _Disk: ...

    @property
    def layout(self) -> Layout | None: ...

    @property
    def problem(self) -> str: ...


class _Server(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def host(self) -> str | None: ...

    @property
    def vm_state(self) -> str: ...


class _Inspection(Protocol):
    @property
    def ticket(self) -> str: ...

    @property
    def approved_by(self) -> str: ...

    @property
    def was(self) -> str: ...

    @property
    def method(self) -> str: ...


def inspections(found: Iterable[tuple[_Server, _Inspection]]) -> Document:
    """Servers under inspection (docs/schemas/inspections.json)."""
    data = [
        {
            "server": server.id, "name": server.name, "host": server.host, "state": server.vm_state,
            "ticket": one.ticket, "approved_by": one.approved_by, "was": one.was, "method": one.method,
        }
        for server, one in found
    ]  # fmt: skip
    heads = ("Server", "Name", "Host", "State", "Ticket", "Approved By", "Was", "Method")
    names = ("server", "name", "host", "state", "ticket", "approved_by", "was", "method")
    return Document(data=data, columns=tuple(zip(heads, names, strict=True)))


def disks(found: Iterable[_Shown]) -> Document:
    """The disks of a server (docs/schemas/guest-disks.json)."""
    every = list(found)
    data = [
        {
            "disk": one.disk.name,
            "files": [{"path": path, "format": form} for path, form in one.disk.layers],
            "size": one.layout.size if one.layout else None,
            "table": one.layout.table if one.layout else "",
            "volumes": [_volume(volume) for volume in one.layout.volumes] if one.layout else [],
            "notes": list(one.layout.notes) if one.layout else [],
            "problem": one.problem,
        }
        for one in every
    ]
    return Document(data=data, text="\n".join(line for one in every for line in _lines(one)))


def directory(path: str, volume: Volume, at: Entry, entries: Iterable[Entry], more: bool) -> Document:
    """What is at a path of a guest (docs/schemas/guest-directory.json)."""
    several = sorted(entries, key=lambda one: one.name) if at.kind is Kind.DIRECTORY else [at]
    data = {
        "path": path,
        "volume": volume.name,
        "journal": volume.journal.value,
        "more": more,
        "entries": [
            {
                "name": one.name, "kind": one.kind.value, "size": one.size, "mode": f"{stat.S_IMODE(one.mode):04o}",
                "owner": one.owner, "modified": _time(one.modified), "target": one.target,
            }
            for one in several
        ],
    }  # fmt: skip
    lines = [
        f"{_MARKS[one.kind]} {stat.S_IMODE(one.mode):04o} {one.owner:>6} {one.size:>12} {_time(one.modified):<16}"
        f" {one.name}{f' -> {one.target}' if one.target else ''}"
        for one in several
    ]
    rest = [f"... there are more than {len(several)}"] if more else []
    return Document(data=data, text="\n".join([how_new(volume), *lines, *rest]))


def how_new(volume: Volume) -> str:
    """One line that says what is read, and how new it is."""
    journal = f"journal: {volume.journal.value}" if volume.journal else "no journal"
    why = f" ({volume.problem})" if volume.journal is Journal.STALE and volume.problem else ""
    return f"{volume.name}: {volume.type}, {journal}{why}{f'; {_TORN}' if volume.torn else ''}"


def _volume(one: Volume) -> dict[str, object]:
    return {
        "name": one.name, "size": one.size, "type": one.type, "label": one.label, "uuid": one.uuid,
        "journal": one.journal.value, "os": one.os, "mounted": _time(one.mounted), "booted": _time(one.booted),
        "problem": one.problem, "torn": one.torn,
    }  # fmt: skip


def _lines(one: _Shown) -> Iterator[str]:
    yield f"{one.disk.name}: {' on '.join(f'{path} ({form})' for path, form in one.disk.layers)}"
    if one.layout is None:
        yield f"  NOT READ: {one.problem}"
        return
    table = f"partition table {one.layout.table}" if one.layout.table else "no partition table"
    yield f"  {size(one.layout.size)}, {table}, {count(len(one.layout.volumes), 'volume')}"
    for volume in one.layout.volumes:
        words = [volume.type or "nothing known", size(volume.size), volume.label and f"label {volume.label}", volume.os]
        words += [f"last mounted {_time(volume.mounted)}" if volume.mounted else ""]
        words += [f"last boot {_time(volume.booted)}" if volume.booted else ""]
        words += [
            f"journal: {volume.journal.value}" if volume.journal else "",
            volume.problem,
            _TORN if volume.torn else "",
        ]
        yield f"    {volume.name}: {', '.join(word for word in words if word)}"
    for note in one.layout.notes:
        yield f"  NOTE: {note}"


def _time(seconds: float) -> str:
    """UTC, to the minute; "" for none, and for what no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else ""
    except (OverflowError, ValueError, OSError):
        return ""
