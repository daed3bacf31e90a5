# SPDX-License-Identifier: Apache-2.0
"""Which of the ports with a server's id are its NICs, and which are leftovers.

``ports.device_id`` alone proves nothing: Nova sets it before the guest exists, and a failed build leaves it behind
(bugs 1609526, 2134375). Nova does not keep the requested networks (``request_specs`` are saved without them). The
witnesses:

- a live row in ``virtual_interfaces``: Nova writes it when it gives the server a NIC, and never when it heals a cache;
- the port is ACTIVE on the server's host: an agent there has found its interface;
- the server's network cache lists it: Nova's healer adds every port with the server's id, including leftovers;
- it is bound to the server's host: Nova's healer rebinds the ports in the cache;
- it was created while the server was being built, as NICs are, and leftovers of failed builds too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from stackmend.cloud.states import RUNNING
from stackmend.model.protocols import Live
from stackmend.model.step import Values

#: tolerance between Nova's clock and Neutron's, and between the creation of a server and of its first port
_MINUTE = timedelta(seconds=60)


class PortStanding(StrEnum):
    """What a port is to the server named in its device_id."""

    NIC = "nic"
    LEFTOVER = "leftover"  #: no witness except its ``device_id``
    ADOPTED = "adopted"  #: a leftover that Nova's healer has added to the cache
    UNCLEAR = "unclear"  #: the witnesses do not suffice: only the guest can tell


@dataclass(frozen=True, slots=True)
class Judged:
    """One port with its verdict."""

    port: Values
    standing: PortStanding
    why: str  #: a clause: "Nova has a row of that NIC"


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The evidence about one port of a server."""

    noted: bool  #: a live row in virtual_interfaces
    cached: bool  #: in the server's network cache
    active: bool  #: ports.status
    up: bool  #: ports.admin_state_up
    bound: str  #: host of its ACTIVE binding, "" for none
    made: datetime | None  #: standardattributes.created_at


def judge(server: Values, ports: Mapping[str, Witnesses]) -> dict[str, tuple[PortStanding, str]]:
    """Each port with the server's id and project -> its standing, and the reason. ``server``: its row."""
    here = {str(server[name]) for name in ("host", "node") if server[name]}
    working = {name for name, port in ports.items() if port.active and port.bound in here}
    sure = working | {name for name, port in ports.items() if port.noted}
    filled = any(port.cached for port in ports.values())
    return {
        name: (PortStanding.NIC, f"it is ACTIVE on {port.bound}")
        if name in working
        else _standing(server, port, here, bool(sure - {name}), filled)
        for name, port in ports.items()
    }


def _standing(server: Values, port: Witnesses, here: set[str], others: bool, filled: bool) -> tuple[PortStanding, str]:
    """The standing of a port that is not active on the server's host.

    ``others``: another port of the server is certainly a NIC, so that the evidence for NICs has been recorded;
    ``filled``: the cache lists ports of the server, so that a port's absence from it means something.
    """
    place = f"bound to {port.bound}" if port.bound else "not bound"
    state = f"{place}, {'ACTIVE' if port.active else 'DOWN'}"
    if port.noted:
        return PortStanding.NIC, "Nova has a row of that NIC"
    elsewhere = bool(here) and port.bound not in here
    dead = port.up and not port.active and server["power_state"] == RUNNING
    if port.cached:
        if others and _of_build(server, port) and (elsewhere or dead):
            return (
                PortStanding.ADOPTED,
                f"Nova never recorded it as a NIC, it was created during the build, it is {state}",
            )
        return PortStanding.NIC, "the network cache lists it"
    if others and (elsewhere or filled or not here):
        return PortStanding.LEFTOVER, f"only its device_id says so: no virtual_interfaces row, {state}"
    if here and not (elsewhere or filled or (dead and others)):
        return PortStanding.NIC, f"it is bound to {port.bound}"
    return PortStanding.UNCLEAR, f"no virtual_interfaces row, {state}"


def _of_build(server: Values, port: Witnesses) -> bool:
    """Whether the port was created between the server's creation and its launch."""
    if port.made is None or not server["created_at"] or not server["launched_at"]:
        return False
    return _moment(server["created_at"]) - _MINUTE <= port.made <= _moment(server["launched_at"]) + _MINUTE


def read(live: Live, database: str, server: Values, cached: Iterable[str]) -> dict[str, Judged]:
    """Every port with the server's id and project, judged. ``cached``: the ports listed in its network cache."""
    where = {"device_id": server["uuid"], "project_id": server["project_id"]}
    ports = {str(row["id"]): row for row in live.rows("neutron", "ports", where)}
    if not ports:
        return {}
    noted = {
        str(row["uuid"])
        for row in live.rows(database, "virtual_interfaces", {"instance_uuid": server["uuid"], "deleted": 0})
    }
    bound = {
        str(row["port_id"]): str(row["host"])
        for row in live.rows("neutron", "ml2_port_bindings", {"port_id": sorted(ports), "status": "ACTIVE"})
    }
    numbers = sorted(int(str(row["standard_attr_id"])) for row in ports.values())
    made = {int(str(r["id"])): r["created_at"] for r in live.rows("neutron", "standardattributes", {"id": numbers})}
    listed = set(cached)
    seen = {
        name: Witnesses(
            noted=name in noted,
            cached=name in listed,
            active=row["status"] == "ACTIVE",
            up=bool(row["admin_state_up"]),
            bound=bound.get(name, ""),
            made=_moment(made[number]) if made.get(number := int(str(row["standard_attr_id"]))) else None,
        )
        for name, row in ports.items()
    }
    return {name: Judged(ports[name], *verdict) for name, verdict in judge(server, seen).items()}


def _moment(value: object) -> datetime:
    return datetime.fromisoformat(str(value))
