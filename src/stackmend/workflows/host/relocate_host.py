# SPDX-License-Identifier: Apache-2.0
"""Relocate the servers of a dead host to another host through the databases, where evacuation cannot work.

## What it does
One lane per server: the steps of the repair `relocate-server` (allocation, ports, then all rows of the cell in one
transaction), new attachments of its volumes on the new host with `nova-manage volume_attachment refresh`, a hard reboot
if it was running, and a check that guest, ports and volumes are there. Servers that were stopped stay stopped. If no
access to hosts is configured, or with `--via db`, the remaining commands are printed and the server is not started.

## Guards
The old host is dead, with the same proof as for an evacuation: its nova-compute does not report, and the host is
fenced, confirmed by `[hooks] fence` or by the operator. The host is then forced down in Nova. The new host is in the
same cell, up, and has room in Placement for all servers to come. A server that the repair refuses stays on the old
host, with the reason, and so does a server with a finding that would keep it from coming up complete (`--no-audit`
skips this check).

## Undo
Everything but the new attachments and the hard reboot. After the first start the rows are left as they are, because the
server has changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stackmend.cloud import compute, hosts
from stackmend.cloud.states import IN_MEMORY
from stackmend.hosts import attachments, fencing
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import BootRelocated, Relocated
from stackmend.model.protocols import Live
from stackmend.model.repair import CannotRepair
from stackmend.model.snapshot import CELL, cell_database
from stackmend.model.step import Manual, Risk, Step, Value
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: stages of the plan, after fencing and forcing down
_SERVERS, _RETURN = 2, 4
#: tables of a cell that name a compute host
_OF_HOST = ("services", "compute_nodes", "instances")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """Source, destination and options that apply to all servers."""

    source: str
    to: str
    database: str
    provider: str  #: uuid of the compute node there and of its resource provider
    via: str
    shared: bool
    boot: bool
    manage: str  #: the machine on which nova-manage reaches Nova's databases
    #: resource class -> free capacity left for the remaining servers
    room: dict[str, float] = field(default_factory=dict)


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """First the proof that the host is dead, then a lane for each server; CannotRepair if a guard refuses all."""
    if sight.live is None:
        raise CannotRepair("a relocation changes rows: name the databases under [databases]")
    if arguments["host"] == arguments["to"]:
        raise UsageError("a host cannot be relocated to itself", "Name another host with --to.")
    dead = fencing.silent_service(sight, str(arguments["host"]))
    hosts.nodes(sight.api, str(arguments["host"]))  # raises for baremetal (ironic) hosts
    fence = list(fencing.fence(sight, str(arguments["host"]), bool(arguments.get("fenced"))))
    move = _move(arguments, sight, sight.live)
    if compute.service(sight.api, move.to)["state"] != "up":
        raise CannotRepair(f"nova-compute on {move.to} is not up")
    if move.manage != move.to and move.via != "db":
        attachments.manages(sight, move.manage)
    servers = _servers(sight.live, move, texts(arguments.get("servers")))
    sight.facts["relocation"] = {"from": move.source, "to": move.to, "servers": [str(s["uuid"]) for s in servers]}
    drafts = [_lane(sight, sight.live, move, server) for server in servers]
    moving = any(draft.risk is not Risk.MANUAL for draft in drafts)
    if moving:
        yield from fence
        yield fencing.declared(sight, move.source, dead)
    yield from drafts
    if moving:
        yield from fencing.afterwards(sight, move.source, _RETURN)


def _move(arguments: Row, sight: Sight, live: Live) -> _Move:
    source, to = str(arguments["host"]), str(arguments["to"])
    cells = {host: _cell(live, host) for host in (source, to)}
    if cells[source] != cells[to]:
        raise CannotRepair(f"{source} is in cell {cells[source]}, {to} in {cells[to]}: rows cannot leave their cell")
    database = cell_database(cells[source])
    nodes = live.rows(database, "compute_nodes", {"host": to, "deleted": 0})
    if len(nodes) != 1:
        raise CannotRepair(f"host {to} has {len(nodes)} compute nodes: the destination must have exactly one")
    provider = str(nodes[0]["uuid"])
    return _Move(
        source=source,
        to=to,
        database=database,
        provider=provider,
        via=str(arguments.get("via") or "auto"),
        shared=bool(arguments.get("shared") or sight.settings.get("hosts.shared_instances")),
        boot=bool(arguments.get("boot", True)),
        manage=str(arguments.get("manage") or to),
        room=_room(live, provider),
    )


def _cell(live: Live, host: str) -> str:
    """Name of the cell of a host; every cell must be read to know it."""
    found = [
        cell
        for cell in live.cells()
        if any(live.rows(cell_database(cell), table, {"host": host, "deleted": 0}) for table in _OF_HOST)
    ]
    if len(found) != 1:
        raise UsageError(
            f"host {host} is in {len(found)} cells{': ' if found else ''}{', '.join(found)}",
            "A compute host must be known in exactly one cell, by its service, its compute node or its servers.",
        )
    return found[0]


def _servers(live: Live, move: _Move, wanted: tuple[str, ...]) -> list[dict[str, Value]]:
    """The live servers of the host, or the named ones among them, sorted by name."""
    found: list[dict[str, Value]] = list(live.rows(move.database, "instances", {"host": move.source, "deleted": 0}))
    found = [server for server in found if not server.get("hidden")]
    known = {str(server["uuid"]) for server in found}
    if strangers := [name for name in wanted if name not in known]:
        raise UsageError(f"{move.source} has no server {strangers[0]}", f"It has {len(known)}, in {move.database}.")
    return sorted(
        (server for server in found if not wanted or server["uuid"] in wanted),
        key=lambda server: (str(server["display_name"]), str(server["uuid"])),
    )


def _room(live: Live, provider: str) -> dict[str, float]:
    """Resource class -> free capacity of the host; {} if Placement has no such provider."""
    root = live.row("placement", "resource_providers", {"uuid": provider})
    if root is None:
        return {}
    used: dict[int, int] = {}
    for row in live.rows("placement", "allocations", {"resource_provider_id": root["id"]}):
        kind = int(str(row["resource_class_id"]))
        used[kind] = used.get(kind, 0) + int(str(row["used"]))
    found = {}
    for row in live.rows("placement", "inventories", {"resource_provider_id": root["id"]}):
        kind = int(str(row["resource_class_id"]))
        total = (int(str(row["total"])) - int(str(row["reserved"]))) * float(str(row["allocation_ratio"]))
        found[str(kind)] = total - used.get(kind, 0)
    return found


def _fits(live: Live, move: _Move, server: Mapping[str, Value]) -> None:
    """Subtract the server's needs from the free capacity; CannotRepair if there is not enough."""
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    wanted: dict[str, int] = {}
    for row in held:
        kind = str(row["resource_class_id"])
        # after a failed move it may be held on both hosts, but it is needed once
        wanted[kind] = max(wanted.get(kind, 0), int(str(row["used"])))
    for kind, amount in wanted.items():
        if amount > move.room.get(kind, 0):
            classes = live.rows("placement", "resource_classes", {"id": int(kind)})
            name = str(classes[0]["name"]) if classes else f"resource class {kind}"
            raise CannotRepair(f"{move.to} has no room for it: {amount} {name} needed, {move.room.get(kind, 0):g} left")
    for kind, amount in wanted.items():
        move.room[kind] -= amount


