# SPDX-License-Identifier: Apache-2.0
"""Correct Nova's rows of a server's NICs.

## What it does
A missing row is inserted (the port becomes the last NIC, with the device tag it had), a surplus one marked deleted with
its own id, a bare MAC becomes `MAC/port`; a mismarked row is revived where its port is the server's and has no other
row, else it gets the right mark. Ids, which are the order of the NICs, stay.

## Guards
The server is idle and where it was; its ports are still its; each row reads as planned. Refused where another server's
row has taken the address, and where a port without a row looks like the leftover of a failed build that Nova's healer
has put into the cache: a row would make it a NIC for good.

## Undo
The rows are put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud.nics import Standing, read
from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair, Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs import nics
from stackmend.repairs.common import idle, still_of, the_server
from stackmend.repairs.network_info import Builder, parsed


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps on the server's cell; nothing where its rows fit its ports."""
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
        if judged.standing is Standing.ADOPTED:
            raise CannotRepair(
                f"port {port} looks like the leftover of a failed build, not like a NIC: {judged.why}. See"
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
    no_api="no API shows or sets Nova's rows of NICs",
    why="a row of a port that neither Neutron nor the cache has is the last record of a NIC that a guest may have",
)
