# SPDX-License-Identifier: Apache-2.0
"""The disk of a server names a base that is not there.

## What is wrong
A server on this host has a disk with a backing file in its chain that does not exist.

## Why it matters
The guest does not start, because QEMU cannot open its disk. A running guest (code `running`) keeps running **until it
is stopped**, because the kernel keeps the open file: do not let the guest stop before the file is back.

## How it comes about
Somebody removed the base by hand; or the image cache manager of another host removed it, because it shares the
directory but does not know this host's servers. Or the instances directory was copied without `_base`, or the file
system was restored from a backup. The OpenStack Operations Guide describes such a case ("Disappearing Images").

## How to see it by hand
`stackmend host salvage <host> --inventory`; `qemu-img info -U --backing-chain <instances>/<uuid>/disk`.

## Repair and its risk
None here. If a process still has the file open, copy it back from there first: `ls -l /proc/<pid>/fd` shows it as
deleted; then run `cp --sparse=always /proc/<pid>/fd/<n> <path>`. Otherwise copy the file from another host that has one
with the same name in `_base`, and compare the sizes: the name is the SHA-1 of the image's id. Otherwise, if Glance
still has the image, a hard reboot makes nova-compute fetch it again. A disk whose base has different content is
destroyed as soon as it is written to.
"""

from collections.abc import Iterator
from typing import Any

from stackmend.model.check import HostCheck, Severity
from stackmend.model.objects.disks import Ownership, Visit


def find(visit: Visit) -> Iterator[dict[str, Any]]:
    """One row for each disk; a server that is being moved is skipped, because its files may not be complete yet."""
    found = visit.inventory
    for folder in found.folders:
        owner = visit.owners[folder.name]
        if owner.verdict is not Ownership.HERE:
            continue
        for disk in folder.disks:
            base = next((base for path in disk.chain if (base := found.base(path)) and base.missing), None)
            if base is not None:
                yield {
                    "host": found.host,
                    "disk": disk.image.path,
                    "server": owner.server or folder.server,
                    "base": base.image.path,
                    "path": f"{found.path}/{base.image.path}",
                    "open_by": ", ".join(base.open_by),
                    "code": "running" if base.open_by else "off",
                }


HOST_CHECK = HostCheck(
    name="base-file-missing",
    catalogue="G4",
    severity=Severity.ERROR,
    message="server {server} on {host}: {path}, which its disk {disk} is based on, is not there; {code}",
    codes={
        "running": "{open_by} still has it open, so the guest must not stop before it is copied back",
        "off": "the guest cannot start",
    },
    resource=("server", "server"),
    key=("host", "disk"),
    find=find,
    by_hand="bring {path} back to {host}: see the page of the check, and do not stop the guest before",
)
