# SPDX-License-Identifier: Apache-2.0
"""Steps and look-ups shared by several repairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from stackmend.cloud.evidence import attachments
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, ExpectRow, Record, Step, UpdateRow, Value, Values
from stackmend.tables.views import TERMINAL

#: an action younger than this is in progress, and so is an unfinished event younger than this (view acting_servers)
_ASKED, _ACTING = timedelta(minutes=2), timedelta(hours=2)


def change(
    live: Live, database: str, table: str, row: Mapping[str, Value], after: Values, guards: Iterable[str] = ()
) -> UpdateRow:
    """Set ``after`` on ``row``, provided that it and its ``guards`` columns are unchanged."""
    pk = {column: row[column] for column in live.key(database, table)}
    before = {column: row[column] for column in (*after, *guards) if column in row}
    return UpdateRow(database=database, table=table, pk=pk, before=before, after=after)


def the_server(target: Row, live: Live) -> tuple[str, Record]:
    """(database, row) of the live server that the target names; CannotRepair if there is none."""
    server = str(target["server"])
    cells = (str(target["cell"]),) if target.get("cell") else live.cells()
    for cell in cells:
        row = live.row(cell_database(cell), "instances", {"uuid": server})
        if row is not None and row["deleted"] == 0 and not row.get("hidden"):
            return cell_database(cell), row
    raise CannotRepair(f"no cell has a live server {server}")


def live_server(live: Live, server: str) -> tuple[str, Record] | None:
    """(database, row) of the live server in any cell; None if it does not exist. All cells must answer (R2)."""
    found = attachments.server(live, server)
    found.settled()
    return (found.database, found.row) if found.row is not None else None


def idle(live: Live, database: str, row: Record) -> Iterator[Step]:
    """Guards: the server is still where it was, and no operation is in progress on it (G-IDLE)."""
    if row["task_state"] is not None or row["vm_state"] == "building":
        raise CannotRepair(f"server {row['uuid']} is busy: {row['vm_state']}, {row['task_state']}")
    at_rest(live, database, row["uuid"])
    names = ("uuid", "deleted", "host", "node", "vm_state", "task_state")
    yield ExpectRow(
        database=database, table="instances", pk={"id": row["id"]}, expect={name: row[name] for name in names}
    )


def at_rest(live: Live, database: str, server: Value) -> None:
    """CannotRepair while a migration of the server is in progress (G-MIG)."""
    for move in live.rows(database, "migrations", {"instance_uuid": server, "deleted": 0}):
        if move["status"] not in TERMINAL:
            raise CannotRepair(f"server {server} has a migration in progress ({move['status']})")


def quiet(live: Live, database: str, server: Value) -> None:
    """CannotRepair while Nova executes a request: repairs requested by name respect this just as checks do."""
    now = moment(live.now())
    actions = live.rows(database, "instance_actions", {"instance_uuid": server})
    for action in actions:
        if moment(action["start_time"]) > now - _ASKED:
            raise CannotRepair(
                f"server {server} is busy: {action['action']} was requested at {action['start_time']}. Wait until Nova"
                " has finished it"
            )
    numbers = [action["id"] for action in actions]
    events = live.rows(database, "instance_actions_events", {"action_id": numbers}) if numbers else []
    for event in events:
        if event["finish_time"] is None and moment(event["start_time"]) > now - _ACTING:
            raise CannotRepair(f"server {server} is busy: {event['event']} began at {event['start_time']}")


def settled(live: Live, rows: Iterable[Record], what: str) -> None:
    """CannotRepair if a service wrote one of these rows a moment ago: it may be in the middle of an operation."""
    now = moment(live.now())
    for row in rows:
        written = row["updated_at"] or row["created_at"]
        if moment(written) > now - _ASKED:
            raise CannotRepair(f"{what} was written at {written}: wait {_ASKED.seconds // 60} minutes, then plan again")


def still_of(ports: Iterable[Record]) -> Iterator[Step]:
    """Guards: each port still has the same device and project."""
    names = ("device_id", "project_id", "network_id", "mac_address")
    for port in ports:
        expect = {name: port[name] for name in names}
        yield ExpectRow(database="neutron", table="ports", pk={"id": port["id"]}, expect=expect)


def no_such_server(live: Live, server: Value) -> Iterator[Step]:
    """Guards: no cell has a live server with that uuid, and none is being built (R2, R3)."""
    for cell in live.cells():
        yield ExpectNone(database=cell_database(cell), table="instances", where={"uuid": server, "deleted": 0})
    yield ExpectNone(database="nova_api", table="build_requests", where={"instance_uuid": server})


def marked_deleted(
    live: Live,
    database: str,
    table: str,
    row: Mapping[str, Value],
    *,
    at: Value = None,
    guards: Iterable[str] = (),
) -> UpdateRow:
    """Nova's soft delete of one row, by default now: ``deleted`` becomes the row's own id (RW4)."""
    return change(live, database, table, row, {"deleted": row["id"], "deleted_at": at or live.now()}, guards)


def revised(live: Live, standard_attr_id: Value) -> UpdateRow:
    """Increment Neutron's revision number of a resource and set its update time (RW6)."""
    row = live.row("neutron", "standardattributes", {"id": standard_attr_id})
    if row is None:
        raise CannotRepair(f"neutron has no standardattributes row {standard_attr_id}")
    after: Values = {"revision_number": int(str(row["revision_number"])) + 1, "updated_at": live.now()}
    return change(live, "neutron", "standardattributes", row, after)


def moment(value: Value) -> datetime:
    """A time from a row; the earliest possible time if it has none."""
    return datetime.fromisoformat(str(value)) if value else datetime.min


def made_by_owner(live: Live, port: Record, server: Record | None, seen: Value = None) -> bool | None:
    """Whether a port existed before Nova got it (services 2.3): True, False, or None if unknown.

    ``server`` is the server's row and ``seen`` the time Nova recorded the port (``virtual_interfaces.created_at``).
    """
    attribute = live.row("neutron", "standardattributes", {"id": port["standard_attr_id"]})
    if attribute is None:
        return None
    if port["name"] or attribute["description"]:
        return True
    for table, column, value in (
        ("tags", "standard_attr_id", port["standard_attr_id"]),
        ("allowedaddresspairs", "port_id", port["id"]),
        ("qos_port_policy_bindings", "port_id", port["id"]),
        ("trunks", "port_id", port["id"]),
    ):
        if live.columns("neutron", table) and live.rows("neutron", table, {column: value}):
            return True
    # not dns_name: Nova sets that one
    named = live.rows("neutron", "portdnses", {"port_id": port["id"]}) if live.columns("neutron", "portdnses") else []
    if any(row.get("dns_domain") for row in named):
        return True
    if server is None or not server["created_at"]:
        return None
    made = moment(attribute["created_at"])
    minute = timedelta(seconds=60)
    if made < moment(server["created_at"]) - minute and (not seen or made < moment(seen) - minute):
        return True
    # a failed build has no launched_at: it ended when its server was deleted
    built = moment(server["launched_at"] or server["deleted_at"])
    if moment(server["created_at"]) - minute <= made <= built + minute:
        return False
    if seen and moment(seen) - minute <= made <= moment(seen) + minute:
        return False
    return None
