# SPDX-License-Identifier: Apache-2.0
"""What back ends of storage hold: objects with names that Cinder or Nova give. Their content is never read.

A back end that could not be listed whole has no row in any of them: only those in ``storage_visits`` say that something
is not there, and of file shares only the folders in ``storage_folders``.
"""

from __future__ import annotations

from stackmend.tables import Table, bools, ints, text, times
from stackmend.tables.outside import Outside

SERVICE = "storage"
#: labels of what is asked beside the list of a back end, and may fail alone
CLIENTS, CLUSTERS = f"{SERVICE}_clients", f"{SERVICE}_clusters"

OUTSIDE = Outside(
    service=SERVICE,
    what="back ends of storage",
    option="storage",
    metavar="BACKEND",
    help="also list what lies on these back ends of storage, or on all of [storage] without a name or with 'all'",
)

TABLES = (
    # asked: the host where it was asked. program: as it is typed there. ours: what has a name of ours and is not known
    # belongs to nobody; false where others use it, too. others: number of objects with other names
    Table(
        service=SERVICE,
        name="visits",
        columns=(
            *text("backend", "kind", "place", "asked", "program"),
            *bools("cinder", "nova", "glance", "ours"),
            *ints("objects", "others"),
        ),
    ),
    # owner: host@backend, host@backend#pool or cluster@backend of Cinder
    Table(service=SERVICE, name="owners", columns=text("backend", "owner")),
    # folder: MD5 of the share that is mounted there; "": there are no such folders
    Table(service=SERVICE, name="folders", columns=text("backend", "folder")),
    # id: how locations of Glance call the cluster of a pool
    Table(service=SERVICE, name="clusters", columns=text("backend", "id")),
    # who has an image of a pool open, of those that were asked for: of servers that run, and of nobody
    Table(
        service=SERVICE,
        name="clients",
        columns=(
            # path: pool and name. watchers: addresses. owner: the address of who holds the lock, locker and lock: its
            # names for "rbd lock rm". barred: until when the owner is blocklisted
            *text("backend", "kind", "name", "uuid", "path", "watchers", "owner", "locker", "lock", "barred"),
            # managed: the owner took the lock to write. alive: the owner has the image open
            *bools("managed", "alive"),
        ),
    ),
    Table(
        service=SERVICE,
        name="objects",
        columns=(
            # kind: volume, snapshot, disk, image, image-snapshot. role: "", trash, deleted, overlay. ref: its id in the
            # trash; of an image, the location that leads to it, without its snapshot. origin: the volume of a snapshot.
            # parent: what it is based on, with its pool if that is another. used: what shows that it is open
            *text("backend", "kind", "name", "uuid", "role", "ref", "origin", "parent", "used"),
            # based: number of objects here, and in other pools that were listed, that are based on it
            *ints("size", "based"),
            *times("modified"),
        ),
    ),
)
