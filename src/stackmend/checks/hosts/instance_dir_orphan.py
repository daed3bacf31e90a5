# SPDX-License-Identifier: Apache-2.0
"""A directory of a server lies on a host, and no server owns it there.

## What is wrong
The instances directory of a host contains `<uuid>`, `<uuid>_resize`, `<uuid>_del` or the like. But no cell knows the
server, the server is on another host, or it was deleted more than a day ago. Nothing on the host uses the directory: no
process has a file in it open, libvirt has no domain for it, no disk is based on a file in it, and nothing in it has
changed for a week.

## Why it matters
The disks fill the host. Placement does not count them, so the scheduler sends servers to a full disk. The directory may
also be the last copy of somebody's data.

## How it comes about
A migration or evacuation failed half way. Or a server was deleted while its host was down, and Nova gave up cleaning up
after `maximum_instance_delete_attempts` (5). Or a row was purged before nova-compute had removed the files.

## How to see it by hand
`stackmend host salvage <host> --inventory` lists every directory and its owner; `openstack server show <uuid>`.

## Repair and its risk
By hand, because the directory may hold data that exists nowhere else:
`stackmend host salvage <host> --orphans --quarantine` checks once more, then moves it aside on the same file system,
and can be undone. Nothing is deleted. A directory is not reported while the storage may be shared with other hosts,
while its server is being moved or built or waits for nova-compute to clean up, or while it is not known who has its
files open. Directories with names of old releases (`instance-0000002a`) are matched by the number.
"""

from collections.abc import Iterator
from typing import Any

from stackmend.hosts.owners import no_orphan
from stackmend.hosts.visits import judged_alone
from stackmend.model.check import HostCheck, Severity
from stackmend.model.objects.disks import Visit


def find(visit: Visit) -> Iterator[dict[str, Any]]:
    """One row for each orphaned directory."""
    judged_alone(visit.inventory)
    days = visit.ages["unchanged"] / 86_400
    for folder in visit.inventory.folders:
        owner = visit.owners[folder.name]
        if no_orphan(folder, owner, visit.inventory, visit.now, days):
            continue
        yield {
            "host": visit.inventory.host,
            "name": folder.name,
            "path": f"{visit.inventory.path}/{folder.name}",
            "server": owner.server or folder.server,
            "code": owner.verdict.value,
            "why": owner.why,
            "lives_on": owner.host,
            "allocated": folder.allocated,
            "disks": len(folder.disks),
        }


HOST_CHECK = HostCheck(
    name="instance-dir-orphan",
    catalogue="G1",
    severity=Severity.WARNING,
    message="{path} on {host} belongs to no server there: {code}",
    codes={
        "nobody": "no cell knows server {server}",
        "elsewhere": "{why}",
        "deleted": "{why}",
    },
    resource=("host", "host"),
    key=("host", "name"),
    ages={"unchanged": 7 * 86_400},
    find=find,
    by_hand="'stackmend host salvage {host} --orphans --quarantine' moves it aside; it can be moved back",
)
