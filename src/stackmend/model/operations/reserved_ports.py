# SPDX-License-Identifier: Apache-2.0
"""Operations on ports that are reserved for a server to come: made, and known again, by their description.

Neutron gives a new port its id, so that whoever asked and heard no answer would not know which one it is. A
description that nothing else has makes the request repeatable: what an earlier try left is found by it.
"""

from __future__ import annotations

from typing import TypedDict

from msgspec import UNSET, UnsetType, field

from stackmend.model.operations import ApiCall
from stackmend.model.operations.network import NeutronOperation
from stackmend.model.operations.servers import Presence

#: {"subnet_id": ..., "ip_address": ...}, either of which may be missing
FixedIp = dict[str, str]


class ReservedSeen(TypedDict, total=False):
    """The port of one reservation, and who else has the address that is wanted."""

    port: Presence
    id: str | None
    device_id: str
    revision_number: int | None
    addresses: list[str]
    holder: str | None  #: another port that has the address that is wanted


class _Reserving(NeutronOperation[ReservedSeen], frozen=True, kw_only=True):
    """One on the port of a reservation."""

    reservation: str  #: its description, that no other port has


class _Reserve(_Reserving, frozen=True, kw_only=True):
    """Make a port that no server has yet."""

    network: str
    name: str
    project: str | UnsetType = UNSET  #: of whom it is to be; UNSET: of the account that asks
    dns_name: str | UnsetType = UNSET


class ReservePort(_Reserve, frozen=True, kw_only=True):
    """Make a port that no server has yet, with the addresses that are asked for, else those that Neutron gives."""

    NAME = "reserve-port"

    fixed_ips: list[FixedIp] = field(default_factory=list)
    mac_address: str | UnsetType = UNSET

    @property
    def address(self) -> str:
        """The one address that is asked for by name, or ""."""
        named = [one["ip_address"] for one in self.fixed_ips if "ip_address" in one]
        return named[0] if len(named) == 1 else ""


class TryPort(_Reserve, frozen=True, kw_only=True):
    """Make a port with whatever address Neutron gives, unless one of the reservations before it has the wanted one."""

    NAME = "try-port"

    subnet: str
    address: str  #: the one that is wanted
    before: list[str]  #: the reservations of earlier tries


class DropReserved(_Reserving, frozen=True, kw_only=True):
    """Delete the port of a reservation, unless it has the address that was wanted."""

    NAME = "drop-reserved"

    network: str
    unless: str = ""  #: an address

    def made(self) -> ApiCall:
        """The call, made unless somebody has put the port on a server; what is deleted so stays deleted by undo."""
        seen: ReservedSeen = {"device_id": ""}
        return self.call(seen, inverse=self.call(seen))


class HoldsAddress(NeutronOperation[ReservedSeen], frozen=True, kw_only=True):
    """See that one of the reservations has the address."""

    NAME = "holds-address"

    address: str
    network: str
    reservations: list[str]
