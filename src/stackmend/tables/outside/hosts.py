# SPDX-License-Identifier: Apache-2.0
"""What runs on hypervisors, as libvirt shows it. Passwords and keys in definitions of domains are never read.

A host that could not be read has no row in any of them: only hosts in ``host_visits`` say that something is not there.
"""

from __future__ import annotations

from stackmend.tables import Table, bools, ints, text
from stackmend.tables.outside import Outside

SERVICE = "host"

OUTSIDE = Outside(
    service=SERVICE,
    what="hypervisors",
    option="hosts",
    metavar="HOST",
    help="also read what runs on these hypervisors, or on all of them without a name or with 'all'",
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
    Table(service=SERVICE, name="interfaces", columns=text("host", "uuid", "mac", "target", "port_id")),
    # serial: the volume's id. source: a path, a device, or pool/image
    Table(
        service=SERVICE,
        name="disks",
        columns=text("host", "uuid", "target", "kind", "protocol", "source", "serial"),
    ),
)
