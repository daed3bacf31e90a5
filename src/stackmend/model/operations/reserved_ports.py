# SPDX-License-Identifier: Apache-2.0
"""Operations on ports reserved for a future server, created and identified by their description.

Neutron assigns the id of a new port, so a client that got no response could not tell which port it created. A unique
description makes the request repeatable: the result of an earlier attempt is found by it.
"""

from __future__ import annotations

from typing import TypedDict

from msgspec import UNSET, UnsetType, field

from stackmend.model.operations import ApiCall
from stackmend.model.operations.network import NeutronOperation
from stackmend.model.operations.servers import Presence

#: {"subnet_id": ..., "ip_address": ...}; either may be missing
FixedIp = dict[str, str]


class ReservedSeen(TypedDict, total=False):
    """The port of a reservation, and the port that has the wanted address, if any."""

    port: Presence
    id: str | None
    device_id: str
    revision_number: int | None
    addresses: list[str]
    dns_name: str
    names: list[str]  #: of its addresses in DNS, in full
    holder: str | None  #: another port that has the wanted address


class _Reserving(NeutronOperation[ReservedSeen], frozen=True, kw_only=True):
    """Base of the operations on the port of a reservation."""

    reservation: str  #: the port's description, unique among ports


class _Reserve(_Reserving, frozen=True, kw_only=True):
    """Base of the operations that create an unused port."""

    network: str
    name: str
    project: str | UnsetType = UNSET  #: the project that will own it; UNSET: the project of the account
    dns_name: str | UnsetType = UNSET


class ReservePort(_Reserve, frozen=True, kw_only=True):
    """Create an unused port with the requested addresses, or with addresses that Neutron chooses."""

    NAME = "reserve-port"

    fixed_ips: list[FixedIp] = field(default_factory=list)
    mac_address: str | UnsetType = UNSET

    @property
    def address(self) -> str:
        """The requested address if there is exactly one, else ""."""
        named = [one["ip_address"] for one in self.fixed_ips if "ip_address" in one]
        return named[0] if len(named) == 1 else ""


class TryPort(_Reserve, frozen=True, kw_only=True):
    """Create a port with an address that Neutron chooses, unless an earlier reservation has the wanted address."""

    NAME = "try-port"

    subnet: str
    address: str  #: the wanted address
    before: list[str]  #: the reservations of earlier attempts


class DropReserved(_Reserving, frozen=True, kw_only=True):
    """Delete the port of a reservation, unless it has the wanted address."""

    NAME = "drop-reserved"

    network: str
    unless: str = ""  #: an address

    def made(self) -> ApiCall:
        """The call, sent only while the port is unused; undo does not restore a deleted port."""
        seen: ReservedSeen = {"device_id": ""}
        return self.call(seen, inverse=self.call(seen))


class HasDnsName(_Reserving, frozen=True, kw_only=True):
    """See that Neutron has given the port of a reservation the DNS name that was asked for."""

    NAME = "has-dns-name"

    network: str
    dns_name: str
    fqdn: str = ""  #: what its addresses are called; "": only an external service says so


class HoldsAddress(NeutronOperation[ReservedSeen], frozen=True, kw_only=True):
    """Verify that one of the reservations has the address."""

    NAME = "holds-address"

    address: str
    network: str
    reservations: list[str]
