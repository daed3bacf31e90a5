# SPDX-License-Identifier: Apache-2.0
"""Power a host off or on, or reboot it, with the operator's own command, and verify that it is back.

## What it does
Runs the configured hook ([hooks] power_off, power_on or reboot, with {host} in it) on the machine that runs stackmend.
For "on" and "reboot" it then waits until the host is back: the boot id has changed, every data file system that was
mounted before is mounted again and writable, nova-compute runs and reports to Nova, and every Neutron agent is alive.
Boot id and mounts are read on the host, using the access configured in [hosts]. Without such access the plan says that
they are not known.

## Guards
* The hook must be configured. Its output is not interpreted: exit code 0 means success. If [hooks] power_status is
  configured, its output decides instead.
* A host on which Nova knows running servers is neither powered off nor rebooted, unless `--with-servers` confirms that
  they may be cut off.

## Undo
A host that was powered off is powered on again, and vice versa. A reboot cannot be undone.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.cloud import hosts, servers
from stackmend.cloud.states import RUNNING
from stackmend.hosts.units import hook
from stackmend.model.errors import SourceError, UsageError
from stackmend.model.finding import Row
from stackmend.model.objects.facts import mounts
from stackmend.model.operations.compute_hosts import ServiceUp
from stackmend.model.operations.network import AgentsAlive
from stackmend.model.protocols import Hosts
from stackmend.model.repair import CannotRepair
from stackmend.model.step import HostCommand, Risk, Step
from stackmend.model.values import real
from stackmend.model.workflow import LaneDraft, Sight, Workflow

#: action -> (hook, expected output of power_status, the hook that undoes it)
_HOOKS = {"off": ("power_off", "off", "power_on"), "on": ("power_on", "on", "power_off"), "reboot": ("reboot", "", "")}
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
#: $1 is the boot id before the reboot: done when it has changed
_RESTARTED = f'b=$(cat {_BOOT_ID}) && [ "$b" != "$1" ]'
#: pairs of mount point and file system type: done when each is mounted and writable
_MOUNTED = (
    'while [ $# -gt 1 ]; do awk -v t="$1" -v k="$2" \'{n=split($4,o,","); w=1; for(i=1;i<=n;i++) if(o[i]=="ro") w=0;'
    " if($2==t && $3==k) f=w} END {exit !f}' /proc/self/mounts || exit 1; shift 2; done"
)


def lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    """One lane: the hook, then the checks that the host is back."""
    host, action = str(arguments["host"]), str(arguments["action"])
    if action not in _HOOKS:
        raise UsageError(f"{action!r} must be one of {', '.join(_HOOKS)}")
    limit = real(arguments.get("timeout") or 1800)
    name, wanted, back = _HOOKS[action]
    command = hook(sight.settings, name, host, back=back, wanted=wanted, limit=limit)
    if command is None:
        raise CannotRepair(f"[hooks] {name} is not configured: stackmend has no other way to do this")
    own = hosts.compute(hosts.computes(sight.api), host)
    if action != "on":
        _cut_off(sight, host, allowed=bool(arguments.get("with_servers")))
    steps: list[Step] = [command]
    if action != "off":
        steps += _back(sight, host, action, own.service, limit)
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"{host}: {'restart' if action == 'reboot' else f'switch {action}'} by [hooks] {name}",
        steps=tuple(steps),
        target={"state": own.state, "status": own.status},
    )


def _cut_off(sight: Sight, host: str, *, allowed: bool) -> None:
    running = [one for one in servers.on_host(sight.api, host) if one.power_state == RUNNING]
    if running and not allowed:
        raise CannotRepair(
            f"{len(running)} servers are running on {host}, for example {running[0].name}: drain the host with"
            f" 'stackmend host drain {host}', or cut them off with --with-servers"
        )
    sight.facts["cut_off"] = [one.id for one in running]


def _back(sight: Sight, host: str, action: str, service: str, limit: float) -> Iterator[Step]:
    """Steps that wait until the host is back."""
    if sight.hosts is None:
        sight.facts["not_known"] = "boot id and mounts: no access to hosts is configured ([hosts] transport)"
    elif action == "reboot":
        yield from _as_before(sight, sight.hosts, host, limit)
    yield ServiceUp(service=service, host=host, limit=limit).call()
    yield AgentsAlive(host=host, limit=limit).call()


def _read(hosts: Hosts, host: str, path: str) -> str:
    done = hosts.run(host, ("cat", path))
    if done.code != 0:
        raise SourceError(f"{path} of {host} cannot be read: exit code {done.code}", "See [hosts] prefix.")
    return done.out.decode("utf-8", "surrogateescape")


def _as_before(sight: Sight, hosts: Hosts, host: str, limit: float) -> Iterator[Step]:
    """Steps for a host that runs now: the boot id has changed, and the current mounts are back."""
    boot_id = _read(hosts, host, _BOOT_ID).strip()
    if len(boot_id.split()) != 1:
        raise SourceError(f"{host} has no boot id: {_BOOT_ID} there says {boot_id[:40]!r}", "Is it a Linux host?")
    text = _read(hosts, host, "/proc/self/mounts")
    kept = [one for one in mounts(text) if one.lasting]
    sight.facts.update(boot_id=boot_id, mounts=[one.target for one in kept])
    yield HostCommand(host=host, argv=(), probe=("sh", "-c", _RESTARTED, "restarted", boot_id), limit=limit)
    words = [word for one in kept for word in (one.target, one.kind)]
    if words:
        yield HostCommand(host=host, argv=(), probe=("sh", "-c", _MOUNTED, "mounted", *words), limit=limit)
    # Nova shows a service as up for a minute after it has stopped, so the process is checked as well
    yield HostCommand(host=host, argv=(), probe=("pgrep", "-f", "[n]ova-compute"), limit=limit)


WORKFLOW = Workflow(
    name="power-host", risk=Risk.UNSAFE, lanes=lanes, why="everything that still runs on the host is cut off"
)
