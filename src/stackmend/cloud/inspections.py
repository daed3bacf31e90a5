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

#: maximum length of the approver and of the ticket: Nova stores 255 characters of a reason
_MOST = 90
#: the first version that shows locked_reason, and filters by locked
_LOCKS = "2.73"
_WORDS = {"active": "it ran", "stopped": "it was stopped", "suspended": "it was suspended", "error": "it was in error"}
_REASON = re.compile(rf"stackmend disk inspect: ticket (.+), approved by (.+); ({'|'.join(_WORDS.values())})")

#: vm_states of servers whose disks can be inspected offline
INSPECTED = frozenset(_WORDS)


@dataclass(frozen=True, slots=True)
class Inspection:
    """An inspection that was begun and not released."""

    ticket: str
    approved_by: str
    was: str  #: in words: "it ran"

    @classmethod
    def of(cls, ticket: str, approved_by: str, vm_state: str) -> Inspection:
        """An inspection to begin; UsageError for texts that a reason cannot hold."""
        for option, text in (("--ticket", ticket), ("--approved-by", approved_by)):
            if not text.strip() or not text.isprintable() or ";" in text or len(text) > _MOST:
                raise UsageError(
                    f"{option} {text!r} cannot be recorded",
                    f"It takes 1 to {_MOST} printable characters, no semicolon.",
                )
        return cls(ticket.strip(), approved_by.strip(), _WORDS[vm_state])

    @property
    def reason(self) -> str:
        """The locked_reason of the server."""
        return f"stackmend disk inspect: ticket {self.ticket}, approved by {self.approved_by}; {self.was}"

    @property
    def ran(self) -> bool:
        """Whether the server is to be started on release."""
        return self.was == _WORDS["active"]


def inspection(server: Server) -> Inspection | None:
    """The inspection of a server; None if it is not under inspection."""
    match = _REASON.fullmatch(server.locked_reason or "") if server.locked else None
    return Inspection(match[1], match[2], match[3]) if match else None


def every(api: Api) -> Iterator[tuple[Server, Inspection]]:
    """Every server under inspection in the cloud."""
    for one in api.every("compute", "/servers/detail?all_tenants=1&locked=true", "servers", _LOCKS):
        server = server_of(one)
        if found := inspection(server):
            yield server, found
