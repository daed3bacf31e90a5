# SPDX-License-Identifier: Apache-2.0
"""The console of a guest: only read, never written to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from stackmend.cloud.consoles import LINES, clean, shown
from stackmend.drivers.api import servers as _servers
from stackmend.drivers.api.operations import Implementation, OfServer, ResourceReader, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.errors import SourceError
from stackmend.model.operations.compute import ConsoleMoves, ConsoleSeen
from stackmend.model.step import StepState


@dataclass(frozen=True, slots=True)
class ConsoleOutput:
    """Nova's response to a request for a console."""

    status: int
    words: str  #: message of a refusal
    text: str = ""

    @property
    def there(self) -> bool:
        """True if there is a console to read, even if it is empty."""
        return self.status < 300


def read(reader: ResourceReader, server: str, lines: int = LINES) -> ConsoleOutput:
    """The last lines of a console. SourceError if Nova does not answer."""
    answer = reader.reply(
        Request(
            service="compute",
            method="POST",
            path=f"/servers/{segment(server)}/action",
            body={"os-getConsoleOutput": {"length": lines}},
            microversion="2.1",
        )
    )
    text = str((answer.body or {}).get("output") or "") if answer.good else ""
    return ConsoleOutput(answer.status, "" if answer.good else answer.words, clean(text))


def look(reader: ResourceReader, asked: OfServer) -> ConsoleSeen:
    """``console``: a digest of its last lines, None if there is no console; ``shows``: see :func:`shown`."""
    found = _servers.read(reader, asked.server)
    if found is None:
        return {"server": "absent", "console": None, "shows": ""}
    console = read(reader, asked.server)
    if console.status >= 500 and console.status != 501:
        raise SourceError(f"the console cannot be read: {console.status} {console.words}")
    text = console.text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16] if text.strip() else None
    return {**_servers.picture(found), "console": digest, "shows": shown(text)}


def _moves(picture: ConsoleSeen, asked: ConsoleMoves) -> StepState:
    """A guest that writes nothing to its console is no evidence either way."""
    if picture["server"] == "absent" or picture["server.vm_state"] != "active":
        return StepState.FAILED
    if picture["console"] == asked.before:
        return StepState.DONE if picture["console"] is None else StepState.INTENT
    if picture["console"] is None:
        return StepState.INTENT
    return StepState.DONE if picture["shows"] in ("", "login") else StepState.FAILED


OPERATIONS = (
    Implementation(
        of=ConsoleMoves, requests=nothing, look=look, judge=_moves,
        microversion="2.1", again=True, limit=180,
        waits="check that the console of server {server} shows something new, and neither a panic nor an fsck",
    ),
)  # fmt: skip
