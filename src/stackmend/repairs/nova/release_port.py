# SPDX-License-Identifier: Apache-2.0
"""Let a port be deleted together with its server.

## What it does
Sets `preserve_on_delete` of that one VIF in the server's network cache to false: the opposite of `keep-port`.

## Guards
Those of `keep-port`; and the port is of the server's own project. The plan shows who made the port: one that was there
before the server is found again by `preserve-on-delete-wrong`, until you waive that.

## Undo
The old value is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.protocols import Live
from stackmend.model.repair import Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.common import made_by_owner, the_server
from stackmend.repairs.nova.keep_port import flip

_MADE = {
    True: "was there before the server, or bears what only its owner sets: he loses it, and audits will say so",
    False: "was made by Nova for this server",
    None: "tells not who made it: its owner may miss it",
}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps that let the port go with its server."""
    yield from flip(target, live, keep=False)


def evidence(target: Row, live: Live) -> tuple[str, ...]:
    """Who made the port, in a sentence."""
    port = live.row("neutron", "ports", {"id": str(target["port"])})
    if port is None:
        return ()
    _, server = the_server({**target, "server": port["device_id"]}, live)
    return (f"The port {_MADE[made_by_owner(live, port, server)]}.",)


REPAIR = Repair(
    name="release-port",
    risk=Risk.UNSAFE,
    resource="port",
    strategies={"db": db},
    evidence=evidence,
    no_api="only Nova's network cache says whether a port is kept, and no API shows or sets that",
    why="the port and its address are lost when the server is deleted or the port detached",
)
