# SPDX-License-Identifier: Apache-2.0
"""Names of the objects of findings, plans and runs, looked up for display: snapshots contain only ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from stackmend.app import apis
from stackmend.app.session import CloudSession, has_api
from stackmend.cloud import compute, identity
from stackmend.cloud.objects import KINDS, ObjectKind, of_row
from stackmend.config.settings import Config
from stackmend.drivers.api.reading import ApiReading
from stackmend.model.errors import StackmendError
from stackmend.model.finding import Finding
from stackmend.model.naming import Named, Object, mentioned
from stackmend.model.plan import Action, Unrepaired
from stackmend.model.protocols import Live, Where
from stackmend.model.snapshot import CELL

#: maximum number of objects of one kind whose names are looked up
MOST = 2_000
#: maximum number of projects looked up through Keystone's API if its database is not configured
_ASKED = 50


#: type of what a finding is about -> kind of the object; a consumer in Placement is a server, if it is one
_NAMED = {
    "server": KINDS["server"],
    "consumer": KINDS["server"],
    "volume": KINDS["volume"],
    "port": KINDS["port"],
    "image": KINDS["image"],
}


def of_findings(findings: Iterable[Finding]) -> Iterator[Object]:
    """The objects that findings are about or mention."""
    for finding in findings:
        yield finding.resource_type, finding.resource_id
        if server := finding.evidence.get("server"):
            yield "server", str(server)
        yield from mentioned(finding.message)


def of_actions(actions: Iterable[Action | Unrepaired]) -> Iterator[Object]:
    """The objects that actions and unrepaired findings are about or mention."""
    for action in actions:
        yield action.resource_type, action.resource_id
        yield from mentioned(action.reason if isinstance(action, Unrepaired) else action.message)


def known(config: Config, wanted: Iterable[Object]) -> dict[Object, Named]:
    """As :func:`names`; empty if the cloud has no database, or none can be found."""
    try:
        return names(CloudSession.of(config), wanted)
    except StackmendError:
        return {}


def names(session: CloudSession, wanted: Iterable[Object]) -> dict[Object, Named]:
    """(resource type, id) -> its name.

    If names cannot be read, the finding is shown without them.
    """
    kinds: dict[str, dict[str, None]] = {}
    for kind, id_ in wanted:
        kinds.setdefault(kind, {})[id_] = None
    with session.live() as live:
        found = {
            (kind, id_): named
            for kind, ids in kinds.items()
            if kind in _NAMED
            for id_, named in _of_kind(live, session, _NAMED[kind], list(ids)[:MOST])
        }
        projects = _projects(live, session, {named.project for named in found.values()} - {""})
    return {key: replace(named, project=projects.get(named.project, named.project)) for key, named in found.items()}


def hosts(config: Config) -> list[str]:
    """Names of the hosts with a nova-compute, from the cells, or from the API if no database is configured."""
    session = CloudSession.looking(config)
    if session.databases.addresses:
        with session.live() as live:
            cells = [d for d in sorted(session.databases.addresses) if d.startswith(CELL)]
            where: Where = {"binary": "nova-compute", "deleted": 0}
            rows: list[Mapping[str, object]] = [row for d in cells for row in _rows(live, d, "services", where)]
    else:
        with closing(apis.sign_in(config)) as signed:
            api = ApiReading(signed, apis.SystemClock())
            rows = list(compute.every_compute(api))
    return sorted({str(row["host"]) for row in rows if row["host"]})


def _of_kind(live: Live, session: CloudSession, kind: ObjectKind, ids: Sequence[str]) -> Iterator[tuple[str, Named]]:
    cells = [name for name in sorted(session.databases.addresses) if name.startswith(CELL)]
    for database in cells if kind.service == "nova" else [kind.service]:
        for row in _rows(live, database, kind.table, {kind.key: ids}):
            known = of_row(kind, row)
            yield known.id, Named(known.name, known.project, known.host)


def _projects(live: Live, session: CloudSession, ids: set[str]) -> dict[str, str]:
    """Names of projects by id, from Keystone's database, or from its API if that is not configured."""
    if "keystone" in session.databases.addresses or not ids or not has_api(session.config):
        rows = _rows(live, "keystone", "project", {"id": sorted(ids)})
        return {str(row["id"]): _text(row, "name") for row in rows}
    try:
        with closing(apis.sign_in(session.config)) as signed:
            api = ApiReading(signed, apis.SystemClock())
            return {id_: name for id_ in sorted(ids)[:_ASKED] if (name := identity.project_name(api, id_))}
    except StackmendError:
        return {}


def _rows(live: Live, database: str, table: str, where: Where) -> Sequence[Mapping[str, object]]:
    try:
        return live.rows(database, table, where)
    except StackmendError:
        return []


def _text(row: Mapping[str, object], column: str) -> str:
    return str(row.get(column) or "") if column else ""
