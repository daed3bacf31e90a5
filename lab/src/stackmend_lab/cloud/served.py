# SPDX-License-Identifier: Apache-2.0
"""What clouds on a private server have in common, whichever server that is."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Server(Protocol):
    """A private database server."""

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database over TCP."""
        ...


class Served:
    """Where the databases of a cloud are; ``_names``: database of stackmend -> its name on the server."""

    _options = ""  #: what follows the name in the URL of a cell

    def __init__(self, server: Server, names: dict[str, str], state: Path) -> None:
        self._server, self._names, self._state = server, names, state

    def cell_urls(self) -> dict[str, str]:
        """The URL of each cell in nova_api.cell_mappings: literal, and a template for cell2."""
        urls = {n.removeprefix("cell:"): self.url(n) for n in self._names if n.startswith("cell:")}
        template = "{scheme}://{username}:{password}@{hostname}:{port}/"
        return {**urls, "cell2": template + self._names["cell:cell2"] + self._options}

    def url(self, database: str) -> str:
        """Over TCP."""
        return self._server.url(self._names[database])

    def databases(self) -> tuple[str, ...]:
        """Their names in stackmend."""
        return tuple(self._names)

    def state(self) -> Path:
        """Beside the server's data."""
        return self._state
