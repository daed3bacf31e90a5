# SPDX-License-Identifier: Apache-2.0
"""The disks of one server in the instances directory of its host, with the layers of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stackmend.cloud.servers import Server
from stackmend.hosts.inventory import inventory
from stackmend.model.errors import SourceError
from stackmend.model.objects.disks import INSTANCES, Disk, Folder, Inventory
from stackmend.model.protocols import Hosts

#: file name -> the disk's role (nova/virt/libvirt/driver.py: _create_image, _create_configdrive)
_NAMES = {"disk": "root", "disk.local": "ephemeral", "disk.swap": "swap", "disk.config": "config"}
#: may be missing from disk.info, and is raw in Nova
_RAW = frozenset({"disk.config"})
#: the way out if there is no file to read
ELSEWHERE = "Disks in RBD or LVM are read in a rescue (--method rescue --image IMAGE), volumes in a copy (--helper)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One disk of a server."""

    name: str  #: "root", "ephemeral", "ephemeral1", "swap", "config", or the name of its file
    layers: tuple[tuple[str, str], ...]  #: (path on the host, format), the disk first, then its backing files
    problem: str = ""  #: why it cannot be opened


def disks(
    hosts: Hosts, server: Server, path: str = INSTANCES, inside: Sequence[str] = ()
) -> tuple[list[Found], Folder]:
    """(the disks of a server, its directory). SourceError if the directory cannot be read, or does not exist."""
    host = str(server.host)
    found = inventory(hosts, host, path, prefix=inside)
    folder = found.folder(server.id)
    if folder is None:
        raise SourceError(
            f"{host}:{found.path} has no directory of server {server.id}",
            ELSEWHERE,
        )
    told = _recorded_formats(folder)
    return [_disk(found, disk, told) for disk in folder.disks], folder


def _recorded_formats(folder: Folder) -> Mapping[str, str]:
    """Name of a file -> its format according to disk.info, the only trusted source."""
    try:
        found = json.loads(folder.formats or "{}")
    except ValueError:
        return {}
    return {str(path).rsplit("/", 1)[-1]: str(form) for path, form in found.items()} if isinstance(found, dict) else {}


def _disk(found: Inventory, disk: Disk, told: Mapping[str, str]) -> Found:
    file = disk.image.path.rpartition("/")[2]
    name = _NAMES.get(file) or file.replace("disk.eph", "ephemeral")
    form = told.get(file, "raw" if file in _RAW else "")
    problem = "; ".join(disk.problems)
    if form not in ("raw", "qcow2"):
        problem = problem or "disk.info does not say its format, and what the disk says of itself is not believed"
    layers = ((f"{found.path}/{disk.image.path}", form), *_bases(found, disk))
    if not problem and any(form not in ("raw", "qcow2") for _, form in layers):
        problem = "the format of a base is not known"
    return Found(name=name, layers=layers, problem=problem)


def _bases(found: Inventory, disk: Disk) -> Iterator[tuple[str, str]]:
    """Each backing file, with the format recorded in the layer above it, which Nova wrote."""
    form = disk.image.backing_format
    for path in disk.chain:
        base = found.base(path)
        yield f"{found.path}/{path}", form or (base.image.format if base else "")
        form = base.image.backing_format if base else ""
