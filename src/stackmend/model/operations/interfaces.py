# SPDX-License-Identifier: Apache-2.0
"""Nova's operations on the NICs of a server: detach and attach a port."""

from __future__ import annotations

from typing import TypedDict

from stackmend.model.operations.compute import NovaOperation, ServerOfHostSeen
from stackmend.model.operations.servers import Presence

_Device = TypedDict("_Device", {"port.device_id": "str | None"}, total=False)


class InterfaceSeen(ServerOfHostSeen, _Device, total=False):
    """A server and a port according to Nova, to Neutron, and to Nova's record of the last attach or detach."""

    port: Presence
    listed: bool  #: Nova lists the port's MAC among the server's addresses, or the port has no address to list
    action: str  #: "open" while in progress, "error", "over", or "" for none


class InterfaceOperation(NovaOperation[InterfaceSeen], frozen=True, kw_only=True):
    """Base of the operations on a port of a server."""

    server: str
    port: str


class DetachInterface(InterfaceOperation, frozen=True, kw_only=True):
    """Detach a port from a server, and wait until both Nova and Neutron show it detached."""

    NAME = "detach-interface"

    keeps: bool  #: the port must still exist afterwards: it is a failure if it is gone


class AttachInterface(InterfaceOperation, frozen=True, kw_only=True):
    """Attach an unused port to a server, and wait until both Nova and Neutron show it attached."""

    NAME = "attach-interface"

    tag: str | None = None  #: device tag by which the guest finds the NIC
