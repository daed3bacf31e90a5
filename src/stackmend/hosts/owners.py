# SPDX-License-Identifier: Apache-2.0
"""The owner of each directory in an instances directory, according to Nova (rules R1 to R8).

A directory has no owner only if nova_api and every cell were read (R2). The API alone can prove that a server exists,
never that it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from stackmend.cloud import compute
from stackmend.cloud.states import EVACUATED, OVER, UNDECIDED
from stackmend.hosts.inventory import OLD_NAME
from stackmend.model.errors import SourceError
from stackmend.model.objects.disks import DirectoryOwner, Folder, Inventory, Ownership
from stackmend.model.protocols import Api, Live
from stackmend.model.snapshot import cell_database
from stackmend.model.step import Values

_DAY = 86_400.0
#: days without changes before a directory may be called an orphan
AGE = 7.0
_IDS = 500


@dataclass(slots=True)
class _Known:
    """The databases' records of some servers."""

    #: UUID -> (cell, row), including deleted ones
    rows: dict[str, list[tuple[str, Values]]] = field(default_factory=dict)
    by_number: dict[int, list[tuple[str, Values]]] = field(default_factory=dict)
    moves: dict[str, list[Values]] = field(default_factory=dict)
    requested: set[str] = field(default_factory=set)
    mapped: set[str] = field(default_factory=set)


def owners(found: Inventory, live: Live | None, api: Api | None) -> dict[str, DirectoryOwner]:
    """Name of each directory -> its owner. Unreadable sources make it UNKNOWN, with the reason."""
    why = "no Nova database is configured, and its API shows no such server"
    if live is not None:
        try:
            return by_rows(found, live)
        except SourceError as problem:
            why = f"not every cell could be read: {problem.message}"
    return {folder.name: _by_api(folder, found.host, api, why) for folder in found.folders}


def by_rows(found: Inventory, live: Live) -> dict[str, DirectoryOwner]:
    """Name of each directory -> its owner. SourceError unless everything that could know it was read (R2)."""
    uuids = sorted({folder.server for folder in found.folders if folder.server})
    numbers = sorted({n for folder in found.folders if (n := _number(folder)) is not None})
    known = _read(live, uuids, numbers)
    now = live.now()
    answer: dict[str, DirectoryOwner] = {}
    for folder in found.folders:
        rows = known.rows.get(folder.server, []) if folder.server else []
        number = _number(folder)
        if not folder.server and number is not None:
            rows = known.by_number.get(number, [])
            if len(rows) > 1:
                rows = [(cell, row) for cell, row in rows if row["host"] == found.host]
                if len(rows) != 1:
                    answer[folder.name] = DirectoryOwner(
                        verdict=Ownership.UNKNOWN, why=f"several cells have an instance with id {number}"
                    )
                    continue
        server = folder.server or (str(rows[0][1]["uuid"]) if rows else "")
        answer[folder.name] = _judged(server, rows, known, found.host, now)
    return answer


def _number(folder: Folder) -> int | None:
    match = OLD_NAME.match(folder.name)
    return int(match[1], 16) if match else None


def _read(live: Live, uuids: Sequence[str], numbers: Sequence[int]) -> _Known:
    """Every record that could name these servers; SourceError unless all can be read (R2)."""
    known = _Known()
    cells = live.cells()
    for some in _some(numbers):
        for cell in cells:
            for row in live.rows(cell_database(cell), "instances", {"id": some}):
                known.by_number.setdefault(int(str(row["id"])), []).append((cell, row))
    every = [*uuids, *(str(row["uuid"]) for rows in known.by_number.values() for _, row in rows)]
    for names in _some(sorted(set(every))):
        for cell in cells:
            for row in live.rows(cell_database(cell), "instances", {"uuid": names}):
                known.rows.setdefault(str(row["uuid"]), []).append((cell, row))
            for row in live.rows(cell_database(cell), "migrations", {"instance_uuid": names}):
                known.moves.setdefault(str(row["instance_uuid"]), []).append(row)
        known.requested |= {
            str(r["instance_uuid"]) for r in live.rows("nova_api", "build_requests", {"instance_uuid": names})
        }
        known.mapped |= {
            str(r["instance_uuid"]) for r in live.rows("nova_api", "instance_mappings", {"instance_uuid": names})
        }
    return known


_T = TypeVar("_T")


def _some(values: Sequence[_T]) -> Iterable[Sequence[_T]]:
    for at in range(0, len(values), _IDS):
        yield values[at : at + _IDS]