def _lane(sight: Sight, live: Live, move: _Move, server: Mapping[str, Value]) -> LaneDraft:
    name = str(server["uuid"])
    volumes = _volumes(live, move, name)
    target = {
        "name": server["display_name"], "host": server["host"], "node": server["node"],
        "vm_state": server["vm_state"], "power_state": server["power_state"], "volumes": sorted(volumes),
    }  # fmt: skip
    message = f"from {move.source} to {move.to}, through the databases"
    try:
        steps = tuple(_steps(sight, live, move, server, volumes))
    except CannotRepair as answer:
        return LaneDraft(
            resource_type="server", resource_id=name, message=f"stays on {move.source}", stage=_SERVERS, target=target,
            steps=(Manual(text=f"not relocated: {answer}"),), risk=Risk.MANUAL, why=str(answer),
        )  # fmt: skip
    return LaneDraft(
        resource_type="server", resource_id=name, message=message, steps=steps, stage=_SERVERS, target=target,
        slots=(f"from:{move.source}", f"to:{move.to}"),
        evidence=sight.repairs["relocate-server"].evidence({"server": name}, live),
    )  # fmt: skip


def _volumes(live: Live, move: _Move, server: str) -> dict[str, str]:
    """Volume -> its attachment in Nova."""
    where: dict[str, Value] = {"instance_uuid": server, "destination_type": "volume", "deleted": 0}
    return {
        str(row["volume_id"]): str(row["attachment_id"] or "")
        for row in live.rows(move.database, "block_device_mapping", where)
        if row["volume_id"]
    }


