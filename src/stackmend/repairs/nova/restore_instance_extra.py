# SPDX-License-Identifier: Apache-2.0
"""Restore the `instance_extra` row of a live server.

## What it does
A row that is marked deleted is revived. Otherwise the row is copied from the shadow table, or else re-created with the
flavor in the server's request spec, provided that it has the server's own vCPUs, memory and disk. Of two live rows, the
one without a flavor, else the younger one, is marked deleted.

## Guards
The server's row is unchanged since the plan, and no row has been created in the meantime.

## Undo
The row is deleted again, or gets its deletion mark back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, InsertRow, Record, Risk, Step
from stackmend.model.values import members
from stackmend.repairs.common import change, marked_deleted, the_server

_KEYPAIRS = {
    "nova_object.name": "KeyPairList",
    "nova_object.namespace": "nova",
    "nova_object.version": "1.3",
    "nova_object.data": {"objects": []},
}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell."""
    database, server = the_server(target, live)
    rows = live.rows(database, "instance_extra", {"instance_uuid": server["uuid"]})
    alive = [row for row in rows if row["deleted"] == 0]
    whole = [row for row in alive if row["flavor"]]
    if len(alive) == 1 and whole:
        return
    yield ExpectRow(
        database=database, table="instances", pk={"id": server["id"]}, expect={"uuid": server["uuid"], "deleted": 0}
    )
    if whole:
        keep = min(whole, key=lambda row: int(str(row["id"])))
        for row in alive:
            if row is not keep:
                yield marked_deleted(live, database, "instance_extra", row)
        return
    if alive:
        row = alive[0]
        flavor = _flavor(live, server)
        yield change(live, database, "instance_extra", row, {"flavor": flavor})
        return
    marked = [row for row in rows if row["flavor"]]
    if marked:
        yield change(live, database, "instance_extra", marked[-1], {"deleted": 0, "deleted_at": None})
        return
    yield _inserted(live, database, server)


def _inserted(live: Live, database: str, server: Record) -> InsertRow:
    """From the shadow table if it was archived, else re-created."""
    columns = live.columns(database, "instance_extra")
    shadow = live.columns(database, "shadow_instance_extra")
    found = live.rows(database, "shadow_instance_extra", {"instance_uuid": server["uuid"]}) if shadow else []
    if found and found[-1]["flavor"]:
        values = {name: found[-1].get(name) for name in columns if name != "id"}
    else:
        values = dict.fromkeys((name for name in columns if name != "id"), None)
        values |= {"flavor": _flavor(live, server), "pci_requests": "[]", "keypairs": json.dumps(_KEYPAIRS)}
        values |= {"instance_uuid": server["uuid"], "created_at": server["created_at"]}
    values |= {"deleted": 0, "deleted_at": None}
    key = {"instance_uuid": server["uuid"], "deleted": 0}
    return InsertRow(database=database, table="instance_extra", key=key, values=values)


def _flavor(live: Live, server: Record) -> str:
    """``instance_extra.flavor`` from the request spec; refused if it is not the server's flavor."""
    spec = live.row("nova_api", "request_specs", {"instance_uuid": server["uuid"]})
    try:
        flavor: dict[str, object] = json.loads(str(spec["spec"]))["nova_object.data"]["flavor"] if spec else {}
        size = members(flavor["nova_object.data"])
        same = all(size[name] == server[name] for name in ("memory_mb", "vcpus", "root_gb", "ephemeral_gb"))
    except (ValueError, KeyError, TypeError):
        raise CannotRepair(
            f"the request spec of {server['uuid']} has no flavor: restore instance_extra from a backup"
        ) from None
    if not same:
        raise CannotRepair(f"the flavor in the request spec of {server['uuid']} differs from the one it runs with")
    return json.dumps({"cur": flavor, "old": None, "new": None})


REPAIR = Repair(
    name="restore-instance-extra",
    risk=Risk.SAFE,
    removes={
        "instance_extra": "of two rows the one that Nova does not read; it stays, marked deleted",
        "instance_extra.deleted": "a deletion mark on a row that a live server needs",
    },
    checks=("server-half-purged",),
    strategies={"db": db},
    no_api="no API shows or changes the flavor that Nova stores with a server",
)
