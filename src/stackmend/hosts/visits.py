# SPDX-License-Identifier: Apache-2.0
"""The data that checks of hosts need from a host, read in one visit: its instances directory.

The owners of the directories are determined afterwards: a server that arrives meanwhile has its row by then.
"""

from __future__ import annotations

from collections.abc import Sequence

from stackmend.hosts.inventory import inventory
from stackmend.model.errors import SourceError
from stackmend.model.objects.disks import Inventory
from stackmend.model.protocols import Hosts

#: what disappeared while being listed is not there the second time
_LOOKS = 2


def visited(hosts: Hosts, host: str, path: str, *, prefix: Sequence[str] = (), now: float = 0.0) -> Inventory:
    """The instances directory of a host. SourceError unless it was read completely."""
    found = inventory(hosts, host, path, prefix=prefix, now=now)
    for _ in range(_LOOKS - 1):
        if not found.notes:
            break
        found = inventory(hosts, host, path, prefix=prefix, now=now)
    if found.notes:
        raise SourceError(f"{path} of {host} could not be read whole: {found.notes[0]}")
    return found


def judged_alone(found: Inventory) -> None:
    """SourceError if one host alone does not show who uses the directory."""
    if found.storage.shared is not False:
        raise SourceError(f"{found.path} of {found.host} may be shared with other hosts: {found.storage.why}")
    if not found.every_process:
        raise SourceError(f"who has files of {found.path} of {found.host} open can be seen by root alone")
