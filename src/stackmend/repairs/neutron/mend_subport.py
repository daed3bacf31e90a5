# SPDX-License-Identifier: Apache-2.0
"""Let a subport of a trunk be marked as one, and bound to the host of its parent.

## What it does
For a port that a trunk has as a subport, but whose owner is empty: sets its owner and device to those of a subport. For
one that is bound to another host than its parent: through the API, Neutron binds it there; in the database, it gets a
binding on that host, left unbound, which Neutron binds with the next update of the port. The revision number is
incremented.

A subport that is also something else's (the NIC of a server, for example) is refused: detach it from there first.

## Guards
The trunk still has the subport, and the parent is bound to one host only, which for a server's port is the server's
host according to every record.

## Undo
The rows are restored. Through the API, Neutron binds the port to the old host again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.operations.network import UpdatePort
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Record, Risk, Step
from stackmend.repairs import calls
from stackmend.repairs.calls import api_of, shown
from stackmend.repairs.common import change, idle, live_server, revised
from stackmend.repairs.neutron.rebind_port import rebound
from stackmend.repairs.whereabouts import at_home

_OWNER = "trunk:subport"


def api(target: Row, live: Live) -> Iterator[Step]:
    """A call to Neutron that binds the subport; none if it fits."""
    services = api_of(live)
    found = _subport(target, live)
    if found is None:
        return
    port, trunk = found
    if port["device_owner"] != _OWNER:
        raise CannotRepair("Neutron's API marks a port as a subport only when it is added to a trunk")
    host, _ = _host(live, trunk)
    seen = services.look(UpdatePort(port=str(port["id"]), values={}))
    shown(seen, "port")
    if seen["binding:host_id"] == host:
        return
    expect = calls.chosen(seen, ("device_id", "device_owner", "binding:host_id"))
    yield calls.port_updated(str(port["id"]), {"binding:host_id": host}, seen, expect)


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on Neutron's database; none if the subport fits."""
    found = _subport(target, live)
    if found is None:
        return
    port, trunk = found
    expect = {"trunk_id": trunk["id"]}
    yield ExpectRow(database="neutron", table="subports", pk={"port_id": port["id"]}, expect=expect)
    if port["device_owner"] != _OWNER:
        if port["device_owner"] or port["device_id"]:
            raise CannotRepair(
                f"port {port['id']} is also that of {port['device_owner']} {port['device_id']}: detach it there, or"
                f" take it out of the trunk: openstack network trunk unset --subport {port['id']} {trunk['id']}"
            )
        yield change(live, "neutron", "ports", port, {"device_owner": _OWNER, "device_id": trunk["id"]})
        yield revised(live, port["standard_attr_id"])
        return
    host, guards = _host(live, trunk)
    yield from guards
    yield from rebound(live, port, host)


def _subport(target: Row, live: Live) -> tuple[Record, Record] | None:
    """(port, its trunk); None if it is deleted, or no trunk has it."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    row = live.row("neutron", "subports", {"port_id": str(target["port"])})
    trunk = live.row("neutron", "trunks", {"id": row["trunk_id"]}) if row else None
    return (port, trunk) if port is not None and trunk is not None else None


def _host(live: Live, trunk: Record) -> tuple[str, list[Step]]:
    """(the host of the parent, guards); CannotRepair if it is not bound to one host, or its server is elsewhere."""
    parent = live.row("neutron", "ports", {"id": trunk["port_id"]})
    bindings = live.rows("neutron", "ml2_port_bindings", {"port_id": trunk["port_id"]})
    if parent is None or len(bindings) != 1 or bindings[0]["status"] != "ACTIVE" or not bindings[0]["host"]:
        raise CannotRepair(f"parent port {trunk['port_id']} of trunk {trunk['id']} is not bound to one host")
    pk = {name: bindings[0][name] for name in ("port_id", "host")}
    guards: list[Step] = [ExpectRow(database="neutron", table="ml2_port_bindings", pk=pk, expect={"status": "ACTIVE"})]
    if str(parent["device_owner"]).startswith("compute:") and parent["device_id"]:
        placed = live_server(live, str(parent["device_id"]))
        if placed is not None:
            database, server = placed
            at_home(live, database, server)
            guards += idle(live, database, server)
            if str(server["host"] or "").lower() != str(bindings[0]["host"]).lower():
                raise CannotRepair(
                    f"parent port {parent['id']} is bound to {bindings[0]['host']}, and its server {server['uuid']} is"
                    f" on {server['host']}: repair the parent first (port-binding-wrong-host)"
                )
    return str(bindings[0]["host"]), guards


REPAIR = Repair(
    name="mend-subport",
    risk=Risk.UNSAFE,
    resource="port",
    checks=("trunk-subport-drift",),
    codes=frozenset({"owner", "host"}),
    strategies={"api": api, "db": db},
    why="the VLAN of the subport is interrupted if the guest uses it where it is bound now",
)
