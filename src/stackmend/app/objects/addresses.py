# SPDX-License-Identifier: Apache-2.0
"""An address, IP or MAC: which port has it, which servers had it, and from where it can be reached."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from stackmend.app import apis
from stackmend.app.session import CloudSession
from stackmend.cloud.evidence import caches
from stackmend.cloud.networks import ByApi, InRows, Networks, role, within
from stackmend.config.settings import Config
from stackmend.drivers.database.live import LiveDatabases
from stackmend.model.errors import SourceError, StackmendError, UsageError
from stackmend.model.objects.address import AddressInfo, AddressScope, Floating, FormerHolder, Holder, Port, Subnet
from stackmend.model.snapshot import CELL

_MAC = re.compile(r"[0-9a-f]{12}")
#: maximum number of Nova's documents read per cell; common addresses, such as a gateway, are in more
MOST = 200
#: maximum number of subnets considered per address: projects use the same private ranges
_PLACES = 50
#: actions of Nova's after which a server has a NIC less
_TAKING = ("delete", "detach_interface")
_NO_NOVA = "its database is not configured, and its API does not show who had an address"


def address_of(text: str) -> tuple[str, str]:
    """("ip" or "mac", the address as Neutron writes it); UsageError for a text that is neither."""
    plain = text.strip().lower()
    digits = re.sub(r"[:.\-]", "", plain)
    if _MAC.fullmatch(digits) and re.fullmatch(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}", plain):
        return "mac", ":".join(digits[n : n + 2] for n in range(0, 12, 2))
    try:
        return "ip", str(ip_address(plain))
    except ValueError:
        raise UsageError(
            f"{text!r} is not an address", "Write an IPv4 or IPv6 address, or a MAC as fa:16:3e:00:00:01."
        ) from None


@contextmanager
def asking(config: Config) -> Iterator[tuple[Networks, LiveDatabases | None, CloudSession]]:
    """(Neutron, by its rows or else its API; the databases, None if none is configured; the session)."""
    session = CloudSession.looking(config).believed()
    with ExitStack() as stack:
        live = stack.enter_context(session.live()) if config.databases else None
        if live is not None and "neutron" in config.databases:
            yield InRows(live), live, session
            return
        api, why = stack.enter_context(apis.reading(config, session, "auto"))
        if api is None:
            raise SourceError(
                f"Neutron can be read neither from its database nor through its API: {why}",
                "Set neutron under [databases], or a cloud under [api].",
            )
        yield ByApi(api), live, session


def find(config: Config, text: str) -> AddressInfo:
    """Everything known about an address. Nothing is changed.

    UsageError for a text that is not an address, SourceError if Neutron cannot be read. A cell that cannot be read is
    noted in ``unread``.
    """
    kind, address = address_of(text)
    with asking(config) as (networks, live, session):
        unread: dict[str, str] = {}
        holding = networks.ports(**{"address" if kind == "ip" else "mac_address": address})
        floating = networks.floating(floating_ip_address=address) if kind == "ip" else []
        cells = _cells(session, live, unread)
        places = tuple(_places(networks, address, holding)) if kind == "ip" else ()
        everybodys = any(place.role for place in places)
        led = networks.ports(id=[one.port for one in floating if one.port]) if floating else []
        now = {(port.device, port.id) for port in (*holding, *led)}
        former = list(_former(live, cells, kind, address, now, everybodys, unread))
        return AddressInfo(
            address=address,
            kind=kind,
            holders=tuple(_holders(networks, live, cells, holding, unread)),
            former=tuple(former),
            places=places,
            floating=tuple(floating),
            leaked=_leaked(networks, address, holding) if kind == "ip" else (),
            unread=unread,
        )


def _leaked(networks: Networks, address: str, holding: list[Port]) -> tuple[str, ...]:
    """Subnets whose IPAM has the address as allocated although no port there has it."""
    held = {subnet for port in holding for at, subnet in port.fixed if at == address}
    return tuple(subnet for subnet in networks.allocated(address) if subnet not in held)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerOwner:
    """The former owner of an address of a network, according to the records of the servers that had it."""

    project: str = ""  #: "" if no record, or several, name one
    mac: str = ""
    #: the project whose floating IP address it was; None if no record says that it was one
    floating: str | None = None
    living: tuple[str, ...] = ()  #: servers that are not deleted and whose records still list it
    unread: tuple[str, ...] = ()  #: why some records were not read
    leaked: tuple[str, ...] = ()  #: subnets whose IPAM has it as allocated although no port has it
    notes: tuple[str, ...] = ()  #: the evidence, one line per server


def owner(config: Config, address: str, network: str = "", subnet: str = "") -> FormerOwner:
    """The former owner of an address, only in the given network or subnet if there is one; errors as in :func:`find`.

    Projects use the same private ranges: records of another network prove nothing.
    """
    found = find(config, address)
    there = {network} if network else {p.subnet.network for p in found.places if subnet in ("", p.subnet.id)}
    # for a floating IP address the records show the network of the NIC that it was associated with
    floated = [one for one in found.former if one.is_floating]
    former = [one for one in found.former if one.network in there and not one.is_floating]
    projects, macs = {one.project for one in former if one.project}, {one.mac for one in former if one.mac}
    sure = len(projects) == 1
    unread = [f"{source}: {why}" for source, why in sorted(found.unread.items()) if source != "nova"]
    if any(place.role for place in found.places):
        unread.append(f"it is a subnet's gateway or network address: caches were not searched for {address}")
    notes = [
        f"{one.witness}: server {one.server} ({one.name or 'without a name'}) of project {one.project or 'unknown'} had"
        f" {found.address}{f', deleted {one.deleted_at}' if one.deleted_at else ''}"
        for one in former
    ]
    notes += [
        f"network {place.network_name or place.subnet.network} is external: what was a floating address is had back by"
        f" 'openstack floating ip create --floating-ip-address {address} {place.subnet.network}'"
        for place in found.places
        if place.is_external and place.subnet.network in there and not former
    ]
    return FormerOwner(
        project=min(projects) if sure else "",
        floating=next((one.project for one in floated), None),
        mac=min(macs) if sure and len(macs) == 1 else "",
        living=tuple(dict.fromkeys(one.server for one in former if one.alive)),
        unread=tuple(unread),
        leaked=tuple(found.leaked),
        notes=(*notes, *((f"nova: {found.unread['nova']}",) if "nova" in found.unread else ())),
    )


# -- who has it


def _holders(
    networks: Networks, live: LiveDatabases | None, cells: list[str], ports: list[Port], unread: dict[str, str]
) -> Iterator[Holder]:
    leading: dict[str, list[Floating]] = {}
    for one in networks.floating(port_id=[port.id for port in ports]) if ports else ():
        leading.setdefault(one.port, []).append(one)
    for port in ports:
        yield Holder(
            port=port,
            server=_title(live, cells, port, unread),
            floating=tuple(one.address for one in leading.get(port.id, ())),
        )


def _title(live: LiveDatabases | None, cells: list[str], port: Port, unread: dict[str, str]) -> str:
    """The name of a port's server, "" if it has none or it is unknown."""
    if live is None or not port.is_of_server or not port.device:
        return ""
    for cell in cells:
        for row in _read(unread, cell, live.rows, cell, "instances", {"uuid": port.device, "deleted": 0}):
            return str(row["display_name"] or "")
    return ""