def _steps(
    sight: Sight, live: Live, move: _Move, server: Mapping[str, Value], volumes: Mapping[str, str]
) -> Iterator[Step]:
    name = str(server["uuid"])
    if findings := sight.findings.get(name):
        raise CannotRepair(f"repair it first: {'; '.join(findings)}")
    for volume, attachment in volumes.items():
        _attached(live, volume, attachment, name)
    repair = sight.repairs["relocate-server"].strategies["db"]
    target = {
        "server": name, "cell": move.database.removeprefix(CELL), "to": move.to, "shared": move.shared, "via": move.via,
    }  # fmt: skip
    found = list(repair(target, live))
    _fits(live, move, server)
    yield from found
    connector = attachments.connector(sight, move.to) if volumes and move.via != "db" else ""
    runs = server["vm_state"] in IN_MEMORY
    if move.via == "db" or (volumes and not connector):
        if volumes:
            yield Manual(text=attachments.by_hand(move.to, name, list(volumes)))
        yield Manual(text=f"then start it: openstack server reboot --hard {name}" if runs else _stopped(name))
        return
    for volume, attachment in volumes.items():
        yield attachments.refreshed(
            sight, connector, server=name, volume=volume, attachment=attachment, manage=move.manage
        )
    if runs and move.boot:
        yield from _booted(name, move.to, sorted(volumes))
    else:
        yield Manual(text=_stopped(name))


def _attached(live: Live, volume: str, attachment: str, server: str) -> None:
    """CannotRepair unless Nova and Cinder agree on the attachment: this is not the place to guess which is right."""
    where: dict[str, Value] = {"volume_id": volume, "instance_uuid": server, "deleted": 0}
    if [str(row["id"]) for row in live.rows("cinder", "volume_attachment", where)] != [attachment]:
        raise CannotRepair(
            f"Nova and Cinder disagree about the attachment of volume {volume}: run an audit and repair that"
        )


def _stopped(server: str) -> str:
    return f"it is stopped; its first start creates the guest on the new host: openstack server start {server}"


def _booted(server: str, host: str, volumes: list[str]) -> Iterator[Step]:
    yield BootRelocated(server=server).call(
        {"server": "present", "server.host": host, "server.vm_state": "stopped", "server.task_state": None}
    )
    yield Relocated(server=server, host=host, volumes=tuple(volumes)).call()


WORKFLOW = Workflow(
    name="relocate-host",
    risk=Risk.UNSAFE,
    lanes=lanes,
    deed="rebuild",
    why="unless the old host is fenced, its servers run twice on the same disks; the memory of every guest is lost",
)
