# SPDX-License-Identifier: Apache-2.0
"""Neutron's API. Only administrators see every port: a port without its host shows that others may be hidden.

The list shows only the ACTIVE binding of a port. The number that joins a port to its times is derived from its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackmend.drivers.api.reader import ApiTableReader
from stackmend.drivers.api.tables import ApiTable, TableRow, Wanted, moment, number
from stackmend.model.errors import SourceError

_HOST = "binding:host_id"
_FIELDS = (
    "id", "project_id", "device_id", "device_owner", "mac_address", "network_id", "status", "admin_state_up", "name",
    "description", "created_at", "updated_at", "revision_number", "tags", "allowed_address_pairs", _HOST,
    "binding:vif_type", "binding:vnic_type", "binding:profile",
)  # fmt: skip
_SHOW = "".join(f"&fields={name}" for name in _FIELDS)
_PAGE = 1000
#: ids in one request
_SOME = 40

PortBody = Mapping[str, Any]


def ports(look: ApiTableReader, wanted: Wanted) -> list[PortBody]:
    """The ports with these ids or devices; for None, all of them. SourceError unless all are shown."""
    if wanted is None:
        return look.once("list", "ports", lambda: _whole(look, f"/ports?limit={_PAGE}{_SHOW}"))
    if "stem" in wanted:  # no filter of Neutron's: it may not even refuse it
        return [port for port in ports(look, None) if port["id"][:11] in wanted["stem"]]
    column, values = next(iter(wanted.items()))
    groups = [values[n : n + _SOME] for n in range(0, len(values), _SOME)]
    paths = [f"/ports?limit={_PAGE}{_SHOW}" + "".join(f"&{column}={value}" for value in some) for some in groups]
    return [port for some in look.each(lambda path: _whole(look, path), paths) for port in some]


def _whole(look: ApiTableReader, path: str) -> list[PortBody]:
    found = look.every("network", path, "ports")
    if found and all(_HOST not in port for port in found) and not _shows_hosts(look):
        raise SourceError(
            "Neutron does not show the hosts of ports to this account",
            "The account of [api] cloud needs the role admin.",
        )
    _administrator(look)
    look.keep("port", {port["id"]: port for port in found})
    return found


def _shows_hosts(look: ApiTableReader) -> bool:
    """Whether any port is shown with a host. A port without an active binding has none, whoever asks."""

    def make() -> bool:
        some = look.get("network", f"/ports?limit={_PAGE}&fields={_HOST}")
        return any(_HOST in port for port in some["ports"]) if some else False

    return look.once("proof", "hosts of ports", make)


def _administrator(look: ApiTableReader) -> None:
    """SourceError unless the account may see everything: objects of other projects are silently omitted, quotas not."""

    def make() -> bool:
        return look.get("network", "/quotas") is not None

    if not look.once("proof", "network", make):
        raise SourceError(
            "Neutron does not show quotas to this account", "The account of [api] cloud needs the role admin."
        )


def _of(look: ApiTableReader, wanted: Wanted, column: str) -> list[PortBody]:
    """Ports by their ids in another table's column, cached or not."""
    if wanted is None:
        return ports(look, None)
    known = look.kept("port")
    found = [known[name] for name in wanted[column] if name in known]
    lacking = [name for name in wanted[column] if name not in known]
    return found + (ports(look, {"id": lacking}) if lacking else [])


def _rows(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    same = ("id", "project_id", "device_id", "device_owner", "mac_address", "network_id", "status", "admin_state_up")
    for port in ports(look, wanted):
        row = {name: port[name] for name in same}
        yield {**row, "standard_attr_id": number(port["id"]), "named": bool(port["name"]), "stem": port["id"][:11]}


def _attributes(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    for port in ports(look, None) if wanted is None else look.kept("port").values():
        yield {
            "id": number(port["id"]),
            "revision_number": port.get("revision_number"),
            "created_at": moment(port["created_at"]),
            "updated_at": moment(port["updated_at"]),
            "described": bool(port.get("description")),
        }


def _bindings(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    found = ports(look, {_HOST: wanted["host"]}) if wanted and "host" in wanted else _of(look, wanted, "port_id")
    for port in (port for port in found if _HOST in port):
        yield {
            "port_id": port["id"],
            "host": port[_HOST] or "",
            "vif_type": port["binding:vif_type"],
            "vnic_type": port["binding:vnic_type"],
            "status": "ACTIVE",
            "migrating": "migrating_to" in (port.get("binding:profile") or {}),
        }


def _pairs(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    for port in _of(look, wanted, "port_id"):
        for pair in port.get("allowed_address_pairs") or ():
            yield {"port_id": port["id"], "ip_address": pair["ip_address"]}


def _tags(look: ApiTableReader, wanted: Wanted) -> Iterator[TableRow]:
    for port in ports(look, None) if wanted is None else look.kept("port").values():
        for tag in port.get("tags") or ():
            yield {"standard_attr_id": number(port["id"]), "tag": tag}


SHOWN = (
    ApiTable(
        label="neutron_ports", rows=_rows,
        columns=("id", "project_id", "device_id", "device_owner", "mac_address", "network_id", "status",
                 "admin_state_up", "standard_attr_id", "named", "stem"),
    ),
    ApiTable(
        label="neutron_standardattributes", rows=_attributes,
        columns=("id", "revision_number", "created_at", "updated_at", "described"),
    ),
    ApiTable(
        label="neutron_ml2_port_bindings", rows=_bindings,
        columns=("port_id", "host", "vif_type", "vnic_type", "status", "migrating"),
    ),
    ApiTable(label="neutron_allowedaddresspairs", rows=_pairs, columns=("port_id", "ip_address")),
    ApiTable(label="neutron_tags", rows=_tags, columns=("standard_attr_id", "tag")),
)  # fmt: skip
