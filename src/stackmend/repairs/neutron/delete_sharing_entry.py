# SPDX-License-Identifier: Apache-2.0
"""Delete an entry that shares something with a project that does not exist.

## What it does
Through the API: deletes the RBAC policy. In the database: deletes its row, and increments the revision number of the
network if it shares one, as Neutron does.

## Guards
The entry still names the same project. Refused if that project uses what is shared, as Neutron refuses it: a port in
the network, for example. Delete that first.

## Undo
The API gives a new entry another id, so the call is not undone: the plan shows the project and what was shared.
In the database the row is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import DeleteRbacPolicy
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step, Values
from stackmend.repairs.calls import api_of, guarded
from stackmend.repairs.common import revised
from stackmend.repairs.ports import removed
from stackmend.tables.neutron import QOS_BINDINGS, SHARING, sharing_target

#: what uses something shared: table of entries -> (table with project_id, its column with the id of what is shared)
_USES = {
    "addressgrouprbacs": ("securitygrouprules", "remote_address_group_id"),
    "addressscoperbacs": ("subnetpools", "address_scope_id"),
    "networkrbacs": ("ports", "network_id"),
    "subnetpoolrbacs": ("subnets", "subnetpool_id"),
}
#: likewise with a table between: (that table, its column with what is shared, its column with the user, users)
_USES_BY = {
    "qospolicyrbacs": [(name, "policy_id", column, bound) for name, (bound, column) in QOS_BINDINGS.items()],
    "securitygrouprbacs": [("securitygroupportbindings", "security_group_id", "port_id", "ports")],
}


def api(target: Row, live: Live) -> Iterator[Step]:
    """One call to Neutron; none if the entry is gone."""
    made = DeleteRbacPolicy(entry=str(target["row"]))
    found = api_of(live, DeleteRbacPolicy).look(made)
    if found["entry"] == "absent":
        return
    if found["target_project"] != target["parent"]:
        raise CannotRepair(f"entry {target['row']} is for project {found['target_project']} by now: audit again")
    yield guarded(made, found, ("target_project", "object_id", "action"))


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the entry is gone."""
    table = str(target["child"])
    if table not in SHARING:
        raise CannotRepair(f"{table} is no table of entries that share something")
    row = live.row("neutron", table, {"id": str(target["row"])})
    if row is None:
        return
    column = sharing_target(row)
    if row[column] != target["parent"]:
        raise CannotRepair(f"entry {row['id']} is for project {row[column]} by now: audit again")
    shared = live.row("neutron", SHARING[table], {"id": row["object_id"]})
    if shared is None:
        raise CannotRepair(f"what entry {row['id']} shares does not exist: audit again")
    everybody: Values = {"object_id": row["object_id"], "action": row["action"], column: "*"}
    if not live.rows("neutron", table, everybody) and (user := _used(live, table, row)):
        raise CannotRepair(f"{user} of project {row[column]} uses {row['object_id']}: delete that first")
    yield removed(live, table, row)
    if table == "networkrbacs":
        yield revised(live, shared["standard_attr_id"])
    else:
        yield ExpectRow(database="neutron", table=SHARING[table], pk={"id": shared["id"]}, expect={"id": shared["id"]})


def _used(live: Live, table: str, entry: Record) -> str:
    """What of the entry's project uses what is shared; "" if nothing does (neutron/objects/rbac_db.py)."""
    its: Record = {"project_id": entry[sharing_target(entry)]}
    if entry["action"] == "access_as_external":
        for router in live.rows("neutron", "routers", its):
            gateway = live.row("neutron", "ports", {"id": router["gw_port_id"]}) if router["gw_port_id"] else None
            if gateway is not None and gateway["network_id"] == entry["object_id"]:
                return f"router {router['id']}"
        return ""
    if table in _USES:
        users, column = _USES[table]
        found = live.rows("neutron", users, {**its, column: entry["object_id"]})
        return f"{users} {found[0]['id']}" if found else ""
    for between, shared, column, users in _USES_BY[table]:
        known = live.columns("neutron", between)
        for user in live.rows("neutron", users, its) if known else ():
            if live.rows("neutron", between, {shared: entry["object_id"], column: user["id"]}):
                return f"{users} {user['id']}"
    return ""


REPAIR = Repair(
    name="delete-sharing-entry",
    risk=Risk.UNSAFE,
    why="if the project exists after all, in another Keystone, it loses access to what was shared with it",
    resource="neutron-row",
    checks=("qos-or-child-row-orphan",),
    codes=frozenset({"target-gone"}),
    strategies={"api": api, "db": db},
)
