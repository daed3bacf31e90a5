# SPDX-License-Identifier: Apache-2.0
"""Names of what findings are about, read when they are shown: snapshots hold identifiers alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stackmend.app.session import Session
from stackmend.model.errors import StackmendError
from stackmend.model.finding import Finding
from stackmend.model.naming import Named
from stackmend.model.ports import Live
from stackmend.model.snapshot import CELL

Object = tuple[str, str]
#: objects of one kind whose names are looked up; more are shown without
MOST = 2_000


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where a kind of object is, and which columns say what."""

    database: str  #: "" for every cell
    table: str
    key: str
    name: str = ""
    project: str = ""
    host: str = ""


_KINDS = {
    "server": _Kind("", "instances", "uuid", "display_name", "project_id", "host"),
    "volume": _Kind("cinder", "volumes", "id", "display_name", "project_id"),
    "port": _Kind("neutron", "ports", "id", "name", "project_id"),
    "image": _Kind("glance", "images", "id", "name", "owner"),
}


def names(session: Session, findings: Iterable[Finding]) -> dict[Object, Named]:
    """(resource type, id) -> what it is called; servers that a finding mentions are in it, too.

    What cannot be read has no name: that is no reason to show less of a finding.
    """
    wanted: dict[str, dict[str, None]] = {}
    for finding in findings:
        wanted.setdefault(finding.resource_type, {})[finding.resource_id] = None
        if server := finding.evidence.get("server"):
            wanted.setdefault("server", {})[str(server)] = None
    with session.live() as live:
        found = {
            (kind, id_): named
            for kind, ids in wanted.items()
            if kind in _KINDS
            for id_, named in _of_kind(live, session, _KINDS[kind], list(ids)[:MOST])
        }
        projects = _projects(live, {named.project for named in found.values()} - {""})
    return {key: replace(named, project=projects.get(named.project, named.project)) for key, named in found.items()}


def _of_kind(live: Live, session: Session, kind: _Kind, ids: Sequence[str]) -> Iterator[tuple[str, Named]]:
    databases = (
        [kind.database] if kind.database else [d for d in sorted(session.databases.addresses) if d.startswith(CELL)]
    )
    for database in databases:
        for row in _rows(live, database, kind.table, {kind.key: ids}):
            yield str(row[kind.key]), Named(_text(row, kind.name), _text(row, kind.project), _text(row, kind.host))


def _projects(live: Live, ids: set[str]) -> dict[str, str]:
    return {str(row["id"]): _text(row, "name") for row in _rows(live, "keystone", "project", {"id": sorted(ids)})}


def _rows(live: Live, database: str, table: str, where: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        return live.rows(database, table, where)
    except StackmendError:
        return []


def _text(row: Mapping[str, Any], column: str) -> str:
    return str(row.get(column) or "") if column else ""
