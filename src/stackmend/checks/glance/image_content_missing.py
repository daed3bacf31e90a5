# SPDX-License-Identifier: Apache-2.0
"""A node of Glance does not have the content of an image, or other content.

## What is wrong
Glance records the image as active, but one Glance node (a glance-api, or the folder of its filesystem store) does not
have its content. Either the content is not there at all (code `missing`), its size differs (`size`), or its hash is not
the one that Glance recorded (`hash`; only `stackmend image verify` reads the content). `elsewhere` names the nodes that
have the content.

## Why it matters
A compute host whose download is sent to this node cannot build the server, so a share of all builds fails ("Image has
no associated data"). Older releases of Nova try again on another host, ask Neutron for ports once more, and leave the
ports of the failed attempt behind. Because the records are right, `openstack image show` looks healthy. If no node has
the whole content, no server can be built from the image at all, and shelved servers cannot be unshelved.

## How it comes about
Several glance-api nodes each have `filesystem_store_datadir` on a disk of their own, and an upload is stored only on
the node that the load balancer chose. Or a node was reinstalled or restored, a disk was full, or somebody removed files
by hand.

## How to see it by hand
Ask each node, not the load balancer: `curl -o /dev/null -w '%{http_code}' -H @token -H 'Range: bytes=0-0'
http://<node>:9292/v2/images/<id>/file`. The answer is 206 if the content is there, and 204 ("no content") if it is not.
On the nodes, run `ls -l /var/lib/glance/images/<id>` and `sha512sum`, and compare the results with the image's size and
`os_hash_value`.

## Repair and its risk
`stackmend image copy` copies the content from a store that has all of it, verifies checksums and moves a damaged file
aside; undo removes the copy again. Meanwhile, `stackmend image isolate` takes the node out of the load balancer. The
lasting solution is one store for all nodes: if several stores are configured,
`stackmend image copy <image> --to-store <store>` has Glance copy the content into a shared one. Never delete or
deactivate the image: if no node has the content, only the image's record still says which content it was.
"""

from collections.abc import Iterator
from typing import Any

from stackmend.model.check import Severity, StoreCheck
from stackmend.model.objects.images import Content, Held, StoreVisit

_BAD = (Held.MISSING, Held.SIZE, Held.HASH)


def find(visit: StoreVisit) -> Iterator[dict[str, Any]]:
    """One row for each image and node. Absence from a store counts only if the store's files are all there is of it.

    If the locations are not known, an image that no store has may be in another kind of store, and is not reported.
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