def _judged(server: str, rows: Sequence[tuple[str, Values]], known: _Known, host: str, now: str) -> DirectoryOwner:
    """The owner of a directory, from every row about its server."""
    live = [(cell, row) for cell, row in rows if not row["deleted"]]
    if why := _moving(known.moves.get(server, ()), host):
        return _owner(Ownership.MOVING, why, server, live or rows)
    if here := [(cell, row) for cell, row in live if row["host"] == host]:
        if here[0][1]["task_state"]:
            return _owner(Ownership.MOVING, f"it is {here[0][1]['task_state']}", server, here)
        return _owner(Ownership.HERE, "its server is on this host", server, here)
    if live:
        row = live[0][1]
        if row["task_state"] or row["vm_state"] in UNDECIDED:
            return _owner(Ownership.MOVING, f"its server is {row['task_state'] or row['vm_state']}", server, live)
        where = f"on {row['host']}" if row["host"] else f"on no host ({row['vm_state']})"
        return _owner(Ownership.ELSEWHERE, f"its server is {where}", server, live)
    if server in known.requested:
        return _owner(Ownership.MOVING, "its server is being built", server, rows)
    if rows:
        age = _age(str(rows[0][1].get("deleted_at") or ""), now)
        if age is None or age < _DAY:
            return _owner(Ownership.MOVING, "its server was deleted less than a day ago", server, rows)
        return _owner(Ownership.DELETED, f"its server was deleted at {rows[0][1]['deleted_at']}", server, rows)
    if server in known.mapped:
        return _owner(Ownership.UNKNOWN, "it is mapped to a cell that has no such server", server, rows)
    return _owner(Ownership.NOBODY, "no cell knows such a server", server, rows)


def _moving(moves: Iterable[Values], host: str) -> str:
    """The operation in progress between this host and another, or ""."""
    for move in moves:
        kind, status = move.get("migration_type"), str(move["status"])
        if host not in (move["source_compute"], move["dest_compute"]):
            continue
        if kind == "evacuation" and move["source_compute"] == host and status in EVACUATED:
            return "it was evacuated from here: nova-compute cleans up when it starts"
        if not move["deleted"] and status not in OVER:
            return f"a {kind} of its server between {move['source_compute']} and {move['dest_compute']} is {status}"
    return ""


def _age(then: str, now: str) -> float | None:
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(then)).total_seconds()
    except ValueError:
        return None


def _owner(verdict: Ownership, why: str, server: str, rows: Sequence[tuple[str, Values]]) -> DirectoryOwner:
    cell, row = rows[0] if rows else ("", {})
    return DirectoryOwner(
        verdict=verdict,
        why=why,
        server=server,
        host=str(row.get("host") or ""),
        name=str(row.get("display_name") or ""),
        state=str(row.get("vm_state") or ""),
        cell=cell,
        row=int(str(row.get("id") or 0)),
    )


def _by_api(folder: Folder, host: str, api: Api | None, why: str) -> DirectoryOwner:
    """What the API can prove: that a server exists."""
    if api is None or not folder.server:
        return DirectoryOwner(
            verdict=Ownership.UNKNOWN, why=why if folder.server else "its old-style name cannot be resolved"
        )
    try:
        server = compute.server(api, folder.server)
    except SourceError as problem:
        return DirectoryOwner(verdict=Ownership.UNKNOWN, why=problem.message, server=folder.server)
    if server is None:
        return DirectoryOwner(verdict=Ownership.UNKNOWN, why=why, server=folder.server)
    at, task = str(server.get("OS-EXT-SRV-ATTR:host") or ""), server.get("OS-EXT-STS:task_state")
    state = str(server.get("OS-EXT-STS:vm_state") or "")
    if task or state in UNDECIDED:
        verdict, said = Ownership.MOVING, f"its server is {task or state}"
    elif at == host:
        verdict, said = Ownership.HERE, "its server is on this host"
    else:
        # only the databases show a migration that has not been cleaned up
        verdict, said = (
            Ownership.UNKNOWN,
            f"its server is {f'on {at}' if at else 'on no host'}, according to the API only",
        )
    return DirectoryOwner(
        verdict=verdict, why=said, server=folder.server, host=at, name=str(server.get("name") or ""), state=state
    )


def no_orphan(folder: Folder, owner: DirectoryOwner, found: Inventory, now: float, days: float = AGE) -> str:
    """Why a directory is not an orphan; "" if it is one (rules R2, R3)."""
    based = [
        disk.image.path
        for other in found.folders
        if other.name != folder.name
        for disk in other.disks
        if any(path.startswith(f"{folder.name}/") for path in disk.chain)
    ]
    reasons = (
        (owner.verdict not in (Ownership.NOBODY, Ownership.ELSEWHERE, Ownership.DELETED), owner.why),
        (found.storage.shared is not False, f"the storage may be shared: {found.storage.why}"),
        (bool(folder.open_by), f"in use by {', '.join(folder.open_by)}"),
        (not found.every_process, "only root on that host can see which processes have it open"),
        (bool(folder.domain), f"libvirt has the domain {folder.domain} for it"),
        (bool(based), f"{', '.join(based)} is based on it"),
        (any("cannot be read" in text for text in folder.problems), "it cannot be read completely"),
        (folder.modified > now - days * _DAY, f"it changed less than {days:g} days ago"),
    )
    return next((why for so, why in reasons if so), "")
