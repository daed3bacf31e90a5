# SPDX-License-Identifier: Apache-2.0
"""Operations on reserved ports. Since Liberty Neutron filters ports by description, exactly and case-sensitively."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote_plus

from msgspec import UNSET

from stackmend.cloud import dns, network
from stackmend.drivers.api.operations import Implementation, ResourceReader, nothing
from stackmend.drivers.api.session import Request, segment
from stackmend.model.operations.reserved_ports import (
    DropReserved,
    HasDnsName,
    HoldsAddress,
    ReservedSeen,
    ReservePort,
    TryPort,
)
from stackmend.model.step import StepState
from stackmend.model.values import members, whole

_FIELDS = "".join(f"&fields={name}" for name in ("id", "description", "device_id", "fixed_ips", "revision_number"))
_Shown = Mapping[str, object]


def _ports(reader: ResourceReader, network: str, name: str, value: str) -> list[_Shown]:
    path = f"/ports?network_id={quote_plus(network)}&{name}={quote_plus(value)}{_FIELDS}"
    return list(reader.every("network", path, "ports"))


def _own(reader: ResourceReader, network: str, reservation: str) -> _Shown | None:
    """The port of a reservation; ports with a similar description do not count."""
    found = _ports(reader, network, "description", reservation)
    return next((one for one in found if one.get("description") == reservation), None)


def _picture(own: _Shown | None) -> ReservedSeen:
    if own is None:
        return {"port": "absent", "device_id": ""}
    return {
        "port": "present",
        "id": str(own["id"]),
        "device_id": str(own.get("device_id") or ""),
        "addresses": network.addresses(own),
        "revision_number": None if own.get("revision_number") is None else whole(own["revision_number"]),
    }


def _at(reader: ResourceReader, network: str, address: str) -> _Shown | None:
    """The port that has the address in the network."""
    return next(iter(_ports(reader, network, "fixed_ips", f"ip_address={address}")), None)


def _reserved(reader: ResourceReader, asked: ReservePort) -> ReservedSeen:
    found = _picture(_own(reader, asked.network, asked.reservation))
    if found["port"] == "absent" and asked.address:
        other = _at(reader, asked.network, asked.address)
        found["holder"] = None if other is None else str(other["id"])
    return found


def _is_reserved(picture: ReservedSeen, asked: ReservePort) -> StepState:
    if picture["port"] == "absent":
        return StepState.FAILED if picture.get("holder") else StepState.PLANNED
    return StepState.FAILED if asked.address and asked.address not in picture["addresses"] else StepState.DONE


def _body(asked: ReservePort | TryPort, fixed: list[dict[str, str]]) -> list[Request]:
    port: dict[str, object] = {
        "network_id": asked.network,
        "name": asked.name,
        "description": asked.reservation,
        "project_id": asked.project,
        "dns_name": asked.dns_name,
        "mac_address": asked.mac_address if isinstance(asked, ReservePort) else UNSET,
        **({"fixed_ips": fixed} if fixed else {}),
    }
    body = {"port": {name: value for name, value in port.items() if value is not UNSET}}
    return [Request(service="network", method="POST", path="/ports", body=body)]


def _tried(reader: ResourceReader, asked: TryPort) -> ReservedSeen:
    """The port of this attempt; if there is none, that of an earlier attempt with the same address counts for it."""
    found = _picture(_own(reader, asked.network, asked.reservation))
    if found["port"] == "present":
        return found
    other = _at(reader, asked.network, asked.address)
    if other is not None and other.get("description") in asked.before:
        return _picture(other)
    return {**found, "holder": None if other is None else str(other["id"])}


def _is_tried(picture: ReservedSeen, _: TryPort) -> StepState:
    if picture["port"] == "present":
        return StepState.DONE
    return StepState.FAILED if picture.get("holder") else StepState.PLANNED


def _dropping(reader: ResourceReader, asked: DropReserved) -> ReservedSeen:
    return _picture(_own(reader, asked.network, asked.reservation))


def _is_dropped(picture: ReservedSeen, asked: DropReserved) -> StepState:
    kept = asked.unless and asked.unless in picture.get("addresses", ())
    return StepState.DONE if picture["port"] == "absent" or kept else StepState.PLANNED


def _drop(_: DropReserved) -> list[Request]:
    return [Request(service="network", method="DELETE", path="/ports/(the one of this reservation)")]


def _aimed(request: Request, picture: ReservedSeen) -> Request:
    path = f"/ports/{segment(str(picture['id']))}"
    # the revision has changed if a server has been given the port since
    return replace(request, path=path, revision=picture.get("revision_number"))


def _naming(reader: ResourceReader, asked: HasDnsName) -> ReservedSeen:
    own = _own(reader, asked.network, asked.reservation)
    if own is None:
        return _picture(None)
    body = members((reader.get("network", f"/ports/{segment(str(own['id']))}") or {}).get("port"))
    return {**_picture(own), "dns_name": str(body.get("dns_name") or ""), "names": dns.names(body)}


def _is_named(picture: ReservedSeen, asked: HasDnsName) -> StepState:
    name, names = picture.get("dns_name", ""), picture.get("names", [])
    has = name.lower() == asked.dns_name and (not asked.fqdn or asked.fqdn in names)
    return StepState.DONE if has else StepState.FAILED


def _holding(reader: ResourceReader, asked: HoldsAddress) -> ReservedSeen:
    found = _at(reader, asked.network, asked.address)
    if found is not None and found.get("description") in asked.reservations:
        return _picture(found)
    return {"port": "absent", "holder": None if found is None else str(found["id"])}


OPERATIONS = (
    Implementation(
        of=ReservePort, look=_reserved, judge=_is_reserved, again=True,
        requests=lambda asked: _body(asked, list(asked.fixed_ips)),
    ),
    Implementation(
        of=TryPort, look=_tried, judge=_is_tried, again=True,
        requests=lambda asked: _body(asked, [{"subnet_id": asked.subnet}]),
    ),
    Implementation(of=DropReserved, requests=_drop, aim=_aimed, look=_dropping, judge=_is_dropped, again=True),
    Implementation(
        of=HasDnsName, requests=nothing, look=_naming, judge=_is_named, again=True, limit=10,
        waits="check that the port has the DNS name {dns_name}",
    ),
    Implementation(
        of=HoldsAddress, requests=nothing, look=_holding, again=True, limit=10,
        waits="check that one of the reserved ports has {address}",
        judge=lambda picture, _: StepState.DONE if picture["port"] == "present" else StepState.FAILED,
    ),
)  # fmt: skip
