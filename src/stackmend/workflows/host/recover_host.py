# SPDX-License-Identifier: Apache-2.0
"""Start the servers that were running on a host before it was rebooted.

## What it does
Finds out which servers were running before the boot, including those that nova-compute has since found off and marked
stopped, and starts them in order: `--first`, then by `stackmend:order` in metadata or tags (smaller first), several at
a time within each step. A lane is done when its server runs with its ports and volumes. Finally the consoles are
checked: a console that no longer changes, a kernel panic, an fsck prompt or an emergency shell is reported; nothing is
typed into it.

## Which servers were running
* `active` in Nova and off on the hypervisor: it was running. It gets a hard reboot, which defines the guest again.
* `stopped`, and its last action is a `stop` without a user, no earlier than 15 minutes before the boot: it was running,
  and nova-compute stopped it when it found it off. It is started.
* `stopped` by a user: it stays off.
* in error since the boot: nova-compute failed to resume it at startup. Its fault is shown, its state is reset, and it
  gets a hard reboot.

## Guards
nova-compute is up, has reported since the boot, and answers; the Neutron agents on the host are alive. A server with a
finding that would make a start harmful (an empty network cache, a volume that Nova has and Cinder does not) stays off,
and the finding is shown: repair that first.

## Undo
The servers that were started are stopped again. A hard reboot is not undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stackmend.cloud import compute, network
from stackmend.cloud.servers import Server
from stackmend.cloud.states import EVACUATED, RUNNING
from stackmend.hosts import fencing, guests, reboots
from stackmend.model.finding import Row
from stackmend.model.operations.compute import ConsoleMoves, RebootHard, ResetState, Start, Stop
from stackmend.model.operations.compute_hosts import AwaitWhole
from stackmend.model.operations.servers import ServerSeen
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Manual, Risk, Step
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: stages: servers in their order, then all consoles
_SERVERS, _CONSOLES = 1, 1000
_FORGOTTEN = "it was {0}: nova-compute resumes this by itself when it starts; check again in a minute"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """The action for one server, and the reason."""

    how: str  #: "start", "reboot", "reset", "leave" (nothing to do) or "ask" (a human)
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    """Values that apply to all servers."""

    name: str
    booted: datetime | None
    now: str
    findings: Mapping[str, Sequence[str]]
    off: frozenset[str]  #: servers to leave off, as the operator says
    also: frozenset[str]  #: servers to start, as the operator says
    log: Sequence[str]
    consoles: bool


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """A lane for each server that should run, then one for each console."""
    name = str(arguments["host"])
    booted = reboots.boot(sight, name, str(arguments.get("since") or ""))
    log = reboots.log(sight, name)
    _serving(sight, name, booted, log)
    lost = guests.guests(sight, name)
    host = _Host(
        name=name,
        booted=booted,
        now=fencing.now(sight).strftime("%Y-%m-%dT%H:%M:%S"),
        findings=sight.findings,
        off=frozenset(guests.named(lost, texts(arguments.get("off")), "--leave-off")),
        also=frozenset(guests.named(lost, texts(arguments.get("also")), "--start")),
        log=log,
        consoles=bool(arguments.get("consoles", True)),
    )
    first = guests.named(lost, texts(arguments.get("first")), "--first")
    stages = guests.stages(lost, first, _SERVERS)
    verdicts = {guest.id: _verdict(sight, host, guest) for guest in lost}
    sight.facts["host"] = name
    sight.facts["booted"] = booted.isoformat() if booted else None
    sight.facts["servers"] = {
        guest.id: {
            "name": guest.name,
            "vm_state": guest.vm_state,
            "power_state": guest.power_state,
            "to_do": verdicts[guest.id].how,
            "why": verdicts[guest.id].why,
        }
        for guest in lost
    }
    for guest in lost:
        yield from _lanes(sight, host, guest, verdicts[guest.id], stages[guest.id])


# -- the host


def _serving(sight: Sight, host: str, booted: datetime | None, log: Sequence[str]) -> None:
    """CannotRepair unless nova-compute and the network agents are back and report."""
    found = compute.service(sight.api, host)
    beat = fencing.moment(found.get("updated_at"))
    if found.get("forced_down"):
        open_ = [one for one in compute.evacuations(sight.api, host) if one["status"] in EVACUATED]
        more = f" and has yet to clean up after {len(open_)} evacuations" if open_ else ""
        raise CannotRepair(
            f"{host} is forced down{more}: no server may be started on it (run 'stackmend host return {host}' first)"
        )
    lost = reboots.connected(log)
    if found["state"] != "up":
        raise CannotRepair(f"nova-compute on {host} is down{f': {lost}' if lost else ': start it first'}")
    if booted and beat and beat < booted:
        raise CannotRepair(f"nova-compute on {host} has not reported since the boot: start it first")
    if lost:
        raise CannotRepair(f"nova-compute on {host} runs without RabbitMQ: {lost}")
    dead = sorted(
        str(one["agent_type"]) for one in network.agents(sight.api, host) if not one["alive"] and one["admin_state_up"]
    )
    if dead:
        raise CannotRepair(f"Neutron agents on {host} are not alive: {', '.join(dead)}. Ports cannot be bound there")


# -- servers


def _verdict(sight: Sight, host: _Host, guest: Server) -> _Verdict:
    """The action for this server. nova-compute must answer which guests its hypervisor runs."""
    if guest.id in host.off:
        return _Verdict(how="leave", why="it stays off (--leave-off)")
    if not guest.idle:
        return _Verdict(how="ask", why=_FORGOTTEN.format(guest.task_state))
    if guest.vm_state == "active":
        runs = reboots.running(sight, guest)
        runs = guest.power_state == RUNNING if runs is None else runs
        return _Verdict(how="leave", why="it runs") if runs else _Verdict(how="reboot", why="it is active but off")
    if guest.vm_state == "stopped":
        return _stopped(sight, host, guest)
    if guest.vm_state == "error":
        return _broken(host, guest)
    return _Verdict(how="leave", why=f"it is {guest.vm_state}")


def _stopped(sight: Sight, host: _Host, guest: Server) -> _Verdict:
    if guest.id in host.also:
        return _Verdict(how="start", why="it was requested with --start")
    stop = reboots.newest(sight, guest.id)
    sync = reboots.by_sync(stop, host.booted)
    if sync and stop is not None:
        return _Verdict(how="start", why=f"nova-compute found it off and stopped it ({_when(stop)})")
    if sync is None and stop is not None:
        return _Verdict(
            how="ask",
            why=f"nova-compute found it off and stopped it ({_when(stop)}), and the boot time of the host is not known:"
            f" give it with --since, or use --start {guest.id}",
        )
    if stop is not None and stop.action == "stop" and stop.nobody:
        return _Verdict(how="leave", why=f"it had stopped before the host was rebooted ({_when(stop)})")
    return _Verdict(how="leave", why=f"a user stopped it ({_when(stop)})" if stop else "it was stopped")


def _when(stop: reboots.PowerAction | None) -> str:
    return f"{stop.action} at {stop.at.strftime('%Y-%m-%d %H:%M:%S')}" if stop and stop.at else "no action shows when"


def _broken(host: _Host, guest: Server) -> _Verdict:
    told = "; ".join(filter(None, (guest.fault or "no fault is recorded", reboots.reason(host.log, guest.id))))
    at = fencing.moment(guest.fault_at)
    if guest.id in host.also or (host.booted and at and at >= host.booted):
        return _Verdict(how="reset", why=f"it is in error: {told}")
    return _Verdict(how="ask", why=f"it was in error before the boot: {told}. To start it: --start {guest.id}")


def _lanes(sight: Sight, host: _Host, guest: Server, verdict: _Verdict, stage: int) -> Iterator[LaneDraft]:
    if verdict.how == "leave":
        yield from _stuck(sight, host, guest, stage)
        return
    target = {"name": guest.name, "vm_state": guest.vm_state, "power_state": guest.power_state, "why": verdict.why}
    findings = (*host.findings.get(guest.id, ()), *guests.harms(sight, guest))
    if verdict.how == "ask" or findings:
        why = "; ".join((verdict.why, *(f"starting it would do damage: {finding}" for finding in findings)))
        yield LaneDraft(
            resource_type="server", resource_id=guest.id, message=f"{guest.name} is left as it is", stage=stage,
            steps=(Manual(text=f"not started: {why}"),), risk=Risk.MANUAL, why=why, target=target,
        )  # fmt: skip
        return
    yield LaneDraft(
        resource_type="server", resource_id=guest.id, message=f"{guest.name}: {verdict.why}", stage=stage,
        steps=tuple(_steps(host, guest, verdict.how)), slots=(f"to:{host.name}",), target=target,
    )  # fmt: skip
    if host.consoles:
        before = reboots.console(sight, guest).get("console")
        yield LaneDraft(
            resource_type="server", resource_id=guest.id, message=f"the console of {guest.name} keeps changing",
            stage=_CONSOLES,
            steps=(ConsoleMoves(server=guest.id, before=before).call(),),
        )  # fmt: skip


def _stuck(sight: Sight, host: _Host, guest: Server, stage: int) -> Iterator[LaneDraft]:
    """A running guest whose console shows that it did not boot."""
    if guest.vm_state != "active" or not host.consoles:
        return
    shows = reboots.console(sight, guest).get("shows")
    if shows in ("", "login"):
        return
    text = f"it runs, but its console shows {shows}: this is for its owner, nothing is typed into it"
    yield LaneDraft(
        resource_type="server", resource_id=guest.id, message=f"{guest.name} did not boot", stage=stage,
        steps=(Manual(text=text),), risk=Risk.MANUAL, why=text,
    )  # fmt: skip


def _steps(host: _Host, guest: Server, how: str) -> Iterator[Step]:
    state = guest.vm_state
    expect: ServerSeen = {
        "server": "present", "server.host": host.name, "server.vm_state": state, "server.task_state": None,
    }  # fmt: skip
    if how == "start":
        yield Start(server=guest.id).call(expect, Stop(server=guest.id).call({"server.host": host.name}))
    else:
        if how == "reset":
            yield ResetState(server=guest.id, state="active").call(expect)
            state = "active"
        yield RebootHard(server=guest.id, after=host.now).call(
            {"server": "present", "server.host": host.name, "server.vm_state": state, "server.task_state": None}
        )
    yield AwaitWhole(
        server=guest.id, at=host.name, left="", running=True,
        ports=tuple(str(port["id"]) for port in guest.ports), volumes=tuple(guest.volumes),
    ).call()  # fmt: skip


WORKFLOW = Workflow(name="recover-host", risk=Risk.SAFE, lanes=lanes, deed="start")
