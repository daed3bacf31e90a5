# SPDX-License-Identifier: Apache-2.0
"""Shares of NFS and the like: the files of volumes below Cinder's mount points, or in one folder.

Cinder mounts each share on a folder named by the MD5 of its name. One that is not mounted is empty, and says nothing.
A folder that is one share alone says nothing of the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from stackmend.drivers.hosts.words import last_line
from stackmend.drivers.storage import names
from stackmend.drivers.storage.names import folder_of
from stackmend.hosts.scripts import script
from stackmend.model.errors import SourceError
from stackmend.model.objects.storage import BackEnd, Listing, Stored
from stackmend.model.protocols import Hosts

#: what Cinder keeps beside a volume
_BESIDE = (".info",)


def _list(hosts: Hosts, back_end: BackEnd) -> Listing:
    argv = ("sh", "-c", script("volume_files"), "stackmend", back_end.place)
    done = hosts.run(back_end.host, argv, limit=back_end.limit)
    records = os.fsdecode(done.out).split("\0")
    if done.code != 0 or records[-2:] != ["end", ""]:
        why = last_line(done.err) or f"exit code {done.code}"
        raise SourceError(
            f"{back_end.place} of {back_end.host or 'this machine'} cannot be read whole: {why}",
            "Name nfs_mount_point_base of cinder.conf, and an account that may read all of it ([hosts] prefix).",
        )
    folders, files, path, mounts = [], [], back_end.place, ""
    for record in records[:-2]:
        kind, _, rest = record.partition("\t")
        if kind == "folder":
            folders.append(rest)
        elif kind == "file":
            files.append(_stored(*rest.split("\t", 3)))
        elif kind == "path":
            path = rest
        else:
            mounts = rest
    mounted = {_plain(line.split(" ")[1]): _plain(line.split(" ")[0]) for line in mounts.splitlines() if " " in line}
    closed = [folder for folder in folders if f"{path.rstrip('/')}/{folder}" not in mounted]
    known = [one for one in files if one is not None and one.name.rpartition("/")[0] not in closed]
    return Listing(
        objects=tuple(known),
        others=len(files) - len(known),
        parents=tuple(one.parent for one in known if one.parent),
        folders=tuple(sorted(set(folders) - set(closed))) if folders else (_alone(path, mounted),),
        closed=tuple((folder, f"no share is mounted on {path}/{folder}") for folder in sorted(closed)),
    )


def _stored(size: str, modified: str, backing: str, name: str) -> Stored | None:
    folder, _, base = name.rpartition("/")
    found = names.volume(base)
    if found is None or found[1] in _BESIDE:
        return None
    # what is in a header may be the guest's: only what looks like a volume in the same folder is kept
    under = backing.rpartition("/")[2]
    return Stored(
        name=name,
        kind="volume",
        uuid=found[0],
        # volume-<id>.<snapshot>, and what a driver adds, such as .qcow2
        role="overlay" if found[1] else "",
        parent=os.path.join(folder, under) if names.volume(under) else "",
        size=int(size),
        modified=datetime.fromtimestamp(int(modified), UTC).replace(tzinfo=None),
    )


def _alone(path: str, mounted: Mapping[str, str]) -> str:
    """How Cinder would call the folder of the share that this path is in; "" if it is in none, but on a local disk."""
    around = [point for point in mounted if f"{path}/".startswith(f"{point.rstrip('/')}/")]
    source = mounted[max(around, key=len)] if around else ""
    return folder_of(source) if ":/" in source else ""


def _plain(path: str) -> str:
    """A path of /proc/mounts without its escapes."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


LIST = _list
