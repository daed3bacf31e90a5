# SPDX-License-Identifier: Apache-2.0
"""Ports, their inconsistencies, and which of them are deleted with their server: no API shows the latter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stackmend.app import hosts
from stackmend.app.objects.addresses import asking
from stackmend.cloud import compute
from stackmend.cloud.evidence import caches
from stackmend.cloud.networks import Networks
from stackmend.cloud.states import RUNNING
from stackmend.config.settings import Config
from stackmend.model.errors import ConfigError, SourceError, UsageError
from stackmend.model.finding import Row
from stackmend.model.objects.address import Port
from stackmend.model.objects.facts import Domain
from stackmend.model.objects.port import PortPage, ServerPort
from stackmend.model.protocols import Api, Live
from stackmend.model.snapshot import cell_database
from stackmend.model.values import text

#: what ports are listed by -> what Neutron calls it
_BY = {"server": "device_id", "project": "project_id", "network": "network_id", "host": "host"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """Nova's record of a server, and its cache: port -> VIF, None if unknown."""

    uuid: str
    row: Row
    vifs: Mapping[str, Row] | None
    has_broken_cache: bool = False


def ports_of(config: Config, by: str, name: str) -> tuple[ServerPort, ...]:
    """The ports of a server, a project, a network or (by their bindings) a host, with the inconsistencies of each.

    A server's ports come in the order of its cache, then those that only Neutron has. UsageError for an unknown server;
    SourceError when a cell or Neutron cannot be read or is not trusted.
    """
    with asking(config) as (networks, live, _):
        nova = _Nova(config, live, networks)
        found = {port.id: port for port in networks.ports(**{_BY[by]: name})}
        if by != "server":
            servers = nova.servers(port.device for port in found.values() if port.is_of_server)
            every = [_listed(id_, port, servers, nova) for id_, port in found.items()]
            return tuple(sorted(every, key=lambda one: (one.server_name, one.server, one.port)))
        servers = nova.servers([name])
        if name not in servers:
            raise UsageError(f"there is no server {name}", "No cell has a live server with that UUID.")
        if servers[name].has_broken_cache:
            raise SourceError(
                f"the network info cache of server {name} cannot be read",
                "Rebuild it: 'stackmend server cache rebuild'.",
            )
        cached = servers[name].vifs or {}
        order = [*cached, *(id_ for id_ in found if id_ not in cached)]
        return tuple(_listed(id_, found.get(id_), servers, nova, name) for id_ in order)


def port_of(config: Config, id_: str) -> PortPage:
    """One port with its network and floating IP addresses; errors as in :func:`ports_of`."""
    with asking(config) as (networks, live, _):
        nova = _Nova(config, live, networks)
        port = next(iter(networks.ports(id=id_)), None)
        if port is None:
            raise UsageError(f"Neutron has no port {id_}", "'stackmend port find' looks for an address or a MAC.")
        servers = nova.servers([port.device] if port.is_of_server else [])
        within = {subnet for _, subnet in port.fixed}
        network = networks.networks([port.network]).get(port.network)
        return PortPage(
            listed=_listed(port.id, port, servers, nova),
            network_name=network.name if network else "",
            subnets=tuple(one.cidr for one in networks.subnets() if one.id in within),
            floating=tuple(one.address for one in networks.floating(port_id=port.id)),
        )


# -- the host's side


