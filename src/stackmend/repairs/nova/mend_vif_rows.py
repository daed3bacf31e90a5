# SPDX-License-Identifier: Apache-2.0
"""Correct a server's `virtual_interfaces` rows in Nova.

## What it does
Inserts missing rows (the port becomes the last NIC, with its former device tag), marks surplus rows deleted with their
own id, and completes a bare MAC to `MAC/port`. A row with a wrong deletion mark is revived if its port belongs to the
server and has no other row; otherwise the mark is corrected. Row ids, which define the order of the NICs, stay.

## Guards
The server is idle and where it was, its ports still belong to it, and each row is unchanged since the plan. Refused if
another server's row has the address, and if a port without a row looks like the leftover of a failed build that Nova's
healer has added to the cache: a row would make it a NIC for good.

## Undo
The rows are restored.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.evidence.nics import PortStanding, read
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs import nics
from stackmend.repairs.common import idle, still_of, the_server
from stackmend.repairs.network_info import Builder, parsed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; none if its rows match its ports."""
    database, server = the_server(target, live)
    cache = live.row(database, "instance_info_caches", {"instance_uuid": server["uuid"], "deleted": 0})
    vifs = parsed(cache["network_info"]) if cache else None
    if vifs is None:
        raise CannotRepair(f"the network cache of server {server['uuid']} cannot be read: rebuild it first")
    cached = {str(vif.get("id")) for vif in vifs}
    owned = {str(p["id"]): p for p in live.rows("neutron", "ports", {"device_id": server["uuid"]})}
    yield from idle(live, database, server)
    wanted = Builder(live, server, nics.alive(nics.rows(live, database, server)), vifs).ordered(
        [port for name, port in owned.items() if name in cached]
    )
    for port, judged in read(live, database, server, cached).items():
        if judged.standing is PortStanding.ADOPTED:
            raise CannotRepair(
                f"port {port} looks like the leftover of a failed build, not like a NIC: {judged.why}. See the check"
                " extra-ports-on-server"
            )
    yield from still_of(wanted)
    yield from nics.corrected(live, database, server, owned, cached)
    yield from nics.completed(live, database, server, wanted)


REPAIR = Repair(
    name="mend-vif-rows",
    risk=Risk.UNSAFE,
    checks=("vif-rows-mismatch",),
    strategies={"db": db},
    no_api="no API shows or changes Nova's virtual_interfaces rows",
    why="for a port that neither Neutron nor the cache has, the row is the last record of a NIC that a guest may have",
)
