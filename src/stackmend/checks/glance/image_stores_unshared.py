# SPDX-License-Identifier: Apache-2.0
"""Several nodes of Glance keep images in folders that they do not share.

## What is wrong
Two or more Glance nodes have filesystem stores of their own: the folders are on local file systems, or contain
different files.

## Why it matters
Glance does not copy between nodes. Every image is only on the node that received the upload until somebody copies it.
See `image-content-missing` for what users notice. Deleting an image leaves its copies behind on the other nodes.

## How it comes about
A second glance-api was added for availability, with the default back end. Or a shared file system was not mounted when
the service started, so that it wrote into the empty mount point.

## How to see it by hand
Run `df /var/lib/glance/images` on each node: a local file system is the sign. In `glance-api.conf`, look at
`filesystem_store_datadir` and `enabled_backends` (or `stores`).

## Repair and its risk
No plan repairs this. Use one store for all nodes (Ceph, Swift, S3, NFS), and have Glance copy the images into it:
`stackmend image copy <image> --to-store <store>`. Until then, keep only one node behind the load balancer
(`stackmend image isolate`), or copy each image after its upload and check the result with `stackmend image verify`.
"""

from collections.abc import Iterator
from typing import Any

from stackmend.model.check import Severity, StoreCheck
from stackmend.model.objects.images import Held, Node, StoreVisit


def find(visit: StoreVisit) -> Iterator[dict[str, Any]]:
    """At most one row, for all stores that differ from each other."""
    stores = sorted((node for node in visit.nodes if not node.api), key=lambda node: node.name)
    apart = [node for node in stores if node.storage.shared is False]
    if len({node.host for node in apart}) > 1:
        yield _row(apart, "file-systems")
        return
    differ = sorted({name for one in visit.images for name in _split(visit, one)})
    if differ:
        yield _row([node for node in visit.nodes if node.name in differ], "contents")


def _split(visit: StoreVisit, image: str) -> list[str]:
    """The nodes of one sort, if some of them have the whole image and others have nothing of it."""
    for api in (True, False):
        held = {node.name: node.held[image].held for node in visit.nodes if node.api is api and image in node.held}
        if {Held.WHOLE, Held.MISSING} <= set(held.values()):
            return [name for name, how in held.items() if how in (Held.WHOLE, Held.MISSING)]
    return []


def _row(nodes: list[Node], code: str) -> dict[str, Any]:
    names = sorted(node.name for node in nodes)
    types = ", ".join(sorted({node.storage.type for node in nodes if node.storage.type}))
    return {"nodes": ", ".join(names), "number": len(names), "code": code, "types": types}


STORE_CHECK = StoreCheck(
    name="image-stores-unshared",
    catalogue="J1",
    severity=Severity.WARNING,
    message="{number} nodes of Glance do not share their stores: {nodes}; {code}",
    codes={
        "file-systems": "their folders lie on file systems of their own ({types})",
        "contents": "some have images that others do not have",
    },
    resource=("service", "nodes"),
    key=("nodes",),
    find=find,
    by_hand="use one store for {nodes}, and have Glance copy into it: 'stackmend image copy IMAGE --to-store STORE'",
)
