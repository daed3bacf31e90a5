# SPDX-License-Identifier: Apache-2.0
"""Move every server off a host before maintenance, and verify in every service that the host is empty.

## What it does
Disables the host with a reason, then moves each server in its own lane. Running and paused servers are live-migrated.
Stopped servers are cold-migrated and the migration confirmed (`--cold`), suspended servers are resumed for the move
(`--wake`), and shelved servers are offloaded. Nova decides about block migration, since it knows where the disks are. A
move that makes no progress is aborted or forced to complete (`--stall`, `--on-stall`). A move that failed is tried once
more on a host of Nova's choice, unless `--to` names one. With `--agents`, the routers and networks of the host's
Neutron agents are moved as well. Finally Nova, Neutron, Placement and Cinder must each report the host as empty.

## Guards
* nova-compute on the host is up, another host in its cell is up and enabled, and `--to` names such a host.
* Each server is moved only in the state the plan saw: a server stopped or moved since then is left alone and reported.
* A server with a finding that would make its move fail, or lose data on the way, stays on the host and the finding is
  shown (`--no-audit` moves it anyway).
* A server that only its owner can decide about (rescued, resized, locked while stopped, in error, using devices of the
  host) is left in place, with the reason and the next step. The host is then not empty, and the run says so.
* Free capacity is counted for each flavor separately. It is an estimate, because other servers come and go.

## Undo
Enables the host again if this run disabled it and nobody has set another reason since. Servers stay where they are:
`host return --back-from RUN` moves them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from stackmend.cloud import hosts, servers
from stackmend.cloud.hosts import Compute
from stackmend.cloud.servers import Server
from stackmend.cloud.states import MOVED, WITH_STATE
from stackmend.hosts import agents, moving
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.block_storage import VolumesAway
from stackmend.model.operations.compute import Resume
from stackmend.model.operations.compute_hosts import DisableService, EnableService, ServersAway
from stackmend.model.operations.network import PortsAway
from stackmend.model.operations.placement import ProvidersEmpty
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Gate, Manual, Risk, Step
from stackmend.model.values import real
from stackmend.model.workflow import LaneDraft, Sight, Workflow

_DISABLE, _SERVERS, _AGENTS, _EMPTY = range(4)
_OF_AGENTS = "network:"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The state of the host before anything is changed."""

    host: Compute
    servers: tuple[Server, ...]
    fit: frozenset[str]  #: hosts that servers may move to
    nodes: Mapping[str, str]  #: provider -> host
    moves: tuple[Mapping[str, object], ...]
    ports: Mapping[str, list[Mapping[str, object]]]
    room: Mapping[hosts.Need, Mapping[str, int]]

    @property
    def providers(self) -> list[str]:
        """Nodes of the host."""
        return sorted(one for one, host in self.nodes.items() if host == self.host.host)


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """Lanes: disable the host, move each server, move agents if requested, and verify that the host is empty."""
    wishes = _wishes(arguments)
    seen = _look(sight, str(arguments["host"]), wishes.to)
    drafts = list(_drafts(sight, seen, wishes))
    moving = [one for one in drafts if one.risk is not Risk.MANUAL]
    estimate = _estimate(seen, {one.resource_id for one in moving})
    sight.facts.update(
        host=seen.host.host, to=wishes.to or "wherever the scheduler places them", estimate=estimate,
        room=[_capacity(need, count, seen.room[need]) for need, count in _wanted(seen).items()],
        hosts=sorted(seen.fit), left=len(drafts) - len(moving),
    )  # fmt: skip
    yield _disable(seen, str(arguments.get("reason") or f"drained by stackmend at {sight.now}"), estimate)
    yield from drafts
    yield from _strangers(sight, seen)
    if arguments.get("agents"):
        yield from agents.lanes(sight, seen.host.host, _AGENTS)
    yield _empty(seen, bool(arguments.get("agents")))


def _wishes(arguments: Row) -> moving.MoveOptions:
    on_stall = str(arguments.get("on_stall") or "abort")
    if on_stall not in ("abort", "force-complete", "wait"):
        raise UsageError(f"--on-stall {on_stall!r} must be abort, force-complete or wait")
    return moving.MoveOptions(
        to=str(arguments["to"]) if arguments.get("to") else None,
        cold=bool(arguments.get("cold")),
        wake=bool(arguments.get("wake")),
        limit=real(arguments.get("timeout") or 3600),
        stall=real(arguments.get("stall") or 900),
        on_stall=on_stall,
        stage=_SERVERS,
    )


