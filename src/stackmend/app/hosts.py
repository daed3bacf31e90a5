# SPDX-License-Identifier: Apache-2.0
"""The hosts of the configured cloud: how commands reach them, and the settings that workflows may use."""

from __future__ import annotations

from collections.abc import Mapping

from stackmend.app.apis import SystemClock
from stackmend.config.settings import Config
from stackmend.drivers.disks import appliance
from stackmend.drivers.hosts import facts as reading
from stackmend.drivers.hosts.executor import HostExecutor
from stackmend.drivers.hosts.transport import Transport, carried, own_names
from stackmend.model.errors import ConfigError
from stackmend.model.objects.facts import Domain, HostFacts
from stackmend.model.protocols import Executor
from stackmend.model.step import HostCommand


def executor(config: Config) -> HostExecutor:
    """The executor of commands on hosts. Hooks run locally even without a transport."""
    return HostExecutor(Transport(config.routes), SystemClock())


def executors(config: Config) -> dict[str, Executor]:
    """Kind of step -> its executor."""
    return {HostCommand.kind: executor(config)}


def reach(config: Config) -> Transport | None:
    """Read access to hosts for workflows; None if no transport is configured."""
    return Transport(config.routes) if config.routes.transport or config.routes.local else None


def domains(config: Config, host: str) -> list[Domain]:
    """The guests of a host by libvirt; ConfigError if it is not configured, SourceError if it does not answer."""
    from stackmend.drivers.hosts import libvirt

    if not config.libvirt:
        raise ConfigError("libvirt is not configured", "Set [hosts] libvirt.")
    return libvirt.domains(config.libvirt, host)


def facts(config: Config, host: str) -> HostFacts:
    """Boot id, mounts and clock of a host; HostUnreachable if no way to it is configured."""
    transport = Transport(config.routes)
    try:
        return reading.facts(transport, host)
    finally:
        transport.close()


def settings(config: Config) -> Mapping[str, object]:
    """Settings that workflows may use, by dotted name: ``hosts.transport``, ``hosts.container``, ``hooks.<name>``.

    ``hosts.carry`` and ``hosts.prefix`` build the command line of a copy between two hosts through this machine.
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
        "hosts.shared_instances": config.shared_instances,
        "hosts.libguestfs": config.libguestfs,
        "hosts.libguestfs_missing": appliance.missing(config.libguestfs),
        "images.stores": config.image_stores,
        "images.endpoints": config.image_endpoints,
        "nova.libvirt.images_type": config.nova_settings.get("libvirt.images_type", ""),
        **{f"hooks.{name}": words for name, words in config.hooks.items()},
    }
