# SPDX-License-Identifier: Apache-2.0
"""Who has an address, who had it, how it can be reached, and whether something answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from stackmend.model.objects.address import AddressInfo, AddressScope, FormerHolder, Holder
from stackmend.report.document import Document


class _Reached(Protocol):
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def seconds(self) -> float: ...


class _Line(NamedTuple):
    head: str
    text: str


REACHED = (("Address", "address"), ("TCP Port", "port"), ("State", "state"), ("Why", "why"), ("Seconds", "seconds"))


def whose(found: AddressInfo) -> Document:
    """All that is known of an address (docs/schemas/address.json)."""
    lines = list(_lines(found))
    width = max(len(line.head) for line in lines)
    text = "\n".join([found.address, *(f"  {line.head:<{width}}  {line.text}" for line in lines)])
    return Document(data=found.as_dict(), text=text)


def reached(found: Iterable[_Reached]) -> Document:
    """What came of each connection (docs/schemas/reach.json)."""
    data = [
        {"address": one.address, "port": one.port, "state": one.state, "why": one.why, "seconds": one.seconds}
        for one in found
    ]
    return Document(data=data, columns=REACHED)


def _lines(found: AddressInfo) -> Iterator[_Line]:
    for holder in found.holders:
        yield _Line("held by", _held(holder))
    for floating in found.floating:
        to = f"associated with {floating.fixed} of port {floating.port}" if floating.port else "not associated"
        yield _Line("floating", f"{floating.id} of project {floating.project}, {to}")
    if not found.holders:
        yield _Line("held by", "no port")
    for subnet in found.leaked:
        yield _Line("left over", f"ipamallocations of subnet {subnet} has it: Neutron gives it to no port")
    for former in found.former:
        yield _Line("had by" if former.deleted_at else "kept by", _had(former))
    for place in found.places:
        yield _Line("in", _in(place))
        yield _Line("reach", _reach(place))
    for source, why in sorted(found.unread.items()):
        yield _Line("unread", f"{source}: {why}")


def _held(holder: Holder) -> str:
    port = holder.port
    name = f" {port.name}" if port.name else ""
    if port.is_of_server:
        use = f"server {holder.server or port.device} ({port.device})" if holder.server else f"server {port.device}"
    else:
        use = f"{port.owner} {port.device}".strip() or "no server: it is reserved"
    where = f", on {port.host}" if port.host else ""
    also = f", floating {', '.join(holder.floating)}" if holder.floating else ""
    return f"port {port.id}{name} of project {port.project or '-'}: {use}{where}, {port.status or 'no status'}{also}"


def _had(former: FormerHolder) -> str:
    name = f"{former.name} ({former.server})" if former.name else former.server
    state = f"deleted {former.deleted_at}" if former.deleted_at else "not deleted"
    asked = f"; asked for: {former.lost_by}" if former.lost_by else ""
    return f"server {name} of project {former.project or '-'}, {state}, port {former.port} ({former.witness}){asked}"


def _in(place: AddressScope) -> str:
    subnet = place.subnet
    name = f"{subnet.name} " if subnet.name else ""
    pool = {True: "in its pool", False: "outside its pool", None: "its allocation pool is unknown"}[place.in_pool]
    return f"{name}{subnet.cidr} of network {place.network_name or subnet.network}: {place.role or pool}"


def _reach(place: AddressScope) -> str:
    ways = [f"provider network {place.provider}"] if place.is_external and place.provider else []
    to = f" to {', '.join(place.external)}" if place.external else ""
    ways += [f"router {router}{to}" for router in place.routers]
    ways += [f"namespace qdhcp-{place.subnet.network} on {host}" for host in place.dhcp_hosts]
    return "; ".join(ways) or "only from its own network"