# -- the current state


def _look(sight: Sight, host: str, to: str | None) -> _Seen:
    api, found = sight.api, hosts.computes(sight.api)
    own = hosts.compute(found, host)
    if own.state != "up" or own.forced_down:
        raise CannotRepair(
            f"nova-compute on {host} is down, and servers cannot be moved without it: start it, or if"
            f" the host is dead, run 'stackmend host evacuate {host}'"
        )
    fit = _fit(found, host, hosts.cells(sight.live))
    _destination(found, fit, host, to)
    groups, ports, shown = servers.groups(api), servers.ports(api, host), servers.on_host(api, host)
    here = tuple(
        replace(one, ports=tuple(ports.get(one.id, ())), groups=tuple(groups.get(one.id, ()))) for one in shown
    )
    allowed = frozenset({to}) if to else fit
    nodes = hosts.nodes(api, host)
    targets = {provider: name for provider, name in nodes.items() if name in allowed}
    return _Seen(
        host=own,
        servers=here,
        fit=allowed,
        nodes=nodes,
        moves=tuple(hosts.open_moves(api, host)),
        ports=ports,
        room={need: hosts.room(api, need, targets) for need in dict.fromkeys(one.need for one in here)},
    )


def _fit(found: Mapping[str, Compute], host: str, cells: Mapping[str, object]) -> frozenset[str]:
    """Other hosts that servers can move to: Nova does not migrate a running server to another cell."""
    fit = {name for name, one in found.items() if one.fit and name != host}
    if host in cells:
        fit = {name for name in fit if cells.get(name) == cells[host]}
    if not fit:
        cell = " in its cell" if cells else ""
        raise CannotRepair(f"no other host{cell} is up and enabled: no server can be moved")
    return frozenset(fit)


def _destination(found: Mapping[str, Compute], fit: frozenset[str], host: str, to: str | None) -> None:
    if to is None or to in fit:
        return
    if to == host:
        raise UsageError("a host cannot be drained to itself", "Name another host with --to, or let Nova choose.")
    one = hosts.compute(found, to)
    if one.fit:
        raise CannotRepair(f"{to} is in another cell than {host}: servers cannot move there")
    raise CannotRepair(f"{to} is {one.status} and {one.state}: Nova cannot move servers there")


# -- servers


def _drafts(sight: Sight, seen: _Seen, wishes: moving.MoveOptions) -> Iterator[LaneDraft]:
    """Largest servers first, because they take longest."""
    images: dict[str, Mapping[str, object]] = {}
    where: dict[str, str | None] = {one.id: one.host for one in seen.servers}
    for one in sorted(seen.servers, key=lambda s: (-s.memory, -s.disk, s.name, s.id)):
        hindered = "" if one.task_state else "; ".join(_hindered(sight, seen, one, images, where))
        yield moving.lane(one, wishes, hindered)


def _hindered(
    sight: Sight, seen: _Seen, one: Server, images: dict[str, Mapping[str, object]], where: dict[str, str | None]
) -> Iterator[str]:
    if stuck := [move for move in seen.moves if move["instance_uuid"] == one.id and move["status"] != "finished"]:
        yield (
            f"its {stuck[0].get('migration_type') or 'migration'} is recorded as {stuck[0]['status']}, but nothing is"
            f" in progress: see 'openstack server migration list --server {one.id}' and 'openstack server event"
            f" list {one.id}'; if the records disagree, run 'stackmend server where {one.id}'"
        )
    yield from (f"repair it first: {finding}" for finding in sight.findings.get(one.id, ()))
    if one.vm_state in WITH_STATE:
        for why in servers.immovable(sight.api, one, servers.image_of(sight.api, one, images)):
            yield f"{why}: stop it when its owner agrees, then move it with --cold"
    if one.vm_state in MOVED:
        yield from servers.crowded(sight.api, one, seen.fit, where)
        if not seen.room.get(one.need):
            yield f"no host has enough free capacity ({_needs(one.need)})"


def _needs(need: hosts.Need) -> str:
    return ", ".join((f"flavor {need.flavor}", *(f"{name} {amount}" for name, amount in need.resources)))


def _wanted(seen: _Seen) -> Counter[hosts.Need]:
    return Counter(one.need for one in seen.servers)


