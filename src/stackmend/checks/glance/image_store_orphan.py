# SPDX-License-Identifier: Apache-2.0
"""A file in a store of Glance belongs to no image.

## What is wrong
The folder of a filesystem store has a file with the name of an image (a UUID). Glance has no image with that id: no
live one, and no deleted one whose content waits to be scrubbed. The file has not been written to for a day.

## Why it matters
It takes space that nobody accounts for: a deleted image of 80 GB stays for ever on a node that did not take part in the
deletion.

## How it comes about
Deleting an image removes the file only on the node that handles the request; if stores are not shared, the other nodes
keep theirs. Or an upload was cut off, a deletion failed while the disk was not there, or the database was restored from
a backup.

## How to see it by hand
`ls /var/lib/glance/images` on each node, and for each name `openstack image show <name>`; in Glance's database
`SELECT status, deleted FROM images WHERE id = '<name>'`.

## Repair and its risk
None here: the file may be the only copy of an image that a restored database has forgotten. Move it aside, and delete
it once nobody has missed anything for a while. Without access to Glance's database nothing is reported, because its API
does not show images whose content waits to be scrubbed (`delayed_delete`).
"""

from collections.abc import Iterator
from typing import Any

from stackmend.cloud.objects import UUID
from stackmend.model.check import Severity, StoreCheck
from stackmend.model.errors import SourceError
from stackmend.model.objects.images import StoreVisit


def find(visit: StoreVisit) -> Iterator[dict[str, Any]]:
    """One row for each file. SourceError if it is not known which images exist."""
    stores = [node for node in visit.nodes if not node.api]
    if stores and visit.known is None:
        raise SourceError("which files belong to no image is known by Glance's database alone, and none is configured")
    for node in stores:
        for file in node.files:
            old = file.modified < visit.now - visit.ages["untouched"]
            if old and UUID.fullmatch(file.name) and file.name.lower() not in (visit.known or ()):
                yield {"node": node.name, "host": node.host, "path": node.path, "file": file.name, "size": file.size}


STORE_CHECK = StoreCheck(
    name="image-store-orphan",
    catalogue="J5",
    severity=Severity.INFO,
    message="{node}: {file} ({size} bytes) belongs to no image",
    resource=("image", "file"),
    key=("node", "file"),
    ages={"untouched": 86_400},
    find=find,
    by_hand="see that nobody needs {path}/{file} of {host}, move it aside, and delete it later",
)
