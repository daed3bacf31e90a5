# SPDX-License-Identifier: Apache-2.0
"""Relocate the servers of a dead host to another one by the rows of the databases, where evacuate cannot work.

## What it does
For each server one lane: the steps of the repair `relocate-server` (allocation, ports, then everything of the cell in
one transaction), new attachments of its volumes on the new host by `nova-manage volume_attachment refresh`, a hard
reboot for those that ran, and a look whether all of it is there: guest, ports, volumes. Servers that were stopped stay
so. Where no way to hosts is configured, or by `--via db`, what is left is printed with its commands and the server is
not started.

## Guards
The old host is dead, by the same proof as for an evacuation: nobody hears of its nova-compute, and either `[hooks]
fence` says that it is cut off or the operator does. Nova is told that it is down. The new host is in the same cell, up,
and has room in Placement for all that is to come. What the repair refuses is left on the old host, with the reason, and
so is a server with a finding by which it would not come up whole (`--no-audit` does not ask).

## Undo
Everything but the new attachments and the hard reboot. After the first start the rows are left as they are: the
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

#: stages of the plan, after the fence and the declaration
_SERVERS, _RETURN = 2, 4
#: tables of a cell that know a compute host
_OF_HOST = ("services", "compute_nodes", "instances")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """From where to where, as far as it is the same for all servers."""

    source: str
    to: str
    database: str
    provider: str  #: uuid of the compute node there, and of its provider
    via: str
    shared: bool
    boot: bool
    manage: str  #: where nova-manage reaches Nova's databases
    #: class -> what is left there for the servers to come
    room: dict[str, float] = field(default_factory=dict)


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """First the proof of death, then a lane for each server. CannotRepair where the whole may not be begun."""
    if sight.live is None:
        raise CannotRepair("a relocation changes rows: name the databases under [databases]")
    if arguments["host"] == arguments["to"]:
        raise UsageError("a host cannot be relocated to itself", "Name another one by --to.")
    dead = fencing.silent(sight, str(arguments["host"]))
    hosts.nodes(sight.api, str(arguments["host"]))  # refuses machines of ironic
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
        raise CannotRepair(f"{source} is in cell {cells[source]}, {to} in cell {cells[to]}: rows stay in their cell")
    database = cell_database(cells[source])
    nodes = live.rows(database, "compute_nodes", {"host": to, "deleted": 0})
    if len(nodes) != 1:
        raise CannotRepair(f"host {to} has {len(nodes)} compute nodes: a server is relocated to a host with one")
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
    """Name of the cell that a host is in; every cell has to be read for that."""
    found = [
        cell
        for cell in live.cells()
        if any(live.rows(cell_database(cell), table, {"host": host, "deleted": 0}) for table in _OF_HOST)
    ]
    if len(found) != 1:
        raise UsageError(
            f"host {host} is in {len(found)} cells{': ' if found else ''}{', '.join(found)}",
            "A compute host is known by its service, its node or its servers, in one cell.",
        )
    return found[0]


def _servers(live: Live, move: _Move, wanted: tuple[str, ...]) -> list[dict[str, Value]]:
    """The live servers of the host, or those of them that are named; by name."""
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
    """Class -> how much of it the host has left; {} where Placement has no provider of it."""
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
    """Take what the server needs from the room that is left; CannotRepair where there is not enough."""
    held = live.rows("placement", "allocations", {"consumer_id": server["uuid"]})
    wanted: dict[str, int] = {}
    for row in held:
        kind = str(row["resource_class_id"])
        # held on both hosts after a failed move, it is needed once
        wanted[kind] = max(wanted.get(kind, 0), int(str(row["used"])))
    for kind, amount in wanted.items():
        if amount > move.room.get(kind, 0):
            classes = live.rows("placement", "resource_classes", {"id": int(kind)})
            name = str(classes[0]["name"]) if classes else f"resource class {kind}"
            raise CannotRepair(f"{move.to} has no room for it: {amount} of {name}, {move.room.get(kind, 0):g} are left")
    for kind, amount in wanted.items():
        move.room[kind] -= amount


def _lane(sight: Sight, live: Live, move: _Move, server: Mapping[str, Value]) -> LaneDraft:
    name = str(server["uuid"])
    volumes = _volumes(live, move, name)
    target = {
        "name": server["display_name"], "host": server["host"], "node": server["node"],
        "vm_state": server["vm_state"], "power_state": server["power_state"], "volumes": sorted(volumes),
    }  # fmt: skip
    message = f"from {move.source} to {move.to}, by database"
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
    """Volume -> Nova's attachment of it."""
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
    """CannotRepair unless Nova and Cinder mean the same attachment: which one is right is not to be guessed here."""
    where: dict[str, Value] = {"volume_id": volume, "instance_uuid": server, "deleted": 0}
    if [str(row["id"]) for row in live.rows("cinder", "volume_attachment", where)] != [attachment]:
        raise CannotRepair(
            f"Nova and Cinder disagree about the attachment of volume {volume}: run an audit and repair that"
        )


def _stopped(server: str) -> str:
    return f"it is stopped; its first start makes the guest on the new host: openstack server start {server}"


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
    why="unless the old host is certainly dead, its servers run twice on the same disks; what"
    " they had in memory is lost",
)