def _capacity(need: hosts.Need, count: int, room: Mapping[str, int]) -> str:
    """Free capacity for the servers of one flavor, counted as if no other servers moved."""
    total = sum(room.values())
    short = "" if total >= count else ": NOT ENOUGH"
    return f"{count} of flavor {need.flavor}: room for {total} on {len(room)} hosts{short}"


def _estimate(seen: _Seen, moving: set[str]) -> str:
    some = [one for one in seen.servers if one.id in moving]
    memory, disk = sum(one.memory for one in some) / 1024, sum(one.disk for one in some)
    return (
        f"{len(some)} of {len(seen.servers)} servers move, with {memory:.1f} GiB of memory and at most {disk} GiB of"
        " disk (none of it where storage is shared)"
    )


# -- before and after the servers move


def _disable(seen: _Seen, reason: str, estimate: str) -> LaneDraft:
    host = seen.host
    back = EnableService(service=host.service, host=host.host).call({"service": "present", "reason": reason})
    disable = DisableService(service=host.service, host=host.host, reason=reason).call(
        {"service": "present", "state": "up", "forced_down": False}, back
    )
    steps: tuple[Step, ...] = (
        disable,
        Gate(name=f"drain-{host.host}", text=f"{host.host} takes no new servers. {estimate}. Move them now?"),
    )
    already = f"is already disabled ({host.reason or 'no reason'})" if host.status == "disabled" else "is disabled"
    return LaneDraft(
        resource_type="host", resource_id=host.host, message=f"{host.host} {already}; then {estimate}", steps=steps,
        stage=_DISABLE, required=True,
        target={"service": host.service, "status": host.status, "reason": host.reason},
    )  # fmt: skip


def _strangers(sight: Sight, seen: _Seen) -> Iterator[LaneDraft]:
    """Records that other services have for the host and Nova does not: the host will not be empty."""
    host, known = seen.host.host, {one.id for one in seen.servers}
    for move in seen.moves:
        if move["instance_uuid"] not in known and move["status"] == "finished":
            kind = move.get("migration_type") or "resize"
            yield _by_hand(
                host, "server", str(move["instance_uuid"]),
                f"its {kind} from {host} waits to be confirmed or reverted and keeps its old disk there: run 'openstack"
                " server resize confirm' or 'openstack server resize revert'",
            )  # fmt: skip
    moving = {str(move.get("uuid")) for move in seen.moves} | {str(move["instance_uuid"]) for move in seen.moves}
    for one in sorted(hosts.consumers(sight.api, seen.providers) - known - moving):
        yield _by_hand(
            host, "consumer", one,
            f"it has an allocation on {host}, but Nova lists no such server there: either a deleted server that can be"
            " restored ('openstack server list --all-projects --deleted') or a leftover ('stackmend audit --check"
            " allocation-orphan')",
        )  # fmt: skip
    for device, some in sorted(seen.ports.items()):
        bound = [port for port in some if not str(port.get("device_owner") or "").startswith(_OF_AGENTS)]
        if device not in known and bound:
            yield _by_hand(
                host, "port", str(bound[0]["id"]),
                f"it is bound to {host} for {device or 'no device'}, but Nova lists no such server there: run"
                " 'stackmend audit --check port-without-server --check port-binding-wrong-host'",
            )  # fmt: skip


def _by_hand(host: str, kind: str, name: str, why: str) -> LaneDraft:
    return LaneDraft(
        resource_type=kind, resource_id=name, message=f"{kind} {name} stays on {host}", stage=_SERVERS,
        steps=(Manual(text=f"{kind} {name}: {why}"),), risk=Risk.MANUAL, why=why,
    )  # fmt: skip


def _empty(seen: _Seen, agents: bool) -> LaneDraft:
    host = seen.host.host
    volumes = sorted({volume for one in seen.servers for volume in one.volumes})
    steps = [
        ServersAway(host=host).call(),
        PortsAway(host=host, agents=agents).call(),
        ProvidersEmpty(host=host, providers=tuple(seen.providers)).call(),
    ]
    if volumes:
        steps.append(VolumesAway(host=host, volumes=tuple(volumes)).call())
    return LaneDraft(
        resource_type="host", resource_id=host, message=f"{host} is empty according to every service",
        steps=tuple(steps), stage=_EMPTY,
    )  # fmt: skip


WORKFLOW = Workflow(name="drain-host", risk=Risk.SAFE, lanes=lanes, deed="move", unsafe={Resume: moving.WOKEN})
