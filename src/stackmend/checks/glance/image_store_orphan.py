# SPDX-License-Identifier: Apache-2.0
"""A file in a store of Glance belongs to no image.

## What is wrong
The folder of a filesystem store has a file called as an image is (a UUID), and Glance has no image of that id, neither
one that is not deleted nor one whose content waits to be scrubbed. It has not been written to for a day.

## Why it matters
It takes room that nobody accounts for: a deleted image of 80 GB stays for ever on the node that did not take part.

## How it comes about
Deleting an image removes the file on the node that was asked; with stores that are not shared the others keep theirs.
An upload that was cut off, a deletion that failed while the disk was away, a database restored from a backup.

## How to see it by hand
`ls /var/lib/glance/images` on each node, and for each name `openstack image show <name>`; in Glance's database
`SELECT status, deleted FROM images WHERE id = '<name>'`.

## Repair and its risk
None here: a file may be the only copy of what a restored database has forgotten. Move it aside, and delete it when
nobody has missed anything for a while. Without Glance's database nothing is said: its API does not show images whose
content waits to be scrubbed (`delayed_delete`).
"""

from collections.abc import Iterator
from typing import Any

from stackmend.cloud.objects import UUID
from stackmend.model.check import Severity, StoreCheck
from stackmend.model.errors import SourceError
from stackmend.model.objects.images import StoreVisit


def find(visit: StoreVisit) -> Iterator[dict[str, Any]]:
    """A row a file. SourceError where it is not known which images there are."""
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
