# SPDX-License-Identifier: Apache-2.0
"""Operations of Nova on the NICs of a server: a port taken from it, and given to it."""

from __future__ import annotations

from typing import TypedDict

from stackmend.model.operations.compute import NovaOperation, ServerOfHostSeen
from stackmend.model.operations.servers import Presence

_Device = TypedDict("_Device", {"port.device_id": "str | None"}, total=False)


class InterfaceSeen(ServerOfHostSeen, _Device, total=False):
    """A server and a port, in the eyes of Nova, of Neutron, and of Nova's record of the last attach or detach."""

    port: Presence
    listed: bool  #: Nova shows the port's MAC among the server's addresses, or the port has no address to show
    action: str  #: "open" while it goes on, "error", "over", or "" for none


class InterfaceOperation(NovaOperation[InterfaceSeen], frozen=True, kw_only=True):
    """One on a port of a server."""

    server: str
    port: str


class DetachInterface(InterfaceOperation, frozen=True, kw_only=True):
    """Take a port from a server, seen to its end in Nova and in Neutron."""

    NAME = "detach-interface"

    keeps: bool  #: the port is to be there afterwards: where it is gone, that is a failure


class AttachInterface(InterfaceOperation, frozen=True, kw_only=True):
    """Give a port that nobody has to a server, seen to its end in Nova and in Neutron."""

    NAME = "attach-interface"

    tag: str | None = None  #: by which the guest knows the NIC