@dataclass(frozen=True, slots=True, kw_only=True)
class InGuest:
    """The ports of a server, compared with the NICs of its guest according to libvirt on its host."""

    ports: tuple[ServerPort, ...] = ()
    strangers: tuple[str, ...] = ()  #: NICs of the guest that belong to no port, a sentence each
    unread: str = ""  #: why the host was queried but did not answer

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes to show beside the ports."""
        return (*self.strangers, *([self.unread] if self.unread else []))


def in_guest(config: Config, found: Sequence[ServerPort]) -> InGuest:
    """The ports of one server, with whether its guest has each as a NIC; unchanged if no host can be queried."""
    own = next((port for port in found if port.server_host), None)
    if own is None or not config.libvirt:
        return InGuest(ports=tuple(found))
    try:
        guest = next((one for one in hosts.domains(config, own.server_host) if one.uuid == own.server), None)
    except (SourceError, ConfigError) as problem:
        return InGuest(ports=tuple(found), unread=f"which NICs the guest has is not known: {problem.message}")
    if guest is None:
        why = f"{own.server_host} has no guest of server {own.server}: 'stackmend host status {own.server_host}'"
        return InGuest(ports=tuple(found), unread=why)
    ports = tuple(_in_guest(port, guest) for port in found)
    known = {word for port in ports for word in (port.neutron.mac.lower(), port.port) if word}
    return InGuest(
        ports=ports,
        strangers=tuple(
            f"the guest has a NIC {nic.mac} {nic.target}, and no port of the server is it".replace("  ", " ")
            for nic in guest.interfaces
            if not {nic.mac.lower(), nic.port} & known
        ),
    )


def _in_guest(port: ServerPort, guest: Domain) -> ServerPort:
    """The port, matched to a NIC by its id if the guest's definition has that, or by its MAC address."""
    nic = next(
        (one for one in guest.interfaces if one.mac.lower() == port.neutron.mac.lower() or one.port == port.port), None
    )
    # the definition of a guest that is not running is created anew when it starts
    lost = nic is None and port.in_neutron and guest.id is not None
    said = f"its guest on {port.server_host} runs without this NIC"
    return replace(
        port,
        in_guest=nic is not None,
        nic=nic.target if nic else "",
        differences=(*port.differences, said) if lost else port.differences,
    )


# -- Nova's side


class _Nova:
    """Servers, from the cells' rows, or from the API if no cell is configured."""

    def __init__(self, config: Config, live: Live | None, networks: Networks) -> None:
        self._live = live if config.cells or "nova_api" in config.databases else None
        self._api: Api | None = getattr(networks, "api", None)
        self._has_mappings = "nova_api" in config.databases
        self._mappings: dict[str, Row] = {}  #: nova_api's mappings of servers that no cell has
        self._building: set[str] = set()

    def lost(self, server: str) -> str:
        """What to report of a port whose server no cell has; "" if that is expected or cannot be known."""
        if self._live is None and self._api is None:
            return ""
        rows = self._mappings.get(server)
        if server in self._building or (rows is not None and rows["cell_id"] is None):
            return ""  # about to be built: its row comes with its cell
        if rows is not None and not rows.get("queued_for_delete"):
            return f"no cell has server {server}, which its mapping says is alive"
        return f"no cell has a living server {server}"

    def servers(self, ids: Iterable[str]) -> dict[str, _Server]:
        """Uuid -> live server, for those that exist. SourceError unless every cell, or Nova, answers."""
        wanted = sorted({one for one in ids if one})
        if self._live is None:
            return {one.uuid: one for one in _asked(self._api, wanted)} if self._api else {}
        found: dict[str, _Server] = {}
        for cell in self._live.cells() if wanted else ():
            database = cell_database(cell)
            rows = self._live.rows(database, "instances", {"uuid": wanted, "deleted": 0})
            here = {str(row["uuid"]): row for row in rows if not row.get("hidden")}
            where: dict[str, Any] = {"instance_uuid": sorted(here), "deleted": 0}
            stored = self._live.rows(database, "instance_info_caches", where) if here else []
            documents = {str(row["instance_uuid"]): row["network_info"] for row in stored}
            for uuid, row in here.items():
                try:
                    vifs = {str(vif["id"]): vif for vif in caches.vifs(documents.get(uuid))}
                    found[uuid] = _Server(uuid=uuid, row=row, vifs=vifs)
                except ValueError:
                    found[uuid] = _Server(uuid=uuid, row=row, vifs=None, has_broken_cache=True)
        self._look_for([one for one in wanted if one not in found])
        return found

    def _look_for(self, missing: list[str]) -> None:
        """Read the records of nova_api about servers that no cell has."""
        if self._live is None or not self._has_mappings or not missing:
            return
        where: dict[str, Any] = {"instance_uuid": missing}
        self._mappings = {
            str(row["instance_uuid"]): row for row in self._live.rows("nova_api", "instance_mappings", where)
        }
        self._building = {str(row["instance_uuid"]) for row in self._live.rows("nova_api", "build_requests", where)}


