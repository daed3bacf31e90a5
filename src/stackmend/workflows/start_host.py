# SPDX-License-Identifier: Apache-2.0
"""Give the services of a host back as they were before they were stopped.

## What it does
The reverse of `host stop`, by what was written down on the host: what ran is started, what was masked before stays
masked, a container gets its restart policy back. The service that was stopped last is given back first. Without a
record (somebody else stopped it) it is unmasked or enabled, and started; a container keeps the policy that it has.

## Guards
The host must say what manages the service. A service that is as it was is left as it is.

## Undo
Stops and holds it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackmend.hosts.units import held, start, units
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
    yield LaneDraft(
        resource_type="host",
        resource_id=host,
        message=f"start: {held(host, found)}",
        steps=tuple(start(host, unit) for unit in reversed(found.values())),
        target={"services": list(services)},
    )


WORKFLOW = Workflow(name="start-host", risk=Risk.SAFE, lanes=_lanes, needs_api=False)
