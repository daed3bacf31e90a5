# SPDX-License-Identifier: Apache-2.0
"""Stop services of a host so that nothing starts them again.

## What it does
Finds out what manages each service (systemd, docker, podman, or scripts in /etc/init.d), stops it, and keeps it
stopped: a unit of systemd is masked (one that lies in /etc/systemd/system gets a condition that never holds), a
container loses its restart policy, an init script is disabled and not executable any more. Neither configuration
management nor a restart of the host brings it back. What it was before is written to /var/lib/stackmend/held there.

Guests go on running: it is about Nova's and Neutron's processes. Drain the host first if it is to be switched off.

## Guards
The host must say what manages the service; one that has it nowhere is refused. A service that is stopped and held
already is left as it is.

## Undo
Gives back exactly what each service was: running or not, masked or not, with its restart policy. So does
`host start`, later and from elsewhere.
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
