# SPDX-License-Identifier: Apache-2.0
"""Start again what ran on a host before it was restarted.

## What it does
Finds out which servers ran before the boot, also where nova-compute has found them off since and called them stopped,
and starts them in their order: `--first`, then by `stackmend:order` in metadata or tags (smaller first), many at a time
in between. Each one has to run, with its ports and its volumes, before its lane is done. At the end the consoles are
looked at: one that stands still, a kernel panic, an fsck or an emergency shell that waits is reported, and nobody types
into it.

## What ran before
* `active` for Nova and off for the hypervisor: it ran. It gets a hard reboot, which defines the guest anew.
* `stopped`, and its last action is a `stop` that nobody asked for, not earlier than 15 minutes before the boot: it ran,
  and nova-compute stopped it when it found it off. It is started.
* `stopped` by somebody: it stays off.
* in error since the boot: nova-compute gave up on it when it started. Its fault is shown, its state is reset, and it
  gets a hard reboot.

## Guards
nova-compute is up, has reported since the boot, and answers; the network agents of the host are alive. A server with a
finding by which a start destroys something (an empty network cache, a volume that Nova has and Cinder has not) is left
off, with the finding: mend that first.

## Undo
Those that were started are stopped again. A hard reboot is not taken back.
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

#: stages: servers by their order, then all consoles
_SERVERS, _CONSOLES = 1, 1000
_FORGOTTEN = "it was {0}: nova-compute takes that up again by itself when it starts; look again in a minute"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What is to be done with a server."""

    how: str  #: "start", "reboot", "reset", "leave" (it is as it should be) or "ask" (a human)
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    """What is the same for all servers."""

    name: str
    booted: datetime | None
    now: str
    findings: Mapping[str, Sequence[str]]
    off: frozenset[str]  #: to be left off, as the operator says
    also: frozenset[str]  #: to be started, as the operator says
    log: Sequence[str]
    consoles: bool


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """A lane for each server that is to run, and one for each console afterwards."""
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
    """CannotRepair unless nova-compute is there again, is heard, and the network agents are."""
    found = compute.service(sight.api, host)
    beat = fencing.moment(found.get("updated_at"))
    if found.get("forced_down"):
        open_ = [one for one in compute.evacuations(sight.api, host) if one["status"] in EVACUATED]
        more = f", and has yet to clean up after {len(open_)} evacuations" if open_ else ""
        raise CannotRepair(
            f"{host} is forced down{more}: nothing may be started on it ('stackmend host return {host}')"
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
        raise CannotRepair(f"agents of Neutron on {host} are not alive: {', '.join(dead)}. Ports cannot be bound there")


# -- servers


def _verdict(sight: Sight, host: _Host, guest: Server) -> _Verdict:
    """What is to be done with it. nova-compute is asked what its hypervisor runs, and has to answer."""
    if guest.id in host.off:
        return _Verdict(how="leave", why="it is to stay off (--leave-off)")
    if not guest.idle:
        return _Verdict(how="ask", why=_FORGOTTEN.format(guest.task_state))
    if guest.vm_state == "active":
        runs = reboots.running(sight, guest)
        runs = guest.power_state == RUNNING if runs is None else runs
        return _Verdict(how="leave", why="it runs") if runs else _Verdict(how="reboot", why="it is active, and is off")
    if guest.vm_state == "stopped":
        return _stopped(sight, host, guest)
    if guest.vm_state == "error":
        return _broken(host, guest)
    return _Verdict(how="leave", why=f"it is {guest.vm_state}")


def _stopped(sight: Sight, host: _Host, guest: Server) -> _Verdict:
    if guest.id in host.also:
        return _Verdict(how="start", why="it is to run (--start)")
    stop = reboots.newest(sight, guest.id)
    sync = reboots.by_sync(stop, host.booted)
    if sync and stop is not None:
        return _Verdict(how="start", why=f"nova-compute found it off and stopped it ({_when(stop)})")
    if sync is None and stop is not None:
        return _Verdict(
            how="ask",
            why=f"nova-compute found it off and stopped it ({_when(stop)}), and when the host was started is not known:"
            f" say --since, or --start {guest.id}",
        )
    if stop is not None and stop.action == "stop" and stop.nobody:
        return _Verdict(how="leave", why=f"it had stopped before the host was restarted ({_when(stop)})")
    return _Verdict(how="leave", why=f"somebody stopped it ({_when(stop)})" if stop else "it was stopped")


def _when(stop: reboots.Stop | None) -> str:
    return f"{stop.action} at {stop.at.strftime('%Y-%m-%d %H:%M:%S')}" if stop and stop.at else "no action tells when"


def _broken(host: _Host, guest: Server) -> _Verdict:
    told = "; ".join(filter(None, (guest.fault or "no fault is recorded", reboots.reason(host.log, guest.id))))
    at = fencing.moment(guest.fault_at)
    if guest.id in host.also or (host.booted and at and at >= host.booted):
        return _Verdict(how="reset", why=f"it is in error: {told}")
    return _Verdict(how="ask", why=f"it is in error, and not since the boot: {told}. To start it: --start {guest.id}")


def _lanes(sight: Sight, host: _Host, guest: Server, verdict: _Verdict, stage: int) -> Iterator[LaneDraft]:
    if verdict.how == "leave":
        yield from _stuck(sight, host, guest, stage)
        return
    target = {"name": guest.name, "vm_state": guest.vm_state, "power_state": guest.power_state, "why": verdict.why}
    findings = (*host.findings.get(guest.id, ()), *guests.harms(sight, guest))
    if verdict.how == "ask" or findings:
        why = "; ".join((verdict.why, *(f"a start would damage it: {finding}" for finding in findings)))
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
            resource_type="server", resource_id=guest.id, message=f"the console of {guest.name} moves", stage=_CONSOLES,
            steps=(ConsoleMoves(server=guest.id, before=before).call(),),
        )  # fmt: skip


def _stuck(sight: Sight, host: _Host, guest: Server, stage: int) -> Iterator[LaneDraft]:
    """A guest that runs, and shows on its console that it did not come up."""
    if guest.vm_state != "active" or not host.consoles:
        return
    shows = reboots.console(sight, guest).get("shows")
    if shows in ("", "login"):
        return
    text = f"it runs, and its console shows {shows}: that is for its owner, nobody types into it"
    yield LaneDraft(
        resource_type="server", resource_id=guest.id, message=f"{guest.name} did not start", stage=stage,
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
