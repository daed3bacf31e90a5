# SPDX-License-Identifier: Apache-2.0
"""Put Nova's rows of a server's NICs right.

## What it does
A missing row is inserted (the port becomes the last NIC), a surplus one marked deleted with its own id, a bare MAC
becomes `MAC/port`; a mismarked row is revived where its port is the server's and has no other row, else it gets the
right mark. Ids, which are the order of the NICs, and tags stay.

## Guards
The server is idle and where it was; each row reads as planned.

## Undo
The rows are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step, UpdateRow, Values
from stackmend.repairs.common import Record, idle, marked_deleted, the_server
from stackmend.repairs.nova.rebuild_info_cache import vif_row


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell."""
    database, server = the_server(target, live)
    yield from idle(live, database, server)
    port = live.row("neutron", "ports", {"id": target["port"], "device_id": server["uuid"]})
    if target["code"] == "missing":
        if port is None:
            raise CannotRepair(f"port {target['port']} is not the server's any more")
        yield vif_row(database, server, port, live.now())
        return
    row = live.row(database, "virtual_interfaces", {"id": target["row_id"]})
    if row is None:
        return
    if target["code"] == "surplus":
        yield marked_deleted(database, "virtual_interfaces", row, live.now())
    elif target["code"] == "mismarked":
        yield _remarked(live, database, row, port)
    elif port is not None:
        yield _changed(database, row, {"address": f"{port['mac_address']}/{port['id']}", "uuid": port["id"]})


def _remarked(live: Live, database: str, row: Record, port: Record | None) -> UpdateRow:
    if port is not None:
        where = {"uuid": port["id"], "instance_uuid": row["instance_uuid"], "deleted": 0}
        if not live.rows(database, "virtual_interfaces", where):
            return _changed(database, row, {"deleted": 0, "deleted_at": None})
    return _changed(database, row, {"deleted": row["id"], "deleted_at": row["deleted_at"] or live.now()})


def _changed(database: str, row: Record, after: Values) -> UpdateRow:
    return UpdateRow(
        database=database,
        table="virtual_interfaces",
        pk={"id": row["id"]},
        before={name: row[name] for name in after},
        after=after,
    )


REPAIR = Repair(name="mend-vif-rows", risk=Risk.SAFE, checks=("vif-rows-mismatch",), strategies={"db": db})
