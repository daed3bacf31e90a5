# SPDX-License-Identifier: Apache-2.0
"""Let Neutron's IPAM have exactly the addresses that ports have.

## What it does
For a leaked address: deletes its row in `ipamallocations`, which is what Neutron does when a port is deleted. For a
missing one: inserts the row, as Neutron does when a port gets its address. For a subnet that was deleted: deletes the
record in `ipamsubnets` with its allocation pools and its addresses.

These rows are not part of any resource, so no revision number changes, and neither agents nor OVN need to know.

## Guards
For a leaked address: no port of the network has it, not even in another notation (IPv6), which is checked again when
the row is deleted. And nobody may use it unseen, as a guest does whose port was deleted by SQL. So the repair is
refused if any of these names the address: the network cache of a server in any cell that may be alive (also one that
can be restored, or whose row is lost), a floating IP, or an allowed address pair. It is also refused if a device's port
in the network has no address at all, or a server of the network's project has a NIC that Neutron does not know and of
which no address is recorded: the address may be theirs.

For a missing address: the port still has it. For a deleted subnet: there is still no subnet with that id, and no
server's cache lists one of its addresses (of large subnets, fifty are looked for).

## Undo
The rows are restored, or the inserted one is deleted. If Neutron has given the address to a port in the meantime, undo
stops there and says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectNone, ExpectRow, InsertRow, Record, Risk, Step, Values
from stackmend.repairs.addresses import of_lost_subnet, unused
from stackmend.repairs.ports import removed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the two records agree."""
    ipam = live.row("neutron", "ipamsubnets", {"id": str(target["ipam_subnet"])})
    if ipam is None or ipam["neutron_subnet_id"] != target["subnet"]:
        return
    subnet = live.row("neutron", "subnets", {"id": ipam["neutron_subnet_id"]})
    if target["address"] == "":
        if subnet is None:
            yield from _forgotten(live, ipam)
        return
    if subnet is None:
        raise CannotRepair(f"subnet {target['subnet']} is gone: audit again")
    address = str(target["address"])
    key: Values = {"ip_address": address, "ipam_subnet_id": ipam["id"]}
    taken = live.row("neutron", "ipamallocations", key)
    fixed = live.rows("neutron", "ipallocations", {"subnet_id": subnet["id"], "ip_address": address})
    if taken is not None and not fixed:
        unused(live, subnet["network_id"], address)
        yield ExpectNone(
            database="neutron", table="ipallocations", where={"subnet_id": subnet["id"], "ip_address": address}
        )
        yield removed(live, "ipamallocations", taken)
    elif taken is None and fixed and fixed[0]["port_id"] is not None:
        pk = {name: fixed[0][name] for name in ("ip_address", "subnet_id", "network_id")}
        expect = {"port_id": fixed[0]["port_id"]}
        yield ExpectRow(database="neutron", table="ipallocations", pk=pk, expect=expect)
        values = {**key, "status": "ALLOCATED"}
        yield InsertRow(database="neutron", table="ipamallocations", key=key, values=values)


def _forgotten(live: Live, ipam: Record) -> Iterator[Step]:
    """Delete IPAM's record of a subnet that is gone, children first."""
    yield ExpectNone(database="neutron", table="subnets", where={"id": ipam["neutron_subnet_id"]})
    taken = live.rows("neutron", "ipamallocations", {"ipam_subnet_id": ipam["id"]})
    of_lost_subnet(live, [str(row["ip_address"]) for row in taken])
    for table in ("ipamallocations", "ipamallocationpools"):
        for row in live.rows("neutron", table, {"ipam_subnet_id": ipam["id"]}):
            yield removed(live, table, row)
    yield removed(live, "ipamsubnets", ipam)


REPAIR = Repair(
    name="mend-ipam-allocation",
    risk=Risk.UNSAFE,
    resource="subnet",
    checks=("ipam-drift",),
    strategies={"db": db},
    no_api="Neutron's API neither shows nor changes the rows of its address management",
    why="a leaked address that something outside the records of Nova and Neutron uses may be given to a port",
)
