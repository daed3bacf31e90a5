# SPDX-License-Identifier: Apache-2.0
"""Inspections of a server's disks, recorded in Nova itself: as the reason for which the server is locked.

So the record is where the server is, visible to everybody, and outlives the journal and the machine of the operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stackmend.cloud.servers import Server, server_of
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api
from stackmend.tables.nova import INSPECTION

#: characters of who approved, and of the ticket: Nova keeps 255 of a reason
_MOST = 88
#: the first that shows locks with their reasons, and lists by them
_LOCKS = "2.73"
_WORDS = {
    "active": "it ran", "paused": "it was paused", "stopped": "it was stopped", "suspended": "it was suspended",
    "error": "it was in error",
}  # fmt: skip
#: the first method that there was is not named in reasons
_FIRST = "offline"
_REASON = re.compile(
    rf"{INSPECTION}ticket (.+), approved by (.+?); ({'|'.join(_WORDS.values())})(?:; by ([a-z]+))?"
)  # fmt: skip

#: vm_state of a server whose guest runs, so that its disks may be written to
RUNNING = frozenset({"active", "paused"})
#: vm_state of a server whose disks nobody writes to
OFF = frozenset({"stopped", "suspended", "error"})
#: vm_state of a server that is put in rescue: Nova takes one in error too, and unrescue would leave it running
RESCUABLE = frozenset({"active", "stopped"})


@dataclass(frozen=True, slots=True)
class Inspection:
    """An inspection that was begun and not released."""

    ticket: str
    approved_by: str
    was: str  #: in words: "it ran"
    method: str = _FIRST  #: how its disks are read

    @classmethod
    def of(cls, ticket: str, approved_by: str, vm_state: str, method: str = _FIRST) -> Inspection:
        """One to be begun; UsageError for words that no reason can hold."""
        for option, text in (("--ticket", ticket), ("--approved-by", approved_by)):
            if not text.strip() or not text.isprintable() or ";" in text or len(text) > _MOST:
                raise UsageError(
                    f"{option} {text!r} cannot be recorded",
                    f"It takes 1 to {_MOST} printable characters, no semicolon.",
                )
        return cls(ticket.strip(), approved_by.strip(), _WORDS[vm_state], method)

    @property
    def reason(self) -> str:
        """What the server is locked with."""
        by = f"; by {self.method}" if self.method != _FIRST else ""
        return f"{INSPECTION}ticket {self.ticket}, approved by {self.approved_by}; {self.was}{by}"

    @property
    def ran(self) -> bool:
        """Whether the guest ran when it was begun."""
        return self.was == _WORDS["active"]


def inspection(server: Server) -> Inspection | None:
    """The inspection of a server; None if it is not under inspection."""
    match = _REASON.fullmatch(server.locked_reason or "") if server.locked else None
    return Inspection(match[1], match[2], match[3], match[4] or _FIRST) if match else None


def every(api: Api) -> Iterator[tuple[Server, Inspection]]:
    """Every server under inspection in the cloud."""
    for one in api.every("compute", "/servers/detail?all_tenants=1&locked=true", "servers", _LOCKS):
        server = server_of(one)
        if found := inspection(server):
            yield server, found
