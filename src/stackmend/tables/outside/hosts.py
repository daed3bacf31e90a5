# SPDX-License-Identifier: Apache-2.0
"""What runs on hypervisors, as libvirt shows it. Passwords and keys in definitions of domains are never read.

A host that could not be read has no row in any of them: only hosts in ``host_visits`` say that something is not there.

What libvirt does not show (:data:`PARTS`) is read by one command on the host. A part that could not be read there has
no row of that host, and a source of its own that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stackmend.tables import Table, bools, ints, text
from stackmend.tables.outside import Outside

SERVICE = "host"

OUTSIDE = Outside(
    service=SERVICE,
    what="hypervisors",
    option="hosts",
    metavar="HOST",
    help="also read what runs, or is left, on these hypervisors, or on all of them without a name or with 'all'",
)

TABLES = (
    #: a row for each host that was read completely
    Table(service=SERVICE, name="visits", columns=(*text("host"), *ints("domains"))),
    Table(
        service=SERVICE,
        name="domains",
        columns=(
            # runs: it has a process. nova: its metadata is Nova's. memory in KiB
            *text("host", "uuid", "name", "server_name", "state", "reason", "machine"),
            *bools("runs", "nova", "persistent", "autostart"),
            *ints("vcpus", "memory"),
        ),
    ),
    # stem: the first characters of the port's id, as they are in names of devices
    Table(service=SERVICE, name="interfaces", columns=text("host", "uuid", "mac", "target", "port_id", "stem")),
    # serial: the volume's id. source: a path, a device, or pool/image
    Table(
        service=SERVICE,
        name="disks",
        columns=text("host", "uuid", "target", "kind", "protocol", "source", "serial"),
    ),
    # network devices of ports outside of namespaces. port_id: as Open vSwitch has it, "" of a device that it does not
    # have. held: a process has the tap open
    Table(service=SERVICE, name="links", columns=(*text("host", "name", "stem", "port_id"), *bools("held"))),
    # kind: qdhcp, qrouter, snat, fip. resource: the id of the network or router in its name
    Table(service=SERVICE, name="namespaces", columns=text("host", "name", "kind", "resource")),
    # iSCSI. volume: its id, where it is in the name of the target. disks: number of its LUNs
    Table(
        service=SERVICE, name="sessions", columns=(*text("host", "name", "target", "volume", "state"), *ints("disks"))
    ),
    # of device-mapper. kind: multipath, crypt. unit: of multipath, the id of what it leads to. paths: "sdb running
    # naa.6...". units: the ids of what its paths lead to. holders: number of maps stacked on it. opened: how often it
    # is open, by those included, and how often those are by others. alive, lost: numbers of paths
    Table(
        service=SERVICE,
        name="maps",
        columns=(
            *text("host", "name", "device", "kind", "unit", "paths", "units"),
            *bools("mixed"),
            *ints("holders", "opened", "alive", "lost"),
        ),
    ),
    # of guests, by AppArmor. verdict: stackmend.hosts.apparmor.Verdict. device: the host has /dev/vhost-net
    Table(service=SERVICE, name="profiles", columns=(*text("host", "uuid", "verdict"), *bools("device"))),
    # of servers. role: "resize" of <uuid>_resize, "" of <uuid>. local: its file system is not one that hosts share
    Table(service=SERVICE, name="directories", columns=(*text("host", "uuid", "role", "path"), *bools("local"))),
)


@dataclass(frozen=True, slots=True)
class Part:
    """What one command on the host shows beside libvirt, and in which tables it is."""

    what: str  #: in messages, in the plural
    labels: tuple[str, ...]


#: name, as in sources and scripts -> part
PARTS: Mapping[str, Part] = {
    "links": Part("network devices", ("host_links",)),
    "namespaces": Part("network namespaces", ("host_namespaces",)),
    "devices": Part("block devices", ("host_sessions", "host_maps")),
    "profiles": Part("AppArmor profiles", ("host_profiles",)),
    "directories": Part("directories of servers", ("host_directories",)),
}
