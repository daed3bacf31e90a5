# SPDX-License-Identifier: Apache-2.0
"""Delete a row of Neutron's standard attributes that belongs to no resource.

## What it does
Deletes the row in `standardattributes`, and the tags and provisioning blocks on it. If OVN's maintenance task has a
record of it, that record loses the reference, just as when Neutron deletes a resource.

## Guards
No resource of that type refers to the row, which is checked again when it is deleted. Refused if any other table refers
to it. Also refused if OVN's record says that the row was that of a port which a server in any cell still has as a NIC:
then the port was lost, and the row has its tags and description.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.snapshot import cell_database
from stackmend.model.step import ExpectNone, Risk, Step, Value
from stackmend.repairs.ports import removed, unmarked


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the row is gone or belongs to a resource."""
    row = live.row("neutron", "standardattributes", {"id": int(str(target["attribute"]))})
    if row is None:
        return
    kind = str(row["resource_type"])
    if "standard_attr_id" not in live.columns("neutron", kind):
        raise CannotRepair(f"{kind} is no table of Neutron's resources: its plugin may keep them elsewhere")
    for table, column in live.referring("neutron", "standardattributes"):
        if column not in live.key("neutron", table) and table != "ovn_revision_numbers":
            for found in live.rows("neutron", table, {column: row["id"]}):
                if table == kind:
                    return
                raise CannotRepair(f"{table} {found.get('id')} refers to row {row['id']} of standardattributes")
    if kind == "ports":
        _not_lost(live, row["id"])
    yield ExpectNone(database="neutron", table=kind, where={"standard_attr_id": row["id"]})
    yield from unmarked(live, row["id"], f"row {row['id']} of standardattributes")
    yield removed(live, "standardattributes", row)


def _not_lost(live: Live, attribute: Value) -> None:
    """CannotRepair if OVN's record of the row names a port that is still the NIC of a server."""
    if not live.columns("neutron", "ovn_revision_numbers"):
        return
    for ovn in live.rows("neutron", "ovn_revision_numbers", {"standard_attr_id": attribute}):
        for cell in live.cells():
            where = {"uuid": ovn["resource_uuid"], "deleted": 0}
            for nic in live.rows(cell_database(cell), "virtual_interfaces", where):
                raise CannotRepair(
                    f"row {attribute} of standardattributes was that of port {ovn['resource_uuid']}, a NIC of server"
                    f" {nic['instance_uuid']} that Neutron has lost: restore the port first (info-cache-stale-port)"
                )


REPAIR = Repair(
    name="delete-standard-attribute",
    risk=Risk.SAFE,
    removes={
        "standardattributes": "times, revision and description of a resource that is gone: nothing refers to it",
        "tags": "tags of a resource that is gone",
        "provisioningblocks": "what kept a port that is gone from becoming active",
        "ovn_revision_numbers.standard_attr_id": "the reference to the row that is deleted",
    },
    resource="attribute",
    checks=("standardattr-orphan",),
    strategies={"db": db},
    no_api="Neutron's API shows these rows only as parts of resources, and this one belongs to none",
)
