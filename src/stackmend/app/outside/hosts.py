# SPDX-License-Identifier: Apache-2.0
"""Hypervisors: the domains of each, by libvirt through its URI, or by virsh over the transport to hosts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from stackmend.app.outside import ALL, Reader
from stackmend.model.errors import ConfigError, SourceError, UsageError
from stackmend.model.snapshot import CELL
from stackmend.tables.outside.hosts import SERVICE

if TYPE_CHECKING:
    from stackmend.app.session import CloudSession
    from stackmend.config.settings import Config
    from stackmend.drivers.hosts.hypervisors import Hypervisors


@contextmanager
def _opened(session: CloudSession, names: Sequence[str]) -> Iterator[Hypervisors]:
    """ConfigError if no way to hypervisors is configured, UsageError for a host that Nova does not know."""
    from stackmend.drivers.hosts import libvirt, looking, virsh
    from stackmend.drivers.hosts.hypervisors import LIMIT, Hypervisors
    from stackmend.drivers.hosts.transport import Transport

    config = session.config
    if not _configured(config):
        raise ConfigError(
            "no way to hypervisors is configured",
            'Write [hosts] and libvirt = "qemu+ssh://root@{host}/system", or transport = "ssh".',
        )
    hosts = _wanted(session, names)
    _apart(config, hosts)
    if config.libvirt:
        libvirt.library()  # said once, not for each host
        yield Hypervisors(partial(looking.domains, config.libvirt, limit=LIMIT), hosts)
        return
    transport = Transport(config.routes).inside()
    try:
        yield Hypervisors(partial(virsh.domains, transport, limit=LIMIT), hosts)
    finally:
        transport.close()


def _apart(config: Config, hosts: Sequence[str]) -> None:
    """ConfigError if several hosts would be the same one: each of its guests would seem to run several times."""
    if config.libvirt:
        if "{host}" not in config.libvirt and len(hosts) > 1:
            raise ConfigError(
                f"[hosts] libvirt is the same for {', '.join(hosts[:3])}: it has no {{host}}",
                'Write it as "qemu+ssh://root@{host}/system".',
            )
        return
    here = sorted(config.routes.local.intersection(hosts))
    if len(here) > 1:
        raise ConfigError(f"{', '.join(here)} are all this machine", "Name one of them: --hosts HOST.")


def _configured(config: Config) -> bool:
    return bool(config.libvirt or config.routes.transport or config.routes.local)


def _wanted(session: CloudSession, names: Sequence[str]) -> list[str]:
    """The hosts with these names, or every host with a nova-compute that runs guests by libvirt."""
    known, unread = _known(session)
    if not names or ALL in names:
        return sorted(known)
    for name in names:
        # it may be a host of a cell that cannot be read
        if name not in known and not unread:
            raise UsageError(f"Nova knows no hypervisor {name}", "See 'openstack compute service list'.")
    return sorted(set(names))


def _known(session: CloudSession) -> tuple[set[str], bool]:
    """(hosts of every cell, without those that have baremetal nodes alone; whether a cell could not be read)."""
    cells = [name for name in session.databases.addresses if name.startswith(CELL)]
    if not cells:
        raise SourceError(
            "which hosts there are is known by Nova's databases alone", "See [databases] in the TOML file."
        )
    hosts: set[str] = set()
    problems: list[SourceError] = []
    with session.live() as live:
        for database in cells:
            try:
                services = live.rows(database, "services", {"binary": "nova-compute", "deleted": 0})
                nodes = live.rows(database, "compute_nodes", {"deleted": 0})
            except SourceError as problem:
                problems.append(problem)
                continue
            metal = {str(n["host"]) for n in nodes if n["hypervisor_type"] == "ironic"}
            guests = {str(n["host"]) for n in nodes if n["hypervisor_type"] != "ironic"}
            hosts |= {str(one["host"]) for one in services if one["host"]} - (metal - guests)
    if len(problems) == len(cells):
        raise problems[0]
    return hosts, bool(problems)


READER = Reader(service=SERVICE, configured=_configured, opened=_opened)
