# SPDX-License-Identifier: Apache-2.0
"""A node of Glance does not have the content of an image, or other content.

## What is wrong
Glance records the image as active. One of its nodes (a glance-api, or the folder of its filesystem store) does not have
its content (code `missing`), has fewer or more bytes (`size`), or other bytes than the hash that Glance recorded
(`hash`; only `stackmend image verify` reads the bytes). `elsewhere` names the nodes that have it.

## Why it matters
A compute host whose request for the image is dealt to this node cannot build a server: one build in so many fails
("Image has no associated data"). Older releases of Nova try again on another host, ask Neutron for ports once more, and
leave those of the failed attempt behind. Since the records are right, `openstack image show` looks healthy. Where no
node has the content whole, no server can be built from the image at all, and shelved servers cannot come back.

## How it comes about
Several glance-api nodes with `filesystem_store_datadir` on a disk of their own: an upload is stored by the one node
that the balancer chose. A node that was set up anew or restored; a disk that was full; files removed by hand.

## How to see it by hand
Ask each node, not the balancer: `curl -o /dev/null -w '%{http_code}' -H @token -H 'Range: bytes=0-0'
http://<node>:9292/v2/images/<id>/file`: 206 where the content is there, 204 ("no content") where it is not. On the
nodes: `ls -l /var/lib/glance/images/<id>` and `sha512sum`, compared with `os_hash_value` of the image.

## Repair and its risk
`stackmend image copy` copies the content from a store that has it whole, with checksums, and puts a damaged file aside;
undo takes it away again. `stackmend image isolate` takes the node out of the balancer meanwhile. What lasts is one
store for all nodes: with several stores configured `stackmend image copy <image> --to-store <store>` has Glance copy
into a shared one. Never delete or deactivate the image: where no node has the content, its record is what tells which
content it was.
"""

from collections.abc import Iterator
from typing import Any

from stackmend.model.check import Severity, StoreCheck
from stackmend.model.objects.images import Content, Held, StoreVisit

_BAD = (Held.MISSING, Held.SIZE, Held.HASH)


def find(visit: StoreVisit) -> Iterator[dict[str, Any]]:
    """A row an image and node. What a store does not have is missing only if its files are all there is of the image.

    Where locations are not known, an image that no store has may be in another kind of store: nothing is said of it.
    """
    for image in visit.images.values():
        whole = [node.name for node in visit.nodes if _held(node.held.get(image.id)) is Held.WHOLE]
        by_files = image.by_files_alone
        if by_files is None:
            by_files = any(not node.api and _held(node.held.get(image.id)) is not Held.MISSING for node in visit.nodes)
        for node in visit.nodes:
            content = node.held.get(image.id)
            if content is None or content.held not in _BAD:
                continue
            if content.held is Held.MISSING and not node.api and not by_files:
                continue
            yield {
                "image": image.id,
                "name": image.name,
                "node": node.name,
                "code": content.held.value,
                "size": image.size,
                "has": content.size,
                "why": content.why,
                "algorithm": image.algorithm,
                "digest": image.digest,
                "found": content.digest,
                "elsewhere": ", ".join(whole),
                "where": f"whole on {', '.join(whole)}" if whole else "on no node that was asked it is whole",
            }


def _held(content: Content | None) -> Held | None:
    return content.held if content else None


STORE_CHECK = StoreCheck(
    name="image-content-missing",
    catalogue="J1",
    severity=Severity.ERROR,
    message="image {image} ({name}) on {node}: {code}; {where}",
    codes={
        "missing": "its content is not there",
        "size": "its content has another size ({why}), Glance has recorded {size} bytes",
        "hash": "its content is not what Glance has recorded: another {algorithm}",
    },
    resource=("image", "image"),
    key=("image", "node"),
    find=find,
    by_hand="copy the content to {node}: 'stackmend image copy {image} --to STORE' ({where})",
)
