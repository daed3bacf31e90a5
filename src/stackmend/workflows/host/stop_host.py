# SPDX-License-Identifier: Apache-2.0
"""Stop services of a host so that nothing starts them again.

## What it does
Finds out what manages each service (systemd, docker, podman, or scripts in /etc/init.d), stops it, and keeps it
stopped: a systemd unit is masked (one in /etc/systemd/system gets a condition that is never true instead), a container
loses its restart policy, and an init script is disabled and made non-executable. Neither configuration management nor a
reboot of the host starts it again. Its previous state is recorded in /var/lib/stackmend/held on the host.

Guests keep running: only processes of Nova and Neutron are stopped. Drain the host first if it will be powered off.

## Guards
The host must show what manages the service; a service that is not installed there is refused. A service that is already
stopped and held is left alone.

## Undo
Restores the previous state of each service: running or not, masked or not, with its restart policy. `host start` does
the same, later and from another machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.hosts.units import held, stop, units
from stackmend.model.finding import Row
from stackmend.model.repair import CannotRepair
from stackmend.model.step import Risk
from stackmend.model.values import texts
from stackmend.model.workflow import LaneDraft, Sight, Workflow

DEFAULT = ("nova-compute",)


def _lanes(arguments: Row, sight: Sight) -> Iterator[LaneDraft]:
    host, services = str(arguments["host"]), texts(arguments.get("services")) or DEFAULT
    if sight.hosts is None:
        raise CannotRepair('no access to hosts is configured: [hosts] transport = "ssh" is usual')
    found = units(sight.hosts, host, services)
    sight.facts["services"] = {unit.service: unit.line for unit in found.values()}
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"stop and hold: {held(host, found)}",
        steps=tuple(stop(host, unit) for unit in found.values()),
        target={"services": list(services)},
    )


WORKFLOW = Workflow(name="stop-host", risk=Risk.SAFE, lanes=_lanes, needs_api=False)
