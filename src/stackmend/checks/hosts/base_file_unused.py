# SPDX-License-Identifier: Apache-2.0
"""A base in the image cache of a host is under no disk.

## What is wrong
A file in a host's `_base` directory has not been touched for a week, no disk on the host has it in its chain of backing
files, and no process has it open.

## Why it matters
It takes space: an image of 40 GB that was used once stays for ever.

## How it comes about
nova-compute does not clean its cache: `[image_cache] remove_unused_base_images` is false, or `manager_interval` is -1.
With its defaults, it touches the bases in use every 40 minutes and removes those not touched for a day, so that this
check finds nothing. An unshelved server is based on an image that is not its `image_ref` (Launchpad bug 1732428): the
chains show that, the database does not.

## How to see it by hand
`stackmend host salvage <host> --inventory` lists each base with the number of disks on it;
`qemu-img info -U --backing-chain <disk>` shows the chain of one disk.

## Repair and its risk
None here. Let nova-compute do it: set `remove_unused_base_images` and wait for the image cache manager. If a file that
a disk needs is removed, the guest does not start again. So nothing is reported for a host in these cases: its storage
may be shared, a server on it is being moved, it has directories in quarantine (their disks are not examined), a disk or
a directory could not be read, or a root disk has no base (then no chain shows what the disk was made from).
"""

from collections.abc import Iterator
from typing import Any

from stackmend.hosts.visits import judged_alone
from stackmend.model.check import HostCheck, Severity
from stackmend.model.objects.disks import Inventory, Ownership, Visit

#: the name of a root disk
_ROOT = "disk"


def find(visit: Visit) -> Iterator[dict[str, Any]]:
    """One row for each unused base."""
    found = visit.inventory
    judged_alone(found)
    moving = any(owner.verdict is Ownership.MOVING for owner in visit.owners.values())
    if moving or found.quarantined or _unclear(found):
        return
    for base in found.bases:
        old = base.modified < visit.now - visit.ages["untouched"]
        if old and not (base.missing or base.used_by or base.open_by or base.kind == "other"):
            yield {
                "host": found.host,
                "name": base.image.path,
                "path": f"{found.path}/{base.image.path}",
                "kind": base.kind,
                "allocated": base.image.allocated,
            }


def _unclear(found: Inventory) -> bool:
    """Whether a disk may need a base that no chain shows."""
    for folder in found.folders:
        if folder.problems or any(disk.image.problem for disk in folder.disks):
            return True
        if any(disk.image.path.rpartition("/")[2] == _ROOT and not disk.chain for disk in folder.disks):
            return True
    return False


HOST_CHECK = HostCheck(
    name="base-file-unused",
    catalogue="G3",
    severity=Severity.INFO,
    message="{path} on {host} is under no disk",
    resource=("host", "host"),
    key=("host", "name"),
    ages={"untouched": 7 * 86_400},
    find=find,
    by_hand="let nova-compute of {host} remove it: [image_cache] remove_unused_base_images",
)
