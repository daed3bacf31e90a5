# SPDX-License-Identifier: Apache-2.0
"""Keep a port when its server is deleted.

## What it does
Sets `preserve_on_delete` of this VIF in the server's network cache to true. Nova reads the document again before each
network operation, so nothing has to be restarted.

## Guards
The server is idle and no operation was requested a moment ago, the port belongs to it, and the document is unchanged
since the plan. A cache heal in progress may have read the old value: if healing is on, check again after twice the heal
interval.

## Undo
The old value is restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence.nics import PortStanding, read
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import ExpectRow, Risk, Step
from stackmend.repairs.common import change, idle, quiet, the_server
from stackmend.repairs.network_info import parsed, serialised


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps that keep the port when its server is deleted."""
    yield from flip(target, live, keep=True)


def flip(target: Row, live: Live, *, keep: bool) -> Iterator[Step]:
    """Steps that set the flag of one VIF; none if it already has this value."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None:
        raise CannotRepair(f"neutron has no port {target['port']}")
    if not str(port["device_owner"]).startswith(("compute:", "baremetal:")):
        owner = port["device_owner"] or "empty"
        raise CannotRepair(f"port {port['id']} does not belong to a server: its device owner is {owner}")
    database, server = the_server({**target, "server": port["device_id"]}, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vifs = parsed(cache["network_info"]) if cache else None
    vif = next((v for v in vifs or [] if v.get("id") == port["id"]), None)
    if cache is None or vifs is None or vif is None:
        judged = read(live, database, server, [str(v.get("id")) for v in vifs or []]).get(str(port["id"]))
        if judged is not None and judged.standing is PortStanding.LEFTOVER:
            raise CannotRepair(
                f"port {port['id']} is not a NIC of server {server['uuid']}: {judged.why}. Nova deletes it with the"
                f" server all the same: clear its device with 'openstack port unset --device {port['id']}'"
            )
        raise CannotRepair(
            f"the network cache of server {server['uuid']} does not list port {port['id']}: rebuild it first with"
            f" 'stackmend server cache rebuild {server['uuid']}'"
        )
    if vif.get("preserve_on_delete") is keep:
        return
    if not keep and port["project_id"] != server["project_id"]:
        raise CannotRepair(
            f"port {port['id']} is in project {port['project_id']}, its server in {server['project_id']}: once"
            " released, it would be deleted with a server of another owner. Ask its owner to delete it"
        )
    quiet(live, database, server["uuid"])
    yield from idle(live, database, server)
    yield ExpectRow(database="neutron", table="ports", pk={"id": port["id"]}, expect={"device_id": port["device_id"]})
    vif["preserve_on_delete"] = keep
    after = {"network_info": serialised(vifs), "updated_at": live.now()}
    yield change(live, database, "instance_info_caches", cache, after, ("deleted",))


REPAIR = Repair(
    name="keep-port",
    risk=Risk.SAFE,
    removes={"instance_info_caches.network_info": "one flag of one VIF is set to keep the port; nothing else changes"},
    resource="port",
    checks=("preserve-on-delete-wrong",),
    strategies={"db": db},
    no_api="only Nova's network cache says whether a port is kept, and no API shows or sets that",
)
