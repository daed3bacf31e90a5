# SPDX-License-Identifier: Apache-2.0
"""Restore the services of a host to their state before they were stopped.

## What it does
Reverses `host stop`, using the record it left on the host: services that ran are started, units that were masked before
stay masked, containers get their restart policy back. Services are restored in reverse order of stopping. A service
without a record (somebody else stopped it) is unmasked or enabled, and started; a container keeps its current policy.

## Guards
The host must show what manages the service. A service that is already in its former state is left alone.

## Undo
Stops and holds the services again.
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
