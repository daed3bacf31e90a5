# SPDX-License-Identifier: Apache-2.0
"""Let a port be deleted together with its server.

## What it does
Sets `preserve_on_delete` of this VIF in the server's network cache to false: the opposite of `keep-port`.

## Guards
The guards of `keep-port`; in addition, the port belongs to the server's own project. The plan shows who created the
port. A port that existed before the server is reported by `preserve-on-delete-wrong` again, until you waive the
finding.

## Undo
The old value is restored.
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
    True: "existed before the server, or has attributes that only its owner sets: the owner loses it, and audits will"
    " report it",
    False: "was created by Nova for this server",
    None: "does not show who created it: its owner may miss it",
}


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps that let the port be deleted with its server."""
    yield from flip(target, live, keep=False)


def evidence(target: Row, live: Live) -> tuple[str, ...]:
    """Who created the port, in a sentence."""
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
