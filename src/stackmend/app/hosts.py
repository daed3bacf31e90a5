# SPDX-License-Identifier: Apache-2.0
"""The hosts of the configured cloud: how commands get there, and what workflows may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackmend.app.apis import SystemClock
from stackmend.app.config import Config
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Transport
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
    """What workflows may know, by dotted name: ``hosts.transport``, ``hosts.container``, ``hooks.<name>``."""
    return {
        "hosts.transport": config.routes.transport,
        "hosts.container": config.routes.container,
        "hosts.libvirt": config.libvirt or "",
        **{f"hooks.{name}": words for name, words in config.hooks.items()},
    }
