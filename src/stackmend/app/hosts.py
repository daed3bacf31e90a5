# SPDX-License-Identifier: Apache-2.0
"""The hosts of the configured cloud: how commands get there, and what workflows may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackmend.app.apis import SystemClock
from stackmend.app.config import Config
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Transport, carried, own_names
from stackmend.model.step import HostCommand
from stackmend.model.writer import Executor


def executor(config: Config) -> HostExecutor:
    """Who carries out commands on hosts. Hooks run here also where no transport is configured."""
    return HostExecutor(Transport(config.routes), SystemClock())


def executors(config: Config) -> dict[str, Executor]:
    """Kind of step -> who does it."""
    return {HostCommand.kind: executor(config)}


def reach(config: Config) -> Transport | None:
    """How a workflow looks at hosts; None where no transport is configured."""
    return Transport(config.routes) if config.routes.transport or config.routes.local else None


def settings(config: Config) -> Mapping[str, Any]:
    """What workflows may know, by dotted name: ``hosts.transport``, ``hosts.container``, ``hooks.<name>``.

    ``hosts.carry`` and ``hosts.prefix`` make the line of a command that goes between two hosts by way of this machine.
    """
    own = own_names() if config.routes.transport == "local" else frozenset()
    return {
        "hosts.transport": config.routes.transport,
        "hosts.container": config.routes.container,
        "hosts.libvirt": config.libvirt or "",
        "hosts.carry": carried(config.routes),
        "hosts.prefix": config.routes.prefix,
        "hosts.local": sorted(config.routes.local or own),
        "hosts.instances_path": config.instances_path,
        **{f"hooks.{name}": words for name, words in config.hooks.items()},
    }