# -- who had it


def _cells(session: CloudSession, live: LiveDatabases | None, unread: dict[str, str]) -> list[str]:
    """The readable cell databases; missing ones are noted."""
    known = session.databases
    found = [name for name in sorted(known.addresses) if name.startswith(CELL)]
    unread |= {name: why for name, why in known.errors.items() if name.startswith(CELL)}
    if live is None or not found:
        unread.setdefault("nova", _NO_NOVA)
    elif not known.cells_known:
        unread["nova_api"] = "not every cell is known"
    return found


def _former(
    live: LiveDatabases | None,
    cells: list[str],
    kind: str,
    address: str,
    now: set[tuple[str, str]],
    everybodys: bool,
    unread: dict[str, str],
) -> Iterator[FormerHolder]:
    """Servers whose caches, or NIC rows, have the address, except the (server, port) pairs in ``now``."""
    seen: set[tuple[str, str]] = set()
    for cell in cells if live is not None and not everybodys else ():
        for archive in ("", "shadow_"):
            every = [*_cached(live, cell, archive, address, unread)]
            every += _noted(live, cell, archive, address, unread) if kind == "mac" else []
            for nic in every:
                if (nic.server, nic.port) not in now | seen:
                    seen.add((nic.server, nic.port))
                    row = _server(live, cell, archive, nic.server, unread)
                    yield _of_server(nic, row, _lost_by(live, cell, archive, nic.server, unread))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nic:
    """A NIC as a table of Nova has it."""

    server: str
    port: str
    mac: str
    addresses: tuple[str, ...] = ()
    witness: str
    network: str = ""
    is_floating: bool = False


def _cached(
    live: LiveDatabases | None, cell: str, archive: str, address: str, unread: dict[str, str]
) -> Iterator[_Nic]:
    table = f"{archive}instance_info_caches"
    for row in _holding(live, cell, table, "network_info", f'"{address}"', unread):
        try:
            vifs = caches.vifs(row["network_info"])
        except ValueError:
            unread[f"{cell} {table} of server {row['instance_uuid']}"] = "it is not a list of VIFs"
            continue
        for vif in vifs:
            addresses = caches.fixed(vif) + caches.floating(vif)
            if address == str(vif.get("address") or "").lower() or address in addresses:
                yield _Nic(
                    server=str(row["instance_uuid"]),
                    port=str(vif.get("id") or ""),
                    mac=str(vif.get("address") or ""),
                    addresses=addresses,
                    witness=table,
                    network=str(caches.network(vif).get("id") or ""),
                    is_floating=address in caches.floating(vif) and address not in caches.fixed(vif),
                )


