# SPDX-License-Identifier: Apache-2.0
"""Let a port be deleted together with its server.

## What it does
Sets `preserve_on_delete` of that one VIF in the server's network cache to false: the opposite of `keep-port`.

## Guards
Those of `keep-port`.

## Undo
The old value is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.model.finding import Row
from stackmend.model.ports import Live
from stackmend.model.repair import Repair
from stackmend.model.step import Risk, Step
from stackmend.repairs.nova.keep_port import flip


def db(target: Row, live: Live) -> Iterator[Step]:
    """Steps that let the port go with its server."""
    yield from flip(target, live, keep=False)


REPAIR = Repair(
    name="release-port",
    risk=Risk.UNSAFE,
    resource="port",
    strategies={"db": db},
    no_api="whether a port is kept stands in Nova's network cache alone, which no API shows or sets",
    why="the port and its address are lost when the server is deleted or the port detached",
)
