# SPDX-License-Identifier: Apache-2.0
"""Inspections of a server's disks, recorded in Nova itself: as the reason for which the server is locked.

So the record is kept with the server, is visible to everybody, and outlives the journal and the operator's machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stackmend.cloud.servers import Server, server_of
from stackmend.model.errors import UsageError
from stackmend.model.protocols import Api
from stackmend.tables.nova import INSPECTION

#: maximum number of characters of the approver and of the ticket: Nova keeps 255 characters of a reason
_MOST = 88
#: the first microversion that shows the reasons of locks, and lists servers by their lock
_LOCKS = "2.73"
_WORDS = {
    "active": "it ran", "paused": "it was paused", "stopped": "it was stopped", "suspended": "it was suspended",
    "error": "it was in error",
}  # fmt: skip
#: the oldest method, which is not named in reasons
_FIRST = "offline"
_REASON = re.compile(
    rf"{INSPECTION}ticket (.+), approved by (.+?); ({'|'.join(_WORDS.values())})(?:; by ([a-z]+))?"
)  # fmt: skip

#: values of vm_state with which a guest is running, so that it may write to its disks
RUNNING = frozenset({"active", "paused"})
#: values of vm_state with which nobody writes to the disks
OFF = frozenset({"stopped", "suspended", "error"})
#: values of vm_state with which a server is rescued: Nova also accepts error, but unrescue would leave it running
RESCUABLE = frozenset({"active", "stopped"})


@dataclass(frozen=True, slots=True)
class Inspection:
    """An inspection that has not been released."""

    ticket: str
    approved_by: str
    was: str  #: the server's state before, in words: "it ran"
    method: str = _FIRST  #: how its disks are read

    @classmethod
    def of(cls, ticket: str, approved_by: str, vm_state: str, method: str = _FIRST) -> Inspection:
        """A new inspection; UsageError for texts that a reason cannot hold."""
        for option, text in (("--ticket", ticket), ("--approved-by", approved_by)):
            if not text.strip() or not text.isprintable() or ";" in text or len(text) > _MOST:
                raise UsageError(
                    f"{option} {text!r} cannot be recorded",
                    f"It takes 1 to {_MOST} printable characters, no semicolon.",
                )
        return cls(ticket.strip(), approved_by.strip(), _WORDS[vm_state], method)

    @property
    def reason(self) -> str:
        """The reason given to Nova for the lock."""
        by = f"; by {self.method}" if self.method != _FIRST else ""
        return f"{INSPECTION}ticket {self.ticket}, approved by {self.approved_by}; {self.was}{by}"

    @property
    def ran(self) -> bool:
        """Whether the guest was running when the inspection began."""
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
