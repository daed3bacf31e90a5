# SPDX-License-Identifier: Apache-2.0
"""The content of an image is missing on one Glance node, though Glance knows the image.

## What happens

Several glance-api nodes each store files on a disk of their own. An upload goes to only one of them, but the database
that they share says that the image is active. A compute host whose download reaches another node gets "not found".
Nova first asks for the image, then allocates the ports, and downloads the content last. So the build is retried on
another host, and ports of the first attempt may be left behind.

## How it shows

nova-compute logs ``ImageNotFound`` or "Image has no associated data" during a download (``nova/image/glance.py``). It
does so only on some hosts or at some times, while the same image was used or shown elsewhere. glance-api answers 204 or
404 to ``GET .../file`` on one node and 200 on another, and logs "Get image ... data failed" on the first.

## What speaks against it

The image was deleted or is not active. Then every host fails, and Glance answers 404 to a plain GET of the image too.

## What to do

Ask each Glance node for the content, not the load balancer. Copy the file from the node that has it, or take the node
that lacks it out of the load balancer. Then configure one store that all nodes share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackmend.causes._fits import evidence, hosts, listed
from stackmend.cloud.diagnosing.log_lines import asked
from stackmend.model.diagnosing.cause import Cause, Confidence, Verdict
from stackmend.model.diagnosing.timeline import Entry, Match, Story

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_MISSING = (
    rf"ImageNotFound: Image (?P<image>{_ID}) could not be found"
    rf"|Image (?P<none>{_ID}) is unacceptable: Image has no associated data"
    rf"|HTTPNotFound: .*No image found with ID (?P<http>{_ID})"
)
_DOWNLOAD = r"in (?:download|fetch|_try_fetch_image_cache|fetch_image|image_chunks|fetch_to_raw)\b|images\.data|/file"
_STORE = (
    rf"Get image (?P<image>{_ID}) data failed: Image \S+ not found"
    rf"|tried all active locations to get data for image (?P<all>{_ID})"
)


def judge(story: Story) -> Iterator[Verdict]:
    """Blame it once for each image that Glance knows but whose download found no content."""
    by_image: dict[str, list[Match]] = {}
    for match in story.find(_MISSING, services=("nova", "cinder", ""), levels=("ERROR", "CRITICAL")):
        if re.search(_DOWNLOAD, match.entry.whole):
            by_image.setdefault(next(filter(None, match.found.groups())), []).append(match)
    for match in story.find(_STORE, services=("glance",)) if not by_image else ():
        by_image.setdefault(next(filter(None, match.found.groups())), []).append(match)
    for image, matches in by_image.items():
        rows = [row for row in story.rows.get("images", ()) if row.get("id") == image]
        if not any(row.get("deleted") or row.get("status") not in (None, "active") for row in rows):
            yield from _of_image(story, image, matches, bool(rows))


def _of_image(story: Story, image: str, matches: list[Match], known: bool) -> Iterator[Verdict]:
    requests = [(e, r) for e in story.entries if (r := asked(e.text)) and image in r.path]
    itself = [(e, r) for e, r in requests if r.path.rstrip("/").endswith(image)]
    if any((r.method == "DELETE" and r.status == 204) or (r.method == "GET" and r.status == 404) for _, r in itself):
        return  # Glance itself does not know the image
    absent = [e for e, r in requests if "/file" in r.path and r.status in (204, 404, 410)]
    served = [e for e, r in requests if "/file" in r.path and r.status in (200, 206)]
    store = [m.entry for m in story.find(_STORE, services=("glance",)) if image in m.found[0]]
    healthy = story.find(r"Instance spawned successfully|Took [\d.]+ seconds to (?:spawn|build)")
    nodes = [_node(e) for e in (*absent, *store)]
    there = listed(_node(e) for e in served if _node(e) not in nodes)
    known = (
        known
        or bool(store)
        or bool(served)
        or bool(healthy)
        or any(r.method == "GET" and r.status == 200 for _, r in itself)
    )
    sure = Confidence.CERTAIN if absent or store else Confidence.LIKELY
    lacking = f"the Glance node {listed(nodes)}" if listed(nodes) else "a Glance node"
    yield Verdict(
        statement=(
            f"image {image} could not be downloaded {hosts(matches)}, though Glance knows it: "
            f"its content is missing on "
            f"{lacking}{f', while {there} has it' if there else ''}"
        ),
        evidence=evidence(matches, absent, store, served, healthy),
        confidence=sure if known else Confidence.POSSIBLE,
        confirm=(
            f"stackmend image verify --image {image}  # asks every node, not the balancer",
            "compare the store's folders on the nodes (filesystem_store_datadir)",
        ),
        against=() if known else ("no log or row shows that Glance still knows the image: it may have been deleted",),
        remedies=_REMEDIES,
    )


_REMEDIES = (
    "stackmend image copy IMAGE --to HOST  # from a store that has the content whole, with checksums",
    "until then take the node without it out of the balancer",
    "let all nodes use one store, or copy-image between stores",
    "stackmend audit --check extra-ports-on-server  # ports that failed builds left",
)


def _node(entry: Entry) -> str:
    """The Glance node that answered; behind a load balancer, by its name there."""
    request = asked(entry.text)
    return (request.node if request else "") or entry.host


CAUSE = Cause(
    name="image-content-missing",
    judge=judge,
    signs=(
        r"ImageNotFound: Image \S+ could not be found",
        r"Image has no associated data",
        r"tried all active locations to get data",
    ),
    explains=frozenset({"build-rescheduled", "no-valid-host"}),
)
