# SPDX-License-Identifier: Apache-2.0
"""Evacuate the servers of a dead host through Nova's API.

## What it does
Verifies that the host is dead, then evacuates each server in its own lane, starts the servers that were running, and
checks host, power state, ports, volumes and allocation of each one. Nova keeps the allocation on the old host until
that host comes back; this is expected.

## Guards
* nova-compute on the host is down and its heartbeat is old. A host that is forced down but still reports is alive. This
  is checked again when the run begins and before each server.
* The host is fenced: `[hooks] fence` exits with 0, or the operator confirms it with `--fenced`, which is journalled.
* The list of servers is complete: allocations on the host in Placement are compared with the servers Nova lists.
* A server whose move to another host never ended stays, unless that host is declared dead: its guest may run there.
* A server is evacuated only if its disk is known to be elsewhere (volume, RBD, shared directory, or its directory found
  on the destination). Otherwise Nova would rebuild it from its image, so it is left where it is, unless
  `--consent-rebuild` names it.
* A server with a finding that would keep it from coming up complete stays, and the finding is shown. With an empty
  network cache, for instance, it would have no NICs on the new host. `--no-audit` skips this check.

## What is lost
The memory of every guest. Servers that are paused, suspended or rescued, and servers with an operation in progress, are
reset first. The plan says for each one what it loses.

## Undo
Only the forced-down flag of the host, and only before the first evacuation. The only way to reverse an evacuation is to
move the server again, after the host has come back and has cleaned up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackmend.cloud import compute, hosts, servers
from stackmend.cloud.servers import Server
from stackmend.cloud.states import EVACUABLE, EVACUATING, RAN
from stackmend.hosts import fencing, guests
from stackmend.hosts.guests import DiskLocation
from stackmend.model.errors import UsageError
from stackmend.model.finding import Row
from stackmend.model.operations.compute import ResetState, Start
from stackmend.model.operations.compute_hosts import AwaitWhole, LeaveDeadHost, LeavingSeen
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: stages of the plan: fence, force down, then servers in their order, and instructions for the host's return last
_SERVERS, _RETURN = 2, 1000

#: vm_state that must be reset before Nova can evacuate the server -> what is lost by the reset
_RESET = {
    "paused": "it was paused: its memory is lost, and it boots again",
    "suspended": "it was suspended: its saved memory is on the dead host and is lost; it stays stopped",
    "rescued": "it was rescued: it boots from its own disk, without the rescue disk",
}
#: vm_state or task_state that needs a human decision -> why
_LEFT = {
    "building": "it was never built: delete it and create it again",
    "resized": "its resize waits to be confirmed or reverted, and its old disk is on another host: if this host does"
    " not come back, only the old disk is left",
    "soft-delete": "it is soft-deleted: restore it when the host is back, or let the deletion complete",
    "shelved": "it is shelved and its image is in Glance: if the host does not come back, the server must be offloaded"
    " by hand, then unshelved",
    "deleting": "its deletion is in progress: Nova continues it when the host is back; otherwise delete it again",
    "soft-deleting": "its deletion is in progress: Nova continues it when the host is back; otherwise delete it again",
    "migrating": "a live migration was in progress when its host died: it may run on the other host. Check there first",
    "resize_prep": "a move was in progress when its host died: its disk may be on either host. Check both first",
    "resize_migrating": "a move was in progress when its host died: its disk may be on either host. Check both first",
    "resize_migrated": "a move was in progress when its host died: its disk may be on either host. Check both first",
    "resize_finish": "a move was in progress when its host died: its disk may be on either host. Check both first",
    "resize_confirming": "a move was in progress when its host died: its disk may be on either host. Check both first",
    "resize_reverting": "a move was in progress when its host died: its disk may be on either host. Check both first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """Values that apply to all servers."""

    host: str
    to: str
    since: str  #: evacuations of this run are requested after this time
    stopped: bool  #: evacuated servers arrive stopped and must be started
    start: bool
    shared: bool
    consent: frozenset[str]
    there: frozenset[str] | None
    old: Mapping[str, Sequence[str]]  #: server -> evacuations that have ended
    open: Mapping[str, Mapping[str, object]]  #: server -> a move that never ended, to a host that may be alive
    fit: frozenset[str]  #: possible destinations
    where: dict[str, str | None]  #: server -> host, where known


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """Lanes: verify that the host is dead, evacuate each server, and instructions for the host's return."""
    host, to = str(arguments["host"]), str(arguments.get("to") or "")
    found = fencing.silent_service(sight, host)
    hosts.nodes(sight.api, host)  # raises for baremetal (ironic) hosts
    fence = list(fencing.fence(sight, host, bool(arguments.get("fenced"))))
    fit = _destinations(sight, host, to)
    lost = guests.guests(sight, host)
    consent = frozenset(guests.named(lost, texts(arguments.get("consent")), "--consent-rebuild"))
    first = guests.named(lost, texts(arguments.get("first")), "--first")
    stages = guests.stages(lost, first, _SERVERS)
    evacuations = compute.evacuations(sight.api, host)
    job = _Job(
        host=host,
        to=to,
        since=_since(found, evacuations),
        stopped=sight.api.offers("compute", compute.STOPPED),
        start=bool(arguments.get("start", True)),
        shared=bool(arguments.get("shared")),
        consent=consent,
        there=guests.on_disk(sight, to),
        old=_old(evacuations),
        open=_open(sight, host),
        fit=fit,
        where={guest.id: guest.host for guest in lost},
    )
    drafts = [_lane(sight, job, guest, stages[guest.id]) for guest in lost]
    sight.facts["host"], sight.facts["to"] = host, to or "wherever the scheduler places them"
    sight.facts["servers"] = {draft.resource_id: dict(draft.target) for draft in drafts}
    moving = any(draft.risk is not Risk.MANUAL for draft in drafts)
    if moving:
        yield from fence
        yield fencing.declared(sight, host, found)
    yield from drafts
    if moving or job.old:
        yield from fencing.afterwards(sight, host, _RETURN, moving=moving)


