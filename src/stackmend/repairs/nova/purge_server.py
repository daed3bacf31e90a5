# SPDX-License-Identifier: Apache-2.0
"""Delete every row of a deleted server.

## What it does
Deletes the rows of a server that is marked deleted from every table that refers to it, children first, including shadow
tables; then its rows in the API database, the mapping last. To purge many servers, use
`nova-manage db archive_deleted_rows` and `purge` instead.

## Guards
The server was deleted at least a day ago, in whichever cell; none is being built with its id; it is not a server that
`nova_api` shows as live although its cell has no row of it; no port, volume or allocation is held for it. This is
checked again at the time of writing. Every table that has a foreign key to `instances` in *this* database is a known
one, otherwise nothing is done (rule R7).

## Undo
Every row is restored, including its secrets (until then they are sealed in the journal).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from stackmend.cloud.evidence import attachments
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, Record, Risk, Step, Value
from stackmend.repairs.common import moment
from stackmend.repairs.deletion import pci_given_back, removed

#: children in the order of their deletion -> the column with the server's uuid (services 1.1)
_CHILDREN = {
    "instance_faults": "instance_uuid",
    "instance_metadata": "instance_uuid",
    "instance_system_metadata": "instance_uuid",
    "instance_info_caches": "instance_uuid",
    "instance_extra": "instance_uuid",
    "security_group_instance_association": "instance_uuid",
    "block_device_mapping": "instance_uuid",
    "virtual_interfaces": "instance_uuid",
    "migrations": "instance_uuid",
    "share_mapping": "instance_uuid",
    "fixed_ips": "instance_uuid",
    "consoles": "instance_uuid",
    "instance_id_mappings": "uuid",
    "tags": "resource_id",
    "console_auth_tokens": "instance_uuid",
    "volume_usage_cache": "instance_uuid",
}
_API = ("build_requests", "request_specs", "instance_group_member", "instance_mappings")
_DAY = timedelta(days=1)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the cell, then on the API database; none if no row is left."""
    server = str(target["server"])
    seen = attachments.server(live, server)
    if seen.alive:
        raise CannotRepair(f"server {server} is not deleted: only deleted servers are purged")
    if not seen.known:
        seen.settled()
    steps = list(_everything(live, server))
    if steps:
        yield from _free(live, server)
    yield from steps


def _everything(live: Live, server: str) -> Iterator[Step]:
    found = False
    for cell in live.cells():
        database = cell_database(cell)
        row = live.row(database, "instances", {"uuid": server})
        if row is not None or _shadow(live, database, "instances", {"uuid": server}):
            found = True
            _known(live, database)
            _old(live, row, server)
            yield from _cell(live, database, server, row)
    mappings = live.rows("nova_api", "instance_mappings", {"instance_uuid": server})
    if not found and not mappings:
        raise CannotRepair(f"no database has a row of server {server}: it is already purged, or the UUID is wrong")
    if not found and not all(mapping["queued_for_delete"] for mapping in mappings):
        raise CannotRepair(
            f"nova_api shows server {server} as alive, but no cell has a row of it: the row is lost,"
            " not the server. See 'stackmend check show instance-mapping-without-server'"
        )
    for table in _API:
        for row in live.rows("nova_api", table, {"instance_uuid": server}):
            yield removed(live, "nova_api", table, row)


def _cell(live: Live, database: str, server: str, row: Record | None) -> Iterator[Step]:
    yield from pci_given_back(live, database, server)
    for prefix in ("", "shadow_"):
        yield from _history(live, database, server, prefix)
        for table, column in _CHILDREN.items():
            if live.columns(database, prefix + table):
                for child in live.rows(database, prefix + table, {column: server}):
                    yield removed(live, database, prefix + table, child)
    for shadow in _shadow(live, database, "instances", {"uuid": server}):
        yield removed(live, database, "shadow_instances", shadow)
    if row is not None:
        yield removed(live, database, "instances", row)


def _history(live: Live, database: str, server: str, prefix: str) -> Iterator[Step]:
    """Actions with their events, events first."""
    if not live.columns(database, f"{prefix}instance_actions"):
        return
    actions = live.rows(database, f"{prefix}instance_actions", {"instance_uuid": server})
    for action in actions:
        for event in live.rows(database, f"{prefix}instance_actions_events", {"action_id": action["id"]}):
            yield removed(live, database, f"{prefix}instance_actions_events", event)
    for action in actions:
        yield removed(live, database, f"{prefix}instance_actions", action)


def _shadow(live: Live, database: str, table: str, where: Record) -> list[Record]:
    name = f"shadow_{table}"
    return live.rows(database, name, where) if live.columns(database, name) else []


def _known(live: Live, database: str) -> None:
    unknown = {t for t, _ in live.referring(database, "instances")} - _CHILDREN.keys() - {"instance_actions"}
    if unknown:
        raise CannotRepair(f"{database} has unknown tables that refer to instances: {', '.join(sorted(unknown))}")


def _old(live: Live, row: Record | None, server: str) -> None:
    """CannotRepair if the server was deleted less than a day ago."""
    if row is not None and (not row["deleted_at"] or moment(row["deleted_at"]) > moment(live.now()) - _DAY):
        raise CannotRepair(f"server {server} was deleted less than a day ago")


def _free(live: Live, server: str) -> Iterator[Step]:
    """Guards: no cell has it live, and nothing is held for it; CannotRepair if something is."""
    for cell in live.cells():
        where: dict[str, Value] = {"uuid": server, "deleted": 0}
        yield ExpectNone(database=cell_database(cell), table="instances", where=where)
    held: tuple[tuple[str, str, dict[str, Value]], ...] = (
        ("neutron", "ports", {"device_id": server}),
        ("cinder", "volume_attachment", {"instance_uuid": server, "deleted": 0}),
        ("placement", "allocations", {"consumer_id": server}),
    )
    for database, table, rows in held:
        if live.rows(database, table, rows):
            raise CannotRepair(f"{database}.{table} still has rows of server {server}: audit and repair first")
        yield ExpectNone(database=database, table=table, where=rows)


REPAIR = Repair(
    name="purge-server",
    risk=Risk.UNSAFE,
    strategies={"db": db},
    no_api="no API shows deleted servers; to purge many, use nova-manage db archive_deleted_rows",
    why="the server's history is lost for billing and support",
)