def _noted(live: LiveDatabases | None, cell: str, archive: str, address: str, unread: dict[str, str]) -> Iterator[_Nic]:
    table = f"{archive}virtual_interfaces"
    for row in _holding(live, cell, table, "address", address, unread):
        # Nova appends the port's id, because several ports may have one MAC
        if str(row["address"] or "").lower().partition("/")[0] == address:
            yield _Nic(server=str(row["instance_uuid"]), port=str(row["uuid"] or ""), mac=address, witness=table)


def _holding(
    live: LiveDatabases | None, cell: str, table: str, column: str, text: str, unread: dict[str, str]
) -> list[dict[str, object]]:
    """The rows whose column contains the text; a cloud need not have archive tables."""
    if live is None or (table.startswith("shadow_") and not _read(unread, cell, live.columns, cell, table)):
        return []
    keys = _read(unread, cell, live.holding, cell, table, column, [text], MOST)
    if len(keys) == MOST:
        unread[f"{cell} {table}"] = f"{MOST} or more rows have it: the rest was not read"
    if not keys:
        return []
    name = next(iter(live.key(cell, table)), "id")
    return _read(unread, cell, live.rows, cell, table, {name: [key[0] for key in keys]})


def _server(
    live: LiveDatabases | None, cell: str, archive: str, server: str, unread: dict[str, str]
) -> Mapping[str, object]:
    """The row of a server, {} if it does not exist or cannot be read, which is noted."""
    if live is None:
        return {}
    for table in dict.fromkeys((f"{archive}instances", "instances")):
        for row in _read(unread, cell, live.rows, cell, table, {"uuid": server}):
            return dict(row)
    return {}


def _lost_by(live: LiveDatabases | None, cell: str, archive: str, server: str, unread: dict[str, str]) -> str:
    """The last action of a server that takes NICs from it, as Nova recorded it."""
    if live is None:
        return ""
    rows = [
        row
        for table in dict.fromkeys((f"{archive}instance_actions", "instance_actions"))
        for row in _read(unread, cell, live.rows, cell, table, {"instance_uuid": server})
        if row["action"] in _TAKING
    ]
    last = max(rows, key=lambda row: str(row["start_time"]), default=None)
    return "" if last is None else f"{last['action']} at {str(last['start_time'])[:19]} ({last['request_id']})"


def _of_server(nic: _Nic, row: Mapping[str, object], lost_by: str) -> FormerHolder:
    gone = row.get("deleted_at") if row.get("deleted") else None
    return FormerHolder(
        server=nic.server,
        name=str(row.get("display_name") or ""),
        project=str(row.get("project_id") or ""),
        host=str(row.get("host") or ""),
        deleted_at=None if gone is None else str(gone),
        alive=bool(row) and not row.get("deleted"),
        port=nic.port,
        mac=nic.mac,
        addresses=nic.addresses,
        witness=nic.witness,
        network=nic.network,
        is_floating=nic.is_floating,
        lost_by=lost_by,
    )


# -- the subnets it belongs to


def _places(networks: Networks, address: str, holding: list[Port]) -> Iterator[AddressScope]:
    """The subnets of the ports that have it; if none has it, every subnet that contains it."""
    of = {subnet for port in holding for at, subnet in port.fixed if at == address}
    asked = ip_address(address)
    every = [one for one in networks.subnets() if (one.id in of if of else asked in ip_network(one.cidr, strict=False))]
    for subnet in sorted(every, key=lambda one: (one.network, one.id))[:_PLACES]:
        yield _place(networks, address, subnet)


def _place(networks: Networks, address: str, subnet: Subnet) -> AddressScope:
    owners = ["network:dhcp", "network:router_interface", "network:router_interface_distributed",
              "network:ha_router_replicated_interface"]  # fmt: skip
    serving = networks.ports(network_id=subnet.network, device_owner=owners)
    here = [port for port in serving if port.owner != "network:dhcp" and subnet.id in {s for _, s in port.fixed}]
    ways = sorted({port.device for port in here if port.device})
    gates = networks.ports(device_id=ways, device_owner="network:router_gateway") if ways else []
    known = networks.networks([subnet.network, *(port.network for port in gates)])
    names, pools = networks.routers(ways), networks.pools(subnet.id)
    own = known.get(subnet.network)
    return AddressScope(
        subnet=subnet,
        network_name=own.name if own else "",
        role=role(address, subnet),
        in_pool=within(address, pools) if pools else None,
        routers=tuple(names.get(way) or way for way in ways),
        external=tuple(sorted({known[port.network].name for port in gates if port.network in known})),
        dhcp_hosts=tuple(sorted({port.host for port in serving if port.owner == "network:dhcp" and port.host})),
        provider=own.provider if own else "",
        is_external=bool(own and own.is_external),
    )


def _read(unread: dict[str, str], source: str, ask: Any, *arguments: Any) -> list[Any]:
    """Its answer; [] if it cannot be read, which is noted."""
    try:
        return list(ask(*arguments))
    except StackmendError as problem:
        unread[source] = problem.message
        return []