def _destinations(sight: Sight, host: str, to: str) -> frozenset[str]:
    """Possible destinations; CannotRepair if there are none."""
    if to == host:
        raise UsageError("a host cannot be evacuated to itself", "Name another host with --to, or let Nova choose.")
    found = compute.every_compute(sight.api)
    fit = frozenset(str(one["host"]) for one in found if one["state"] == "up" and one["status"] == "enabled") - {host}
    if to and to not in {str(one["host"]) for one in found}:
        raise UsageError(f"there is no compute host {to}", "See 'openstack compute service list'.")
    if to and to not in fit:
        raise CannotRepair(f"{to} is down or disabled: Nova cannot evacuate servers to it")
    if not fit:
        raise CannotRepair("no other host is up and enabled")
    return frozenset({to}) if to else fit


def _since(found: Mapping[str, object], evacuations: Sequence[Mapping[str, object]]) -> str:
    """The latest time that Nova reported, so that its own clock counts, whichever Nova host answers."""
    return max([str(found.get("updated_at") or ""), *(str(one["created_at"]) for one in evacuations)])


def _old(evacuations: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Server -> its evacuations from this host that failed or belong to an earlier outage."""
    found: dict[str, list[str]] = {}
    for one in evacuations:
        if one["status"] not in EVACUATING:
            found.setdefault(str(one["instance_uuid"]), []).append(str(one["uuid"]))
    return found


def _open(sight: Sight, host: str) -> dict[str, Mapping[str, object]]:
    """Server -> its unended move from this host, unless the destination is declared dead or no longer exists.

    A silent nova-compute does not mean that the guests on its host have stopped. A resize waiting for confirmation
    shows in the server's state, and a running evacuation is waited for.
    """
    others = {str(one["host"]) for one in compute.every_compute(sight.api) if not one.get("forced_down")} - {host}
    return {
        str(move["instance_uuid"]): move
        for move in hosts.open_moves(sight.api, host)
        if move["dest_compute"] in others and move["status"] != "finished" and move["migration_type"] != "evacuation"
    }


def _lane(sight: Sight, job: _Job, guest: Server, stage: int) -> LaneDraft:
    place = guests.place(sight, guest, job.there, job.to, job.shared)
    target = {
        "name": guest.name, "vm_state": guest.vm_state, "task_state": guest.task_state, "disk": place.kind,
        "disk_why": place.why, "volumes": list(guest.volumes), "groups": [str(group["id"]) for group in guest.groups],
        "ports": [str(port["id"]) for port in guest.ports],
    }  # fmt: skip
    if why := "; ".join(_hindered(sight, job, guest, place)):
        return LaneDraft(
            resource_type="server", resource_id=guest.id, message=f"{guest.name} stays on {job.host}", stage=stage,
            steps=(Manual(text=f"not evacuated: {why}"),), risk=Risk.MANUAL, why=why, target=target,
        )  # fmt: skip
    told = list(_notes(job, guest, place))
    return LaneDraft(
        resource_type="server",
        resource_id=guest.id,
        message="; ".join((f"{guest.name} to {job.to or 'another host'}", place.why, *told)),
        steps=tuple(_steps(job, guest)),
        stage=stage,
        slots=(*((f"to:{job.to}",) if job.to else ()), *(f"group:{group['id']}" for group in guest.groups)),
        target=target,
        why="; ".join(place.lost),
    )


def _hindered(sight: Sight, job: _Job, guest: Server, place: DiskLocation) -> Iterator[str]:
    """Reasons why the server needs a human decision."""
    state = guest.task_state if guest.task_state in _LEFT else guest.vm_state
    if state in _LEFT:
        yield _LEFT[state]
        return
    if guest.vm_state not in EVACUABLE and guest.vm_state not in _RESET:
        yield f"its state is {guest.vm_state}"
        return
    yield from (f"repair it first: {finding}" for finding in sight.findings.get(guest.id, ()))
    if move := job.open.get(guest.id):
        kind, to = move["migration_type"] or "migration", move["dest_compute"]
        yield (
            f"its {kind} to {to} never ended ({move['status']}), and {to} is not declared dead: its guest may run"
            f" there, and would run twice. Check there: 'virsh list --all --uuid'. If the guest is there:"
            f" 'stackmend server set-host {guest.id} --host {to}'; if not:"
            f" 'stackmend host relocate {job.host} --to {to} --server {guest.id}', or, if {to} is fenced,"
            f" 'openstack compute service set --down {to} nova-compute'"
        )
    yield from guests.obstacles(sight, guest)
    # Nova would leave it in error
    yield from servers.crowded(sight.api, guest, job.fit, job.where)
    if place.kind == "local" and guests.image_gone(sight, guest):
        yield f"its disk would be built from image {guest.image}, which no longer exists"
    elif not place.keeps and guest.id not in job.consent:
        yield (
            f"{'; '.join(place.lost)}. Bring its disk to the destination first ('stackmend host salvage {job.host}'),"
            f" or accept the loss with --consent-rebuild {guest.id}"
        )


def _notes(job: _Job, guest: Server, place: DiskLocation) -> Iterator[str]:
    """Notes about the server for the operator."""
    yield from place.lost
    if guest.vm_state in _RESET:
        yield _RESET[guest.vm_state]
    if guest.task_state and not guest.task_state.startswith("rebuild"):
        yield f"its task state {guest.task_state} is discarded"
    if guest.vm_state == "error":
        yield "it is in error: Nova starts it on the new host"
    elif not job.stopped and (_runs_after(guest) or _reset(guest)):
        yield f"Nova starts it on the new host (only from microversion {compute.STOPPED} does it leave servers stopped)"
    if guest.specs.get("accel:device_profile"):
        yield "it has a Cyborg accelerator: Nova refuses the evacuation unless every host is new enough"


def _runs_after(guest: Server) -> bool:
    """Whether the server was running or starting."""
    return guest.vm_state in RAN or (guest.vm_state == "stopped" and guest.task_state == "powering-on")


def _reset(guest: Server) -> bool:
    """Whether the server's state must be reset; an evacuation already in progress is waited for."""
    under_way = (guest.task_state or "").startswith("rebuild")
    return guest.vm_state not in EVACUABLE or (not guest.idle and not under_way)


def _steps(job: _Job, guest: Server) -> Iterator[Step]:
    state = guest.vm_state
    if _reset(guest):
        # to "active", not "error": Nova starts a server in error on the new host, whatever its state was before
        state = "active"
        yield ResetState(server=guest.id, state=state).call(
            {"server": "present", "server.host": job.host, "server.vm_state": guest.vm_state}
        )
    expect: LeavingSeen = {
        "server": "present",
        "server.host": job.host,
        "server.vm_state": state,
        "server.task_state": None if _reset(guest) else guest.task_state,
        "service.reports": False,
    }
    yield LeaveDeadHost(
        server=guest.id, from_=job.host, to=job.to or None,
        version=compute.STOPPED if job.stopped else compute.LOOKED_AT,
        old=tuple(job.old.get(guest.id, ())), since=job.since,
    ).call(expect)  # fmt: skip
    runs = state == "error" or (_runs_after(guest) and (job.start or not job.stopped))
    if job.stopped and runs and state != "error":
        yield Start(server=guest.id).call()
    yield AwaitWhole(
        server=guest.id, at=job.to, left=job.host, running=runs,
        ports=tuple(str(port["id"]) for port in guest.ports), volumes=tuple(guest.volumes),
    ).call()  # fmt: skip


WORKFLOW = Workflow(
    name="evacuate-host",
    risk=Risk.UNSAFE,
    lanes=lanes,
    deed="rebuild",
    why="unless the host is fenced, its servers run twice on the same disks; the memory of every guest is lost",
)
