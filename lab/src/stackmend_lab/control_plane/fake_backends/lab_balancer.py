# SPDX-License-Identifier: Apache-2.0
"""A balancer before the nodes of Glance: each connection goes to the next node, as a real one deals them out.

Called with its port, and ``name=port`` of each node. A node is left out while there is a file ``<name>.out`` in
``<state>/balancer``, and while it does not answer.
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

OUT = Path(os.environ["STACKMEND_LAB_STATE"]) / "balancer"
ADDRESS = "127.0.0.1"


class Balancer:
    """Deals connections out."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.turn = itertools.count()

    async def open(self):
        """A connection to the next node that is in and answers; None where there is none."""
        first = next(self.turn)
        names = list(self.nodes)
        for number in range(len(names)):
            name = names[(first + number) % len(names)]
            if (OUT / f"{name}.out").exists():
                continue
            try:
                return await asyncio.open_connection(ADDRESS, self.nodes[name])
            except OSError:
                continue
        return None

    async def serve(self, reader, writer):
        """One connection, to its end."""
        there = await self.open()
        if there is not None:
            await asyncio.gather(self.copy(reader, there[1]), self.copy(there[0], writer))
            there[1].close()
        writer.close()

    async def copy(self, reader, writer):
        """Everything of one direction, then its end."""
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            writer.close()


async def main(port, *nodes):
    balancer = Balancer({name: int(at) for name, _, at in (node.partition("=") for node in nodes)})
    server = await asyncio.start_server(balancer.serve, ADDRESS, int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
