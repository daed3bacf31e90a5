# SPDX-License-Identifier: Apache-2.0
"""The rows of one host in each table of hypervisors (:mod:`stackmend.tables.outside.hosts`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackmend.model.objects.traces import BlockMap, stem
from stackmend.model.sight import HostLook

Row = dict[str, object]
#: characters before the id of a port in the name of its device
_PREFIX = 3
#: a path that takes requests, as sysfs calls it: of SCSI, of NVMe; what does not say is not called dead
_ALIVE = frozenset({"running", "live", "unknown"})


def rows_of(label: str, visit: HostLook) -> list[Row]:
    """The rows of a host in the table with this label."""
    return [{"host": visit.host, **row} for row in _ROWS[label](visit)]


def _visits(visit: HostLook) -> list[Row]:
    return [{"domains": len(visit.domains)}]


def _domains(visit: HostLook) -> list[Row]:
    return [
        {
            "uuid": one.uuid, "name": one.name, "server_name": one.server, "state": one.state,
            "reason": one.reason, "machine": one.machine, "runs": one.id is not None, "nova": one.nova,
            "persistent": one.persistent, "autostart": one.autostart, "vcpus": one.vcpus, "memory": one.memory,
        }
        for one in visit.domains
    ]  # fmt: skip


def _interfaces(visit: HostLook) -> list[Row]:
    return [
        {
            "uuid": one.uuid, "mac": nic.mac.lower(), "target": nic.target, "port_id": nic.port,
            "stem": stem(nic.port) or stem(nic.target[_PREFIX:]),
        }
        for one in visit.domains
        for nic in one.interfaces
    ]  # fmt: skip


def _disks(visit: HostLook) -> list[Row]:
    return [
        {
            "uuid": one.uuid, "target": disk.target, "kind": disk.kind, "protocol": disk.protocol,
            "source": disk.source, "serial": disk.serial,
        }
        for one in visit.domains
        for disk in one.disks
    ]  # fmt: skip


def _links(visit: HostLook) -> list[Row]:
    return [{"name": one.name, "stem": one.stem, "port_id": one.port, "held": one.held} for one in visit.traces.links]


def _namespaces(visit: HostLook) -> list[Row]:
    return [{"name": one.name, "kind": one.kind, "resource": one.resource} for one in visit.traces.namespaces]


def _sessions(visit: HostLook) -> list[Row]:
    return [
        {"name": one.name, "target": one.target, "volume": one.volume, "state": one.state, "disks": one.disks}
        for one in visit.traces.sessions
    ]


def _maps(visit: HostLook) -> list[Row]:
    return [
        {
            "name": one.name, "device": one.device, "kind": one.kind, "unit": one.unit,
            "holders": one.holders, "opened": one.opened, "mixed": one.mixed,
            "paths": ", ".join(" ".join(filter(None, path)) for path in _told(one)),
            "units": ", ".join(one.units), "alive": sum(path.state in _ALIVE for path in one.paths),
            "lost": sum(path.state not in _ALIVE for path in one.paths),
        }
        for one in visit.traces.maps
    ]  # fmt: skip


def _told(one: BlockMap) -> list[tuple[str, str, str]]:
    return [(path.name, path.state, path.unit) for path in one.paths]


def _profiles(visit: HostLook) -> list[Row]:
    return [{"uuid": one.server, "verdict": one.verdict, "device": one.device} for one in visit.traces.profiles]


def _directories(visit: HostLook) -> list[Row]:
    return [
        {"uuid": one.server, "role": one.role, "path": one.path, "local": one.local} for one in visit.traces.directories
    ]


_ROWS: Mapping[str, Callable[[HostLook], list[Row]]] = {
    "host_visits": _visits,
    "host_domains": _domains,
    "host_interfaces": _interfaces,
    "host_disks": _disks,
    "host_links": _links,
    "host_namespaces": _namespaces,
    "host_sessions": _sessions,
    "host_maps": _maps,
    "host_profiles": _profiles,
    "host_directories": _directories,
}