def _asked(api: Api, ids: Iterable[str]) -> Iterator[_Server]:
    for uuid in ids:
        body = compute.server(api, uuid)
        if body:
            row = {
                "display_name": body.get("name"),
                "project_id": body.get("tenant_id"),
                "host": body.get("OS-EXT-SRV-ATTR:host"),
                "node": body.get("OS-EXT-SRV-ATTR:hypervisor_hostname"),
                "vm_state": body.get("OS-EXT-STS:vm_state"),
                "task_state": body.get("OS-EXT-STS:task_state"),
                "power_state": body.get("OS-EXT-STS:power_state"),
            }
            yield _Server(uuid=uuid, row=row, vifs=None)


# -- both sides


def _listed(id_: str, port: Port | None, servers: Mapping[str, _Server], nova: _Nova, server: str = "") -> ServerPort:
    """A port. ``server``: the server whose cache lists it, if Neutron no longer has it."""
    own = servers.get(port.device if port and port.device else server)
    known = own is not None and own.vifs is not None
    vif = own.vifs.get(id_) if own is not None and own.vifs is not None else None
    addresses = tuple(sorted(address for address, _ in port.fixed)) if port else ()
    named = {name: str(own.row.get(name) or "") if own else "" for name in ("display_name", "host")}
    return ServerPort(
        port=id_,
        addresses=addresses or caches.fixed(vif or {}),
        network=port.network if port else text(caches.network(vif or {}).get("id")),
        in_cache=vif is not None if known else None,
        in_neutron=port is not None,
        preserve_on_delete=None if vif is None else bool(vif.get("preserve_on_delete", False)),
        neutron=port or Port(id=""),
        server=own.uuid if own else "",
        server_name=named["display_name"],
        server_host=named["host"],
        differences=tuple(_differences(port, own, vif, nova.lost(port.device) if port else "")),
    )


def _differences(port: Port | None, server: _Server | None, vif: Row | None, lost: str) -> Iterator[str]:
    """Differences from the state of a port of an idle server; ``lost``: what to report if no cell has that server."""
    if port is None:
        yield "Neutron has no such port"
    elif port.is_of_server and server is None and lost:
        yield lost
    elif server is not None:
        yield from _of_cache(port, server, vif)
        yield from _of_binding(port, server.row)
        if port.project and server.row.get("project_id") and port.project != server.row["project_id"]:
            yield f"its server belongs to project {server.row['project_id']}"


def _of_cache(port: Port, server: _Server, vif: Row | None) -> Iterator[str]:
    if server.has_broken_cache:
        yield "the server's cache cannot be read"
    if server.vifs is None or server.row.get("task_state") is not None:
        return
    if vif is None:
        yield "the server's cache does not list it"
        return
    cached, fixed = set(caches.fixed(vif)), {address for address, _ in port.fixed}
    if cached != fixed:
        yield f"the cache has the addresses {', '.join(sorted(cached)) or 'none'}"
    if str(vif.get("address") or "").lower() != port.mac.lower():
        yield f"the cache has the MAC {vif.get('address')}"


def _of_binding(port: Port, row: Row) -> Iterator[str]:
    """Its binding; a migrating server may be bound to either host."""
    if port.vif_type == "binding_failed":
        yield f"its binding to {port.host or 'its host'} failed"
    if row.get("task_state") is not None or not row.get("host"):
        return
    here = {str(row[name]).lower() for name in ("host", "node") if row.get(name)}
    if port.host and port.host.lower() not in here:
        yield f"it is bound to {port.host}, the server is on {row['host']}"
    runs = row.get("vm_state") == "active" and row.get("power_state") == RUNNING
    if runs and not port.host:
        yield "it is bound to no host, but its server is running"
    elif runs and port.status == "DOWN":
        yield "it is DOWN, but its server is running"
