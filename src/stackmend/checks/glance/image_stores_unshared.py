# SPDX-License-Identifier: Apache-2.0
"""Several nodes of Glance keep images in folders that they do not share.

## What is wrong
Two or more nodes of Glance have filesystem stores of their own: their folders lie on local file systems, or hold
different files.

## Why it matters
Glance does not copy between nodes. Every image is on the node that took its upload, and on no other, until somebody
copies it: see `image-content-missing` for what users notice. Deleting an image leaves its copies behind on the others.

## How it comes about
A second glance-api was added for availability, with the default back end; a shared file system that was not mounted
when the service started, so that it wrote into the empty mount point.

## How to see it by hand
`df /var/lib/glance/images` on each node: a local file system says it. `glance-api.conf`: `filesystem_store_datadir` and
`enabled_backends` (or `stores`).

## Repair and its risk
None by a plan. Use one store for all nodes (Ceph, Swift, S3, NFS), and have Glance copy into it:
`stackmend image copy <image> --to-store <store>`. Until then keep one node behind the balancer
(`stackmend image isolate`), or copy after each upload, and prove it with `stackmend image verify`.
"""

from collections.abc import Iterator
from typing import Any

from stackmend.model.check import Severity, StoreCheck
from stackmend.model.objects.images import Held, Node, StoreVisit


def find(visit: StoreVisit) -> Iterator[dict[str, Any]]:
    """One row at most, for all stores that differ from each other."""
    stores = sorted((node for node in visit.nodes if not node.api), key=lambda node: node.name)
    apart = [node for node in stores if node.storage.shared is False]
    if len({node.host for node in apart}) > 1:
        yield _row(apart, "file-systems")
        return
    differ = sorted({name for one in visit.images for name in _split(visit, one)})
    if differ:
        yield _row([node for node in visit.nodes if node.name in differ], "contents")


def _split(visit: StoreVisit, image: str) -> list[str]:
    """Nodes of which some have an image whole and some have nothing of it, where both kinds are of one sort."""
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
